"""Residuals of all targets with their derivatives, whatever happens to single ones.

    chi^2(u) = sum_i r_i^2,   r_i = (value_i - wanted_i) / sigma_i,   priors among them

A target that cannot be evaluated in mid-fit (a structure that no longer relaxes, or leaves its
basin) is penalised: its residuals are those where it was last sound, enlarged by
3 + 10 |u - u_sound|. That is finite and smooth, and worse than where the optimiser came from, so that
it turns back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mdsens.errors import InputError, MdsensError
from mdsens.fitting.space import Space
from mdsens.fitting.targets import Outcome, Target, rows_of
from mdsens.potentials import Potential

_WORSE, _PER_STEP = 3.0, 10.0


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All residuals at one point.

    Attributes:
        u: (k,) where.
        residuals: (m,) of all targets and priors.
        jacobian: (m, k) by u.
        failures: why targets could not be evaluated, by name.
        memories: what each target remembers.
    """

    u: np.ndarray
    residuals: np.ndarray
    jacobian: np.ndarray
    failures: Mapping[str, str]
    memories: tuple[tuple[np.ndarray, ...], ...]

    @property
    def chi2(self) -> float:
        return float(self.residuals @ self.residuals)


@dataclass(frozen=True)
class _Sound:
    """Where a target was evaluated last, and its residuals there."""

    u: np.ndarray
    residuals: np.ndarray


@dataclass(eq=False)
class Problem:
    """A potential, what is free in it, and what it should meet.

    Attributes:
        history: evaluations of a run that was interrupted, in their order; they are not done again.
        record: called with each new one.
    """

    potential: Potential
    space: Space
    targets: Sequence[Target]
    history: Sequence[Evaluation] = ()
    record: Callable[[Evaluation], None] = lambda evaluation: None
    _known: dict[bytes, Evaluation] = field(default_factory=dict, repr=False)
    _sound: dict[int, _Sound] = field(default_factory=dict, repr=False)
    _memories: list[tuple[np.ndarray, ...]] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        if not self.targets:
            raise InputError("fit: no targets; give at least one")
        names = [t.name for t in self.targets]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise InputError(f"fit: two targets are called {twice[0]}; name them differently")
        self._memories = [()] * len(self.targets)
        self._replay = iter(self.history)

    def __call__(self, u: np.ndarray) -> Evaluation:
        """Residuals at u (k,); what was computed once is remembered."""
        key = np.asarray(u, dtype=float).tobytes()
        if key not in self._known:
            self._known = {key: self._next(np.array(u, dtype=float))}
        return self._known[key]

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
                self._memories[k] = old.memories[k]
        return old

    def _evaluated(self, u: np.ndarray) -> Evaluation:
        rows, failures = [], {}
        for k, target in enumerate(self.targets):
            try:
                found = target.evaluate(self.potential, self.space, u, self._memories[k])
            except MdsensError as error:
                if k not in self._sound:
                    raise type(error)(f"fit: {target.name}, at the start: {error}") from error
                failures[target.name] = str(error)
                rows.append(self._penalty(self._sound[k], u))
            else:
                rows.append(weighted(target, found))
                self._sound[k], self._memories[k] = _Sound(u, rows[-1][0]), found.memory
        rows.append(self._priors(u))
        r, jacobian = (np.concatenate(column) for column in zip(*rows, strict=True))
        return Evaluation(u, r, jacobian, failures, tuple(self._memories))

    def _penalty(self, sound: _Sound, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        step = u - sound.u
        length = float(np.linalg.norm(step))
        # A target that was met exactly still has to be left alone.
        size = np.maximum(np.abs(sound.residuals), 1.0)
        slope = step / length if length > 0.0 else step
        return size * (_WORSE + _PER_STEP * length), _PER_STEP * np.outer(size, slope)

    def _priors(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        space = self.space
        mean, deviation = space.priors.T
        there = np.isfinite(deviation)
        r = ((np.asarray(space.theta(u)) - mean) / deviation)[there]
        return r, (np.diag(space.slope(u)) / deviation[:, None])[there]


def weighted(target: Target, found: Outcome) -> tuple[np.ndarray, np.ndarray]:
    """Residuals (m,) and their derivatives (m, k)."""
    r = (found.values - target.wanted) / target.sigma
    return r, found.jacobian / target.sigma[:, None]


def check_identifiable(problem: Problem, at: Evaluation) -> None:
    """Raise InputError for targets that no free parameter moves, and parameters that move nothing."""
    for target, rows in zip(problem.targets, rows_of(problem.targets), strict=True):
        if target.name not in at.failures and not np.any(at.jacobian[rows]):
            raise InputError(
                f"fit: {target.name} does not depend on any free parameter; leave it out, or free "
                "one that it depends on"
            )
    size = np.linalg.norm(at.jacobian, axis=0)
    lost = [label for label, s in zip(problem.space.labels, size, strict=True) if s == 0.0]
    if lost:
        raise InputError(
            f"fit: no target depends on {', '.join(lost)}; fix "
            f"{'it' if len(lost) == 1 else 'them'}, give a prior, or add a target"
        )
