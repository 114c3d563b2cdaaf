"""Who interacts with whom: a half list of pairs with explicit periodic images.

A pair (i, j, S) stands for the vector r_ij = x_j - x_i + S h, S integers, h the cell (rows are
lattice vectors). Each unordered pair of images appears once: either i < j with any S, or i = j with
one of S, -S. Nothing is wrapped and no minimum image is taken while the list is in use, so small
cells, free directions and derivatives with respect to the cell need no special case.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.system import System

# How compiled code is told that indices are good, which saves it a look at each.
_INSIDE: Any = {"mode": "promise_in_bounds", "wrap_negative_indices": False}


@dataclass(frozen=True, eq=False)
class Pairs:
    """A half list with room for P pairs.

    Attributes:
        i, j: (P,) particles.
        shift: (P, d) integer images S.
        valid: (P,) False for unused room (and for pairs taken out, see `without`).
        radius: all pairs closer than this at the reference are listed.
        reference_positions, reference_cell: the configuration the list was made for.
        overflow: the room did not suffice.
        types: (N,) species numbers, names in `type_names`.
        table: (N, K) the neighbours of each particle (see `tabulated`), or None.
    """

    i: Any
    j: Any
    shift: Any
    valid: Any
    radius: Any
    reference_positions: Any
    reference_cell: Any
    overflow: Any
    types: Any
    type_names: tuple[str, ...]
    table: Any = None

    def vectors(self, positions: jax.Array, cell: jax.Array) -> jax.Array:
        """(P, d) r_ij; unused places hold a harmless non-zero vector."""
        d = positions.shape[1]
        r = positions[self.j] - positions[self.i] + self.shift.astype(positions.dtype) @ cell
        return jnp.where(self.valid[:, None], r, jnp.ones(d, positions.dtype)[None, :])

    def distances(self, positions: jax.Array, cell: jax.Array) -> jax.Array:
        """(P,) |r_ij|; one in unused places."""
        return self.lengths(self.rows(positions, cell))

    def rows(self, positions: jax.Array, cell: jax.Array) -> jax.Array:
        """(P, d or d + 1) r_ij, anything in unused places, zeros appended to an even number.

        With `at_ends` the kernel of every descent: compiled code fetches and adds up rows of four
        numbers as one, which halves the time in 3D, and knows that no index is out of bounds.
        """
        x = even(positions)
        start, end = (x.at[k].get(**_INSIDE) for k in (self.i, self.j))
        return end - start + self.shift.astype(positions.dtype) @ even(cell)

    def lengths(self, rows: jax.Array) -> jax.Array:
        """(P,) of `rows`; one in unused places."""
        return jnp.sqrt(jnp.where(self.valid, jnp.sum(rows**2, axis=1), 1.0))

    def at_ends(self, sums: tuple[Any, Any], to_i: Any, to_j: Any) -> tuple[jax.Array, jax.Array]:
        """Two sums (N, ...) over pairs, with (P, ...) more of them at i and at j."""
        at_i, at_j = sums
        return at_i.at[self.i].add(to_i, **_INSIDE), at_j.at[self.j].add(to_j, **_INSIDE)

    @property
    def columns(self) -> tuple[Any, Any, Any, Any]:
        """i, j, shift, valid: what there is of each pair."""
        return self.i, self.j, self.shift, self.valid

    def only(self, columns: tuple[Any, Any, Any, Any]) -> Pairs:
        """A list of these pairs."""
        i, j, shift, valid = columns
        return replace(self, i=i, j=j, shift=shift, valid=valid, table=None)

    def holds_for(self, positions: Any, cell: Any, cutoff: Any) -> jax.Array:
        """True while no unlisted pair can be closer than `cutoff`."""
        approach = self.largest_approach(positions, cell)
        return ~self.overflow & (jnp.isinf(self.radius) | (approach <= self.radius - cutoff))

    def largest_approach(self, positions: Any, cell: Any) -> jax.Array:
        """Bound on how much closer any two images may have come since the reference.

        Particles are followed in the frame that deforms with the cell (F = h_ref^-1 h): two
        particles approach by at most twice the largest remaining displacement, plus what the
        deformation itself does to distances of the list radius.
        """
        deformation = jnp.linalg.solve(self.reference_cell, cell)
        moved = positions - self.reference_positions @ deformation
        # A uniform drift brings nobody closer.
        moved = moved - jnp.mean(moved, axis=0, keepdims=True)
        strain = jnp.linalg.norm(deformation - jnp.eye(cell.shape[0]), ord="fro")
        return 2.0 * jnp.sqrt(jnp.max(jnp.sum(moved**2, axis=1))) + self.radius * strain

    def widened(self, room: int, width: int) -> Pairs:
        """The same list with places for `room` pairs and `width` neighbours in the table, at least;
        concrete numbers only."""
        more = (0, max(0, room - len(self.valid)))
        table = self.table
        if table is not None:
            spare = max(0, width - table.shape[1])
            table = np.pad(table, ((0, 0), (0, spare)), constant_values=-1)
        return replace(
            self,
            i=np.pad(self.i, more),
            j=np.pad(self.j, more),
            shift=np.pad(self.shift, (more, (0, 0))),
            valid=np.pad(self.valid, more),
            table=table,
        )

    def without(self, removed: jax.Array) -> Pairs:
        """The list less all pairs of the particles marked in `removed` (N,)."""
        return replace(self, valid=self.valid & ~removed[self.i] & ~removed[self.j])


def even(rows: jax.Array) -> jax.Array:
    """(n, k) rows with a zero appended if k is odd, see `Pairs.rows`."""
    return jnp.pad(rows, ((0, 0), (0, rows.shape[1] % 2)))


jax.tree_util.register_dataclass(
    Pairs,
    data_fields=[
        "i", "j", "shift", "valid", "radius",
        "reference_positions", "reference_cell", "overflow", "types",
        "table",
    ],
    meta_fields=["type_names"],
)  # fmt: skip


@dataclass(frozen=True)
class NoPairs:
    """The list of a potential that keeps its own, or of a configuration nobody has listed yet."""

    def build(self, system: System) -> Pairs:
        """A list without pairs that is valid everywhere."""
        d = system.dimension
        nobody = jnp.zeros(1, jnp.int32)
        return Pairs(
            nobody, nobody, jnp.zeros((1, d), jnp.int32), jnp.zeros(1, bool), jnp.asarray(jnp.inf),
            jnp.asarray(system.positions), jnp.asarray(system.cell), jnp.asarray(False),
            jnp.asarray(system.types), system.type_names,
        )  # fmt: skip


jax.tree_util.register_dataclass(NoPairs, data_fields=[], meta_fields=[])
