"""One configuration of every kind of cell, and every pair in it by enumeration."""

from __future__ import annotations

from itertools import product

import numpy as np

from mdsens.neighbors import Pairs
from mdsens.system import System, heights
from tests.examples import make

FCC = np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])


def _filled(cell, n: int, pbc, seed: int = 0, outside: int = 0) -> System:
    """n particles at random in the cell, or up to `outside` cells away where it is periodic."""
    rng = np.random.default_rng(seed)
    cell = np.asarray(cell, float)
    fractional = rng.random((n, len(cell)))
    whole = rng.integers(-outside, outside + 1, fractional.shape) * np.asarray(pbc)
    return make((fractional + whole) @ cell, cell, pbc, ["A", "B"] * (n // 2) + ["B"] * (n % 2))


TRICLINIC = [[3.0, 0.2, -0.3], [1.1, 2.8, 0.1], [-0.7, 0.9, 3.2]]
SKEWED = [[2.0, 0.0, 0.0], [5.0, 1.5, 0.0], [-4.0, 3.6, 1.8]]

# name -> (system, radius)
CELLS: dict[str, tuple[System, float]] = {
    "square": (_filled(4 * np.eye(2), 12, (True,) * 2), 1.3),
    "oblique": (_filled([[4.0, 0.5], [2.5, 3.0]], 10, (True,) * 2), 1.4),
    "orthorhombic": (_filled(np.diag([3.0, 4.0, 3.5]), 10, (True,) * 3), 1.4),
    "triclinic": (_filled(TRICLINIC, 8, (True,) * 3), 1.4),
    "very skewed": (_filled(SKEWED, 6, (True,) * 3), 1.7),
    "smaller than the cutoff": (_filled(0.3 * np.array(TRICLINIC), 3, (True,) * 3), 1.3),
    "small in the plane": (_filled([[0.9, 0.1], [0.3, 0.8]], 3, (True,) * 2), 1.9),
    "fcc, one atom": (make(np.zeros((1, 3)), 1.6 * FCC, (True,) * 3), 2.0),
    "fcc, four atoms": (
        make(1.6 * np.vstack([np.zeros(3), FCC]), 1.6 * np.eye(3), (True,) * 3),
        2.0,
    ),
    "unwrapped": (_filled(TRICLINIC, 8, (True,) * 3, outside=3), 1.4),
    "slab": (_filled(TRICLINIC, 8, (True, True, False)), 1.4),
    "wire": (_filled(TRICLINIC, 6, (False, False, True), outside=2), 2.1),
    "strip": (_filled([[1.5, 0.2], [3.0, 2.0]], 5, (True, False)), 1.6),
    "cluster": (_filled(1.6 * np.eye(3), 8, (False,) * 3), 1.2),
    "flat cluster": (_filled(2 * np.eye(2), 6, (False,) * 2), 1.0),
}


def oriented(i: int, j: int, shift: tuple[int, ...]) -> tuple[int, ...]:
    """One name for (i, j, S) and (j, i, -S)."""
    return max((int(i), int(j), *map(int, shift)), (int(j), int(i), *(-int(s) for s in shift)))


def every_pair(system: System, radius: float) -> list[tuple[int, ...]]:
    """All unordered pairs of images closer than `radius`, by looking at far too many of them."""
    x, h = np.asarray(system.positions), np.asarray(system.cell)
    spread = np.ptp(x @ np.linalg.inv(h), axis=0)
    reach = np.where(system.pbc, np.ceil(spread + radius / heights(h)) + 1, 0).astype(int)
    images = np.array(list(product(*(range(-m, m + 1) for m in reach))))
    found = set()
    for i, j in product(range(len(x)), repeat=2):
        r = np.linalg.norm(x[j] - x[i] + images @ h, axis=1)
        for shift in images[r < radius]:
            if i != j or shift.any():
                found.add(oriented(i, j, tuple(shift)))
    return sorted(found)


def listed(pairs: Pairs, positions, cell, radius: float) -> list[tuple[int, ...]]:
    """The pairs of a list that are closer than `radius`, repetitions included."""
    i, j, shift = (np.asarray(a) for a in (pairs.i, pairs.j, pairs.shift))
    x, h = np.asarray(positions), np.asarray(cell)
    near = np.linalg.norm(x[j] - x[i] + shift @ h, axis=1) < radius
    return sorted(
        oriented(i[k], j[k], tuple(shift[k]))
        for k in np.flatnonzero(near & np.asarray(pairs.valid))
    )
