"""Vibrational modes and their density against dense matrices and closed forms."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import mdsens as ms
from mdsens.vibrations import density_of_states, modes
from tests.examples import EXAMPLES, make, random_discs


def dense(example):
    """All eigenvalues of the relaxed Hessian, ascending, by JAX alone."""
    minimum = ms.relax(example.potential, example.params, example.system)
    n, d = minimum.positions.shape

    def energy(x):
        return example.potential.energy(
            example.params, x.reshape(n, d), minimum.cell, minimum.neighbors
        )

    return np.linalg.eigvalsh(np.asarray(jax.hessian(energy)(minimum.positions.reshape(-1))))


@pytest.mark.parametrize("name", ["discs_with_rattlers", "cluster"])
def test_all_modes(name):
    example = EXAMPLES[name]()
    found = modes(example.potential, example.params, example.system)
    want = dense(example)
    assert len(found.eigenvalues) + found.removed == len(want)
    # What is removed has no stiffness at a minimum.
    np.testing.assert_allclose(
        found.eigenvalues, want[found.removed :], rtol=1e-9, atol=1e-10 * want[-1]
    )
    flat = found.vectors.reshape(len(found.eigenvalues), -1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(len(flat)), atol=1e-10)
    np.testing.assert_allclose(found.frequencies**2, found.eigenvalues, rtol=1e-12)


def test_monatomic_chain():
    """omega(q) = 2 sqrt(K) |sin(q a/2)| along a stretched-free Morse chain, K = 2 D0 alpha^2."""
    n = 12
    positions = np.column_stack([np.arange(n), np.zeros(n), np.zeros(n)])
    system = make(positions, np.diag([float(n), 1.0, 1.0]), (True, False, False))
    potential = ms.potentials.Morse(smoothing="none")
    params = potential.parameters(system, D0=0.7, alpha=2.0, r0=1.0, cutoff=1.5)
    found = modes(potential, params, system)
    stiffness = 2.0 * 0.7 * 2.0**2
    q = 2.0 * np.pi * np.arange(n) / n
    want = np.sort(2.0 * np.sqrt(stiffness) * np.abs(np.sin(q / 2)))[1:]
    longitudinal = np.sort(found.frequencies[np.abs(found.vectors[:, :, 0]).max(axis=1) > 1e-3])
    np.testing.assert_allclose(longitudinal[-len(want) :], want, rtol=1e-7, atol=1e-7)


def test_participation():
    from mdsens.vibrations import Modes

    wave, alone = np.zeros((2, 5, 2)), np.zeros((1, 5, 2))
    wave[:, :, 0] = 1.0 / np.sqrt(5.0)
    alone[0, 3, 1] = 1.0
    found = Modes(np.ones(3), np.concatenate([wave, alone]), 0)
    np.testing.assert_allclose(found.participation, [1.0, 1.0, 0.2])


def test_derivative_of_an_eigenvalue():
    example = EXAMPLES["discs"]()
    found = modes(example.potential, example.params, example.system, k=3)
    result = ms.sensitivity(
        example.potential, example.params, example.system,
        observables=[found.eigenvalue(0)], wrt=["diameter", "epsilon"],
    )  # fmt: skip
    by = result.sensitivity["eigenvalue_0"]
    assert float(result.observables["eigenvalue_0"]) == pytest.approx(found.eigenvalues[0])
    # Everything scales with epsilon.
    assert float(np.asarray(by["epsilon"])) == pytest.approx(found.eigenvalues[0], rel=1e-7)
    direction, h = np.cos(np.arange(24.0)), 1e-6
    ends = [
        modes(
            example.potential,
            {**example.params, "diameter": example.params["diameter"] + s * h * direction},
            result.system,
            k=1,
        ).eigenvalues[0]
        for s in (-1.0, 1.0)
    ]
    want = (ends[1] - ends[0]) / (2 * h)
    assert np.asarray(by["diameter"]) @ direction == pytest.approx(want, rel=1e-5)


@pytest.fixture(scope="module")
def large():
    system = random_discs(600, 0.95, 5)
    potential = ms.potentials.SoftSphere()
    return potential, potential.parameters(system, diameter="diameter"), system


@pytest.mark.slow
def test_few_modes_of_many_are_those_of_all(large):
    whole, few = modes(*large), modes(*large, k=5)
    np.testing.assert_allclose(few.eigenvalues, whole.eigenvalues[:5], rtol=1e-8)
    overlap = np.abs(np.sum(few.vectors * whole.vectors[:5], axis=(1, 2)))
    np.testing.assert_allclose(overlap, 1.0, atol=1e-6)


@pytest.mark.slow
def test_density_of_states_against_counting(large):
    counted = np.sort(modes(*large).frequencies)
    found = density_of_states(*large, probes=64)
    width = np.gradient(found.frequencies)
    assert np.sum(found.density * width) == pytest.approx(1.0, abs=5e-3)
    cumulative = np.cumsum(found.density * width)
    fraction = np.searchsorted(counted, found.frequencies) / len(counted)
    assert np.abs(cumulative - fraction).max() < 0.02


def test_refuses():
    example = EXAMPLES["discs"]()
    with pytest.raises(ms.InputError, match="k = 0"):
        modes(example.potential, example.params, example.system, k=0)
