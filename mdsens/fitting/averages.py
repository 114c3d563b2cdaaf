"""Averages at a temperature as targets: energies, pressures, densities, correlations of a liquid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.catalogue import CURVES
from mdsens.errors import InputError
from mdsens.fitting.readings import Reading, read_all, reading
from mdsens.fitting.space import Space
from mdsens.fitting.targets import Outcome, of_potential
from mdsens.fitting.wanted import Properties, Wanted
from mdsens.observables.correlation import isotropic_structure_factor, pair_correlation
from mdsens.parameters import restricted
from mdsens.potentials import Potential
from mdsens.system import System
from mdsens.thermal import (
    Ensemble,
    Trajectory,
    average,
    effective_share,
    simulate,
    thermal_sensitivity,
)
from mdsens.thermal import observables as thermal

# The share of its samples that must count for a trajectory to be used again.
_SHARE = 0.5
# Trajectories that are kept.
_KEPT = 2

Observable = Callable[[Potential, Any, Any], Any]

MEANS = ("energy_per_atom", "cohesive_energy", "pressure", "volume_per_atom", "a", "b", "c")


@dataclass(frozen=True, eq=False)
class Averaged(Properties):
    """Averages <A>(theta) of one system in an ensemble, and their implicit derivatives

        d<A>/dtheta = <dA/dtheta> - beta cov(A, dU/dtheta)

    A trajectory is reweighted as long as half of its samples count, and then simulated again from the
    start, with the same random numbers: where it was simulated decides all of it, so that a fit goes
    on after an interruption as if there had been none.

    Attributes:
        name: of the target.
        system: where simulations start; as large as the ensemble asks for, best relaxed.
        ensemble: NVT or NPT of `mdsens.thermal`, long enough: a statistical error above the sigma of
            what is wanted is refused.
        observable: f(potential, params, state) -> (m,), or () where one number is wanted, with the
            parameters of the potential.
        readings: what is wanted, in the order of the observable.
    """

    name: str
    system: System
    ensemble: Ensemble
    observable: Observable
    readings: Sequence[Wanted]
    _known: dict[bytes, Trajectory] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.ensemble.is_canonical:
            raise InputError(
                f"{self.name}: averages at constant energy cannot be fitted; use NVT or NPT"
            )

    def evaluate(
        self, potential: Potential, space: Space, u: np.ndarray, memory: tuple[np.ndarray, ...] = ()
    ) -> Outcome:
        def params(u: Any) -> Any:
            return restricted(of_potential(space.params(u)), self.system.type_names)

        (where,) = memory or (np.asarray(u, float),)
        trajectory = self._trajectory(potential, params(where), where)
        if not float(effective_share(potential, params(u), trajectory)) >= _SHARE:
            where = np.asarray(u, float)
            trajectory = self._trajectory(potential, params(where), where)

        def values(u: jax.Array) -> tuple[jax.Array, jax.Array]:
            found = average(self._flat, potential, params(u), trajectory, least=_SHARE)
            return found, jax.lax.stop_gradient(found)

        jacobian, found = jax.jacfwd(values, has_aux=True)(jnp.asarray(u))
        return self.outcome(found, jacobian, (where,))

    def _flat(self, potential: Potential, params: Any, state: Any) -> jax.Array:
        found = jnp.ravel(jnp.asarray(self.observable(potential, params, state)))
        if len(found) != len(self.readings):
            raise InputError(
                f"{self.name}: the observable has {len(found)} numbers, and {len(self.readings)} are "
                "wanted; give one for each"
            )
        return found

    def _trajectory(self, potential: Potential, params: Any, where: np.ndarray) -> Trajectory:
        """That at these parameters; the last two are kept, as a step of a fit may be refused."""
        key = where.tobytes()
        found = self._known.pop(key, None)
        if found is None:
            found = simulate(potential, params, self.system, self.ensemble)
            self._check_errors(potential, found)
        self._known[key] = found
        if len(self._known) > _KEPT:
            self._known.pop(next(iter(self._known)))
        return found

    def _check_errors(self, potential: Potential, trajectory: Trajectory) -> None:
        told = thermal_sensitivity(potential, trajectory, observables=[self._flat], control=False)
        (estimate,) = told.observables.values()
        for r, error in zip(self.readings, np.ravel(estimate.error), strict=True):
            if error / r.scale > r.sigma:
                raise InputError(
                    f"{self.name}: {r.full_label}: the statistical error {error / r.scale:.2g} is above its "
                    f"sigma {r.sigma:.2g}; give the ensemble more steps or walkers"
                )


def averages(
    name: str, system: System, ensemble: Ensemble, readings: Sequence[tuple[Reading, Wanted]]
) -> Averaged:
    """Averages by name.

    Args:
        readings: what to average, from `mean_reading`, and what it should be.
    """

    def observable(potential: Potential, params: Any, state: Any) -> jax.Array:
        return read_all([r for r, _ in readings], potential, params, state)

    return Averaged(name, system, ensemble, observable, [wanted for _, wanted in readings])


def mean_reading(name: str, system: System) -> Reading:
    """The reading of a name, one of MEANS; pressures with their kinetic part, energies without.

    Raises:
        InputError: another name.
    """
    if name not in MEANS:
        raise InputError(f'"{name}" is no average at a temperature; allowed: {", ".join(MEANS)}')
    if name == "pressure":
        return Reading(name, "modulus", thermal.pressure)
    return reading(name, system)


def mean_curve(
    name: str,
    system: System,
    at: np.ndarray,
    *,
    width: float | None = None,
    pair: tuple[str, str] | None = None,
) -> list[Reading]:
    """The readings of a function of distance or of wavenumber, one of `mdsens.catalogue.CURVES`, at n points.

    Args:
        at: (n,) r of g(r) or k of S(k), ascending, in the system's unit of length or its inverse.
        width: of the bins, smooth ones. None: for g(r) as wide in the mean square as boxes of the mean
            step between the points, 1/sqrt(12) of it, so that histograms compare; for S(k) that of
            `isotropic_structure_factor`.
        pair: of species, for g(r). None: all particles.

    Raises:
        InputError: another name, a pair where none belongs, one point without a width, and as
            `pair_correlation` and `isotropic_structure_factor` of `mdsens.observables.correlation`.
    """
    if name not in CURVES:
        raise InputError(f'"{name}" is no curve of a liquid; allowed: {", ".join(CURVES)}')
    label = CURVES[name].function
    if name == "pair_correlation":
        if width is None and len(at) < 2:
            raise InputError(
                f"{name}: one point says nothing of the width of its bin; give a width"
            )
        wide = float(np.mean(np.diff(at))) / np.sqrt(12.0) if width is None else width
        measure = pair_correlation(system, at, wide, pair)
        label += "" if pair is None else f" of {'-'.join(pair)}"
    else:
        if pair is not None:
            raise InputError(f"{name}: is of all particles; leave the pair out")
        measure = isotropic_structure_factor(system, at, width)
    return [Reading(label, "number", measure, (k,)) for k in range(len(at))]
