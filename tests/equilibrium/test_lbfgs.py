"""L-BFGS by forces: the textbook's direction, steps that go too far, and the factor of the polish."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mdsens as ms
from mdsens.equilibrium import search
from mdsens.equilibrium.lbfgs import LBFGS, _product
from mdsens.equilibrium.linearized import assembled_hessian, backbone
from mdsens.equilibrium.scaled import Scaled
from tests.examples import random_discs

N = 12


def scaled(gradient) -> Scaled:
    return Scaled(None, gradient, jnp.asarray(100.0), None)


def two_loops(pairs: list[tuple[np.ndarray, np.ndarray]], g: np.ndarray) -> np.ndarray:
    """H g as Nocedal and Wright have it, algorithm 7.4; the oldest pair first."""
    q, weights = g.copy(), []
    for s, y in reversed(pairs):
        weights.append(s @ q / (s @ y))
        q -= weights[-1] * y
    s, y = pairs[-1]
    q *= s @ y / (y @ y)
    for (s, y), weight in zip(pairs, reversed(weights), strict=True):
        q += s * (weight - y @ q / (s @ y))
    return q


def test_directions_are_those_of_the_two_loop_recursion(rng: np.random.Generator):
    stiffness = jnp.asarray(np.logspace(-2, 0, N))
    gradient = lambda z: stiffness * z + 0.1 * jnp.tanh(z)  # noqa: E731
    problem, z = scaled(gradient), jnp.asarray(rng.normal(size=N))
    memory, pairs = LBFGS().init(problem, z, gradient(z)), []
    step = jax.jit(lambda z, memory: LBFGS().step(problem, z, memory))
    for _ in range(9):
        after = step(z, memory)
        dz, dg = np.asarray(after.z - z), np.asarray(after.gradient - memory.gradient)
        z, memory = after.z, after.memory
        if np.any(dz):
            pairs.append((dz, dg))
        expected = two_loops(pairs[-5:], np.asarray(memory.gradient))
        np.testing.assert_allclose(_product(memory), expected, rtol=1e-9, atol=1e-14)
    assert len(pairs) > 5


@pytest.mark.parametrize("wall", [np.inf, np.nan])
def test_steps_that_go_too_far_are_tried_again_shorter(wall: float):
    """A valley forty times as steep as a first step expects, with no forces behind |z| = 3."""
    gradient = lambda z: jnp.where(jnp.max(jnp.abs(z)) > 3.0, wall, 40.0 * z)  # noqa: E731
    problem, z = scaled(gradient), jnp.ones(N)
    memory = LBFGS().init(problem, z, gradient(z))
    step = jax.jit(lambda z, memory: LBFGS().step(problem, z, memory))
    moved = 0
    for _ in range(20):
        after = step(z, memory)
        assert np.all(np.isfinite(after.z)) and np.all(np.isfinite(after.gradient))
        moved += bool(np.any(after.z != z))
        z, memory = after.z, after.memory
    assert 0 < moved < 20 and np.max(np.abs(z)) < 1e-12


@pytest.fixture(scope="module")
def found():
    system, potential = random_discs(64, 0.95, 1), ms.potentials.SoftSphere()
    return system, potential, potential.parameters(system, diameter="diameter")


def test_short_lists_lead_to_the_same_state(found, monkeypatch: pytest.MonkeyPatch):
    system, potential, params = found
    ends = []
    for few in (1000, 0):
        monkeypatch.setattr("mdsens.equilibrium.lists.FEW", few)
        ends.append(search(potential, params, system))
    long, short = ends
    assert not long.why and not short.why
    np.testing.assert_allclose(short.setting.positions, long.setting.positions, atol=1e-9)


def test_the_polish_leaves_a_factor_of_the_hessian(found, rng: np.random.Generator):
    system, potential, params = found
    end = search(potential, params, system)
    here = backbone(end.problem, end.setting)
    b = np.asarray(here.projector(jnp.asarray(rng.normal(size=2 * system.n_particles))))
    assert end.factor is not None
    x = end.factor.apply(b)
    left = b - here.projector(assembled_hessian(end.problem, here.setting) @ x)
    assert np.linalg.norm(left) < 1e-6 * np.linalg.norm(b)
