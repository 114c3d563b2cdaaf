"""Lists that can be rebuilt inside a transformed function (jit, vmap, grad), with fixed room.

`AllPairs` needs to know nothing in advance and serves small systems; `CellList` is jax-md's list,
allocated once for concrete positions, for large ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens._jaxmd import partition, quiet, space
from mdsens.errors import InputError
from mdsens.neighbors.pairs import Pairs
from mdsens.system import System, heights

PAIR_BUDGET = 60_000
MAX_ALL_PAIRS = 2_000


@dataclass(frozen=True)
class AllPairs:
    """Every pair, with `images` periodic images to each side beyond the nearest one.

    Complete up to the radius (images + 1/2) times the smallest height of the cell.
    """

    pbc: tuple[bool, ...]
    images: int

    @staticmethod
    def sized_for(system: System) -> AllPairs:
        """As many images as the pair budget allows; small crystals get several, packings none."""
        n, periodic = system.n_particles, sum(system.pbc)
        if n > MAX_ALL_PAIRS:
            raise InputError(
                f"relax: under jit or vmap the neighbour list of {n} particles must be allocated "
                f"beforehand (limit {MAX_ALL_PAIRS}); pass "
                "neighbors=mdsens.neighbor_list(potential, params, system)"
            )
        fitting = [m for m in range(4) if n * (n + 1) // 2 * (2 * m + 1) ** periodic <= PAIR_BUDGET]
        return AllPairs(system.pbc, max(fitting, default=0) if periodic else 0)

    def build(self, system: System) -> Pairs:
        """The list at `system`'s positions, which may be traced."""
        positions, cell = jnp.asarray(system.positions), jnp.asarray(system.cell)
        i, j, image = self._candidates(len(system.species))
        nearest = _nearest_image(positions[j] - positions[i], cell, self.pbc)
        shift = jnp.where((i == j)[:, None], 0, nearest) + image
        radius = (self.images + 0.5) * _smallest_height(cell, self.pbc)
        return Pairs(
            jnp.asarray(i), jnp.asarray(j), shift, jnp.ones(len(i), bool), radius,
            positions, cell, jnp.asarray(False), jnp.asarray(system.types), system.type_names,
        )  # fmt: skip

    def _candidates(self, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        reach = [range(-self.images, self.images + 1) if p else (0,) for p in self.pbc]
        images = np.array(list(product(*reach)), dtype=np.int32)
        i, j = np.triu_indices(n, k=1)
        # Of S and -S the later in lexicographic order is kept: one of each.
        half = images[len(images) // 2 + 1 :]
        own = np.arange(n)
        return (
            np.concatenate([np.repeat(i, len(images)), np.repeat(own, len(half))]).astype(np.int32),
            np.concatenate([np.repeat(j, len(images)), np.repeat(own, len(half))]).astype(np.int32),
            np.concatenate([np.tile(images, (len(i), 1)), np.tile(half, (n, 1))]),
        )


@dataclass(frozen=True, eq=False)
class CellList:
    """jax-md's neighbour list with room fixed at allocation; `build` works under jit and vmap."""

    allocated: Any
    radius: float
    pbc: tuple[bool, ...]

    @staticmethod
    def allocate(system: System, radius: float) -> CellList:
        """Make room for the pairs within `radius` at concrete positions, and a quarter more."""
        cell = np.asarray(system.cell)
        smallest = float(_smallest_height(cell, system.pbc))
        if radius > 0.5 * smallest:
            raise InputError(
                f"cell: its smallest height {smallest:.6g} is less than twice the list radius "
                f"{radius:.6g}, so a preallocated list cannot hold it; relax outside jit (all "
                "periodic images are summed there) or use a larger cell"
            )
        box = jnp.asarray(upper_triangular(_padded_cell(system, radius)))
        displacement, _ = space.periodic_general(box, fractional_coordinates=True)
        fns = partition.neighbor_list(
            displacement,
            box,
            radius,
            fractional_coordinates=True,
            format=partition.NeighborListFormat.OrderedSparse,
        )
        with quiet():
            allocated = fns.allocate(_fractional(system, radius), box=box)
        return CellList(allocated, radius, system.pbc)

    def build(self, system: System) -> Pairs:
        """The list at `system`'s positions, which may be traced; flags overflow."""
        positions, cell = jnp.asarray(system.positions), jnp.asarray(system.cell)
        box = upper_triangular(_padded_cell(system, self.radius))
        with quiet():
            found = self.allocated.update(_fractional(system, self.radius), box=box)
        n = positions.shape[0]
        valid = found.idx[0] < n
        i, j = jnp.where(valid, found.idx, 0)
        shift = _nearest_image(positions[j] - positions[i], cell, self.pbc)
        # A cell that has shrunk since the allocation may have outgrown jax-md's grid, or the one
        # image per pair.
        too_small = (found.cell_size_too_small != 0) | (
            self.radius > 0.5 * _smallest_height(cell, self.pbc)
        )
        return Pairs(
            i, j, shift, valid, jnp.asarray(self.radius), positions, cell,
            (found.did_buffer_overflow != 0) | too_small,
            jnp.asarray(system.types), system.type_names,
        )  # fmt: skip


jax.tree_util.register_dataclass(AllPairs, data_fields=[], meta_fields=["pbc", "images"])
jax.tree_util.register_dataclass(CellList, data_fields=["allocated"], meta_fields=["radius", "pbc"])


def _nearest_image(r: jax.Array, cell: jax.Array, pbc: tuple[bool, ...]) -> jax.Array:
    """Integers S that bring each vector r + S h nearest to zero, in fractional coordinates."""
    fractional = r @ jnp.linalg.inv(cell)
    return jnp.where(jnp.array(pbc), -jnp.round(fractional), 0.0).astype(jnp.int32)


def _smallest_height(cell: Any, pbc: tuple[bool, ...]) -> Any:
    if not any(pbc):
        return jnp.inf
    if isinstance(cell, np.ndarray):
        return heights(cell)[list(pbc)].min()
    inverse = jnp.linalg.inv(cell)
    return jnp.min(jnp.where(jnp.array(pbc), 1.0 / jnp.linalg.norm(inverse, axis=0), jnp.inf))


def _padded_cell(system: System, radius: float) -> jax.Array:
    """The cell with free directions made wide: a wrap there only lists pairs that are far apart."""
    positions, cell = jnp.asarray(system.positions), jnp.asarray(system.cell)
    extent = jnp.max(jnp.ptp(positions, axis=0)) + 3.0 * radius
    unit = cell / jnp.linalg.norm(cell, axis=1, keepdims=True)
    return jnp.where(jnp.array(system.pbc)[:, None], cell, unit * extent)


def _fractional(system: System, radius: float) -> jax.Array:
    frame = jnp.linalg.inv(_padded_cell(system, radius))
    return jnp.mod(jnp.asarray(system.positions) @ frame, 1.0)


def upper_triangular(cell: jax.Array) -> jax.Array:
    """jax-md's box: columns are lattice vectors, rotated to upper triangular, positive diagonal."""
    r = jnp.linalg.qr(jnp.asarray(cell).T)[1]
    return jnp.triu(r * jnp.sign(jnp.diagonal(r))[:, None])
