"""Numbers that other programs found, and sums that crystallographers know."""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize_scalar

import mdsens as ms
from mdsens.neighbors import pair_list
from mdsens.potentials import LennardJones, SoftSphere
from tests.examples import make
from tests.neighbors.cells import FCC

A0, E0 = 1.549603424, -7.463262038  # truncated at 2.5 sigma and shifted


def crystal(kind: str):
    cubic = np.vstack([np.zeros(3), FCC])
    if kind == "primitive":
        return make(np.zeros((1, 3)), A0 * FCC, (True,) * 3)
    if kind == "cubic":
        return make(A0 * cubic, A0 * np.eye(3), (True,) * 3)
    corners = np.stack(np.meshgrid(*3 * [np.arange(3)], indexing="ij"), -1).reshape(-1, 1, 3)
    return make(A0 * (corners + cubic).reshape(-1, 3), 3 * A0 * np.eye(3), (True,) * 3)


def lennard_jones(system):
    return LennardJones().parameters(system, epsilon=1.0, sigma=1.0, cutoff=2.5)


@pytest.mark.parametrize("kind", ["primitive", "cubic", "supercell"])
def test_fcc_lennard_jones(kind: str):
    system = crystal(kind)
    params = lennard_jones(system)
    energy = ms.energy(LennardJones(), params, system)
    np.testing.assert_allclose(energy / system.n_particles, E0, rtol=2e-10)
    # a0 is where the pressure vanishes; it is known to ten digits.
    assert abs(ms.pressure(LennardJones(), params, system)) < 1e-6


def test_elastic_constants_of_fcc_lennard_jones():
    # One atom per cell: nothing can relax inside.
    system = crystal("primitive")
    params = lennard_jones(system)
    x, h = jnp.asarray(system.positions), jnp.asarray(system.cell)
    pairs = jax.tree.map(jnp.asarray, pair_list(system, 2.6))

    def energy(e):
        strain = jnp.array([[e[0], e[2], 0.0], [e[2], e[1], 0.0], [0.0, 0.0, 0.0]])
        return LennardJones().strained_energy(params, x, h, pairs, strain)

    c = jax.hessian(energy)(jnp.zeros(3)) / (A0**3 / 4)
    np.testing.assert_allclose(c[0, 0], 97.712060, rtol=1e-7)
    np.testing.assert_allclose(c[0, 1], 55.626630, rtol=1e-7)
    np.testing.assert_allclose(c[2, 2] / 4, 55.626630, rtol=1e-7)


def test_infinite_fcc_lattice_sums():
    # The pair sum to 9 sigma and the rest as an integral: A12 and A6.
    a0, e0 = 1.54173738, -8.61020051
    system = make(np.zeros((1, 3)), a0 * FCC, (True,) * 3)
    potential = LennardJones(smoothing="none")
    params = potential.parameters(system, epsilon=1.0, sigma=1.0, cutoff=9.0)
    density = 4 / a0**3
    tail = 2 * np.pi * density * 4 * (1 / (9 * 9.0**9) - 1 / (3 * 9.0**3))
    np.testing.assert_allclose(ms.energy(potential, params, system) + tail, e0, atol=2e-4)


def icosahedron() -> np.ndarray:
    g = (1 + np.sqrt(5)) / 2
    corners = [[0, s, t * g] for s in (-1, 1) for t in (-1, 1)]
    corners = np.vstack([np.roll(corners, k, axis=1) for k in range(3)])
    return np.vstack([np.zeros(3), corners / np.linalg.norm(corners[0])])


def test_the_cluster_of_thirteen():
    system = make(icosahedron(), np.eye(3), (False,) * 3)
    potential = LennardJones(smoothing="none")
    params = potential.parameters(system, epsilon=1.0, sigma=1.0, cutoff=10.0)
    pairs = jax.tree.map(jnp.asarray, pair_list(system, 5.0))
    energy = jax.jit(lambda s: potential.energy(params, s * system.positions, jnp.eye(3), pairs))
    best = minimize_scalar(lambda s: float(energy(s)), bracket=(1.0, 1.1), tol=1e-10)
    np.testing.assert_allclose(best.fun, -44.326801, atol=5e-7)


@cache
def records(path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path) as file:
        return {k: np.asarray(file[k]) for k in ("pos", "rad", "box", "Energy", "Stress")}


PRESSURES = ["2d_polyuniform_N64_Lp-1.0.nc", "2d_polyuniform_N64_Lp-4.0.nc"]


@pytest.mark.parametrize("name", PRESSURES)
def test_jammed_packings(name: str, shared_data):
    data = records(shared_data("jax_md_packings") / name)
    for k in range(10):
        cell = data["box"][k].reshape(2, 2)
        diameter = 2 * data["rad"][k]
        system = make(data["pos"][k].reshape(64, 2) @ cell, cell, (True, True), diameter=diameter)
        params = SoftSphere().parameters(system, diameter="diameter")
        np.testing.assert_allclose(
            ms.energy(SoftSphere(), params, system), data["Energy"][k], rtol=1e-7
        )
        stress = ms.stress(SoftSphere(), params, system)
        scale = np.abs(data["Stress"][k]).max()
        np.testing.assert_allclose(stress, data["Stress"][k].reshape(2, 2), atol=1e-6 * scale)


@pytest.mark.parametrize(
    ("name", "pressure", "z", "rattlers"),
    [(PRESSURES[0], 0.100295, 5.4688, 0), (PRESSURES[1], 9.99356e-5, 3.9672, 3)],
)
def test_contacts_of_jammed_packings(
    name: str, pressure: float, z: float, rattlers: int, shared_data
):
    from mdsens.gauge import rattlers as find_rattlers

    data = records(shared_data("jax_md_packings") / name)
    cell = data["box"][0].reshape(2, 2)
    system = make(
        data["pos"][0].reshape(64, 2) @ cell, cell, (True, True), diameter=2 * data["rad"][0]
    )
    params = SoftSphere().parameters(system, diameter="diameter")
    np.testing.assert_allclose(ms.pressure(SoftSphere(), params, system), pressure, rtol=1e-5)
    np.testing.assert_allclose(ms.coordination(SoftSphere(), params, system), z, atol=5e-5)
    pairs = jax.tree.map(jnp.asarray, pair_list(system, 2.0))
    touching = SoftSphere().contacts(
        params, jnp.asarray(system.positions), jnp.asarray(cell), pairs
    )
    assert np.sum(find_rattlers(pairs, touching, jnp.zeros(64, bool), 2)) == rattlers
