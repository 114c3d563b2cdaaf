"""Hypergradients against closed forms, differences of re-solved losses, and custom_root."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from mdsens.implicit import (
    Analytic,
    Iteration,
    WarmImplicit,
    bilevel,
    hypergradient,
)
from tests.implicit_bilevel.problems import AFFINE, LOGISTIC, MAP, RIDGE, SADDLE

CASES = {
    "affine": (AFFINE, WarmImplicit()),
    "saddle by minres": (SADDLE, WarmImplicit(symmetric=True, dense_limit=0)),
    "logistic": (LOGISTIC, WarmImplicit(symmetric=True)),
}


@partial(jax.jit, static_argnums=0)
def compiled(case, theta, x, memory, reduction):
    problem, estimator = CASES[case]
    return hypergradient(
        problem.loss, problem.inner, theta, x, memory, estimator=estimator, reduction=reduction
    )


def evaluate(case, theta, x, memory, reduction=0.0):
    return compiled(case, theta, x, memory, reduction)


def assert_trees_close(found, expected, **tolerances):
    jax.tree.map(partial(np.testing.assert_allclose, **tolerances), found, expected)


def nudged(theta, size):
    return jax.tree.map(
        lambda leaf: leaf + size * jnp.cos(1.0 + jnp.arange(leaf.size)).reshape(leaf.shape), theta
    )


def size_of(x):
    return sum(leaf.size for leaf in jax.tree.leaves(x))


@pytest.mark.parametrize("case", CASES)
def test_gradient(case):
    problem, estimator = CASES[case]
    theta, memory = problem.theta, estimator.memory(size_of(problem.x0))
    cold = evaluate(case, theta, problem.x0, memory)
    assert bool(cold.inner.converged) and int(cold.adjoint.outcome) == 0
    closed = problem.closed
    value, gradient = closed(theta)
    np.testing.assert_allclose(cold.value, value, rtol=1e-9)
    assert_trees_close(cold.gradient, gradient, rtol=1e-8, atol=1e-9)

    # Differences of the loss solved for again, along one direction.
    h = 1e-4
    there, back = nudged(theta, h), nudged(theta, -h)
    slope = (
        evaluate(case, there, problem.x0, memory).value
        - evaluate(case, back, problem.x0, memory).value
    ) / (2 * h)
    along = jax.tree.map(lambda a, b, g: jnp.sum((a - b) * g) / (2 * h), there, back, cold.gradient)
    np.testing.assert_allclose(sum(jax.tree.leaves(along)), slope, rtol=1e-6)

    # From nearby, to full accuracy: the same. To a hundredth: off by a part of what theta moved.
    warm = evaluate(case, there, cold.x, cold.memory)
    value, gradient = closed(there)
    np.testing.assert_allclose(warm.value, value, rtol=1e-9)
    assert_trees_close(warm.gradient, gradient, rtol=1e-8, atol=1e-9)
    loose = evaluate(case, there, cold.x, cold.memory, 0.01)
    assert int(loose.inner.steps) < int(warm.inner.steps) < int(cold.inner.steps)
    assert int(loose.adjoint.products) <= int(warm.adjoint.products)
    force = ravel_pytree(problem.inner.condition(loose.x, there))[0]
    np.testing.assert_allclose(loose.inner.residual, jnp.linalg.norm(force), rtol=1e-6)
    error = jax.tree.map(lambda a, b: jnp.max(jnp.abs(a - b)), loose.gradient, gradient)
    scale = max(float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(gradient))
    assert max(jax.tree.leaves(error)) <= 0.1 * h * scale


def test_a_known_inverse_moves_x_along_with_theta():
    theta, memory = AFFINE.theta, CASES["affine"][1].memory(4)
    there = nudged(theta, 1e-3)
    exact = AFFINE.solution(theta)
    # F = T - x: A = gain * MAP - 1. Theta moves A by a thousandth, so that much is left of F.
    inverse = jnp.linalg.inv((theta["gain"] * MAP - jnp.eye(4)).T)
    moved = evaluate("affine", there, exact, memory._replace(inverse=inverse), 0.01)
    assert int(moved.inner.steps) == 0
    assert int(evaluate("affine", there, exact, memory, 0.01).inner.steps) > 3
    assert_trees_close(moved.x, AFFINE.solution(there), atol=1e-5)


def test_a_batch_of_parameters():
    estimator = CASES["saddle by minres"][1]
    thetas = SADDLE.theta[None] + jnp.array([[0.0], [0.1], [-0.2]])
    memory = estimator.memory(6)
    found = jax.vmap(lambda t: evaluate("saddle by minres", t, SADDLE.x0, memory))(thetas)
    expected = [SADDLE.closed(theta)[1] for theta in thetas]
    np.testing.assert_allclose(found.gradient, jnp.stack(expected), rtol=1e-8, atol=1e-10)


def test_a_fixed_number_of_inner_steps_and_an_estimator_without_adjoint():
    inner = Iteration(RIDGE.inner.step, RIDGE.inner.optimality_fun, tol=0.0, max_steps=7)
    found = hypergradient(RIDGE.loss, inner, RIDGE.theta, RIDGE.x0, (), estimator=Analytic())
    assert int(found.inner.steps) == 7 and float(found.inner.residual) > 1e-3
    assert found.adjoint is None and found.memory == ()
    # `Analytic` leaves out the part of the gradient that goes through x.
    np.testing.assert_allclose(found.gradient, 0.005 * RIDGE.theta, rtol=1e-12)


def test_warm_starts_save_more_than_two_thirds_of_all_iterations():
    problem, estimator = CASES["logistic"]
    optimizer, theta, nothing = optax.adam(0.1), problem.theta, estimator.memory(16)
    own, inner, adjoint = optimizer.init(theta), 0, 0
    for _ in range(40):
        cold = evaluate("logistic", theta, problem.x0, nothing)
        inner, adjoint = inner + int(cold.inner.steps), adjoint + int(cold.adjoint.products)
        updates, own = optimizer.update(cold.gradient, own, theta)
        theta = optax.apply_updates(theta, updates)
    cold = evaluate("logistic", theta, problem.x0, nothing)

    warm = bilevel(
        problem.loss,
        problem.inner,
        optimizer,
        problem.theta,
        problem.x0,
        steps=40,
        estimator=estimator,
    )
    # What bilevel does beside the iterations counts as well: two evaluations of F per step.
    inner_warm = int(warm.history.inner_iterations.sum()) + 2 * 41
    adjoint_warm = int(warm.history.adjoint_products.sum())
    assert inner + adjoint >= 3 * (inner_warm + adjoint_warm)
    assert inner >= 3 * inner_warm and adjoint >= 2 * adjoint_warm
    np.testing.assert_allclose(warm.value, cold.value, rtol=1e-4)
    exact = problem.closed(warm.theta)[1]
    np.testing.assert_allclose(warm.gradient, exact, rtol=1e-8, atol=1e-9)
