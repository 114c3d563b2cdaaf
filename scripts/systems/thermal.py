"""The starts of ensembles under systems/. See make.py."""

from __future__ import annotations

import numpy as np
from ase.build import bulk
from saving import save

from mdsens.io.structures import from_atoms
from mdsens.system import System


def lj_fluid() -> None:
    """256 particles on an fcc lattice at density 0.776."""
    side = 4 * (4.0 / 0.776) ** (1.0 / 3.0)
    corner = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    base = np.array([[0.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
    positions = (0.25 * side * (corner + base)).reshape(-1, 3)
    n = len(positions)
    fluid = System(positions, side * np.eye(3), (True,) * 3, ("X",) * n, (False,) * n)
    save(fluid, "lj_fluid", "lattice.extxyz")


def argon_liquid() -> None:
    """256 atoms on an fcc lattice at the density of liquid argon, 1.374 g/cm^3."""
    density = 1.374 / 39.948 * 0.602214076  # atoms per cubic angstrom
    atoms = bulk("Ar", "fcc", a=(4.0 / density) ** (1.0 / 3.0), cubic=True).repeat(4)
    save(from_atoms(atoms), "argon_liquid", "lattice.extxyz")


def silicon_300k() -> None:
    atoms = bulk("Si", "diamond", a=5.43094978, cubic=True).repeat(2)
    save(from_atoms(atoms), "silicon_300K", "crystal.extxyz")


def disc_crystal() -> None:
    """64 discs of diameter one in a triangular lattice, 0.95 apart."""
    rows = np.arange(8)
    x, y = np.meshgrid(rows, rows, indexing="ij")
    spacing = 0.95
    positions = spacing * np.stack([x + 0.5 * (y % 2), 0.5 * np.sqrt(3.0) * y], axis=-1).reshape(
        -1, 2
    )
    cell = np.diag([8 * spacing, 4 * np.sqrt(3.0) * spacing])
    save(
        System(positions, cell, (True, True), ("X",) * 64, (False,) * 64),
        "disc_crystal",
        "crystal.extxyz",
    )
