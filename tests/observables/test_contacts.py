"""Contact networks: forces in balance, and Maxwell's count against ranks and closed forms."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest

import mdsens as ms
from mdsens.observables import ContactNetwork, force_distribution
from tests.examples import EXAMPLES
from tests.observables.strained import relaxed
from tests.physics.test_elasticity import packing


def rank(network: ContactNetwork) -> int:
    values = np.linalg.svd(network.equilibrium_matrix.toarray(), compute_uv=False)
    return int(np.sum(values > 1e-9 * values[0]))


def stress(network: ContactNetwork, volume: float) -> np.ndarray:
    """-sum f r n / V over contacts."""
    length = np.linalg.norm(network.vectors, axis=1)
    return (
        -np.einsum("m,ma,mb->ab", network.forces / length, network.vectors, network.vectors)
        / volume
    )


@pytest.mark.parametrize(("pressure", "excess"), [("-1.0", 49), ("-4.0", 1)])
def test_stored_packings(shared_data, pressure: str, excess: int):
    *known, _ = packing(shared_data, pressure, 0)
    network = ms.contact_network(*known)
    assert network.excess == excess
    assert network.isostatic == 2 * int(network.free.sum()) - 2
    assert network.floppy_modes == 0
    assert network.states_of_self_stress == network.contacts - rank(network) == excess
    assert network.coordination == float(ms.coordination(*known))
    assert np.all(network.forces > 0.0)
    unbalanced = network.equilibrium_matrix @ network.forces
    np.testing.assert_allclose(unbalanced, 0.0, atol=1e-11)
    known_stress = ms.stress(*known)
    volume = float(ms.volume(*known))
    np.testing.assert_allclose(stress(network, volume), known_stress, atol=1e-12)


@pytest.mark.parametrize(
    "name", ["walled_discs", "spheres", pytest.param("rattling_discs", marks=pytest.mark.slow)]
)
def test_maxwell_count(name: str):
    example, minimum, _ = relaxed(name)
    network = ms.contact_network(example.potential, example.params, minimum)
    d = example.system.dimension
    walls = sum(example.system.fixed)
    assert network.rigid_motions == (0 if walls else d)
    assert int(network.free.sum()) == example.system.n_particles - walls - network.rattlers.sum()
    assert network.states_of_self_stress == network.contacts - rank(network)
    assert network.floppy_modes == network.isostatic - rank(network)
    np.testing.assert_allclose(network.equilibrium_matrix @ network.forces, 0.0, atol=1e-11)
    walled = np.asarray(example.system.fixed)
    assert not np.any(walled[network.pairs].all(axis=1))


def square_lattice(n: int) -> ContactNetwork:
    """n x n particles with their four neighbours: 2 n straight lines carry self-stress, and each line
    but two may slide along itself."""
    site = np.arange(n * n).reshape(n, n)
    pairs = [np.column_stack([site.ravel(), np.roll(site, -1, axis).ravel()]) for axis in (0, 1)]
    vectors = np.repeat(np.eye(2), n * n, axis=0)
    return ContactNetwork(
        np.vstack(pairs),
        vectors,
        np.ones(2 * n * n),
        np.ones(n * n, bool),
        np.zeros(n * n, bool),
        2,
    )


@pytest.mark.parametrize("n", [3, 10, 40])
def test_square_lattice(n: int):
    network = square_lattice(n)
    assert network.excess == 2
    assert network.floppy_modes == 2 * n - 2
    assert network.states_of_self_stress == 2 * n
    assert np.all(network.equilibrium_matrix @ network.forces == 0.0)


def test_nothing_touches():
    system = EXAMPLES["discs"]().system
    potential = ms.potentials.SoftSphere()
    params = potential.parameters(system, diameter=1e-3)
    network = ms.contact_network(potential, params, system)
    assert (network.contacts, network.isostatic, network.coordination) == (0, 0, 0.0)
    assert network.states_of_self_stress == network.floppy_modes == 0


def with_forces(forces: np.ndarray) -> ContactNetwork:
    return replace(square_lattice(3), forces=forces)


def test_force_distribution():
    """Two packings with forces 1, 3 and 10, 30, half each: 0.5 and 1.5 of the mean."""
    alternating = np.where(np.arange(18) % 2, 3.0, 1.0)
    networks = [with_forces(alternating), with_forces(10.0 * alternating)]
    edges = np.array([0.0, 0.4, 0.6, 1.4, 1.6])
    found = force_distribution(networks, edges)
    np.testing.assert_allclose(found, [0.0, 0.5 / 0.2, 0.0, 0.5 / 0.2], rtol=1e-12)
    # What lies outside counts: the integral is the share inside.
    assert force_distribution(networks, [0.0, 1.0]) == pytest.approx(0.5)


@pytest.mark.slow
def test_force_distribution_of_a_packing():
    """No rattlers, integral one, mean one."""
    example, minimum, _ = relaxed("rattling_discs")
    network = ms.contact_network(example.potential, example.params, minimum)
    edges = np.linspace(0.0, 6.0, 601)
    p, f = force_distribution([network], edges), 0.5 * (edges[1:] + edges[:-1])
    assert np.sum(p) * 0.01 == pytest.approx(1.0)
    assert np.sum(f * p) * 0.01 == pytest.approx(1.0, abs=0.005)


@pytest.mark.parametrize("edges", [[1.0], [1.0, 1.0], [[0.0, 1.0]], [0.0, np.nan]])
def test_force_distribution_refuses_edges(edges):
    with pytest.raises(ms.InputError, match="increasing"):
        force_distribution([with_forces(np.ones(18))], edges)


def test_force_distribution_needs_contacts():
    with pytest.raises(ms.InputError, match="no contacts"):
        force_distribution([], [0.0, 1.0])


def test_contacts_need_a_potential_that_knows_them():
    example = EXAMPLES["crystal_vacancy"]()
    with pytest.raises(ms.InputError, match="knows no contacts"):
        ms.contact_network(example.potential, example.params, example.system)


def test_coordination_between_walls_counts_walls_as_held():
    """Fixed particles are never rattlers, also where `sensitivity` measures."""
    example, minimum, _ = relaxed("walled_discs")
    known = example.potential, example.params
    result = ms.sensitivity(*known, example.system, observables=["coordination"])
    assert float(result.observables["coordination"]) == float(ms.coordination(*known, minimum))


def test_pair_forces_of_a_sum_add_up_to_the_forces():
    example = EXAMPLES["sum_of_two"]()
    s = ms.observables.as_configuration(example.potential, example.params, example.system)
    known = example.params, s.positions, s.cell, s.neighbors
    f, r = example.potential.pair_forces(*known), s.neighbors.vectors(s.positions, s.cell)
    pull = np.asarray(f)[:, None] * np.asarray(r) / np.linalg.norm(r, axis=1, keepdims=True)
    forces = np.zeros(s.positions.shape)
    np.add.at(forces, np.asarray(s.neighbors.i), -pull)
    np.add.at(forces, np.asarray(s.neighbors.j), pull)
    energy = jax.grad(example.potential.energy, argnums=1)(*known)
    np.testing.assert_allclose(forces, -energy, atol=1e-12)
