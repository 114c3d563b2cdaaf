"""Atomic masses by chemical symbol."""

from __future__ import annotations

import numpy as np
from ase.data import atomic_masses, atomic_numbers

from mdsens.system import REDUCED_SYMBOL


def standard_masses(names: tuple[str, ...]) -> np.ndarray | None:
    """Standard atomic weights in unified atomic mass units, one per name; None if a name is no
    element."""
    if any(name == REDUCED_SYMBOL or name not in atomic_numbers for name in names):
        return None
    return atomic_masses[[atomic_numbers[name] for name in names]]
