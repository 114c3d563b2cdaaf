"""Roots and fixed points with closed forms, each as (decorated solver, closed form, theta)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.implicit import custom_fixed_point, custom_root

RNG = np.random.default_rng(7)
X = jnp.asarray(RNG.normal(size=(9, 4)))
Y = jnp.asarray(RNG.normal(size=9))
ROTATION = jnp.asarray(RNG.normal(size=(4, 4)) / 4 + np.eye(4))
PHASES = jnp.arange(4.0)


class Problem(NamedTuple):
    """solved(theta) should behave as closed(theta) under every transformation."""

    solved: Callable[[jax.Array], jax.Array]
    closed: Callable[[jax.Array], jax.Array]
    theta: jax.Array


def newton(f: Callable, x: jax.Array, *theta: jax.Array) -> jax.Array:
    """Eight Newton steps; enough for every problem here."""

    def step(_, y):
        return y - jnp.linalg.solve(jax.jacfwd(f)(y, *theta), f(y, *theta))

    return jax.lax.fori_loop(0, 8, step, x)


# Ridge regression: X^T (X w - y) + theta * w = 0, the penalties one per weight.
def ridge_gradient(w, penalties):
    return X.T @ (X @ w - Y) + penalties * w


@custom_root(ridge_gradient)
def ridge(init, penalties):
    del init
    return jnp.linalg.solve(X.T @ X + jnp.diag(penalties), X.T @ Y)


# A square root, by Newton: x^2 = theta.
@custom_root(lambda x, theta: x * x - theta)
def square_root(init, theta):
    return jax.lax.fori_loop(0, 60, lambda _, x: 0.5 * (x + theta / x), init)


# Softmax as the maximiser of entropy on the simplex: log x + 1 + nu = theta, sum x = 1.
def simplex_conditions(unknowns, scores):
    x, nu = unknowns
    return jnp.log(x) + 1 + nu - scores, jnp.sum(x) - 1


@custom_root(simplex_conditions)
def softmax_with_multiplier(init, scores):
    del init
    return jax.nn.softmax(scores), jax.nn.logsumexp(scores) - 1


# Neither symmetric nor linear: R x + x^3 = R theta + theta^3, so that x = theta.
def skew(x, theta):
    return ROTATION @ (x - theta) + x**3 - theta**3


@custom_root(skew)
def unsymmetric(init, theta):
    del init
    return newton(skew, theta + 0.01, theta)


# A contraction: x = theta + 0.3 tanh(x0) where x0, the neighbour, is closed form by nesting.
def contraction(x, theta):
    return 0.5 * jnp.tanh(theta) + 0.25 * x


@custom_fixed_point(contraction)
def fixed_point(init, theta):
    return jax.lax.fori_loop(0, 60, lambda _, x: contraction(x, theta), init)


ONES = jnp.ones(4)
THETA = jnp.array([0.7, 1.3, 2.1, 0.9])
PROBLEMS = {
    "ridge": Problem(
        lambda t: ridge(None, t),
        lambda t: jnp.linalg.solve(X.T @ X + jnp.diag(t), X.T @ Y),
        THETA,
    ),
    "square root": Problem(lambda t: square_root(ONES, t), jnp.sqrt, THETA),
    "softmax": Problem(lambda t: softmax_with_multiplier(None, t)[0], jax.nn.softmax, THETA),
    "unsymmetric": Problem(lambda t: unsymmetric(None, t), lambda t: t, THETA),
    "fixed point": Problem(
        lambda t: fixed_point(jnp.zeros(4), t), lambda t: 2 * jnp.tanh(t) / 3, THETA
    ),
}


def observe(x: jax.Array) -> jax.Array:
    """A scalar that weighs every component differently and is nowhere quadratic."""
    return jnp.sum(jnp.sin(x + PHASES) * (1 + PHASES))
