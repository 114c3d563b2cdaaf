"""Behler-Parrinello networks: symmetry functions against jax-md's, derivatives against differences."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mdsens as ms
from mdsens.errors import InputError
from mdsens.neighbors import pair_list
from mdsens.potentials import BehlerParrinello
from tests.potentials.crystals import SW_SILICON, cubic, disordered, mixed

RADIAL = ((0.3, 0.0), (1.5, 0.0))
ANGULAR = ((0.05, -1.0, 1), (0.02, 1.0, 4))


def network(elements=("Si",), reach=2.6, **more) -> BehlerParrinello:
    return BehlerParrinello(elements, reach, RADIAL, ANGULAR, **{"hidden": (5,), **more})


def test_symmetry_functions_are_those_of_jax_md():
    from jax_md import space
    from jax_md._nn import behler_parrinello as oracle

    system = disordered(cubic(5.43), 0.1, 3)
    displacement, _ = space.periodic_general(system.cell.T, fractional_coordinates=False)
    radial = oracle.radial_symmetry_functions(
        displacement, None, jnp.array([eta for eta, _ in RADIAL]), 2.6
    )
    angular = oracle.angular_symmetry_functions(
        displacement, None, *(jnp.array(column, float) for column in zip(*ANGULAR, strict=True)),
        2.6,
    )  # fmt: skip
    x = jnp.asarray(system.positions)
    with jax.numpy_rank_promotion("allow"):
        expected = np.concatenate([radial(x), angular(x)], axis=1)
    np.testing.assert_allclose(network().features(system), expected, rtol=1e-9, atol=1e-12)


def test_two_elements_against_loops():
    names = ("Ge", "Si")
    system = mixed(disordered(cubic(5.43), 0.1, 4), names)
    potential = network(names)
    found = potential.features(system)
    images = np.stack(np.meshgrid(*[range(-1, 2)] * 3, indexing="ij"), -1).reshape(-1, 3)
    everybody = (system.positions[:, None] + images @ system.cell).reshape(-1, 3)
    species = np.repeat(system.species, len(images))

    def fade(r):
        return 0.5 + 0.5 * np.cos(np.pi * r / 2.6) if r < 2.6 else 0.0

    for i, x in enumerate(system.positions):
        near = [k for k in range(len(everybody)) if 1e-6 < np.linalg.norm(everybody[k] - x) < 2.6]
        expected = dict.fromkeys([(n, eta) for eta, _ in RADIAL for n in names], 0.0)
        pairs = [(names[0], names[0]), (names[0], names[1]), (names[1], names[1])]
        expected |= dict.fromkeys([(*p, a) for a in ANGULAR for p in pairs], 0.0)
        for j in near:
            to_j = everybody[j] - x
            r = np.linalg.norm(to_j)
            for eta, _ in RADIAL:
                expected[species[j], eta] += np.exp(-eta * r**2) * fade(r)
            for k in near:
                to_k = everybody[k] - x
                s, t = np.linalg.norm(to_k), np.linalg.norm(to_j - to_k)
                if j == k or (species[j], species[k]) not in pairs:
                    continue
                for eta, lam, zeta in ANGULAR:
                    value = 2.0 ** (1 - zeta) * (1 + lam * to_j @ to_k / (r * s)) ** zeta
                    value *= np.exp(-eta * (r**2 + s**2 + t**2)) * fade(r) * fade(s) * fade(t)
                    expected[species[j], species[k], (eta, lam, zeta)] += value
        np.testing.assert_allclose(found[i], list(expected.values()), rtol=1e-9, atol=1e-13)


@pytest.fixture(scope="module")
def silicon():
    system, potential = disordered(cubic(5.43), 0.1, 3), network()
    params = potential.parameters(system, data=[system], seed=1)
    pairs = pair_list(system, 2.6 * 1.2)
    pairs = potential.tabled(params, pairs, system.positions, system.cell)
    return system, potential, params, jax.device_put(pairs)


def test_energy_is_that_of_the_network(silicon):
    system, potential, params, pairs = silicon
    x = potential.features(system)
    x = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-3)
    hidden, last = jax.tree.map(np.asarray, params["weights"]["Si"])
    expected = np.sum(np.tanh(x @ hidden["w"] + hidden["b"]) @ last["w"] + last["b"])
    energy = potential.energy(params, jnp.asarray(system.positions), system.cell, pairs)
    np.testing.assert_allclose(energy, expected, rtol=1e-12)


def test_slopes(silicon):
    system, potential, params, pairs = silicon
    x = jnp.asarray(system.positions)

    def energy(params, x):
        return potential.energy(params, x, system.cell, pairs)

    by_weights, by_x = jax.jit(jax.grad(energy, argnums=(0, 1)))(params, x)
    np.testing.assert_allclose(potential.gradient(params, x, system.cell, pairs), by_x, atol=1e-12)
    rng, h = np.random.default_rng(0), 1e-5
    step = rng.standard_normal(x.shape)
    difference = (energy(params, x + h * step) - energy(params, x - h * step)) / (2 * h)
    np.testing.assert_allclose(jnp.sum(by_x * step), difference, rtol=1e-7)
    way = jax.tree.map(lambda w: jnp.asarray(rng.standard_normal(w.shape)), params["weights"])

    def moved(by):
        weights = jax.tree.map(lambda w, d: w + by * d, params["weights"], way)
        return energy({**params, "weights": weights}, x)

    slope = jax.tree.reduce(
        jnp.add, jax.tree.map(lambda a, b: jnp.sum(a * b), by_weights["weights"], way)
    )
    np.testing.assert_allclose(slope, (moved(h) - moved(-h)) / (2 * h), rtol=1e-7)


def test_refused(silicon):
    system, potential, _, _ = silicon
    with pytest.raises(InputError, match="Si is none of its elements, Ge"):
        network(("Ge",)).features(system)
    with pytest.raises(InputError, match="no Ge in the structures"):
        network(("Ge", "Si")).parameters(system)
    with pytest.raises(InputError, match="no parameter epsilon"):
        potential.parameters(system, epsilon=1.0)


@pytest.mark.slow
def test_relaxed_lattice_constant_by_weights():
    """A network on top of Stillinger-Weber silicon: implicit against relaxed differences."""
    system = cubic(5.43)
    stand, potential = ms.potentials.StillingerWeber(), network()
    both = stand + potential
    weights = potential.parameters(system, data=[disordered(system, 0.2, 0)], seed=2)
    params = {
        "stillinger_weber": stand.parameters(system, **SW_SILICON), "behler_parrinello": weights,
    }  # fmt: skip

    def edge(bias):
        known = params["behler_parrinello"]
        hidden, last = known["weights"]["Si"]
        layers = [{**hidden, "b": hidden["b"] + bias}, last]
        network = {**known, "weights": {"Si": layers}}
        state = ms.relax(both, {**params, "behler_parrinello": network}, system, cell="isotropic")
        return state.cell[0, 0]

    h = 1e-3
    difference = (edge(h) - edge(-h)) / (2 * h)
    assert abs(difference) > 1e-4
    np.testing.assert_allclose(jax.grad(edge)(0.0), difference, rtol=1e-5)
