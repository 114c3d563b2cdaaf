"""Every pair potential on a few configurations, evaluated once for all tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.neighbors import Pairs, pair_list
from mdsens.potentials import WCA, Buckingham, LennardJones, Morse, Potential, SoftSphere
from mdsens.system import System
from tests.neighbors.cells import CELLS
from tests.potentials import pairwise

# Evenly mixed forms: a number, a table of pairs, a table of species, one per particle.
EPSILON = {"A-A": 1.0, "B-A": 1.3, "B-B": 0.7}
SIZE = {"A": 1.0, "B": 0.8}


@dataclass(frozen=True, eq=False)
class Kind:
    """A potential, what to give it (per-particle values as functions of N), its equation again."""

    potential: Potential
    given: dict[str, Any]
    equation: Callable
    reach: float

    def parameters_of(self, system: System) -> dict[str, Any]:
        return {k: v(system.n_particles) if callable(v) else v for k, v in self.given.items()}


def per_particle(low: float, high: float) -> Callable[[int], np.ndarray]:
    return lambda n: np.linspace(low, high, n)


def _soft(alpha: float) -> Kind:
    given = {"epsilon": EPSILON, "alpha": alpha, "diameter": per_particle(1.2, 1.6)}
    return Kind(SoftSphere(), given, pairwise.soft_sphere, 1.6)


def _lj(smoothing: str) -> Kind:
    given = {"epsilon": EPSILON, "sigma": SIZE, "cutoff": {"A-A": 1.9, "A-B": 1.7, "B-B": 1.6}}
    if smoothing == "xplor":
        given["onset"] = {"A-A": 1.4, "A-B": 1.3, "B-B": 1.2}
    equation = pairwise.cut(pairwise.lennard_jones, pairwise.lennard_jones_slope, smoothing)
    return Kind(LennardJones(smoothing=smoothing), given, equation, 1.9)


def _morse(smoothing: str) -> Kind:
    given = {"D0": EPSILON, "alpha": per_particle(2.5, 3.5), "r0": SIZE, "cutoff": 1.8}
    if smoothing == "xplor":
        given["onset"] = 1.1
    equation = pairwise.cut(pairwise.morse, pairwise.morse_slope, smoothing)
    return Kind(Morse(smoothing=smoothing), given, equation, 1.8)


KINDS: dict[str, Kind] = {
    "harmonic": _soft(2.0),
    "Hertzian": _soft(2.5),
    "wca": Kind(WCA(), {"epsilon": EPSILON, "sigma": per_particle(1.0, 1.4)}, pairwise.wca, 1.6),
    **{f"lennard_jones, {s}": _lj(s) for s in ("energy_shift", "force_shift", "xplor", "none")},
    "buckingham": Kind(
        Buckingham(),
        {"A": EPSILON, "rho": SIZE, "C": per_particle(0.2, 0.3), "cutoff": 1.8},
        pairwise.cut(pairwise.buckingham, pairwise.buckingham_slope, "energy_shift"),
        1.8,
    ),
    **{f"morse, {s}": _morse(s) for s in ("energy_shift", "xplor")},
}
# Every kind in the plane; those that differ most also where a particle meets its own images, and
# where directions are free.
GRID = [(kind, "oblique") for kind in KINDS]
GRID += [
    ("Hertzian", "smaller than the cutoff"),
    ("lennard_jones, xplor", "smaller than the cutoff"),
    ("morse, energy_shift", "wire"),
    ("lennard_jones, force_shift", "small in the plane"),
]


@cache
def roomy(name: str) -> System:
    """That cell with its particles as far apart as many tries bring them."""
    system, rng = CELLS[name][0], np.random.default_rng(7)
    tries = [rng.random(system.positions.shape) @ system.cell for _ in range(200)]

    def closest(positions: np.ndarray) -> float:
        near = pairwise.vectors(system.with_positions(positions), 0.8)
        return min((np.linalg.norm(r) for _, _, r in near), default=0.8)

    return system.with_positions(max(tries, key=closest))


class Evaluated(NamedTuple):
    """All there is to know of one case, from one compilation."""

    energy: jax.Array
    by_parameters: Any
    by_positions: jax.Array
    gradient: jax.Array
    by_cell: jax.Array
    by_strain: jax.Array
    hessian: jax.Array
    local: Any
    strained: jax.Array


@partial(jax.jit, static_argnums=0)
def evaluate(potential: Potential, params, x, h, pairs: Pairs, strain) -> Evaluated:
    energy, (by_parameters, by_positions, by_cell) = jax.value_and_grad(
        potential.energy, (0, 1, 2)
    )(params, x, h, pairs)
    strained, by_strain = jax.value_and_grad(potential.strained_energy, 4)(
        params, x, h, pairs, strain
    )
    hessian = jax.jacfwd(jax.grad(potential.energy, 1), 1)(params, x, h, pairs)
    local = potential.local_hessian(params, x, h, pairs)
    gradient = potential.gradient(params, x, h, pairs)
    return Evaluated(
        energy, by_parameters, by_positions, gradient, by_cell, by_strain, hessian, local, strained
    )


class Case(NamedTuple):
    kind: Kind
    given: dict[str, Any]
    system: System
    params: Any
    pairs: Pairs
    found: Evaluated

    def again(self, system: System, radius: float | None = None, **more: Any) -> jax.Array:
        """The energy of another configuration of the same particles."""
        pairs = pair_list(system, radius or self.kind.reach, capacity=len(self.pairs.valid))
        params = self.kind.potential.parameters(system, **{**self.given, **more})
        return self.kind.potential.energy(
            params,
            jnp.asarray(system.positions),
            jnp.asarray(system.cell),
            jax.tree.map(jnp.asarray, pairs),
        )


@cache
def case(kind_name: str, place: str) -> Case:
    kind, system = KINDS[kind_name], roomy(place)
    given = kind.parameters_of(system)
    params = kind.potential.parameters(system, **given)
    pairs = jax.tree.map(jnp.asarray, pair_list(system, 1.2 * kind.reach))
    d = system.dimension
    found = evaluate(
        kind.potential,
        params,
        jnp.asarray(system.positions),
        jnp.asarray(system.cell),
        pairs,
        jnp.zeros((d, d)),
    )
    return Case(kind, given, system, params, pairs, found)
