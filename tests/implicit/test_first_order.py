"""jvp, vjp, jacfwd, jacrev against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.implicit.problems import PROBLEMS, Problem, observe

SOME = pytest.mark.parametrize("name", ["softmax", "unsymmetric"])  # trees; and no symmetry
EACH = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)


@EACH
def test_value(problem: Problem):
    np.testing.assert_allclose(
        problem.solved(problem.theta), problem.closed(problem.theta), rtol=1e-9
    )


@EACH
def test_jvp(problem: Problem, rng: np.random.Generator):
    t = jnp.asarray(rng.normal(size=4))
    value, found = jax.jvp(problem.solved, (problem.theta,), (t,))
    _, expected = jax.jvp(problem.closed, (problem.theta,), (t,))
    np.testing.assert_allclose(value, problem.closed(problem.theta), rtol=1e-9)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)


@EACH
def test_vjp(problem: Problem, rng: np.random.Generator):
    v = jnp.asarray(rng.normal(size=4))
    (found,) = jax.vjp(problem.solved, problem.theta)[1](v)
    (expected,) = jax.vjp(problem.closed, problem.theta)[1](v)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)


@EACH
@pytest.mark.parametrize("jacobian", [jax.jacfwd, jax.jacrev])
def test_jacobian(problem: Problem, jacobian):
    found = jacobian(problem.solved)(problem.theta)
    expected = jax.jacfwd(problem.closed)(problem.theta)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)


@SOME
def test_finite_differences(name: str):
    problem = PROBLEMS[name]

    def f(theta):
        return observe(problem.solved(theta))

    h = 1e-5
    steps = h * jnp.eye(4)
    expected = [(f(problem.theta + s) - f(problem.theta - s)) / (2 * h) for s in steps]
    np.testing.assert_allclose(jax.grad(f)(problem.theta), expected, rtol=1e-6, atol=1e-8)


@SOME
def test_jit_inside_and_outside(name: str):
    problem = PROBLEMS[name]

    def f(theta):
        return observe(problem.solved(theta))

    expected = jax.grad(lambda t: observe(problem.closed(t)))(problem.theta)
    for grad in (jax.jit(jax.grad(f)), jax.grad(jax.jit(f))):
        np.testing.assert_allclose(grad(problem.theta), expected, rtol=1e-8, atol=1e-10)


@SOME
def test_linearize(name: str):
    problem = PROBLEMS[name]
    _, push = jax.linearize(problem.solved, problem.theta)
    expected = jax.jvp(problem.closed, (problem.theta,), (jnp.ones(4),))[1]
    np.testing.assert_allclose(push(jnp.ones(4)), expected, rtol=1e-8, atol=1e-10)


@SOME
def test_vmap_is_a_loop(name: str):
    problem = PROBLEMS[name]

    def f(theta):
        return observe(problem.solved(theta))

    thetas = jnp.stack([problem.theta, 1.1 * problem.theta])
    expected = jnp.stack([jax.grad(f)(theta) for theta in thetas])
    batched = jax.jit(jax.vmap(jax.grad(f)))(thetas)
    np.testing.assert_allclose(batched, expected, rtol=1e-9, atol=1e-12)
    summed = jax.jit(jax.grad(lambda ts: jnp.sum(jax.vmap(f)(ts))))(thetas)
    np.testing.assert_allclose(summed, expected, rtol=1e-9, atol=1e-12)


@SOME
def test_inside_scan(name: str):
    problem = PROBLEMS[name]

    def f(theta):
        return jnp.sum(
            jax.lax.map(lambda s: observe(problem.solved(s * theta)), jnp.array([1.0, 1.1]))
        )

    def g(theta):
        return observe(problem.closed(theta)) + observe(problem.closed(1.1 * theta))

    np.testing.assert_allclose(
        jax.jit(jax.grad(f))(problem.theta), jax.grad(g)(problem.theta), rtol=1e-8, atol=1e-10
    )
