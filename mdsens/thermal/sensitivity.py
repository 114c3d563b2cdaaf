"""`thermal_sensitivity`: ensemble averages and their derivatives, each with its error."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.tree_util import Partial

from mdsens.derivatives.named import select
from mdsens.equilibrium import Progress
from mdsens.errors import InputError, NotConverged
from mdsens.potentials import Potential
from mdsens.thermal.average import require_canonical
from mdsens.thermal.checks import Checked, checked
from mdsens.thermal.controls import controls
from mdsens.thermal.equipartition import require_equipartition
from mdsens.thermal.estimates import Averages, Estimate, averages, estimate, means
from mdsens.thermal.jets import Jets, jets
from mdsens.thermal.observables import OBSERVABLES, OBSERVABLES_OF, Fluctuation
from mdsens.thermal.statistics import LEAST_SAMPLES
from mdsens.thermal.trajectory import Trajectory


@dataclass(frozen=True, eq=False)
class ThermalSensitivity:
    """Averages and derivatives of a trajectory.

    Attributes:
        observables: Estimates by name, in the shape of the observable.
        sensitivity: sensitivity[observable][parameter], Estimates of observable shape + parameter
            shape.
        checked: why the samples can be trusted.
    """

    observables: Mapping[str, Estimate]
    sensitivity: Mapping[str, Mapping[str, Estimate]]
    checked: Checked


def thermal_sensitivity(
    potential: Potential,
    trajectory: Trajectory,
    *,
    observables: Sequence[str | Callable[..., Any] | Fluctuation] = ("energy",),
    wrt: Sequence[str] = (),
    control: bool = True,
    progress: Progress | None = None,
) -> ThermalSensitivity:
    """Averages of observables and d<A>/dtheta at the parameters of a trajectory, with errors.

        d<A>/dtheta = <dA/dtheta> - beta cov(A, dU/dtheta)

    Errors are standard deviations, from the autocorrelation of the estimates' influence functions
    (`mdsens.thermal.estimates`); for the derivative it is the error of the covariance as well.

    Args:
        observables: names ("energy", "pressure", "stress", "volume", "density", "heat_capacity",
            "compressibility", "elastic_tensor", "mean_square_displacement", "pair_correlation",
            "structure_factor"), functions f(potential, params, state), or Fluctuations.
        wrt: parameter names, as for `sensitivity`.
        control: take off what control variates explain (`mdsens.thermal.controls`).
        progress: called as progress(stage, done, total, text).

    Raises:
        NotConverged: samples that cannot be believed (see `checked`), fewer than 20 independent ones, or
            an observable that is no number at one of them.
        InputError: unknown names, or derivatives at constant energy.
    """
    functions = _functions(observables, trajectory)
    if wrt:
        require_canonical(trajectory)
    health = checked(trajectory)
    require_equipartition(potential, trajectory)
    theta = select(trajectory.params, list(wrt))
    rows = _Rows(functions, potential, trajectory, control)
    taken = jets(rows.functions, potential, wrt, trajectory, progress)
    _require_numbers(rows, taken)
    beta = 1.0 / trajectory.kt
    zero = taken.values[..., rows.observed :]
    centre = means(taken.values, zero)
    # That of the controls is known.
    centre[rows.observed :] = 0.0
    centres = centre, means(taken.energy_slopes, zero)
    whole = averages(taken.values, taken.slopes, taken.energy_slopes, beta, centres)
    zero_slopes = (whole.psi + whole.slope)[..., rows.observed :, :]
    values: dict[str, Estimate] = {}
    slopes: dict[str, dict[str, Estimate]] = {}
    for name in functions:
        own, shape = rows.own(name, whole)
        values[name] = _shaped(estimate(own.value, own.phi, zero), shape)
        slopes[name] = _slopes(own, shape, zero, zero_slopes, theta)
    _require_samples(values, slopes)
    return ThermalSensitivity(values, slopes if wrt else {}, health)


class _Rows:
    """Everything that is averaged, one below the other: of each observable, then the controls."""

    def __init__(
        self,
        functions: Mapping[str, Any],
        potential: Potential,
        trajectory: Trajectory,
        control: bool,
    ):
        self._functions, self._trajectory = functions, trajectory
        own = {name: _moments(f) for name, f in functions.items()}
        canonical = control and trajectory.ensemble.is_canonical
        self.functions = [*own.values(), *(controls(potential, trajectory) if canonical else [])]
        around = trajectory.surroundings
        sample = around.sample(potential, *(jnp.asarray(a[0]) for a in trajectory.kept))
        self._shapes = {
            name: jax.eval_shape(partial(f, potential), around.params, sample)
            for name, f in own.items()
        }
        sizes = [sum(a.size for a in jax.tree.leaves(tree)) for tree in self._shapes.values()]
        self._ends = dict(zip(functions, np.cumsum(sizes), strict=True))
        self.observed = int(sum(sizes))

    def name(self, row: int) -> str:
        """Whose row it is."""
        return next((n for n, end in self._ends.items() if row < end), "a control variate")

    def own(self, name: str, whole: Averages) -> tuple[Averages, tuple[int, ...]]:
        """An observable's averages, through its function of averages if it is one, and its shape."""
        function, tree = self._functions[name], self._shapes[name]
        rows = slice(
            self._ends[name] - sum(a.size for a in jax.tree.leaves(tree)), self._ends[name]
        )
        part = Averages(
            whole.value[rows], whole.slope[rows], whole.phi[..., rows], whole.psi[..., rows, :]
        )
        if not isinstance(function, Fluctuation):
            return part, tree.shape
        zeros = jax.tree.map(lambda a: jnp.zeros(a.shape), tree)
        back = ravel_pytree(zeros)[1]

        def combined(means: jax.Array) -> jax.Array:
            return jnp.asarray(function.combine(back(means), self._trajectory))

        shape = jax.eval_shape(combined, part.value).shape
        line = lambda means: combined(means).reshape(-1)  # noqa: E731
        known = [
            np.asarray(f(jnp.asarray(part.value)))
            for f in (line, jax.jacrev(line), jax.jacfwd(jax.jacrev(line)))
        ]
        return part.through(*known), shape


def _functions(
    observables: Sequence[str | Callable[..., Any] | Fluctuation], trajectory: Trajectory
) -> dict[str, Any]:
    if isinstance(observables, str):
        raise InputError(f'observables: "{observables}" is one name; give a list of them')
    found: dict[str, Any] = {}
    for item in observables:
        function = _by_name(item, trajectory) if isinstance(item, str) else item
        if isinstance(function, Fluctuation):
            function.check(trajectory)
        name = item if isinstance(item, str) else _name(function)
        if name in found:
            raise InputError(f'observables: "{name}" is there twice; give functions other names')
        found[name] = function
    return found


def _by_name(name: str, trajectory: Trajectory) -> Any:
    if name in OBSERVABLES_OF:
        return OBSERVABLES_OF[name](trajectory.system)
    if name not in OBSERVABLES:
        allowed = ", ".join((*OBSERVABLES, *OBSERVABLES_OF))
        raise InputError(f'observables: "{name}" is unknown; allowed: {allowed}')
    return OBSERVABLES[name]


def _name(function: Any) -> str:
    return function.func.__name__ if isinstance(function, Partial) else function.__name__


def _moments(function: Any) -> Partial:
    plain = function.moments if isinstance(function, Fluctuation) else function
    return plain if isinstance(plain, Partial) else Partial(plain)


def _slopes(
    own: Averages, shape: tuple[int, ...], zero: np.ndarray, zero_slopes: np.ndarray, theta: Any
) -> dict[str, Estimate]:
    """By parameter; each component has the controls and their own derivatives by it as controls."""
    parts = [
        estimate(own.slope[:, p], own.psi[..., p], _alternating(zero, zero_slopes[..., p]))
        for p in range(own.slope.shape[1])
    ]
    out, first = {}, 0
    for name, value in theta.items():
        mine = parts[first : first + value.size]
        first += value.size
        joined = [np.stack([getattr(e, f) for e in mine], axis=1) for f in _FIELDS]
        out[name] = _shaped(Estimate(*joined), (*shape, *value.shape))
    return out


def _alternating(zero: np.ndarray, zero_slopes: np.ndarray) -> np.ndarray:
    """Each control beside its derivative: where there are samples for a few, both count."""
    return np.stack([zero, zero_slopes], axis=3).reshape(*zero.shape[:2], -1)


_FIELDS = ("value", "error", "effective", "gain")


def _shaped(e: Estimate, shape: tuple[int, ...]) -> Estimate:
    return Estimate(*(np.asarray(getattr(e, name)).reshape(shape) for name in _FIELDS))


def _require_numbers(rows: _Rows, taken: Jets) -> None:
    """A single sample that is no number would spoil all."""
    for what, array in (("", taken.values), ("a derivative of ", taken.slopes)):
        bad = np.argwhere(~np.isfinite(array))
        if len(bad):
            walker, sample, row = bad[0][:3].tolist()
            raise NotConverged(
                f"ensemble: {what}{rows.name(row)} is no number in {len(np.unique(bad[:, :2], axis=0))} "
                f"samples, the first of them sample {sample} of walker {walker} in equilibrium; see where "
                "the observable is defined"
            )
    if not np.all(np.isfinite(taken.energy_slopes)):
        raise NotConverged(
            "ensemble: dU/d(parameter) is no number at some samples; leave it out of wrt"
        )


def _require_samples(
    values: Mapping[str, Estimate], slopes: Mapping[str, Mapping[str, Estimate]]
) -> None:
    every = {name: e for name, e in values.items()}
    every.update({f"d {o} / d {p}": e for o, by in slopes.items() for p, e in by.items()})
    for name, e in every.items():
        if float(np.min(e.effective, initial=np.inf)) < LEAST_SAMPLES:
            raise NotConverged(
                f"ensemble: {name}: worth {float(np.min(e.effective)):.1f} independent samples (limit "
                f"{LEAST_SAMPLES:g}); raise steps or walkers"
            )
