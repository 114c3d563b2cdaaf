"""The power function of contact potentials equals x^a, with all derivatives, at every exponent."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdsens.potentials.power import power

X = jnp.array([1e-8, 0.03, 0.4, 1.0, 1.7])
# Half-integer ones have a form of their own; the others, and those below zero, have not.
EXPONENTS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, -0.5, 1.9999, 2.7)


@pytest.fixture(scope="module")
def evaluated():
    def slopes(f, x, a):
        by_x = partial(jax.grad, argnums=0)
        by_a = partial(jax.grad, argnums=1)
        return [g(f)(x, a) for g in (
            lambda f: f, by_x, by_a, lambda f: by_x(by_x(f)), lambda f: by_x(by_a(f)),
            lambda f: by_a(by_x(f)), lambda f: by_a(by_a(f)),
        )]  # fmt: skip

    along = jax.vmap(slopes, in_axes=(None, 0, None))
    return jax.jit(lambda a: [along(f, X, a) for f in (power, lambda x, a: x**a)])


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_equals_the_ordinary_power(evaluated, exponent: float):
    for found, expected in zip(*evaluated(exponent), strict=True):
        scale = np.abs(expected) + 1e-300
        assert np.all(np.abs(found - expected) <= 1e-13 * scale)


def test_exponents_may_differ_by_element_or_by_member_of_a_batch():
    a = jnp.array([2.0, 2.5, 1.0, 0.3, 2.0])
    np.testing.assert_allclose(power(X, a), X**a, rtol=1e-15)
    together = jax.vmap(lambda e: jax.grad(lambda x: jnp.sum(power(x, e)))(X))(a)
    np.testing.assert_allclose(together, a[:, None] * X[None] ** (a[:, None] - 1.0), rtol=1e-14)
