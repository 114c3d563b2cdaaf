"""Make the structure files under systems/: `python scripts/systems/make.py [name ...]`.

Every structure is a closed-form lattice or comes from a seeded random start, so the files are the
same each time up to the last digits of a relaxation; those from a melt only on the same machine, for
a melt forgets its start. Without names all are made but those in LARGE, which take minutes.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import jax
import numpy as np
from ase.build import bulk

jax.config.update("jax_enable_x64", True)

from crystals import (  # noqa: E402
    amorphous_silicon_64,
    amorphous_silicon_512,
    copper_vacancy,
    dislocation,
    silicon_bulk,
    silicon_vacancy,
)
from saving import save  # noqa: E402
from thermal import argon_liquid, disc_crystal, lj_fluid, silicon_300k  # noqa: E402

import mdsens as ms  # noqa: E402
from mdsens.equilibrium import search  # noqa: E402
from mdsens.io.structures import from_atoms  # noqa: E402
from mdsens.packings import jam, packing_fraction, random_spheres  # noqa: E402
from mdsens.potentials import Potential  # noqa: E402
from mdsens.system import System  # noqa: E402

HARMONIC = ms.potentials.SoftSphere()


def wrapped(system: System) -> System:
    fractional = np.asarray(system.positions) @ np.linalg.inv(system.cell)
    return system.with_positions(np.mod(fractional, 1.0) @ np.asarray(system.cell))


def bidisperse(n: int) -> np.ndarray:
    """Diameters 1.0 and 1.4, as many of each."""
    return np.repeat([1.0, 1.4], n // 2)


def jammed(
    diameters: np.ndarray, dimension: int, fraction: float, pressure: float, seed: int
) -> System:
    """Harmonic particles at a pressure, from a random start at a packing fraction above jamming."""
    start = random_spheres(diameters, dimension, fraction, seed)
    params = HARMONIC.parameters(start, diameter="diameter")
    packing = jam(HARMONIC, params, start, pressure=pressure)
    print(
        f"packing fraction {packing_fraction(packing.system, diameters):.6f}, pressure "
        f"{packing.pressure:.6e}, {packing.contacts} contacts, {packing.excess} more than isostatic, "
        f"{len(packing.rattlers)} rattlers, largest force {packing.fmax:.1e}"
    )
    return wrapped(packing.system)


def disks_128() -> None:
    """64 discs of diameter 0.6 and 64 of 1.0 at random in a square, packing fraction 0.98."""
    save(random_spheres(np.repeat([0.6, 1.0], 64), 2, 0.98, 0), "disks_128", "disks.extxyz")


def packing_2d_64() -> None:
    save(jammed(bidisperse(64), 2, 0.92, 1e-2, 0), "packing_2d_64")


def packing_3d_128() -> None:
    save(jammed(bidisperse(128), 3, 0.70, 1e-3, 0), "packing_3d_128")


def jammed_2d_1024() -> None:
    save(jammed(bidisperse(1024), 2, 0.92, 1e-3, 1), "jammed_2d_1024")


def packing_3d_1024() -> None:
    save(jammed(bidisperse(1024), 3, 0.70, 1e-3, 0), "packing_3d_1024")


def packing_2d_10000() -> None:
    save(jammed(bidisperse(10_000), 2, 0.92, 1e-2, 0), "packing_2d_10000")


def packing_3d_10000() -> None:
    save(jammed(bidisperse(10_000), 3, 0.70, 1e-2, 0), "packing_3d_10000")


def polydisperse_2d_256() -> None:
    """Diameters from a log-normal distribution with mean 1 and standard deviation 0.2."""
    width = np.sqrt(np.log(1.0 + 0.2**2))
    diameters = np.random.default_rng(0).lognormal(-(width**2) / 2.0, width, 256)
    save(jammed(diameters, 2, 0.92, 1e-3, 0), "polydisperse_2d_256")


def walled_2d_256() -> None:
    """A periodic packing cut open along x: the discs within `wall` of the cut are held. The others
    touch no disc further away than the largest diameter, 1.4: they stay in balance."""
    wall = 1.4
    system = jammed(bidisperse(256), 2, 0.92, 1e-2, 2)
    y, height = np.asarray(system.positions)[:, 1], system.cell[1, 1]
    held = (y < wall) | (y > height - wall)
    save(replace(system, pbc=(True, False), fixed=tuple(map(bool, held))), "walled_2d_256")


def kob_andersen_1000() -> None:
    """800 A and 200 B at density 1.2, quenched from random places: first as soft spheres, since the
    forces of overlapping Lennard-Jones particles know no bounds."""
    a, b = 800, 200
    side = ((a + b) / 1.2) ** (1.0 / 3.0)
    start = System(
        side * np.random.default_rng(0).random((a + b, 3)), side * np.eye(3), (True,) * 3,
        ("A",) * a + ("B",) * b, (False,) * (a + b),
    )  # fmt: skip
    sigma = {"A-A": 1.0, "A-B": 0.8, "B-B": 0.88}
    apart = quenched(HARMONIC, {"diameter": np.repeat([1.0, 0.88], [a, b])}, start)
    potential = ms.potentials.LennardJones(smoothing="force_shift")
    values = {
        "epsilon": {"A-A": 1.0, "A-B": 1.5, "B-B": 0.5},
        "sigma": sigma,
        "cutoff": {pair: 2.5 * s for pair, s in sigma.items()},
    }
    save(wrapped(quenched(potential, values, apart)), "kob_andersen_1000", "glass.extxyz")


def quenched(potential: Potential, values: dict, start: System) -> System:
    """The minimum that a system at random places goes to."""
    params = potential.parameters(start, **values)
    found = search(potential, params, start)
    assert not found.why, found.why
    system = start.with_positions(np.asarray(found.setting.positions))
    energy = float(ms.energy(potential, params, system)) / start.n_particles
    print(f"{potential.kind}: energy per particle {energy:.8f}")
    return system


def argon_vacancy() -> None:
    """A 4 x 4 x 4 cubic fcc supercell of argon with one atom missing."""
    atoms = bulk("Ar", "fcc", a=5.2764, cubic=True).repeat(4)
    del atoms[0]
    save(from_atoms(atoms), "argon_vacancy", "vacancy.extxyz")


def lj_cluster_38() -> None:
    """The truncated octahedron: fcc sites around a hole, |x| + |y| + |z| <= 3 without corners."""
    grid = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = (grid.sum(axis=1) % 2 == 1) & (np.abs(grid).sum(axis=1) <= 3)
    sites = grid[inside & (np.abs(grid).max(axis=1) < 3)]
    nearest = 2.0 ** (1.0 / 6.0) * 0.98
    n = len(sites)
    cluster = System(
        sites * nearest / np.sqrt(2.0), np.eye(3), (False,) * 3, ("X",) * n, (False,) * n
    )
    save(cluster, "lj_cluster_38", "cluster.extxyz")


SMALL = (
    disks_128, packing_2d_64, packing_3d_128, jammed_2d_1024, packing_3d_1024, polydisperse_2d_256,
    walled_2d_256, kob_andersen_1000, argon_vacancy, lj_cluster_38, silicon_bulk, silicon_vacancy,
    copper_vacancy, dislocation, lj_fluid, argon_liquid, silicon_300k, disc_crystal,
)  # fmt: skip
LARGE = (packing_2d_10000, packing_3d_10000, amorphous_silicon_64, amorphous_silicon_512)
MAKERS = {f.__name__: f for f in (*SMALL, *LARGE)}

if __name__ == "__main__":
    for name in sys.argv[1:] or [f.__name__ for f in SMALL]:
        MAKERS[name]()
        print(f"systems/{name}", flush=True)
