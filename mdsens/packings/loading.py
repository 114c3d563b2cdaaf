"""`load`: quasi-static deformation, one relaxed state per step, its stress and their derivatives.

The strain is imposed on the cell, positions follow affinely, and the energy is minimised at the new
cell. A state is a function of strain and parameters as long as its branch lasts, so that the
derivative of the curve by the parameters is that of each state at its fixed cell; it holds until
the next event.

Events are found from each state's own Taylor series along the strain (see `mdsens.predict`):

    contacts        a contact opens or closes; the curve has a kink, its derivative a jump
    soft mode       an eigenvalue of the Hessian reaches zero; the branch ends
    rearrangement   the relaxed state is not the continuation of the one before: the branch has ended

Maloney, Lemaitre 2006, doi:10.1103/PhysRevE.74.016118.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from mdsens.derivatives import predict, sensitivity
from mdsens.derivatives.prediction import Prediction
from mdsens.equilibrium import Progress, search
from mdsens.errors import DerivativeUndefined, InputError, NotConverged
from mdsens.packings.start import strained
from mdsens.potentials import Potential
from mdsens.result import Certificate, Result
from mdsens.system import System

# A state further from its predicted place than this share of the non-affine step is looked into;
# one that comes back to within this fraction of a particle spacing has not left its branch.
_SURPRISE = 0.25
_RETURNED = 1e-6


def shear(dimension: int, kind: str = "simple") -> np.ndarray:
    """Unit strain e for `load`, with x -> x (1 + gamma e).

    "simple": the x coordinate moves with y, [[0, 0], [1, 0]]. "pure": x grows, y shrinks,
    diag(1, -1)/2, volume kept to first order. "compression": -1/d.

    Returns:
        (d, d).

    Raises:
        InputError: no such kind.
    """
    e = np.zeros((dimension, dimension))
    if kind == "simple":
        e[1, 0] = 1.0
    elif kind == "pure":
        e[0, 0], e[1, 1] = 0.5, -0.5
    elif kind == "compression":
        e = -np.eye(dimension) / dimension
    else:
        raise InputError(f'shear: kind "{kind}" is unknown; allowed: simple, pure, compression')
    return e


@dataclass(frozen=True, eq=False)
class Event:
    """What happened on the way from one state to the next.

    Attributes:
        strain: where, from the Taylor series of the state before; for a rearrangement the strain
            of the state after it.
        kind: "contacts", "soft mode" or "rearrangement".
        sentence: in words.
    """

    strain: float
    kind: str
    sentence: str


@dataclass(frozen=True, eq=False)
class Loading:
    """A quasi-static loading curve.

    Attributes:
        strain: (K,) strains, the first is 0.
        results: K Results, each with observables, sensitivity and certificate at its strain.
        events: in order.
    """

    strain: np.ndarray
    results: list[Result]
    events: list[Event]

    def curve(self, observable: str) -> np.ndarray:
        """(K, *shape) of an observable."""
        return np.array([r.observables[observable] for r in self.results])

    def derivative(self, observable: str, parameter: str) -> np.ndarray:
        """(K, *shape) of d(observable)/d(parameter) at fixed strain, between events."""
        return np.array([np.asarray(r.sensitivity[observable][parameter]) for r in self.results])

    @property
    def softest(self) -> np.ndarray:
        """(K,) smallest Hessian eigenvalue of each state."""
        return np.array([cast(Certificate, r.certificate).lambda_min for r in self.results])


def load(
    potential: Potential,
    params: Any,
    system: System,
    strain: Any,
    steps: Sequence[float],
    *,
    observables: Sequence[str | Callable[..., Any]] = ("stress",),
    wrt: Sequence[str] = (),
    progress: Progress | None = None,
    **options: Any,
) -> Loading:
    """Relax along a strain path and differentiate at every step.

    Args:
        potential, params, system: as for `relax`; periodic in every direction.
        strain: e, (d, d), see `shear`.
        steps: increasing strains gamma, the cell being h (1 + gamma e); a state is also made at 0.
        observables, wrt: as for `sensitivity`, taken at every step.
        progress: called as progress(stage, done, total, text).
        **options: minimizer, fmax, max_steps, polish as for `relax`.

    Returns:
        Loading.

    Raises:
        InputError: a strain that does not fit or steps that do not increase from 0.
        NotConverged, DerivativeUndefined: at a step, with the Loading so far as `result`.
    """
    e, gammas = _checked(system, strain, steps)
    report = progress or (lambda *_: None)
    walk = _Walk(potential, params, e, options)
    results: list[Result] = []
    events: list[Event] = []
    here = system
    try:
        for k, gamma in enumerate(gammas):
            start = here if k == 0 else walk.carried(here, gammas[k - 1], gamma)
            result = sensitivity(
                potential, params, start, observables=observables, wrt=wrt, **options
            )
            there = replace(start, positions=result.positions)
            if k > 0:
                events += walk.events(here, there, gammas[k - 1], gamma)
            results.append(result)
            here = there
            report("load", k + 1, len(gammas), f"strain {gamma:.4g}")
    except (NotConverged, DerivativeUndefined) as error:
        error.result = Loading(gammas[: len(results)], results, events)
        raise
    return Loading(gammas, results, events)


@dataclass(frozen=True, eq=False)
class _Walk:
    """One strain path: carrying states along it, and telling how two of them are connected."""

    potential: Potential
    params: Any
    rate: np.ndarray
    options: dict[str, Any]

    def carried(self, system: System, a: float, b: float) -> System:
        """A state at strain a deformed affinely to strain b: h (1 + a e) -> h (1 + b e)."""
        one = np.eye(len(self.rate))
        return strained(system, np.linalg.solve(one + a * self.rate, one + b * self.rate) - one)

    def events(self, before: System, after: System, a: float, b: float) -> list[Event]:
        """What happened between two states."""
        one = np.eye(len(self.rate))
        series = predict(
            self.potential, self.params, before,
            strain=np.linalg.solve(one + a * self.rate, self.rate), horizon=b - a, **self.options,
        )  # fmt: skip
        found = []
        if series.event != "none":
            found.append(Event(a + series.radius, series.event, series.limit))
        if self._left_its_branch(series, before, after, a, b):
            found.append(Event(b, "rearrangement", f"the state at strain {b:.6g} does not go back"))
        return found

    def _left_its_branch(
        self, series: Prediction, before: System, after: System, a: float, b: float
    ) -> bool:
        """Whether straining back does not lead back; tried only where the series was surprised."""
        expected = series.positions(b - a)
        affine = self.carried(before, a, b).positions
        surprise = series.distance(after.positions, expected)
        if surprise <= _SURPRISE * series.distance(expected, affine):
            return False
        back = search(self.potential, self.params, self.carried(after, b, a), **self.options)
        moved = series.distance(np.asarray(back.setting.positions), before.positions)
        return bool(back.why) or moved > _RETURNED * series.line.length


def _checked(system: System, strain: Any, steps: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    e, given = np.asarray(strain, dtype=float), np.asarray(steps, dtype=float)
    d = system.dimension
    if not all(system.pbc):
        raise InputError(f"{system.source}: load: needs a cell that is periodic in every direction")
    if e.shape != (d, d) or not np.all(np.isfinite(e)) or not e.any():
        raise InputError(f"load: strain must be a {(d, d)} array that is not zero; see `shear`")
    gammas = given if given.size and given[0] == 0.0 else np.concatenate([[0.0], given])
    if given.ndim != 1 or not np.all(np.diff(gammas) > 0.0):
        raise InputError("load: steps must be positive strains that increase")
    return e, gammas
