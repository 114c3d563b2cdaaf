"""`fit`: the parameters of a potential that meet targets best, and how well they are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from mdsens.errors import InputError, MdsensError
from mdsens.fitting.identifiable import check_identifiable
from mdsens.fitting.losses import LOSSES
from mdsens.fitting.optimizers import OPTIMIZERS, Descent, Stop
from mdsens.fitting.posterior import Posterior, posterior
from mdsens.fitting.problem import MANY, Evaluation, Problem, residuals
from mdsens.fitting.space import Free, Space, Tied, space
from mdsens.fitting.targets import Target, rows_of
from mdsens.linear import require_float64
from mdsens.potentials import Potential

Progress = Callable[[str, float, float | None, str], None]

# Points around the start that are asked for what the start does not tell, within so many `spread`.
_AROUND, _RINGS = 16, (1.0, 2.0)
# Descents come this near to a bound that holds them, in u.
_ON_BOUND = 1e-4


@dataclass(frozen=True)
class Step:
    """One accepted step.

    Attributes:
        chi2: of the targets.
        loss: what goes down; half of chi2 unless outliers are forgiven.
        validation: chi^2 of held-out targets, NaN without any.
        failures: targets that could not be evaluated, and why.
    """

    chi2: float
    loss: float
    validation: float
    failures: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Run:
    """One descent.

    Attributes:
        start: (k,) u at the start.
        steps: all accepted ones, the start first.
        best: the last step, or that with the lowest validation where there is one.
        why: a sentence where it did not converge, else "".
    """

    start: np.ndarray
    steps: tuple[Step, ...]
    best: Evaluation
    why: str


@dataclass(frozen=True, eq=False)
class Fit:
    """The best parameters, and what is known of them.

    Attributes:
        potential, space, targets: what was fitted.
        params: all parameters at the best fit.
        first, best: residuals at the start (the first that could be evaluated) and at the best fit.
        posterior: what is known of the free parameters; None where they are more than 300.
        runs: one per start, None where a start could not be evaluated.
        chosen: which of them is the best.
    """

    potential: Potential
    space: Space
    targets: tuple[Target, ...]
    params: Any
    first: Evaluation
    best: Evaluation
    posterior: Posterior | None
    runs: tuple[Run | None, ...]
    chosen: int

    @property
    def why(self) -> str:
        """Why the best run did not converge, or ""."""
        run = self.runs[self.chosen]
        assert run is not None
        return run.why

    @property
    def on_bounds(self) -> tuple[str, ...]:
        """Free parameters that would go on if their bounds let them."""
        lower, upper = self.space.bounds()
        u, down = self.best.u, self.best.gradient > 0.0
        held = np.where(down, u - lower, upper - u) < _ON_BOUND
        return tuple(np.array(self.space.labels)[held & (self.best.gradient != 0.0)])

    def values(self, at: Evaluation) -> dict[str, np.ndarray]:
        """What each target said at an evaluation of this fit, (m,) by name."""
        return {
            t.name: t.wanted + t.sigma * at.residuals[rows]
            for t, rows in zip(self.targets, rows_of(self.targets), strict=True)
        }

    def predict(self, target: Target) -> tuple[np.ndarray, np.ndarray]:
        """Values (m,) of any target at the best fit, and their standard deviations, NaN where no
        posterior is known: the spread of several runs tells more then."""
        if self.posterior is None:
            values = target.values(self.potential, self.space, self.best.u)
            return values, np.full(len(values), np.nan)
        found = target.evaluate(self.potential, self.space, self.best.u, ())
        return found.values, self.posterior.deviations(found.jacobian)


def fit(
    potential: Potential,
    params: Any,
    targets: Sequence[Target],
    free: Mapping[str, Free | Tied],
    *,
    optimizer: str = "levenberg_marquardt",
    loss: str = "linear",
    max_iterations: int = 100,
    tolerance: float = 1e-10,
    learning_rate: float = 1e-2,
    starts: int = 1,
    spread: float = 0.2,
    seed: int = 0,
    validation: Sequence[Target] = (),
    patience: int = 10,
    history: Mapping[int, Sequence[Evaluation]] | None = None,
    record: Callable[[int, Evaluation], None] | None = None,
    progress: Progress | None = None,
) -> Fit:
    """Minimise chi^2 = sum_i ((value_i(theta) - wanted_i) / sigma_i)^2 over the free parameters.

    Derivatives of relaxed properties are implicit. All starts go down; the best counts. Of more than
    300 free parameters, as those of a network, the gradient of chi^2 alone is taken, in reverse mode.

    Args:
        params: where to start, from `potential.parameters(...)`, perhaps with an `energy_shift`.
        targets: from `mdsens.fitting`: Labelled, crystal, defect, surface, barrier, Measured.
        free: what may change, by name: Free(...), or Tied(...) to another.
        optimizer: "levenberg_marquardt", "lbfgs" or "adam".
        loss: "linear" (chi^2), "soft_l1", "huber", "cauchy".
        max_iterations, tolerance, learning_rate: see `mdsens.fitting.Descent`.
        starts: the one given, and more within `spread` of it in u (relative), drawn by `seed`.
        validation: targets held out; the best step is the one that meets it best, and a descent ends after
            `patience` steps without a better one.
        history, record: evaluations of an interrupted run by the number of the start, and what is
            called with new ones; with the same history a fit goes the same way, bit by bit.
        progress: called as progress(stage, done, total, text).

    Raises:
        InputError: a parameter that no target depends on (also a combination of them), a target that
            depends on none, at the start and at points within twice `spread` of it; more than 300
            parameters for levenberg_marquardt; and other faults of the input; all named.
        NotConverged, DerivativeUndefined: a target that cannot be evaluated at any start.
        Float32Error: 64-bit floats are off.
    """
    require_float64(params)
    _check(optimizer, loss, starts)
    where = space(params, free)
    if optimizer == "levenberg_marquardt" and where.size > MANY:
        raise InputError(
            f"fit: {where.size} free parameters are too many for levenberg_marquardt, which takes up "
            f'to {MANY}; use optimizer = "lbfgs" or "adam"'
        )
    how = Descent(max_iterations, tolerance, learning_rate)
    tell = progress or (lambda *_: None)
    runs: list[Run | None] = []
    first: Evaluation | None = None
    refusals: list[MdsensError] = []
    for number, u in enumerate([np.zeros(where.size), *_drawn(where, starts - 1, spread, seed)]):
        problem = Problem(
            potential, where, tuple(targets), loss, (history or {}).get(number, ()),
            lambda e, number=number: record(number, e) if record else None,
        )  # fmt: skip
        try:
            at = problem(u)
        except MdsensError as error:
            refusals.append(error)
            runs.append(None)
            continue
        if first is None:
            first = at
            rings = [_drawn(where, _AROUND, far * spread, seed) for far in _RINGS]
            check_identifiable(problem, at, np.concatenate(rings))
        seen = partial(_tell_step, tell, number)
        watch = _Watch(problem, how, validation, patience, seen)
        runs.append(watch.descended(optimizer, u))
    if first is None:
        raise refusals[0]
    chosen, run = min(
        ((k, r) for k, r in enumerate(runs) if r is not None), key=lambda x: _score(x[1])
    )
    best = run.best
    return Fit(
        potential, where, tuple(targets), where.params(best.u), first, best,
        posterior(where, best, loss), tuple(runs), chosen,
    )  # fmt: skip


def _tell_step(tell: Progress, start: int, step: int, chi2: float) -> None:
    tell("fit", step, None, f"start {start}, step {step}: chi^2 {chi2:.6g}")


class _Watch:
    """Follows one descent: its steps, the best of them, and when to give up."""

    def __init__(
        self,
        problem: Problem,
        how: Descent,
        held: Sequence[Target],
        patience: int,
        tell: Callable[[int, float], None],
    ):
        self._problem, self._how, self._tell = problem, how, tell
        self._held, self._patience = held, patience
        self._steps: list[Step] = []
        self._best: Evaluation | None = None
        self._last: bytes = b""

    def descended(self, optimizer: str, u: np.ndarray) -> Run:
        try:
            why = OPTIMIZERS[optimizer](self._problem, u, self._how, self.see)
        except Stop as stop:
            why = str(stop)
        assert self._best is not None
        return Run(u, tuple(self._steps), self._best, why)

    def see(self, at: Evaluation) -> None:
        if at.u.tobytes() == self._last:
            return
        self._last = at.u.tobytes()
        self._steps.append(Step(at.chi2, at.loss, self._validation(at), at.failures))
        self._tell(len(self._steps), at.chi2)
        scores = [s.validation if self._held else s.loss for s in self._steps]
        if scores[-1] == min(scores):
            self._best = at
        if self._held and len(scores) - 1 - int(np.argmin(scores)) >= self._patience:
            raise Stop("")

    def _validation(self, at: Evaluation) -> float:
        if not self._held:
            return np.nan
        chi2 = 0.0
        for target in self._held:
            try:
                values = target.values(self._problem.potential, self._problem.space, at.u)
            except MdsensError:
                return np.inf
            chi2 += float(np.sum(residuals(target, values) ** 2))
        return chi2


def _score(run: Run) -> float:
    return min(s.validation if np.isfinite(s.validation) else s.loss for s in run.steps)


def _drawn(where: Space, count: int, spread: float, seed: int) -> np.ndarray:
    """(count, k) points u within `spread` of the start and within the bounds, a Latin hypercube: each
    parameter takes values from all of its range, however few the points are."""
    rng = np.random.default_rng(seed)
    rows = rng.permuted(np.tile(np.arange(count)[:, None], where.size), axis=0)
    step = spread * (2.0 * (rows + rng.random(rows.shape)) / count - 1.0)
    return where.inside(step)


def _check(optimizer: str, loss: str, starts: int) -> None:
    if optimizer not in OPTIMIZERS:
        raise InputError(
            f'fit: optimizer "{optimizer}" is unknown; allowed: {", ".join(OPTIMIZERS)}'
        )
    if loss not in LOSSES:
        raise InputError(f'fit: loss "{loss}" is unknown; allowed: {", ".join(LOSSES)}')
    if starts < 1:
        raise InputError(f"fit: starts = {starts}; at least one is needed")
