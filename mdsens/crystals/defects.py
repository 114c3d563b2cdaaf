"""Formation energies and volumes of defects and surfaces: bulk and defect relaxed together.

Both systems are functions of the same parameters: when these change, the lattice constant of the bulk
changes, and with it the cell of the defect. One derivative goes through all of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.equilibrium import relax
from mdsens.errors import InputError
from mdsens.observables import energy
from mdsens.potentials import Potential
from mdsens.state import Minimum
from mdsens.system import System

# How far from integers the defect's cell may be in units of the bulk's.
_TOLERANCE = 0.02


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Formation:
    """What a defect costs, and the two states.

    Attributes:
        energy: E_defect - m E_bulk - sum_s n_s mu_s (+ p times `volume` at a pressure p), where the
            defect's cell holds m bulk cells and n_s more atoms of species s.
        volume: V_defect - (atoms of the defect) times the bulk's volume per atom.
        bulk, defect: relaxed.
    """

    energy: jax.Array
    volume: jax.Array
    bulk: Minimum
    defect: Minimum


def formation(
    potential: Potential,
    params: Any,
    defect: System,
    bulk: System,
    *,
    cell: str = "fixed",
    bulk_cell: str = "isotropic",
    pressure: float = 0.0,
    chemical_potentials: Mapping[str, Any] | None = None,
    **options: Any,
) -> Formation:
    """Formation energy and volume of a vacancy, an interstitial, an antisite, ... in a crystal.

    The bulk is relaxed with its cell; the defect in a cell that is the same multiple of the bulk's
    cell as at the start, at fixed cell or freed in turn. Composes with grad, jacfwd, jacrev, hessian
    and jit in `params`.

    Args:
        defect: a supercell of the bulk with the defect in it, roughly at the bulk's lattice constant.
        bulk: one cell of the perfect crystal, primitive or not.
        cell: "fixed" (the energy at constant volume; then `volume` is that of the missing or extra
            atoms alone), "isotropic" or "full" (at constant pressure; use large cells for either).
        bulk_cell: how the bulk's cell is relaxed: "isotropic" (cubic crystals), "full", or "fixed".
        pressure: of the bulk, and of the defect if its cell is free.
        chemical_potentials: energy of an atom of each species in its reservoir; needed where the
            bulk has several species and the defect is not stoichiometric. Of an elemental crystal it
            is that of the bulk.
        options: further keywords of `relax`, for both.

    Raises:
        InputError: the defect's cell is no multiple of the bulk's; a chemical potential is missing.
        NotConverged: as `relax`.
    """
    times = _multiple(defect, bulk, (0, 1, 2)[: bulk.dimension])
    perfect, state = _relaxed(potential, params, defect, bulk, cell, bulk_cell, pressure, options)
    count = round(abs(np.linalg.det(times)))
    whole, per_cell = (energy(potential, params, s) for s in (state, perfect))
    cost = _cost(whole, per_cell, defect, bulk, count, chemical_potentials)
    volume = _volume(state) - defect.n_particles / bulk.n_particles * _volume(perfect)
    work = 0.0 if pressure == 0.0 else pressure * volume
    return Formation(cost + work, volume, perfect, state)


def surface_energy(
    potential: Potential,
    params: Any,
    slab: System,
    bulk: System,
    *,
    axis: int = 2,
    bulk_cell: str = "isotropic",
    chemical_potentials: Mapping[str, Any] | None = None,
    **options: Any,
) -> jax.Array:
    """(E_slab - m E_bulk - sum_s n_s mu_s) / (2 A): the mean energy per area of a slab's two faces.

    Args:
        slab: layers of the crystal between empty space; the cell vectors other than `axis` are
            multiples of the bulk's.
        axis: the cell vector that leads through the empty space, periodic or not.
        bulk, bulk_cell, chemical_potentials, options: as for `formation`.

    Raises:
        InputError, NotConverged: as `formation`.
    """
    inside = tuple(k for k in range(slab.dimension) if k != axis)
    _multiple(slab, bulk, inside)
    perfect, state = _relaxed(potential, params, slab, bulk, "fixed", bulk_cell, 0.0, options)
    count = slab.n_particles // bulk.n_particles
    whole, per_cell = (energy(potential, params, s) for s in (state, perfect))
    cost = _cost(whole, per_cell, slab, bulk, count, chemical_potentials)
    edges = state.cell[jnp.array(inside)]
    return cost / (2.0 * jnp.sqrt(jnp.linalg.det(edges @ edges.T)))


def _relaxed(
    potential: Potential,
    params: Any,
    defect: System,
    bulk: System,
    cell: str,
    bulk_cell: str,
    pressure: float,
    options: Mapping[str, Any],
) -> tuple[Minimum, Minimum]:
    """The bulk, and the defect in a cell deformed as the bulk's was."""
    perfect = relax(potential, params, bulk, cell=bulk_cell, pressure=pressure, **options)
    deformation = jnp.linalg.solve(jnp.asarray(bulk.cell), perfect.cell)
    start = replace(
        defect,
        positions=jnp.asarray(defect.positions) @ deformation,
        cell=jnp.asarray(defect.cell) @ deformation,
    )
    return perfect, relax(potential, params, start, cell=cell, pressure=pressure, **options)


def _multiple(defect: System, bulk: System, rows: tuple[int, ...]) -> np.ndarray:
    """The defect's cell in units of the bulk's; integers in these rows, or an InputError."""
    times = np.asarray(defect.cell) @ np.linalg.inv(np.asarray(bulk.cell))
    off = np.abs(times - np.round(times))[list(rows)].max()
    if off > _TOLERANCE:
        raise InputError(
            f"{defect.source}: cell: no multiple of the bulk's (off by {off:.2g} of a cell vector); "
            "build the defect from the same bulk, at the same lattice constant and orientation"
        )
    return times


def _cost(
    whole: Any,
    per_cell: Any,
    defect: System,
    bulk: System,
    count: int,
    given: Mapping[str, Any] | None,
) -> Any:
    """The energy `whole` less `count` bulk cells and the surplus atoms from their reservoirs."""
    extra = Counter(defect.species)
    extra.subtract({s: count * n for s, n in Counter(bulk.species).items()})
    mu = dict(given or {})
    if len(set(bulk.species)) == 1:
        mu.setdefault(bulk.species[0], per_cell / bulk.n_particles)
    missing = [s for s, n in extra.items() if n and s not in mu]
    if missing:
        raise InputError(
            f"chemical_potentials: {missing[0]} is missing, of which the defect has "
            f"{extra[missing[0]]:+d} atoms; give the energy of one in its reservoir"
        )
    return whole - count * per_cell - sum(n * mu[s] for s, n in extra.items() if n)


def _volume(state: Minimum) -> jax.Array:
    return jnp.abs(jnp.linalg.det(state.cell))
