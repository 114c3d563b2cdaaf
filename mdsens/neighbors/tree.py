"""The list for concrete positions: periodic copies around the cell, and a k-d tree.

Any shape of cell, any number of images, no compilation, O(N log N).
"""

from __future__ import annotations

from math import prod

import numpy as np
from scipy.spatial import KDTree

from mdsens.errors import InputError
from mdsens.neighbors.pairs import Pairs
from mdsens.system import System, heights

# Beyond this many periodic copies the cell is so small against the cutoff that somebody erred.
MAX_COPIES = 20_000_000


# Unit cells: what they cost is compiling, so that their lists have few lengths to choose from.
FEW = 32


def find_pairs(
    positions: np.ndarray, cell: np.ndarray, pbc: tuple[bool, ...], radius: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(i, j, S) of all pairs of images closer than `radius`; see `pairs` for the convention."""
    wrap, home = _wrap(positions, cell, pbc)
    owner, image = _ghosts(home, cell, pbc, radius)
    tree = KDTree(home)
    near = tree.query_pairs(radius, output_type="ndarray")
    i, j, shift = near[:, 0], near[:, 1], np.zeros((len(near), len(pbc)), dtype=np.int32)
    if len(owner):
        ghosts = KDTree(home[owner] + image @ cell)
        found = tree.sparse_distance_matrix(ghosts, radius, output_type="ndarray")
        a, b, s = found["i"], owner[found["j"]], image[found["j"]]
        keep = (a < b) | ((a == b) & _leading_positive(s))
        i, j = np.concatenate([i, a[keep]]), np.concatenate([j, b[keep]])
        shift = np.concatenate([shift, s[keep]])
    if wrap.any():
        # Back from wrapped to given positions: x = home + wrap h.
        shift = shift + wrap[i] - wrap[j]
    return i.astype(np.int32), j.astype(np.int32), shift


def pair_list(system: System, radius: float, capacity: int = 0) -> Pairs:
    """A `Pairs` for concrete positions with at least `capacity` places.

    The room is rounded up so that lists of similar length share compiled code.
    """
    positions, cell = np.asarray(system.positions), np.asarray(system.cell)
    i, j, shift = find_pairs(positions, cell, system.pbc, radius)
    room = max(capacity, room_for_pairs(len(i), len(positions)))
    pad = room - len(i)
    return Pairs(
        i=np.pad(i, (0, pad)),
        j=np.pad(j, (0, pad)),
        shift=np.pad(shift, ((0, pad), (0, 0))),
        valid=np.arange(room) < len(i),
        radius=np.float64(radius),
        reference_positions=positions,
        reference_cell=cell,
        overflow=np.bool_(False),
        types=system.types,
        type_names=system.type_names,
    )


def room_for(n: int, parts: int = 4) -> int:
    """The next of 16, 20, 24, 28, 32, 40, 48, ... above n: powers of two and `parts` - 1 sizes in
    between, for lists of similar length to share compiled code; at most 1/`parts` to spare."""
    step = max(4, 2 ** (max(n, 1).bit_length() - 1) // parts)
    return max(16, -(-(n + 1) // step) * step)


def room_for_pairs(n: int, particles: int, parts: int = 4) -> int:
    """As `room_for`; powers of two for few particles."""
    return room_for(n, 1 if particles <= FEW else parts)


def _wrap(
    positions: np.ndarray, cell: np.ndarray, pbc: tuple[bool, ...]
) -> tuple[np.ndarray, np.ndarray]:
    fractional = positions @ np.linalg.inv(cell)
    wrap = np.where(pbc, np.floor(fractional), 0.0)
    return wrap.astype(np.int32), positions - wrap @ cell


def _ghosts(
    home: np.ndarray, cell: np.ndarray, pbc: tuple[bool, ...], radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """All images that can lie within `radius` of the home cell, but for the home cell itself:
    owners, S."""
    height = heights(cell)
    reach = [int(np.ceil(radius / h)) if p else 0 for h, p in zip(height, pbc, strict=True)]
    n_images = prod(2 * m + 1 for m in reach)
    if n_images * len(home) > MAX_COPIES:
        raise InputError(
            f"cell: heights {np.round(height, 6).tolist()} are so small against the interaction "
            f"range {radius:.6g} that {n_images} images of each particle would be needed; "
            "check the units of cell and cutoff"
        )
    owner, image = np.arange(len(home)), np.zeros((len(home), len(pbc)), dtype=np.int32)
    fractional = home @ np.linalg.inv(cell)
    # One direction after the other: images of images fill edges and corners.
    for a, (m, margin) in enumerate(zip(reach, radius / height, strict=True)):
        unit = (np.arange(len(pbc)) == a).astype(np.int32)
        parts = [(owner, image)]
        for k in (k for k in range(-m, m + 1) if k):
            moved = fractional[owner, a] + k
            near = (moved > -margin) & (moved < 1.0 + margin)
            parts.append((owner[near], image[near] + np.int32(k) * unit))
        owner, image = (np.concatenate(part) for part in zip(*parts, strict=True))
    return owner[len(home) :], image[len(home) :]


def _leading_positive(shift: np.ndarray) -> np.ndarray:
    """True where the first non-zero component is positive: one of each S, -S, and not S = 0."""
    signs = np.sign(shift)
    weights = 3.0 ** np.arange(shift.shape[1])[::-1]
    return signs @ weights > 0
