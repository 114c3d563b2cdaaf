"""Derivatives against solving again nearby, where there is no closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdsens.implicit import custom_fixed_point, custom_root
from mdsens.implicit.optimality import (
    exponentiated_gradient,
    kkt,
    kl_projection,
    projected_gradient,
    projections,
    proximal,
    proximal_gradient,
)
from tests.implicit_optimality.problems import ROWS, THETA, quadratic

TARGET = jnp.array([[2.0, 0.3, -0.5], [0.4, 1.6, 0.2]])
MASK = jnp.array([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])


def completion(x, scale):
    return 0.5 * jnp.sum((MASK + 0.2) * (x - scale * TARGET) ** 2)


def coupled(x, scale):
    return quadratic(x.ravel(), scale * THETA)


def steep(x, scale):
    return quadratic(3 * x.ravel(), scale * THETA)


def logistic(x, c):
    return jnp.sum(jnp.logaddexp(0.0, c * (ROWS @ x))) + 0.5 * jnp.sum(x * x) - jnp.sum(x)


CASES = {
    "nuclear norm": (proximal_gradient(completion, proximal.nuclear_norm, 0.8), jnp.zeros((2, 3))),
    "group lasso": (proximal_gradient(coupled, proximal.group_lasso, 0.4), jnp.zeros((2, 2))),
    "l1 ball": (projected_gradient(coupled, projections.l1_ball, 0.4), jnp.zeros((2, 2))),
    "l2 ball": (projected_gradient(coupled, projections.l2_ball, 0.4), jnp.zeros((2, 2))),
    "simplices": (exponentiated_gradient(steep, 0.5, axis=-1), jnp.full((2, 2), 0.5)),
}


@pytest.mark.parametrize("name", CASES)
def test_iterated_to_its_fixed_point(name: str):
    condition, start = CASES[name]

    @custom_fixed_point(condition)
    def solved(init, scale, other):
        return jax.lax.fori_loop(0, 300, lambda _, x: condition(x, scale, other), init)

    def observed(both):
        x = solved(start, both[0], both[1])
        return jnp.sum(jnp.sin(x + jnp.arange(1.0, 1 + x.size).reshape(x.shape)))

    both, h = jnp.array([1.1, 0.4]), 1e-5
    steps = h * jnp.eye(2)
    expected = [(observed(both + s) - observed(both - s)) / (2 * h) for s in steps]
    np.testing.assert_allclose(jax.grad(observed)(both), expected, rtol=1e-6, atol=1e-8)


def test_simplices_lie_along_the_axis():
    condition, start = CASES["simplices"]
    x = jax.lax.fori_loop(0, 300, lambda _, x: condition(x, 1.1, 0.4), start)
    np.testing.assert_allclose(jnp.sum(x, axis=-1), 0.4, rtol=1e-12)
    euclidean = projected_gradient(steep, jax.vmap(projections.simplex, (0, None)))
    np.testing.assert_allclose(euclidean(x, 1.1, 0.4), x, atol=1e-9)
    y = THETA.reshape(2, 2)
    each = jnp.stack([kl_projection(row, 0.4) for row in y])
    np.testing.assert_allclose(kl_projection(y, 0.4, axis=-1), each, rtol=1e-14)


def test_kkt_of_a_nonlinear_problem():
    # min logistic(x, c) subject to |x|^2 = r: Newton's method on F itself.
    condition = kkt(logistic, equality=lambda x, r: jnp.sum(x * x)[None] - r)

    @custom_root(condition)
    def solved(init, c, r):
        def step(_, y):
            def flat(v):
                value = condition((v[:4], v[4:], None), c, r)
                return jnp.concatenate(value[:2])

            return y - jnp.linalg.solve(jax.jacfwd(flat)(y), flat(y))

        y = jax.lax.fori_loop(0, 12, step, init)
        return y[:4], y[4:], None

    def observed(both):
        x, nu, _ = solved(jnp.append(THETA, 0.1), both[0], both[1:])
        return jnp.sum(jnp.cos(x + jnp.arange(4.0))) + jnp.sum(nu**2)

    both, h = jnp.array([0.7, 1.9]), 1e-5
    expected = [(observed(both + s) - observed(both - s)) / (2 * h) for s in h * jnp.eye(2)]
    np.testing.assert_allclose(jax.grad(observed)(both), expected, rtol=1e-6, atol=1e-8)
