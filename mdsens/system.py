"""One configuration as data: particles, cell, boundary conditions. Knows NumPy, not JAX.

Index letters: i j particles, a b Cartesian components, N particles, d dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mdsens.errors import InputError

REDUCED_SYMBOL = "X"


@dataclass(frozen=True, eq=False)
class System:
    """A particle configuration, the input of every computation.

    Attributes:
        positions: (N, d) Cartesian coordinates, d = 2 or 3, not necessarily wrapped into the cell.
        cell: (d, d), rows are lattice vectors. Rows of non-periodic directions carry no meaning
            beyond the frame they span.
        pbc: d flags, True where the direction is periodic.
        species: the type of each particle, N names: chemical symbols, or the `type` column where
            the particles have no chemistry (symbol X).
        fixed: (N,) True for particles that never move (ASE's FixAtoms).
        columns: per-particle arrays of the structure file that are numbers, by name, (N,) or (N, k).
        units: "metal" (eV, angstrom) or "reduced".
        source: where it came from, for messages.
    """

    positions: Any
    cell: Any
    pbc: tuple[bool, ...]
    species: tuple[str, ...]
    fixed: tuple[bool, ...]
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    units: str = "reduced"
    source: str = "system"

    @property
    def n_particles(self) -> int:
        return len(self.species)

    @property
    def dimension(self) -> int:
        return len(self.pbc)

    @property
    def type_names(self) -> tuple[str, ...]:
        """The distinct species, sorted."""
        return tuple(sorted(set(self.species)))

    @property
    def types(self) -> np.ndarray:
        """(N,) integers: the place of each particle's species in `type_names`."""
        place = {name: k for k, name in enumerate(self.type_names)}
        return np.array([place[name] for name in self.species], dtype=np.int32)

    def with_positions(self, positions: Any) -> System:
        """The same system with other positions (arrays or JAX tracers)."""
        return replace(self, positions=positions)

    def with_cell(self, cell: Any) -> System:
        """The same system with another cell; positions are NOT scaled along."""
        return replace(self, cell=cell)


def heights(cell: np.ndarray) -> np.ndarray:
    """Perpendicular heights of a cell, (d,): the distance between opposite faces.

    h_a = 1 / |row a of (cell^-1)^T|.
    """
    return 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)


def volume(cell: np.ndarray) -> float:
    """Volume (area in 2D) of a cell whose rows are lattice vectors."""
    return float(abs(np.linalg.det(cell)))


def validate(system: System) -> System:
    """Return `system` if it can be computed with; raise InputError naming the fault otherwise.

    Checked: shapes, finiteness, a cell of positive volume and right-handed (where it is periodic).
    Coincident particles are checked by `coincident_pair`, since they matter only to pair forces.
    """
    name, n, d = system.source, system.n_particles, system.dimension
    positions, cell = np.asarray(system.positions), np.asarray(system.cell)
    if n == 0:
        raise InputError(f"{name}: structure: no particles; give a file with at least one")
    if positions.shape != (n, d) or cell.shape != (d, d):
        raise InputError(
            f"{name}: structure: positions {positions.shape} and cell {cell.shape} do not fit "
            f"{n} particles in {d} dimensions"
        )
    bad = np.flatnonzero(~np.isfinite(positions).all(axis=1))
    if bad.size:
        raise InputError(
            f"{name}: particle {bad[0]}: position {positions[bad[0]].tolist()} is not finite; "
            "correct the file"
        )
    if not np.isfinite(cell).all():
        raise InputError(f"{name}: cell: {cell.tolist()} is not finite; correct the file")
    if any(system.pbc):
        _validate_cell(name, cell)
    return system


def _validate_cell(name: str, cell: np.ndarray) -> None:
    determinant = float(np.linalg.det(cell))
    scale = float(np.prod(np.linalg.norm(cell, axis=1)))
    if abs(determinant) <= 1e-10 * scale or scale == 0.0:
        raise InputError(
            f"{name}: cell: zero volume, but pbc says it is periodic; "
            "give lattice vectors that span space"
        )
    if determinant < 0:
        raise InputError(
            f"{name}: cell: left-handed (determinant {determinant:.6g}); swap two lattice vectors"
        )


def coincident_pair(system: System) -> tuple[int, int] | None:
    """The first pair of particles at the same place (periodic images included), or None.

    Forces between coincident particles have no direction.
    """
    from scipy.spatial import KDTree

    positions, cell = np.asarray(system.positions), np.asarray(system.cell)
    twins = _equal_rows(positions)
    if twins is not None:
        return twins
    periodic = np.asarray(system.pbc)
    span = float(np.ptp(positions)) if len(positions) > 1 else 1.0
    scale = max(span, float(np.abs(cell).max()) if periodic.any() else 0.0, 1e-300)
    if not periodic.any():
        pairs = KDTree(positions).query_pairs(1e-12 * scale, output_type="ndarray")
        return _first(pairs)
    fractional = positions @ np.linalg.inv(_full_rank(cell, periodic))
    # A torus for the periodic directions; the others get a box nothing can wrap around in.
    box = np.where(periodic, 1.0, 4.0 * (1.0 + np.ptp(fractional, axis=0)))
    shifted = np.where(periodic, fractional, fractional - fractional.min(axis=0) + 0.25 * box)
    wrapped = np.mod(shifted, box)
    wrapped = np.where(wrapped >= box, 0.0, wrapped)
    tree = KDTree(wrapped, boxsize=box)
    return _first(tree.query_pairs(1e-12, output_type="ndarray"))


def _equal_rows(positions: np.ndarray) -> tuple[int, int] | None:
    # First of all, because a file with all particles in one place has N^2/2 coincident pairs.
    order = np.lexsort(positions.T)
    equal = np.flatnonzero((np.diff(positions[order], axis=0) == 0.0).all(axis=1))
    pairs = np.sort(np.column_stack((order[equal], order[equal + 1])), axis=1)
    return _first(pairs)


def _full_rank(cell: np.ndarray, periodic: np.ndarray) -> np.ndarray:
    """The cell with each non-periodic row replaced where it does not help to span space."""
    if abs(np.linalg.det(cell)) > 0:
        return cell
    return complete_cell(cell, tuple(bool(p) for p in periodic))


def complete_cell(cell: np.ndarray, pbc: tuple[bool, ...]) -> np.ndarray:
    """Rows of non-periodic directions replaced by unit vectors orthogonal to the periodic ones.

    Files of clusters and slabs carry zero rows there; every consumer needs an invertible frame.
    The result is right-handed where the freedom in the new rows allows it.
    """
    d = len(pbc)
    out = np.array(cell, dtype=float)
    kept = [out[a] / np.linalg.norm(out[a]) for a in range(d) if pbc[a]]
    if not kept:
        return np.eye(d)
    free = [a for a in range(d) if not pbc[a]]
    complement = np.linalg.svd(np.array(kept))[2][len(kept) :]
    for a, direction in zip(free, complement, strict=True):
        out[a] = direction
    if free and np.linalg.det(out) < 0:
        out[free[0]] *= -1.0
    return out


def _first(pairs: np.ndarray) -> tuple[int, int] | None:
    if len(pairs) == 0:
        return None
    i, j = sorted(map(int, min(map(tuple, pairs))))
    return i, j
