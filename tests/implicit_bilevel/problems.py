"""Bi-level problems small enough for closed forms; each is (inner, outer loss, x*(theta), theta)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.implicit import Iteration, custom_root

RNG = np.random.default_rng(11)
X, XV = jnp.asarray(RNG.normal(size=(12, 4))), jnp.asarray(RNG.normal(size=(9, 4)))
Y, YV = jnp.asarray(RNG.normal(size=12)), jnp.asarray(RNG.normal(size=9))


class Problem(NamedTuple):
    inner: Iteration
    loss: Callable[..., jax.Array]
    solution: Callable[[Any], Any]
    theta: Any
    x0: Any

    @property
    def closed(self) -> Callable[[Any], tuple[jax.Array, Any]]:
        """theta -> L(x*(theta), theta) and its gradient."""
        return jax.jit(jax.value_and_grad(lambda theta: self.loss(self.solution(theta), theta)))


# Ridge regression with one penalty per weight, by gradient descent; F is a gradient.
def ridge_gradient(w, logs):
    return X.T @ (X @ w - Y) + jnp.exp(logs) * w


def ridge_step(w, logs):
    return w - ridge_gradient(w, logs) / (30.0 + jnp.max(jnp.exp(logs)))


def validation(w, logs):
    return 0.5 * jnp.mean((XV @ w - YV) ** 2) + 0.01 * jnp.mean(logs**2)


RIDGE = Problem(
    Iteration(ridge_step, ridge_gradient),
    validation,
    lambda logs: jnp.linalg.solve(X.T @ X + jnp.diag(jnp.exp(logs)), X.T @ Y),
    jnp.array([0.5, -1.0, 0.3, 0.0]),
    jnp.zeros(4),
)

# An affine fixed point, not symmetric; unknowns and parameters in dictionaries.
MAP = jnp.asarray(0.35 * RNG.normal(size=(4, 4)))


def affine(state, theta):
    return {"x": theta["gain"] * (MAP @ state["x"]) + theta["shift"]}


AFFINE = Problem(
    Iteration(affine),
    lambda state, theta: jnp.sum(jnp.cos(state["x"] + jnp.arange(4.0))) + theta["gain"] ** 2,
    lambda theta: {"x": jnp.linalg.solve(jnp.eye(4) - theta["gain"] * MAP, theta["shift"])},
    {"gain": jnp.asarray(0.9), "shift": jnp.array([1.0, -0.5, 0.2, 0.4])},
    {"x": jnp.zeros(4)},
)

# A saddle: least |x - theta|^2 on two hyperplanes, with multipliers; F indefinite and symmetric.
PLANES = jnp.array([[1.0, 1.0, 1.0, 1.0], [1.0, -2.0, 1.5, 0.5]])
KKT = jnp.block([[jnp.diag(jnp.arange(1.0, 5.0)), PLANES.T], [PLANES, jnp.zeros((2, 2))]])


def kkt(z, theta):
    return KKT @ z - jnp.concatenate([theta**2, jnp.ones(2)])


SADDLE = Problem(
    Iteration(lambda z, theta: z - KKT @ kkt(z, theta) / 25.0, kkt),
    lambda z, theta: jnp.sum(jnp.sin(z) * jnp.arange(1.0, 7.0)) + jnp.sum(theta),
    lambda theta: jnp.linalg.solve(KKT, jnp.concatenate([theta**2, jnp.ones(2)])),
    jnp.array([0.7, 1.3, -0.4, 0.9]),
    jnp.zeros(6),
)

# Logistic regression with one penalty per weight, by Nesterov's method: a state with a memory.
INPUTS, ANSWERS = jnp.asarray(RNG.normal(size=(60, 16))), jnp.asarray(np.sign(RNG.normal(size=60)))


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
    lambda logs: by_newton(jnp.zeros(16), logs),
    jnp.cos(jnp.arange(16.0)),
    jnp.zeros(16),
)
