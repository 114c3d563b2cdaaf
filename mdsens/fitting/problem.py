"""Residuals of all targets with their derivatives, whatever happens to single ones.

    chi^2(u) = sum_i r_i^2,   r_i = (value_i - wanted_i) / sigma_i,   priors among them

A target that cannot be evaluated in mid-fit (a structure that no longer relaxes, or leaves its
basin) is penalised: its residuals are those where it was last sound, enlarged by
3 + 10 |u - u_sound|. That is finite and smooth, and worse than where the optimiser came from, so that
it turns back.

Every evaluation begins with what the best one so far has left, the relaxed states: a step that is
refused leaves nothing behind, else a structure that it took to another minimum would stay there, and a
smaller step would find another chi^2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from mdsens.errors import InputError, MdsensError, NotConverged
from mdsens.fitting.losses import loss_of, slope_of
from mdsens.fitting.space import Space
from mdsens.fitting.targets import Target, rows_of
from mdsens.potentials import Potential

_WORSE, _PER_STEP = 3.0, 10.0


# Up to so many free parameters, derivatives of every residual are kept.
MANY = 300


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All residuals at one point.

    Attributes:
        u: (k,) where.
        residuals: (m,) of all targets and priors.
        loss: what goes down, 1/2 sum rho(r^2).
        gradient: (k,) d loss / d u.
        jacobian: (m, k) of the residuals by u; None where k is large.
        failures: why targets could not be evaluated, by name.
        memories: what each target remembers of it.
    """

    u: np.ndarray
    residuals: np.ndarray
    loss: float
    gradient: np.ndarray
    jacobian: np.ndarray | None
    failures: Mapping[str, str]
    memories: tuple[tuple[np.ndarray, ...], ...]

    @property
    def chi2(self) -> float:
        return float(self.residuals @ self.residuals)


class _Rows(NamedTuple):
    """Residuals of one target, their share of the gradient, and their derivatives, where kept."""

    residuals: np.ndarray
    gradient: np.ndarray
    jacobian: np.ndarray | None


@dataclass(frozen=True)
class _Sound:
    """Where a target was evaluated last, and its residuals there."""

    u: np.ndarray
    residuals: np.ndarray


@dataclass(eq=False)
class Problem:
    """A potential, what is free in it, and what it should meet.

    Attributes:
        loss: one of LOSSES.
        history: evaluations of a run that was interrupted, in their order; they are not done again.
        record: called with each new one.
    """

    potential: Potential
    space: Space
    targets: Sequence[Target]
    loss: str = "linear"
    history: Sequence[Evaluation] = ()
    record: Callable[[Evaluation], None] = lambda evaluation: None
    _last: Evaluation | None = field(default=None, repr=False)
    _best: Evaluation | None = field(default=None, repr=False)
    _sound: dict[int, _Sound] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.targets:
            raise InputError("fit: no targets; give at least one")
        names = [t.name for t in self.targets]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise InputError(f"fit: two targets are called {twice[0]}; name them differently")
        self._replay = iter(self.history)

    def __call__(self, u: np.ndarray) -> Evaluation:
        """Residuals at u (k,); the last evaluation and the best one are remembered."""
        for known in (self._last, self._best):
            if known is not None and np.array_equal(known.u, u):
                return known
        self._last = found = self._next(np.array(u, dtype=float))
        if self._best is None or found.loss < self._best.loss:
            self._best = found
        return found

    def _next(self, u: np.ndarray) -> Evaluation:
        old = next(self._replay, None)
        if old is None:
            found = self._evaluated(u)
            self.record(found)
            return found
        if not np.array_equal(old.u, u):
            raise InputError(
                "fit: the record of the interrupted run does not belong to this fit; remove it"
            )
        for k, (target, rows) in enumerate(zip(self.targets, rows_of(self.targets), strict=True)):
            if target.name not in old.failures:
                self._sound[k] = _Sound(u, old.residuals[rows])
        return old

    @property
    def dense(self) -> bool:
        """Whether derivatives of every residual are kept."""
        return self.space.size <= MANY

    def _evaluated(self, u: np.ndarray) -> Evaluation:
        rows, failures = [], {}
        memories: list[tuple[np.ndarray, ...]] = [()] * len(self.targets)
        if self._best is not None:
            memories = list(self._best.memories)
        for k, target in enumerate(self.targets):
            try:
                found, memory = self._found(target, u, memories[k])
                _check_finite(found)
            except MdsensError as error:
                if k not in self._sound:
                    raise type(error)(f"fit: {target.name}, at the start: {error}") from error
                failures[target.name] = str(error)
                rows.append(self._penalty(self._sound[k], u))
            else:
                rows.append(found)
                self._sound[k], memories[k] = _Sound(u, found.residuals), memory
        rows.append(self._priors(u))
        r = np.concatenate([x.residuals for x in rows])
        kept = [x.jacobian for x in rows if x.jacobian is not None]
        return Evaluation(
            u, r, loss_of(r, self.loss), np.sum([x.gradient for x in rows], axis=0),
            np.concatenate(kept) if self.dense else None, failures, tuple(memories),
        )  # fmt: skip

    def _found(
        self, target: Target, u: np.ndarray, memory: tuple[np.ndarray, ...]
    ) -> tuple[_Rows, tuple[np.ndarray, ...]]:
        if self.dense:
            found = target.evaluate(self.potential, self.space, u, memory)
            rows = self._rows(
                residuals(target, found.values), found.jacobian / target.sigma[:, None]
            )
            return rows, found.memory

        def weigh(values: np.ndarray) -> np.ndarray:
            return slope_of(residuals(target, values), self.loss) / target.sigma

        values, gradient, memory = target.pulled(self.potential, self.space, u, memory, weigh)
        return _Rows(residuals(target, values), gradient, None), memory

    def _rows(self, r: np.ndarray, jacobian: np.ndarray) -> _Rows:
        return _Rows(r, jacobian.T @ slope_of(r, self.loss), jacobian)

    def _penalty(self, sound: _Sound, u: np.ndarray) -> _Rows:
        step = u - sound.u
        length = float(np.linalg.norm(step))
        # A target that was met exactly still has to be left alone.
        size = np.maximum(np.abs(sound.residuals), 1.0)
        r = size * (_WORSE + _PER_STEP * length)
        away = _PER_STEP * (step / length if length > 0.0 else step)
        if self.dense:
            return self._rows(r, np.outer(size, away))
        return _Rows(r, (size @ slope_of(r, self.loss)) * away, None)

    def _priors(self, u: np.ndarray) -> _Rows:
        mean, deviation = self.space.priors.T
        there = np.flatnonzero(np.isfinite(deviation))
        r = ((np.asarray(self.space.theta(u)) - mean) / deviation)[there]
        slope = (self.space.slope(u) / deviation)[there]
        jacobian = None
        if self.dense:
            jacobian = np.zeros((len(there), self.space.size))
            jacobian[np.arange(len(there)), there] = slope
        gradient = np.zeros(self.space.size)
        gradient[there] = slope * slope_of(r, self.loss)
        return _Rows(r, gradient, jacobian)


def _check_finite(rows: _Rows) -> None:
    # The gradient holds all derivatives: one that is no number makes it none.
    if not (np.isfinite(rows.residuals).all() and np.isfinite(rows.gradient).all()):
        raise NotConverged("values or derivatives are no numbers")


def residuals(target: Target, values: np.ndarray) -> np.ndarray:
    """(m,) how many sigma the values are off."""
    return (values - target.wanted) / target.sigma
