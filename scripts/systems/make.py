"""Make the structure files under systems/: `python scripts/systems/make.py [name ...]`.

Every structure is a closed-form lattice or a seeded random start, so the files are the same each
time up to the last digits of a relaxation.
"""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import numpy as np
from ase import Atoms
from ase.build import bulk

jax.config.update("jax_enable_x64", True)

import mdsens as ms  # noqa: E402
from mdsens.equilibrium import search  # noqa: E402
from mdsens.io.structures import from_atoms, write_extxyz  # noqa: E402
from mdsens.state import Configuration  # noqa: E402
from mdsens.system import System  # noqa: E402

SYSTEMS = Path(__file__).resolve().parents[2] / "systems"


def discs(positions: np.ndarray, diameters: np.ndarray, length: float) -> Atoms:
    """2D particles without chemistry in a square cell."""
    flat = np.column_stack([positions, np.zeros(len(positions))])
    atoms = Atoms("X" * len(flat), flat, cell=[length, length, 1.0], pbc=(True, True, False))
    atoms.set_array("diameter", diameters)
    return atoms


def save(atoms: Atoms, name: str, file: str) -> None:
    folder = SYSTEMS / name
    folder.mkdir(parents=True, exist_ok=True)
    write_extxyz(from_atoms(atoms), folder / file)


def disks_128() -> None:
    """64 discs of diameter 0.6 and 64 of 1.0 at random in a square, packing fraction 0.98."""
    rng = np.random.default_rng(0)
    diameters = np.repeat([0.6, 1.0], 64)
    length = np.sqrt(np.pi / 4.0 * np.sum(diameters**2) / 0.98)
    save(discs(rng.random((128, 2)) * length, diameters, length), "disks_128", "disks.extxyz")


def jammed_2d_1024(target: float = 1e-3) -> None:
    """512 discs of diameter 1.0 and 512 of 1.4: quenched from random at 0.92, then decompressed
    until the pressure is `target`, relaxing at every step of a secant search."""
    rng = np.random.default_rng(1)
    diameters = np.repeat([1.0, 1.4], 512)
    fraction, n = 0.92, len(diameters)
    scaled = rng.random((n, 2))
    potential = ms.potentials.SoftSphere()
    tried: list[tuple[float, float]] = []
    while not tried or abs(tried[-1][1] / target - 1.0) > 1e-3:
        length = np.sqrt(np.pi / 4.0 * np.sum(diameters**2) / fraction)
        start = System(
            scaled * length, length * np.eye(2), (True, True), ("X",) * n, (False,) * n,
            columns={"diameter": diameters},
        )  # fmt: skip
        params = potential.parameters(start, diameter="diameter")
        found = search(potential, params, start)
        s = found.setting
        state = Configuration(s.positions, s.cell, s.neighbors, start.pbc)
        pressure = float(ms.pressure(potential, params, state))
        print(f"fraction {fraction:.8f}  pressure {pressure:.6e}  {found.why}")
        tried.append((fraction, pressure))
        scaled = np.asarray(s.positions) / length
        fraction = next_fraction(tried, target)
    save(discs(np.mod(scaled, 1.0) * length, diameters, length), "jammed_2d_1024", "packing.extxyz")


def next_fraction(tried: list[tuple[float, float]], target: float) -> float:
    """Pressure is nearly linear above jamming: a secant, never more than halfway back at once."""
    (fraction, pressure) = tried[-1]
    if len(tried) == 1:
        return fraction - 0.02
    (before, other) = tried[-2]
    slope = (pressure - other) / (fraction - before)
    return fraction + (target - pressure) / slope


def argon_vacancy() -> None:
    """A 4 x 4 x 4 cubic fcc supercell of argon with one atom missing."""
    atoms = bulk("Ar", "fcc", a=5.2764, cubic=True).repeat(4)
    del atoms[0]
    save(atoms, "argon_vacancy", "vacancy.extxyz")


def lj_cluster_38() -> None:
    """The truncated octahedron: fcc sites around a hole, |x| + |y| + |z| <= 3 without corners."""
    grid = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = (grid.sum(axis=1) % 2 == 1) & (np.abs(grid).sum(axis=1) <= 3)
    sites = grid[inside & (np.abs(grid).max(axis=1) < 3)]
    nearest = 2.0 ** (1.0 / 6.0) * 0.98
    save(Atoms("X38", sites * nearest / np.sqrt(2.0)), "lj_cluster_38", "cluster.extxyz")


MAKERS = {f.__name__: f for f in (disks_128, jammed_2d_1024, argon_vacancy, lj_cluster_38)}

if __name__ == "__main__":
    for name in sys.argv[1:] or MAKERS:
        MAKERS[name]()
        print(f"systems/{name}")
