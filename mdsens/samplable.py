"""Whether an ensemble can be sampled for a system, as far as can be said without JAX."""

from __future__ import annotations

from typing import Any

import numpy as np

from mdsens.errors import InputError
from mdsens.masses import masses_of
from mdsens.system import System, heights


def require_samplable(system: System, kind: str, mover: str) -> None:
    """Raise InputError for a system that an ensemble does not suit.

    Args:
        kind: nve, nvt or npt.
        mover: what moves the particles: a thermostat, csvr in nve, npt.
    """
    held, periodic = any(system.fixed), all(system.pbc)
    masses_of(system)
    if all(system.fixed):
        raise InputError("ensemble: all particles are fixed; nothing would move")
    if kind == "npt" and (not periodic or held):
        raise InputError(
            "ensemble: npt needs a cell that is periodic in every direction and no fixed particles; "
            "use nvt"
        )
    if kind == "nvt" and mover != "langevin" and not (periodic or held):
        raise InputError(
            f"ensemble.thermostat: {mover} keeps the angular momentum of a free cluster, so that it "
            "samples no temperature; use langevin"
        )
    if mover != "langevin" and system.n_particles < 2:
        raise InputError("ensemble: one particle alone is sampled by nvt with langevin only")


def require_two_cutoffs(
    system: System, cutoff: float, cells: Any, pressure: float | None = None
) -> None:
    """Raise InputError where one of `cells`, (..., d, d), is too small to change its volume.

    Args:
        pressure: at which they became what they are; None: at the start.
    """
    each = np.asarray(cells).reshape(-1, *np.shape(cells)[-2:])
    smallest = min((float(heights(h).min()) for h in each), default=np.inf)
    if smallest >= 2.0 * cutoff:
        return
    found = f"{system.source}: cell: its smallest height {smallest:.6g}"
    if pressure is None:
        raise InputError(
            f"{found} is less than two cutoffs of {cutoff:.6g}, which npt needs; use a larger cell"
        )
    raise InputError(
        f"{found} became less than two cutoffs of {cutoff:.6g} at a pressure of {pressure:g}; use a "
        "larger cell or a lower pressure"
    )
