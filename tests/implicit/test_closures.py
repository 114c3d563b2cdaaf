"""Parameters that are not passed but closed over."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdsens.implicit import custom_root
from tests.implicit.problems import observe

THETA = jnp.array([0.7, 1.3, 2.1, 0.9])


def hidden(theta: jax.Array) -> jax.Array:
    """sqrt(theta), with theta in the closure of both the solver and its condition."""

    @custom_root(lambda x: x * x - theta)
    def solver(init):
        return jax.lax.while_loop(
            lambda x: jnp.max(jnp.abs(x * x - theta)) > 1e-13, lambda x: 0.5 * (x + theta / x), init
        )

    return observe(solver(jnp.ones(4)))


def expected(transform):
    return transform(lambda t: observe(jnp.sqrt(t)))(THETA)


TRANSFORMS = {
    "grad": jax.grad,
    "jacfwd": jax.jacfwd,
    "jit grad": lambda f: jax.jit(jax.grad(f)),
    "jit hessian jit": lambda f: jax.jit(jax.hessian(jax.jit(f))),
    "reverse over reverse": lambda f: jax.jit(jax.jacrev(jax.jacrev(f))),
    "vmap grad": lambda f: lambda t: jax.vmap(jax.grad(f))(t[None])[0],
    "grad vmap": lambda f: lambda t: jax.grad(lambda s: jnp.sum(jax.vmap(f)(s[None])))(t),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_closed_over_parameters_are_differentiated(name: str):
    found = TRANSFORMS[name](hidden)(THETA)
    np.testing.assert_allclose(found, expected(TRANSFORMS[name]), rtol=1e-9, atol=1e-11)


def test_a_python_loop_over_a_closed_over_parameter():
    def f(theta):
        @custom_root(lambda x: x * x - theta, has_aux=True)
        def solver(init):
            x = init
            while abs(x * x - theta) > 1e-13:
                x = 0.5 * (x + theta / x)
            return x, 5.0 * theta

        return sum(solver(1.0))

    # Auxiliary data have no derivative, even those.
    np.testing.assert_allclose(jax.grad(f)(2.0), 0.5 / np.sqrt(2), rtol=1e-12)


def test_half_hidden():
    """One parameter passed, one closed over, one closed over by an inner function."""

    def f(a, b, c):
        inner = jax.jit(lambda x: x * c)

        @custom_root(lambda x, p: inner(x) - p * b)
        def solver(init, p):
            return p * b / c

        return solver(None, a)

    found = jax.grad(f, argnums=(0, 1, 2))(2.0, 3.0, 4.0)
    np.testing.assert_allclose(found, [3 / 4, 2 / 4, -6 / 16], rtol=1e-12)


def test_closed_over_integers_may_be_batched():
    def f(theta, power):
        @custom_root(lambda x, t: x**power - t)
        def solver(init, t):
            return t ** (1 / power)

        return solver(None, theta)

    found = jax.vmap(jax.grad(f), in_axes=(None, 0))(2.0, jnp.array([1, 2, 3]))
    np.testing.assert_allclose(found, [p**-1 * 2 ** (1 / p - 1) for p in (1, 2, 3)], rtol=1e-12)
