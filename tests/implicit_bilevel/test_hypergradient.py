"""Hypergradients against closed forms, differences of re-solved losses, and custom_root."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdsens.implicit import (
    Analytic,
    Implicit,
    Iteration,
    WarmImplicit,
    custom_root,
    hypergradient,
)
from tests.implicit_bilevel.problems import AFFINE, RIDGE, SADDLE, Problem

CASES = {
    "ridge": (RIDGE, WarmImplicit(symmetric=True)),
    "affine": (AFFINE, WarmImplicit()),
    "saddle by minres": (SADDLE, WarmImplicit(symmetric=True, dense_limit=0)),
}


@partial(jax.jit, static_argnums=(0, 1))
def evaluate(case, estimator, theta, x, memory, reduction=0.0):
    problem = PROBLEMS[case]
    return hypergradient(
        problem.loss, problem.inner, theta, x, memory, estimator=estimator, reduction=reduction
    )


def assert_trees_close(found, expected, **tolerances):
    jax.tree.map(partial(np.testing.assert_allclose, **tolerances), found, expected)


def nudged(theta, size):
    return jax.tree.map(
        lambda leaf: leaf + size * jnp.cos(1.0 + jnp.arange(leaf.size)).reshape(leaf.shape), theta
    )


def size_of(x):
    return sum(leaf.size for leaf in jax.tree.leaves(x))


# Logistic regression with one penalty per weight, by Nesterov's method: a state with a memory.
RNG = np.random.default_rng(3)
INPUTS, ANSWERS = jnp.asarray(RNG.normal(size=(30, 5))), jnp.asarray(np.sign(RNG.normal(size=30)))


def logistic_gradient(w, logs):
    margins = ANSWERS * (INPUTS @ w)
    return -INPUTS.T @ (ANSWERS * jax.nn.sigmoid(-margins)) + jnp.exp(logs) * w


def nesterov(state, logs):
    w, ahead = state
    new = ahead - logistic_gradient(ahead, logs) / (20.0 + jnp.max(jnp.exp(logs)))
    return new, new + 0.5 * (new - w)


@custom_root(logistic_gradient)
def by_newton(w, logs):
    def step(_, v):
        jacobian = jax.jacfwd(logistic_gradient)(v, logs)
        return v - jnp.linalg.solve(jacobian, logistic_gradient(v, logs))

    return jax.lax.fori_loop(0, 12, step, w)


LOGISTIC = Problem(
    Iteration(nesterov, logistic_gradient, lambda w, logs: (w, w), lambda state: state[0]),
    lambda w, logs: (
        jnp.mean(jax.nn.softplus(-INPUTS[::-1] @ w)) + 0.1 * jnp.sum(w**4 * jnp.exp(logs))
    ),
    lambda logs: by_newton(jnp.zeros(5), logs),
    jnp.array([0.0, 1.0, -0.5, 0.3, 0.6]),
    jnp.zeros(5),
)
CASES["logistic"] = (LOGISTIC, WarmImplicit(symmetric=True))
PROBLEMS = {name: problem for name, (problem, _) in CASES.items()}


@pytest.mark.parametrize("case", CASES)
def test_gradient(case):
    problem, estimator = CASES[case]
    theta, memory = problem.theta, estimator.memory(size_of(problem.x0))
    cold = evaluate(case, estimator, theta, problem.x0, memory)
    assert bool(cold.inner.converged) and int(cold.adjoint.outcome) == 0
    closed = jax.jit(jax.value_and_grad(problem.closed))
    value, gradient = closed(theta)
    np.testing.assert_allclose(cold.value, value, rtol=1e-9)
    assert_trees_close(cold.gradient, gradient, rtol=1e-8, atol=1e-9)

    # Differences of the loss solved for again, along one direction.
    h = 1e-4
    there, back = nudged(theta, h), nudged(theta, -h)
    slope = (
        evaluate(case, estimator, there, problem.x0, memory).value
        - evaluate(case, estimator, back, problem.x0, memory).value
    ) / (2 * h)
    along = jax.tree.map(lambda a, b, g: jnp.sum((a - b) * g) / (2 * h), there, back, cold.gradient)
    np.testing.assert_allclose(sum(jax.tree.leaves(along)), slope, rtol=1e-6)

    # From nearby, to full accuracy: the same. To a hundredth: off by a part of what theta moved.
    warm = evaluate(case, estimator, there, cold.x, cold.memory)
    value, gradient = closed(there)
    np.testing.assert_allclose(warm.value, value, rtol=1e-9)
    assert_trees_close(warm.gradient, gradient, rtol=1e-8, atol=1e-9)
    loose = evaluate(case, estimator, there, cold.x, cold.memory, 0.01)
    assert int(loose.inner.steps) < int(warm.inner.steps) < int(cold.inner.steps)
    assert int(loose.adjoint.products) <= int(warm.adjoint.products)
    error = jax.tree.map(lambda a, b: jnp.max(jnp.abs(a - b)), loose.gradient, gradient)
    scale = max(float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(gradient))
    assert max(jax.tree.leaves(error)) <= 0.1 * h * scale


def test_estimators_are_applied_at_the_solution_found():
    theta = RIDGE.theta
    found = evaluate("ridge", Implicit(), theta, RIDGE.x0, ())
    np.testing.assert_allclose(found.gradient, jax.grad(RIDGE.closed)(theta), rtol=1e-8, atol=1e-10)
    assert found.adjoint is None and found.memory == ()
    # The x-part of the gradient is missing by definition.
    found = evaluate("ridge", Analytic(), theta, RIDGE.x0, ())
    np.testing.assert_allclose(found.gradient, 0.005 * theta, rtol=1e-12)


def test_a_batch_of_parameters():
    estimator = CASES["saddle by minres"][1]
    thetas = SADDLE.theta[None] + jnp.array([[0.0], [0.1], [-0.2]])
    memory = estimator.memory(6)
    found = jax.vmap(lambda t: evaluate("saddle by minres", estimator, t, SADDLE.x0, memory))(
        thetas
    )
    expected = jax.vmap(jax.grad(SADDLE.closed))(thetas)
    np.testing.assert_allclose(found.gradient, expected, rtol=1e-8, atol=1e-10)


def test_a_fixed_number_of_inner_steps():
    inner = Iteration(RIDGE.inner.step, RIDGE.inner.optimality_fun, tol=0.0, max_steps=7)
    found = hypergradient(RIDGE.loss, inner, RIDGE.theta, RIDGE.x0, (), estimator=Analytic())
    assert int(found.inner.steps) == 7 and float(found.inner.residual) > 1e-3
