"""Rigid motions: as many as there should be, orthonormal, and costing no energy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdsens.gauge import rigid_projector, zero_modes
from mdsens.neighbors import pair_list
from mdsens.potentials import LennardJones, Morse
from tests.examples import make

BLOB = np.random.default_rng(1).normal(size=(7, 3))
FLAT = np.random.default_rng(2).normal(size=(6, 2))
LINE = np.outer(np.arange(4.0), [1.0, 2.0, -0.5])
OPEN, CLOSED = (False,) * 3, (True,) * 3

# name: positions, pbc, fixed particles, number of rigid motions
CASES = {
    "crystal": (BLOB, CLOSED, (), 3),
    "crystal in 2D": (FLAT, (True, True), (), 2),
    "cluster": (BLOB, OPEN, (), 6),
    "cluster in 2D": (FLAT, (False, False), (), 3),
    "pair": (BLOB[:2], OPEN, (), 5),
    "pair in 2D": (FLAT[:2], (False, False), (), 3),
    "straight molecule": (LINE, OPEN, (), 5),
    "one atom": (BLOB[:1], OPEN, (), 3),
    "one atom far away": (BLOB[:1] + 1e4, OPEN, (), 3),
    "one atom in a crystal": (BLOB[:1], CLOSED, (), 3),
    "slab": (BLOB, (True, True, False), (), 3),
    "wire along x": (BLOB, (True, False, False), (), 4),
    "wire along z": (BLOB, (False, False, True), (), 4),
    "straight wire": (LINE[:, :1] * [[1.0, 0, 0]], (True, False, False), (), 3),
    "strip": (FLAT, (True, False), (), 2),
    "cluster, one held": (BLOB, OPEN, (2,), 3),
    "cluster, two held": (BLOB, OPEN, (2, 5), 1),
    "cluster, three held": (BLOB, OPEN, (0, 2, 5), 0),
    "cluster, all held": (BLOB, OPEN, range(7), 0),
    "cluster in 2D, one held": (FLAT, (False, False), (0,), 1),
    "cluster in 2D, two held": (FLAT, (False, False), (0, 3), 0),
    "pair, one held": (BLOB[:2], OPEN, (1,), 2),
    "straight molecule, one held": (LINE, OPEN, (1,), 2),
    "straight molecule, two held": (LINE, OPEN, (0, 2), 0),
    "straight molecule, three held": (LINE, OPEN, (0, 1, 2), 0),
    "crystal, one held": (BLOB, CLOSED, (3,), 0),
    "slab, one held": (BLOB, (True, True, False), (3,), 0),
    "wire, one held": (BLOB, (True, False, False), (3,), 1),
    "wire, two held": (BLOB, (True, False, False), (3, 4), 0),
    "one atom, held": (BLOB[:1], OPEN, (0,), 0),
}
CELL = np.array([[3.0, 0.4, -0.2], [0.3, 2.5, 0.1], [0.2, -0.6, 2.8]])


def projector_of(positions, pbc, held=(), loose=(), n_extra=0):
    n, d = positions.shape
    mark = [np.isin(np.arange(n), list(k)) for k in (held, loose)]
    build = jax.jit(rigid_projector, static_argnums=(2, 5))
    # In the plain frame "along x" is x.
    cell = CELL[:d, :d] if all(pbc) else np.eye(d)
    return build(jnp.asarray(positions), jnp.asarray(cell), pbc, *map(jnp.asarray, mark), n_extra)


@pytest.mark.parametrize("name", CASES)
def test_count(name: str):
    positions, pbc, held, count = CASES[name]
    projector = projector_of(positions, pbc, held)
    assert int(zero_modes(projector)) == count
    basis = np.asarray(projector.basis)
    present = basis[:, np.linalg.norm(basis, axis=0) > 0.5]
    np.testing.assert_allclose(present.T @ present, np.eye(count), atol=1e-12)
    assert np.sum(np.abs(basis) > 0) == np.sum(np.abs(present) > 0)


@pytest.mark.parametrize("name", CASES)
def test_symmetric_idempotent_and_still_where_held(name: str):
    positions, pbc, held, count = CASES[name]
    projector = projector_of(positions, pbc, held)
    n, d = positions.shape
    p = np.asarray(projector(jnp.eye(n * d)))
    np.testing.assert_allclose(p, p.T, atol=1e-12)
    np.testing.assert_allclose(p @ p, p, atol=1e-12)
    np.testing.assert_allclose(np.trace(p), (n - len(held)) * d - count, atol=1e-9)
    rows = p.reshape(n, d, n * d)
    assert np.all(rows[list(held)] == 0.0)


@pytest.mark.parametrize("name", ["crystal", "cluster", "slab", "wire along z", "cluster in 2D"])
def test_what_is_left_has_no_mean_displacement(name: str, rng: np.random.Generator):
    positions, pbc, _, _ = CASES[name]
    projector = projector_of(positions, pbc, loose=(1, 4))
    left = np.asarray(projector(jnp.asarray(rng.normal(size=positions.size)))).reshape(
        positions.shape
    )
    np.testing.assert_allclose(left.mean(axis=0), 0.0, atol=1e-13)
    assert np.all(left[[1, 4]] == 0.0)
    assert np.abs(left).max() > 0.1


def test_rattlers_do_not_hold_the_rest():
    assert int(zero_modes(projector_of(BLOB, OPEN, loose=(1, 4)))) == 6
    assert int(zero_modes(projector_of(BLOB, OPEN, loose=range(7)))) == 0
    assert int(zero_modes(projector_of(BLOB, OPEN, held=(0,), loose=(1, 4)))) == 3
    # Two are left of which one is held.
    assert int(zero_modes(projector_of(BLOB, OPEN, held=(0,), loose=range(2, 7)))) == 2


@pytest.mark.parametrize("scale", [1e-10, 1e10])
@pytest.mark.parametrize(
    "name", ["cluster", "straight molecule", "cluster, two held", "wire, one held"]
)
def test_the_unit_of_length_does_not_matter(name: str, scale: float):
    positions, pbc, held, count = CASES[name]
    assert int(zero_modes(projector_of(scale * positions, pbc, held))) == count


def test_strains_stay():
    projector = projector_of(BLOB, CLOSED, n_extra=6)
    assert projector.basis.shape[0] == projector.size == 27
    v = jnp.arange(27.0)
    assert np.array_equal(projector(v)[21:], v[21:])


def test_wire_turns_about_its_own_axis():
    # Periodic along an oblique direction; wrapping along it changes nothing.
    axis = np.array([1.0, 1.0, 0.5])
    cell = np.vstack([axis, np.eye(3)[1:]])
    x = jnp.asarray(BLOB)
    no = jnp.zeros(7, bool)
    here = rigid_projector(x, jnp.asarray(cell), (True, False, False), no, no)
    there = rigid_projector(
        x + jnp.outer(jnp.arange(7.0), axis), jnp.asarray(cell), (True, False, False), no, no
    )
    np.testing.assert_allclose(here(jnp.eye(21)), there(jnp.eye(21)), atol=1e-12)
    assert int(zero_modes(here)) == 4
    turn = jnp.asarray(np.cross(axis, BLOB).ravel())
    np.testing.assert_allclose(here(turn), 0.0, atol=1e-12)
    wrong = jnp.asarray(np.cross([1.0, 0, 0], BLOB).ravel())
    assert np.abs(here(wrong)).max() > 0.1


def test_shapes_do_not_depend_on_what_is_held():
    no = np.zeros(7, bool)
    masks = jnp.asarray([no, np.arange(7) == 2, np.arange(7) < 2, np.arange(7) < 4])

    def count(fixed):
        projector = rigid_projector(jnp.asarray(BLOB), jnp.eye(3), OPEN, fixed, jnp.asarray(no))
        return zero_modes(projector)

    assert jax.jit(jax.vmap(count))(masks).tolist() == [6, 3, 1, 0]


def relaxed_octahedron():
    """Six atoms at the distance where neither feels a force."""
    from scipy.optimize import brentq

    corners = np.vstack([np.eye(3), -np.eye(3)])
    potential = LennardJones(smoothing="none")
    system = make(corners, np.eye(3), OPEN)
    params = potential.parameters(system, epsilon=1.0, sigma=1.0, cutoff=9.0)
    pairs = jax.tree.map(jnp.asarray, pair_list(system, 9.0))
    slope = jax.jit(jax.grad(lambda s: potential.energy(params, s * corners, jnp.eye(3), pairs)))
    size = brentq(lambda s: float(slope(s)), 0.7, 0.9, xtol=1e-15)
    return potential, params, size * corners, pairs


def test_rigid_motions_of_a_relaxed_cluster_cost_nothing():
    potential, params, x, pairs = relaxed_octahedron()
    h = jax.hessian(lambda y: potential.energy(params, y.reshape(6, 3), jnp.eye(3), pairs))(
        jnp.asarray(x.ravel())
    )
    basis = projector_of(x, OPEN).basis
    assert basis.shape[1] == 6
    np.testing.assert_allclose(h @ basis, 0.0, atol=1e-11 * np.abs(h).max())
    # And nothing else does.
    assert np.sum(np.abs(np.linalg.eigvalsh(h)) < 1e-9 * np.abs(h).max()) == 6
    # With one atom held the three motions left still cost nothing.
    projector = projector_of(x, OPEN, held=(0,))
    np.testing.assert_allclose(
        np.where(projector.mask[:, None] > 0, h @ projector.basis, 0.0), 0.0, atol=1e-9
    )


def test_rigid_motions_of_a_stressed_crystal_cost_nothing():
    system = make(BLOB @ np.eye(3), 4.0 * np.eye(3), CLOSED)
    potential = Morse()
    params = potential.parameters(system, D0=1.0, alpha=2.0, r0=1.0, cutoff=3.0)
    pairs = jax.tree.map(jnp.asarray, pair_list(system, 3.0))
    h = jax.hessian(lambda y: potential.energy(params, y.reshape(7, 3), 4.0 * jnp.eye(3), pairs))(
        jnp.asarray(system.positions.ravel())
    )
    basis = projector_of(system.positions, CLOSED).basis
    np.testing.assert_allclose(h @ basis, 0.0, atol=1e-11 * np.abs(h).max())
