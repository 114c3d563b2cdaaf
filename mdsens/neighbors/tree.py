"""The list for concrete positions: periodic copies around the cell, and a k-d tree.

Any shape of cell, any number of images, no compilation, O(N log N).
"""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
from scipy.spatial import KDTree

from mdsens.errors import InputError
from mdsens.neighbors.pairs import Pairs
from mdsens.system import System, heights

# Beyond this many periodic copies the cell is so small against the cutoff that somebody erred.
MAX_COPIES = 20_000_000


def find_pairs(
    positions: np.ndarray, cell: np.ndarray, pbc: tuple[bool, ...], radius: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(i, j, S) of all pairs of images closer than `radius`; see `pairs` for the convention."""
    wrap, home = _wrap(positions, cell, pbc)
    copies, owner, image = _copies(home, cell, pbc, radius)
    tree = KDTree(copies)
    found = KDTree(home).sparse_distance_matrix(tree, radius, output_type="coo_matrix")
    i, k = found.row, found.col
    j, shift = owner[k], image[k]
    keep = (i < j) | ((i == j) & _leading_positive(shift))
    i, j, shift = i[keep], j[keep], shift[keep]
    order = np.lexsort((j, i))
    i, j, shift = i[order], j[order], shift[order]
    # Back from wrapped to given positions: x = home + wrap h.
    return i.astype(np.int32), j.astype(np.int32), (shift + wrap[i] - wrap[j]).astype(np.int32)


def pair_list(system: System, radius: float, capacity: int = 0) -> Pairs:
    """A `Pairs` for concrete positions with at least `capacity` places.

    The room is rounded up so that lists of similar length share compiled code.
    """
    positions, cell = np.asarray(system.positions), np.asarray(system.cell)
    i, j, shift = find_pairs(positions, cell, system.pbc, radius)
    room = max(capacity, _round_up(len(i)))
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


def _round_up(n: int) -> int:
    """The next of 16, 20, 24, 28, 32, 40, 48, ...: at most 25 % of room to spare."""
    step = max(4, 2 ** (max(n, 1).bit_length() - 3))
    return max(16, -(-(n + 1) // step) * step)


def _wrap(
    positions: np.ndarray, cell: np.ndarray, pbc: tuple[bool, ...]
) -> tuple[np.ndarray, np.ndarray]:
    fractional = positions @ np.linalg.inv(cell)
    wrap = np.where(pbc, np.floor(fractional), 0.0)
    return wrap.astype(np.int64), positions - wrap @ cell


def _copies(
    home: np.ndarray, cell: np.ndarray, pbc: tuple[bool, ...], radius: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All images that can lie within `radius` of the home cell: positions, owners, S."""
    height = heights(cell)
    reach = [int(np.ceil(radius / h)) if p else 0 for h, p in zip(height, pbc, strict=True)]
    n_images = prod(2 * m + 1 for m in reach)
    if n_images * len(home) > MAX_COPIES:
        raise InputError(
            f"cell: heights {np.round(height, 6).tolist()} are so small against the interaction "
            f"range {radius:.6g} that {n_images} images of each particle would be needed; "
            "check the units of cell and cutoff"
        )
    fractional = home @ np.linalg.inv(cell)
    margin = radius / height
    parts = []
    for image in product(*(range(-m, m + 1) for m in reach)):
        moved = fractional + np.array(image)
        near = np.where(pbc, (moved > -margin) & (moved < 1.0 + margin), True).all(axis=1)
        owner = np.flatnonzero(near)
        parts.append(
            (
                home[owner] + np.array(image) @ cell,
                owner,
                np.broadcast_to(image, (len(owner), len(pbc))),
            )
        )
    copies, owners, images = zip(*parts, strict=True)
    return np.concatenate(copies), np.concatenate(owners), np.concatenate(images)


def _leading_positive(shift: np.ndarray) -> np.ndarray:
    """True where the first non-zero component is positive: one of each S, -S, and not S = 0."""
    signs = np.sign(shift)
    weights = 3.0 ** np.arange(shift.shape[1])[::-1]
    return signs @ weights > 0
