"""Every condition: it holds at the closed-form solution, and differentiates to its derivative."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.implicit_optimality.problems import PROBLEMS, THETA, UPPER, Problem

EACH = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
SOME = pytest.mark.parametrize("name", ["inequality", "simplex, exponentiated"])


def observe(x: jax.Array) -> jax.Array:
    """A scalar that weighs every unknown differently and is nowhere quadratic."""
    return jnp.sum(jnp.sin(x + jnp.arange(x.size)) * (1 + jnp.arange(x.size)))


@EACH
def test_holds_at_the_solution(problem: Problem):
    np.testing.assert_allclose(problem.violation(THETA), 0, atol=1e-12)


@EACH
def test_jacobian_forward_and_reverse(problem: Problem):
    expected = jax.jacfwd(problem.expected)(THETA)
    for jacobian in (jax.jacfwd, jax.jacrev):
        found = jacobian(problem.solved)(THETA)
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)


@SOME
def test_gradient_agrees_with_jvp(name: str, rng: np.random.Generator):
    problem = PROBLEMS[name]
    t = jnp.asarray(rng.normal(size=4))
    gradient = jax.grad(lambda theta: observe(problem.solved(theta)))(THETA)
    slope = jax.jvp(lambda theta: observe(problem.solved(theta)), (THETA,), (t,))[1]
    np.testing.assert_allclose(gradient @ t, slope, rtol=1e-10)


@SOME
def test_hessian(name: str):
    problem = PROBLEMS[name]
    found = jax.jit(jax.hessian(lambda t: observe(problem.solved(t))))(THETA)
    expected = jax.hessian(lambda t: observe(problem.expected(t)))(THETA)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9)


@SOME
def test_vmap_is_a_loop(name: str):
    problem = PROBLEMS[name]
    thetas = jnp.stack([THETA, 1.01 * THETA])
    gradient = jax.grad(lambda theta: observe(problem.solved(theta)))
    expected = jnp.stack([gradient(theta) for theta in thetas])
    np.testing.assert_allclose(jax.vmap(gradient)(thetas), expected, rtol=1e-10)


@pytest.mark.parametrize("name", ["inequality", "inequality only"])
def test_the_active_set_is_the_one_assumed(name: str):
    problem = PROBLEMS[name]
    args = problem.arguments(THETA)
    point = problem.closed(*args)
    slack = UPPER @ point.primal - args[2]
    assert point.dual_inequality[0] > 0.1 and slack[1] < -0.1


def test_geometries_of_the_simplex_agree():
    one, other = (
        jax.jacrev(PROBLEMS[name].solved)(THETA) for name in ("simplex", "simplex, exponentiated")
    )
    np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
