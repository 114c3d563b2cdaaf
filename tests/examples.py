"""Small relaxable systems, each of another kind, shared by the tests of relaxation and derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

import mdsens as ms
from mdsens.equilibrium import Found, search
from mdsens.potentials import Potential
from mdsens.system import System


@dataclass(frozen=True)
class Example:
    """A potential, its parameters and a start; `options` for relax."""

    potential: Potential
    params: Any
    system: System
    options: dict[str, Any] = field(default_factory=dict)

    def found(self, **more: Any) -> Found:
        return search(self.potential, self.params, self.system, **{**self.options, **more})


def make(positions, cell, pbc, species=None, fixed=None, units="reduced", **columns) -> System:
    """A System from arrays."""
    n = len(positions)
    return System(
        np.asarray(positions, float),
        np.asarray(cell, float),
        tuple(pbc),
        tuple(species or ["X"] * n),
        tuple(fixed if fixed is not None else [False] * n),
        columns={k: np.asarray(v) for k, v in columns.items()},
        units=units,
    )


def settled(system: System) -> System:
    """The system after some way down the gradient of its overlaps.

    From a random start the minimizers are chaotic: rounding, and so the processor and the compiler,
    choose the minimum. Small steps along the gradient are not.
    """
    x, cell = np.array(system.positions), np.asarray(system.cell)
    sizes = system.columns["diameter"]
    reach = 0.5 * (sizes[:, None] + sizes[None, :])
    np.fill_diagonal(reach, 0.0)
    for _ in range(3000):
        r = x[:, None] - x[None, :]
        r -= np.round(r @ np.linalg.inv(cell)) @ cell
        distance = np.linalg.norm(r, axis=2) + np.eye(len(x))
        overlap = np.maximum(reach - distance, 0.0)
        force = np.einsum("ij,ija->ia", overlap / distance, r)
        x += 0.1 * np.where(np.asarray(system.fixed)[:, None], 0.0, force)
    return system.with_positions(x)


def random_discs(n: int, fraction: float, seed: int, stretch: float = 1.0, shear: float = 0.0):
    """Bidisperse discs (0.6 and 1.0) in a parallelogram, settled from random places."""
    rng = np.random.default_rng(seed)
    diameters = np.where(np.arange(n) % 2, 0.6, 1.0)
    side = np.sqrt(np.pi / 4 * np.sum(diameters**2) / fraction)
    cell = side * np.array([[stretch, 0.0], [shear, 1.0 / stretch]])
    system = make(rng.random((n, 2)) @ cell, cell, (True, True), diameter=diameters)
    return settled(system) if n <= 100 else system


def discs() -> Example:
    system = random_discs(24, 0.98, 1)
    potential = ms.potentials.SoftSphere()
    return Example(potential, potential.parameters(system, diameter="diameter"), system)


def discs_with_rattlers() -> Example:
    system = random_discs(40, 0.90, 23)
    potential = ms.potentials.SoftSphere()
    return Example(potential, potential.parameters(system, diameter="diameter"), system)


def sheared_hertzian_discs() -> Example:
    system = random_discs(20, 1.05, 4, stretch=1.3, shear=0.25)
    potential = ms.potentials.SoftSphere()
    params = potential.parameters(
        system, diameter="diameter", alpha=2.5, epsilon=np.linspace(0.8, 1.3, 20)
    )
    return Example(potential, params, system)


def spheres() -> Example:
    rng = np.random.default_rng(5)
    n = 24
    diameters = np.linspace(0.9, 1.2, n)
    side = (np.pi / 6 * np.sum(diameters**3) / 0.75) ** (1 / 3)
    cell = side * np.array([[1.0, 0, 0], [0.2, 1.0, 0], [-0.1, 0.15, 1.0]])
    system = settled(make(rng.random((n, 3)) @ cell, cell, (True,) * 3, diameter=diameters))
    potential = ms.potentials.SoftSphere()
    return Example(potential, potential.parameters(system, diameter="diameter"), system)


def crystal_vacancy() -> Example:
    """fcc, 31 of 32 sites, cell smaller than twice the cutoff; two species."""
    from ase.build import bulk

    atoms = bulk("Ar", "fcc", a=5.27, cubic=True).repeat(2)
    del atoms[0]
    species = ["Kr" if k % 5 == 0 else "Ar" for k in range(len(atoms))]
    system = make(atoms.positions, atoms.cell[:], (True,) * 3, species, units="metal")
    potential = ms.potentials.LennardJones(smoothing="force_shift")
    params = potential.parameters(
        system,
        epsilon={"Ar-Ar": 0.0103, "Kr-Ar": 0.012, "Kr-Kr": 0.014},
        sigma={"Ar": 3.40, "Kr": 3.47},
        cutoff=7.6,
    )
    return Example(potential, params, system)


def cluster() -> Example:
    """Seven Lennard-Jones atoms, free: a pentagonal bipyramid."""
    angle = 2 * np.pi * np.arange(5) / 5
    ring = np.column_stack([np.cos(angle), np.sin(angle), np.zeros(5)])
    positions = np.vstack([0.95 * ring, [[0, 0, 0.55], [0, 0, -0.6]]])
    system = make(positions, np.eye(3), (False,) * 3)
    potential = ms.potentials.LennardJones(smoothing="none")
    return Example(
        potential, potential.parameters(system, epsilon=1.0, sigma=1.0, cutoff=10.0), system
    )


def held_cluster() -> Example:
    """The same with one atom held: three rotations remain."""
    free = cluster()
    system = make(free.system.positions, np.eye(3), (False,) * 3, fixed=[k == 2 for k in range(7)])
    return Example(free.potential, free.params, system)


def morse_wire() -> Example:
    """A zig-zag periodic along x only: three translations and the rotation about x."""
    x = np.arange(6) * 0.55
    positions = np.column_stack([x, 0.35 * (-1.0) ** np.arange(6), 0.3 * ((np.arange(6) % 3) - 1)])
    system = make(positions, np.diag([3.3, 1.0, 1.0]), (True, False, False))
    potential = ms.potentials.Morse(smoothing="xplor")
    params = potential.parameters(system, D0=1.0, alpha=3.0, r0=1.0, cutoff=2.6)
    return Example(potential, params, system)


def walled_discs() -> Example:
    """Discs between two rows of fixed ones."""
    system = random_discs(24, 1.0, 8)
    height = system.cell[1, 1]
    fixed = system.positions[:, 1] > 0.8 * height
    system = make(
        system.positions,
        system.cell,
        (True, True),
        fixed=fixed,
        diameter=system.columns["diameter"],
    )
    potential = ms.potentials.SoftSphere()
    return Example(potential, potential.parameters(system, diameter="diameter"), system)


def sum_of_two() -> Example:
    """Soft discs that also attract."""
    system = random_discs(20, 0.95, 3)
    potential = ms.potentials.SoftSphere() + ms.potentials.Morse()
    params = potential.parameters(
        system,
        soft_sphere={"diameter": "diameter", "epsilon": 2.0},
        morse={"D0": 0.05, "alpha": 3.0, "r0": 0.9, "cutoff": 2.0},
    )
    return Example(potential, params, system)


def free_cell() -> Example:
    """A small binary crystal relaxing its cell under pressure."""
    from ase.build import bulk

    atoms = bulk("Ar", "fcc", a=5.4, cubic=True)
    atoms.rattle(0.05, seed=3)
    species = ["Kr", "Ar", "Ar", "Ar"]
    system = make(atoms.positions, atoms.cell[:], (True,) * 3, species, units="metal")
    potential = ms.potentials.LennardJones(smoothing="force_shift")
    params = potential.parameters(
        system, epsilon={"Ar-Ar": 0.0103, "Ar-Kr": 0.012, "Kr-Kr": 0.014}, sigma=3.4, cutoff=8.5
    )
    return Example(potential, params, system, {"cell": "full", "pressure": 1e-3})


EXAMPLES: dict[str, Callable[[], Example]] = {
    f.__name__: cache(f)
    for f in (
        discs,
        discs_with_rattlers,
        sheared_hertzian_discs,
        spheres,
        crystal_vacancy,
        cluster,
        held_cluster,
        morse_wire,
        walled_discs,
        sum_of_two,
        free_cell,
    )
}
