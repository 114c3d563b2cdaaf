"""Elements by chemical symbol: atomic numbers and standard atomic weights; masses of particles."""

from __future__ import annotations

import numpy as np
from ase.data import atomic_masses, atomic_numbers

from mdsens.errors import InputError
from mdsens.system import System


def element_data(symbol: str) -> tuple[int, float]:
    """Atomic number and standard atomic weight; (0, 1.0) for a name that is no element."""
    number = atomic_numbers.get(symbol, 0)
    return number, float(atomic_masses[number]) if number else 1.0


def standard_masses(names: tuple[str, ...]) -> np.ndarray | None:
    """Standard atomic weights in unified atomic mass units, one per name; None if a name is no
    element."""
    numbers, weights = zip(*map(element_data, names), strict=True)
    return np.array(weights) if all(numbers) else None


def masses_of(system: System) -> np.ndarray:
    """(N,) the column `mass`, else standard atomic weights (metal units) or ones.

    Raises:
        InputError: a mass is not positive, or a species of a metal system is no element.
    """
    given = system.columns.get("mass")
    if given is not None:
        mass = np.asarray(given, float)
        if mass.shape != (system.n_particles,) or not np.all(np.isfinite(mass) & (mass > 0.0)):
            raise InputError(
                f"{system.source}: column mass: not one positive number per particle; correct it"
            )
        return mass
    if system.units != "metal":
        return np.ones(system.n_particles)
    standard = standard_masses(system.type_names)
    if standard is None:
        raise InputError(
            f"{system.source}: no atomic weights for {', '.join(system.type_names)}; add a column mass"
        )
    return standard[system.types]
