"""What is measured along a trajectory: functions of one sample, and of averages.

A plain function f(potential, params, state) of a Sample is averaged. A `Fluctuation` is a function
of averages: heat capacity, compressibility, elastic constants. Momenta are integrated out: their
share is exact and has no noise. Coordinates of N particles are averaged over, not of N - 1 and a
centre of mass at rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from mdsens.errors import InputError
from mdsens.observables import energy, voigt
from mdsens.observables import stress as virial_stress
from mdsens.observables import volume as cell_volume
from mdsens.observables.correlation import isotropic_structure_factor, pair_correlation
from mdsens.potentials import Potential
from mdsens.system import System, heights
from mdsens.thermal.trajectory import Sample, Trajectory

# Of g(r) and S(k) by name: points; of g(r) widths that the bins' tails need.
_POINTS, _TAIL = 100, 8


@dataclass(frozen=True)
class Fluctuation:
    """A function of averages.

    Attributes:
        name: what it is called.
        moments: (potential, params, sample) -> pytree, to be averaged.
        combine: (averages, trajectory) -> array; differentiable.
        ensembles: those in which it holds.
    """

    name: str
    moments: Callable[[Potential, Any, Sample], Any]
    combine: Callable[[Any, Trajectory], jax.Array]
    ensembles: tuple[str, ...] = ("NVT", "NPT")

    @property
    def __name__(self) -> str:
        return self.name

    def check(self, trajectory: Trajectory) -> None:
        """Raise InputError in an ensemble in which it does not hold."""
        kind = type(trajectory.ensemble).__name__
        if kind not in self.ensembles:
            raise InputError(
                f"{self.name}: holds in {', '.join(self.ensembles)}, not in {kind}; leave it out"
            )


def pressure(potential: Potential, params: Any, state: Sample) -> jax.Array:
    """N k_B T / V - (dU/dV), (), whose average is the pressure; positive in compression.

    At constant energy with the kinetic temperature of the sample.
    """
    sigma = stress(potential, params, state)
    return -jnp.trace(sigma) / sigma.shape[0]


def stress(potential: Potential, params: Any, state: Sample) -> jax.Array:
    """(1/V) dU/d(strain) - N k_B T / V, (d, d), positive in tension; N moving particles."""
    sigma = virial_stress(potential, params, state)
    return sigma - _ideal(potential, params, state) * jnp.eye(sigma.shape[0])


def volume(potential: Potential, params: Any, state: Sample) -> jax.Array:
    """(), area in 2D."""
    return cell_volume(potential, params, state)


def density(potential: Potential, params: Any, state: Sample) -> jax.Array:
    """N / V, ()."""
    return state.positions.shape[0] / volume(potential, params, state)


def mean_square_displacement(system: System) -> Partial:
    """An observable: the squared distance of each particle from its place in `system`, (N,).

    Taken in the frame of the cell, without the displacement all have in common. For crystals.
    """
    home = jnp.asarray(system.positions) @ jnp.linalg.inv(jnp.asarray(system.cell))

    # The places are an argument, so that one program serves every system of the same size.
    return Partial(squared_displacement, home)


def squared_displacement(
    home: jax.Array, potential: Potential, params: Any, state: Sample
) -> jax.Array:
    """From fractional places `home`, (N,)."""
    return jnp.sum(displacements(home, state) ** 2, axis=1)


def pair_correlation_of(system: System) -> Callable[..., jax.Array]:
    """`mdsens.observables.correlation.pair_correlation` at `distances`, (R,), over all particles."""
    r = distances(system)
    return pair_correlation(system, r, float(r[0]))


def distances(system: System) -> np.ndarray:
    """(R,) where g(r) by name is known: 100 even steps, each as long as a bin is wide.

    They end at 3.3 particle spacings or, with the tails of the last bin, at 0.45 of the smallest height
    of the cell, which leaves a cell that changes some room.
    """
    room = 0.45 * float(heights(np.asarray(system.cell)).min()) / (_POINTS + _TAIL)
    return min(room, _spacing(system) / 30.0) * np.arange(1.0, _POINTS + 1.0)


def structure_factor_of(system: System) -> Callable[..., jax.Array]:
    """`mdsens.observables.correlation.isotropic_structure_factor` at `wavenumbers`, (R,)."""
    return isotropic_structure_factor(system, wavenumbers(system))


def wavenumbers(system: System) -> np.ndarray:
    """(R,) where S(k) by name is known: 100 even steps from the shortest wave vector of the cell to three
    times 2 pi over the spacing of particles, about three times where a liquid has its first peak."""
    shortest = 2.0 * np.pi / float(np.max(heights(np.asarray(system.cell))))
    return np.linspace(shortest, 6.0 * np.pi / _spacing(system), _POINTS)


def _spacing(system: System) -> float:
    """The distance of particles if they were spread out evenly."""
    volume = abs(float(np.linalg.det(np.asarray(system.cell))))
    return (volume / system.n_particles) ** (1.0 / system.dimension)


def displacements(home: jax.Array, state: Sample) -> jax.Array:
    """(N, d) from fractional places `home`, zero for fixed particles; without their mean, if none is
    fixed."""
    u = state.positions - home @ state.cell
    mean = jnp.where(jnp.any(state.held), 0.0, jnp.mean(u, axis=0, keepdims=True))
    return jnp.where(state.held[:, None], 0.0, u - mean)


def _ideal(potential: Potential, params: Any, state: Sample) -> jax.Array:
    """N k_B T / V."""
    return jnp.sum(~state.held) * state.kt / volume(potential, params, state)


def _enthalpies(potential: Potential, params: Any, state: Sample) -> Any:
    h = energy(potential, params, state)
    if all(state.pbc):
        h = h + state.pressure * volume(potential, params, state)
    return h, h**2


def _heat_capacity(means: Any, trajectory: Trajectory) -> jax.Array:
    first, second = means
    moving = sum(not fixed for fixed in trajectory.system.fixed) * trajectory.system.dimension
    return 0.5 * moving + (second - first**2) / trajectory.kt**2


def _volumes(potential: Potential, params: Any, state: Sample) -> Any:
    v = volume(potential, params, state)
    return v, v**2


def _compressibility(means: Any, trajectory: Trajectory) -> jax.Array:
    first, second = means
    return (second - first**2) / (first * trajectory.kt)


def _strained(potential: Potential, params: Any, state: Sample) -> Any:
    """Slopes s_a and curvatures of the energy per volume by Voigt's strains, and s_a s_b."""
    units = jnp.asarray(voigt.unit_strains(state.positions.shape[1]))

    def energy_at(e: jax.Array) -> jax.Array:
        strain = jnp.tensordot(e, units, axes=1)
        here = (state.positions, state.cell, state.neighbors, strain)
        return potential.strained_energy(params, *here)

    zero = jnp.zeros(len(units))
    v = volume(potential, params, state)
    slope = jax.grad(energy_at)(zero) / v
    return slope, jnp.outer(slope, slope), jax.hessian(energy_at)(zero) / v


def _elastic(means: Any, trajectory: Trajectory) -> jax.Array:
    slope, squares, born = means
    d = trajectory.system.dimension
    units = voigt.unit_strains(d)
    v = float(trajectory.volumes[0, 0])
    moving = sum(not fixed for fixed in trajectory.system.fixed)
    ideal = moving * trajectory.kt / v
    traces = np.einsum("aij,bji->ab", units, units)
    curvature = born - v / trajectory.kt * (squares - jnp.outer(slope, slope)) + ideal * traces
    first, second = voigt.components(d).T
    sigma = jnp.zeros((d, d)).at[first, second].set(slope).at[second, first].set(slope)
    return voigt.stress_strain(curvature, sigma - ideal * jnp.eye(d))


heat_capacity = Fluctuation("heat_capacity", _enthalpies, _heat_capacity)
"""C_V/k_B = d N / 2 + var(U)/(k_B T)^2; C_P/k_B with the enthalpy in the place of U."""

compressibility = Fluctuation("compressibility", _volumes, _compressibility, ("NPT",))
"""-(dV/dP)/V at constant temperature, var(V)/(k_B T <V>)."""

elastic_tensor = Fluctuation("elastic_tensor", _strained, _elastic, ("NVT",))
"""Isothermal stress-strain coefficients d(stress_a)/d(strain_b), (v, v), Voigt's order.

With E_a unit strains and s_a = (1/V) dU/de_a the free energy's curvature is Born's term, a
fluctuation, and the kinetic term,

    c_ab = <(1/V) d2U/de_a de_b> - (V/k_B T) cov(s_a, s_b) + (N k_B T / V) tr(E_a E_b)

from which and the mean stress Birch's coefficients follow as at T = 0 (Squire, Holt, Hoover,
doi:10.1016/0031-8914(69)90031-7). Interactions that end with a kink at their cutoff lack a term there;
use a smoothed potential.
"""

OBSERVABLES: dict[str, Any] = {
    "energy": energy,
    "pressure": pressure,
    "stress": stress,
    "volume": volume,
    "density": density,
    "heat_capacity": heat_capacity,
    "compressibility": compressibility,
    "elastic_tensor": elastic_tensor,
}
# Those that are about the places in a system.
OBSERVABLES_OF: dict[str, Callable[[System], Any]] = {
    "mean_square_displacement": mean_square_displacement,
    "pair_correlation": pair_correlation_of,
    "structure_factor": structure_factor_of,
}
# Those that are functions, and where they are known.
POINTS_OF: dict[str, Callable[[System], np.ndarray]] = {
    "pair_correlation": distances,
    "structure_factor": wavenumbers,
}
