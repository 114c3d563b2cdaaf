"""Elastic constants by brute force: strain, relax again, look at the stress."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import mdsens as ms
from mdsens.equilibrium import search
from mdsens.observables.voigt import components, unit_strains
from mdsens.state import Configuration
from mdsens.system import System
from tests.examples import EXAMPLES, Example, random_discs


def rattling_discs() -> Example:
    """Discs of which one has too few contacts to be held."""
    system = random_discs(40, 0.90, 7)
    potential = ms.potentials.SoftSphere()
    return Example(potential, potential.parameters(system, diameter="diameter"), system)


@cache
def relaxed(name: str) -> tuple[Example, Any, System]:
    """An example, its minimum, and the minimum as a start."""
    example = rattling_discs() if name == "rattling_discs" else EXAMPLES[name]()
    minimum = ms.relax(example.potential, example.params, example.system, **example.options)
    start = replace(
        example.system, positions=np.asarray(minimum.positions), cell=np.asarray(minimum.cell)
    )
    return example, minimum, start


def strained(state: Any, strain: np.ndarray) -> Any:
    """Positions and cell of a System or Configuration deformed alike."""
    stretch = np.eye(len(strain)) + strain
    return replace(state, positions=state.positions @ stretch, cell=state.cell @ stretch)


def voigt(stress: Any) -> np.ndarray:
    first, second = components(len(stress)).T
    return np.asarray(stress)[first, second]


def slopes(measure: Any, d: int, h: float = 1e-6) -> np.ndarray:
    """Central differences of the stress measure(strain) by each strain, as columns (v, v)."""
    return np.stack(
        [(voigt(measure(h * e)) - voigt(measure(-h * e))) / (2 * h) for e in unit_strains(d)],
        axis=1,
    )


def relaxed_stress(example: Example, start: System, strain: np.ndarray) -> jax.Array:
    """The stress of a strained system, relaxed at fixed cell."""
    found = search(example.potential, example.params, strained(start, strain))
    assert not found.why
    s = found.setting
    state = Configuration(s.positions, s.cell, s.neighbors, found.problem.pbc)
    return ms.stress(example.potential, example.params, state)


def dense_tensor(potential: Any, params: Any, positions: jax.Array, state: Any) -> jax.Array:
    """d(stress)/d(strain) of a periodic state without rattlers or fixed particles, from one dense
    Hessian of positions and strain; differentiable by plain autodiff.

    The stress enters differently than in the code under test: Cauchy's stress as a function of
    displacement and strain is differentiated, with du/de from the dense Hessian.
    """
    n, d = positions.shape
    units = jnp.asarray(unit_strains(d))

    def energy(u: jax.Array, e: jax.Array) -> jax.Array:
        strain = jnp.tensordot(e, units, axes=1)
        moved = positions + u.reshape(n, d)
        return potential.strained_energy(params, moved, state.cell, state.neighbors, strain)

    def stress(u: jax.Array, e: jax.Array) -> jax.Array:
        """At the strained state, by a second strain from there."""
        stretch = jnp.eye(d) + jnp.tensordot(e, units, axes=1)
        x, h = (positions + u.reshape(n, d)) @ stretch, state.cell @ stretch

        def again(f: jax.Array) -> jax.Array:
            more = jnp.eye(d) + jnp.tensordot(f, units, axes=1)
            return potential.energy(params, x @ more, h @ more, state.neighbors)

        return jax.grad(again)(jnp.zeros(len(units))) / jnp.linalg.det(h)

    zero = jnp.zeros(n * d), jnp.zeros(len(units))
    hessian = jax.hessian(energy)(*zero)
    mixed = jax.jacfwd(jax.grad(energy), argnums=1)(*zero)
    drift = jnp.tile(jnp.eye(d), (n, 1)) / jnp.sqrt(n)
    # Translations lifted: mixed has none of them, so the answer has none.
    response = -jnp.linalg.solve(hessian + drift @ drift.T, mixed)
    by_u, by_e = jax.jacfwd(stress, argnums=(0, 1))(*zero)
    return by_e + by_u @ response
