"""Where a packing begins: particles of given sizes at random in a cell of given size."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from mdsens.errors import InputError
from mdsens.system import System, volume


def random_spheres(diameters: Any, dimension: int, packing_fraction: float, seed: int) -> System:
    """Discs or spheres at uniformly random places in a periodic square or cube.

    Args:
        diameters: (N,), stored as the column "diameter".
        dimension: 2 or 3.
        packing_fraction: total volume of the particles by that of the cell.
        seed: of NumPy's default generator.

    Raises:
        InputError: a diameter or the packing fraction is not positive, or another dimension.
    """
    sizes = np.asarray(diameters, dtype=float)
    if sizes.ndim != 1 or sizes.size == 0 or not np.all(sizes > 0.0):
        raise InputError(f"random_spheres: diameters {sizes.shape} must be (N,) positive numbers")
    if dimension not in (2, 3):
        raise InputError(f"random_spheres: dimension = {dimension}; 2 or 3")
    if not packing_fraction > 0.0:
        raise InputError(f"random_spheres: packing_fraction = {packing_fraction}; positive")
    side = (_filled(sizes, dimension) / packing_fraction) ** (1.0 / dimension)
    n = sizes.size
    return System(
        side * np.random.default_rng(seed).random((n, dimension)),
        side * np.eye(dimension),
        (True,) * dimension,
        ("X",) * n,
        (False,) * n,
        columns={"diameter": sizes},
        source=f"{n} random {'discs' if dimension == 2 else 'spheres'}",
    )


def packing_fraction(system: System, diameters: Any) -> float:
    """Total volume of the particles (overlaps counted twice) by that of the cell."""
    sizes = np.broadcast_to(np.asarray(diameters, dtype=float), (system.n_particles,))
    return _filled(sizes, system.dimension) / volume(np.asarray(system.cell))


def strained(system: System, strain: Any) -> System:
    """The system after the homogeneous deformation x -> x (1 + strain), h -> h (1 + strain)."""
    stretch = np.eye(system.dimension) + np.asarray(strain, dtype=float)
    return replace(
        system,
        positions=np.asarray(system.positions) @ stretch,
        cell=np.asarray(system.cell) @ stretch,
    )


def dilated(system: System, log_volume: float) -> System:
    """The system with ln(volume) larger by `log_volume`, everything in proportion."""
    d = system.dimension
    return strained(system, math.expm1(log_volume / d) * np.eye(d))


def _filled(diameters: np.ndarray, dimension: int) -> float:
    ball = math.pi ** (dimension / 2) / math.gamma(dimension / 2 + 1)
    return float(ball * np.sum((0.5 * diameters) ** dimension))
