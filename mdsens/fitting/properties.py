"""The properties that potentials are judged by, ready to be wanted.

crystal(...)    lattice constants, energies, elastic constants, phonons, distances, angles of one
                relaxed structure
defect(...)     formation energy and volume
surface(...)    surface energy
barrier(...)    energy of a saddle above a minimum
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax.numpy as jnp

from mdsens import observables
from mdsens.catalogue import FIT_STEPS
from mdsens.crystals import Formation, formation, surface_energy
from mdsens.equilibrium import relax, saddle
from mdsens.fitting.measured import Measured
from mdsens.fitting.readings import Reading, read_all
from mdsens.fitting.wanted import Wanted
from mdsens.potentials import Potential
from mdsens.state import Configuration
from mdsens.system import System

# The factor by which a volume may change on the way. Where it ends it may be half of that, see
# `mdsens.fitting.measured`; a crystal that collapsed costs minutes and gigabytes before that is known.
_SWELLING = 6.0


def crystal(
    name: str,
    system: System,
    readings: Sequence[tuple[Reading, Wanted]],
    *,
    cell: str = "full",
    pressure: float = 0.0,
    max_steps: int = FIT_STEPS,
    **options: Any,
) -> Measured:
    """Properties of one structure, relaxed once for all of them.

    Args:
        readings: what to read off, from `reading`, and what it should be.
        cell, pressure, options: as for `relax`. "full": the whole cell is relaxed; "isotropic" keeps
            its shape, "fixed" all of it.
        max_steps: of a relaxation, which has failed if it takes more. Crystals take tens to hundreds;
            with parameters that make no crystal it would go on for minutes.
    """

    def measure(potential: Potential, params: Any, systems: Sequence[System]) -> Any:
        state = relax(
            potential,
            params,
            systems[0],
            cell=cell,
            pressure=pressure,
            **_bounded(max_steps, options),
        )
        return read_all([r for r, _ in readings], potential, params, state), (state,)

    return Measured(name, (system,), measure, [wanted for _, wanted in readings])


def defect(
    name: str,
    system: System,
    bulk: System,
    *,
    energy: Wanted | None = None,
    volume: Wanted | None = None,
    cell: str = "fixed",
    max_steps: int = FIT_STEPS,
    **options: Any,
) -> Measured:
    """Formation energy and formation volume of a defect, see `mdsens.formation`."""
    wanted = [w for w in (energy, volume) if w is not None]

    def measure(potential: Potential, params: Any, systems: Sequence[System]) -> Any:
        bulk, start = systems
        found = formation(potential, params, start, bulk, cell=cell, **_bounded(max_steps, options))
        both = [(energy, found.energy), (volume, found.volume)]
        values = jnp.stack([value for want, value in both if want is not None])
        return values, (found.bulk, _held(found, start, bulk))

    return Measured(name, (bulk, system), measure, wanted)


def _held(found: Formation, start: System, bulk: System) -> Configuration:
    """The defect in the multiple of the bulk's cell from which its own was freed, to begin with again."""
    cell = start.cell @ jnp.linalg.solve(jnp.asarray(bulk.cell), found.bulk.cell)
    strain = jnp.linalg.solve(found.defect.cell, cell)
    return replace(found.defect, positions=found.defect.positions @ strain, cell=cell)


def surface(
    name: str,
    slab: System,
    bulk: System,
    wanted: Wanted,
    *,
    axis: int = 2,
    max_steps: int = FIT_STEPS,
    **options: Any,
) -> Measured:
    """Energy per area of a slab's faces, see `mdsens.surface_energy`."""

    def measure(potential: Potential, params: Any, systems: Sequence[System]) -> Any:
        value = surface_energy(
            potential, params, *systems, axis=axis, **_bounded(max_steps, options)
        )
        return value[None], ()

    return Measured(name, (slab, bulk), measure, [wanted])


def barrier(
    name: str,
    minimum: System,
    transition: System,
    wanted: Wanted,
    *,
    max_steps: int = FIT_STEPS,
    **options: Any,
) -> Measured:
    """Energy of the saddle next to `transition` above the minimum next to `minimum`, at fixed cell.

    `max_steps` is of the minimum; the way to a saddle has its own bound.
    """

    def measure(potential: Potential, params: Any, systems: Sequence[System]) -> Any:
        low = relax(potential, params, systems[0], **_bounded(max_steps, options))
        high = saddle(potential, params, systems[1], **options)
        value = observables.energy(potential, params, high) - observables.energy(
            potential, params, low
        )
        return value[None], (low, high)

    return Measured(name, (minimum, transition), measure, [wanted])


def _bounded(max_steps: int, options: dict[str, Any]) -> dict[str, Any]:
    """Options of relaxations that may go astray."""
    return {"max_steps": max_steps, "swelling": _SWELLING, **options}
