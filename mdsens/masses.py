"""Elements by chemical symbol: atomic numbers and standard atomic weights."""

from __future__ import annotations

import numpy as np
from ase.data import atomic_masses, atomic_numbers


def element_data(symbol: str) -> tuple[int, float]:
    """Atomic number and standard atomic weight; (0, 1.0) for a name that is no element."""
    number = atomic_numbers.get(symbol, 0)
    return number, float(atomic_masses[number]) if number else 1.0


def standard_masses(names: tuple[str, ...]) -> np.ndarray | None:
    """Standard atomic weights in unified atomic mass units, one per name; None if a name is no
    element."""
    numbers, weights = zip(*map(element_data, names), strict=True)
    return np.array(weights) if all(numbers) else None
