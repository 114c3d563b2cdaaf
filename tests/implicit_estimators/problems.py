"""Iterations whose derivatives have closed forms, and one that is not linear."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from mdsens.implicit import Iteration

RNG = np.random.default_rng(3)
N, P = 4, 3
ROOT = RNG.normal(size=(N, N))
A = ROOT @ ROOT.T / N + 2.0 * np.eye(N)
B = RNG.normal(size=(N, P))
STEP = 1.0 / np.linalg.eigvalsh(A)[-1]
MOMENTUM = 0.3
THETA = jnp.array([0.4, -0.7, 1.1])
X0 = jnp.array([0.5, -0.2, 0.1, 0.8])
EXACT = np.linalg.solve(A, B)

# f(x, theta) = x.A x/2 - x.B theta by gradient descent: x_{k+1} = M x_k + STEP B theta.
M = np.eye(N) - STEP * A


def gradient(x, theta):
    return jnp.asarray(A) @ x - jnp.asarray(B) @ theta


def descend(x, theta):
    return x - STEP * gradient(x, theta)


DESCENT = Iteration(descend, gradient, tol=1e-9, max_steps=1000)


def truncated(k):
    """sum_{i<k} M^i STEP B = (1 - M^k) A^-1 B."""
    return (np.eye(N) - np.linalg.matrix_power(M, k)) @ EXACT


# The same by a heavy ball: state (x_k, x_{k-1}).
def heavy_step(state, theta):
    x, before = state
    return descend(x, theta) + MOMENTUM * (x - before), x


HEAVY = Iteration(
    heavy_step,
    gradient,
    init=lambda x0, theta: (x0, x0),
    read=lambda state: state[0],
    tol=1e-9,
)
COMPANION = np.block([[M + MOMENTUM * np.eye(N), -MOMENTUM * np.eye(N)], [np.eye(N), 0 * M]])


def heavy_truncated(k):
    """dx/dtheta after k heavy-ball steps from a state that does not depend on theta."""
    total, power = np.zeros((2 * N, P)), np.eye(2 * N)
    for _ in range(k):
        total += power @ np.vstack([STEP * B, 0 * B])
        power = COMPANION @ power
    return total[:N]


# x = cos(theta x) componentwise, and coupled; contracts with a rate of about 0.5.
def cosines(x, theta):
    return {"a": 0.5 * jnp.cos(theta * x["b"]), "b": 0.5 * jnp.sin(theta + x["a"])}


NONLINEAR = Iteration(cosines, tol=1e-13, max_steps=50)
NONLINEAR_X0 = {"a": jnp.zeros(P), "b": jnp.zeros(P)}


def total(x):
    """A scalar in which every component of x counts differently."""
    return jnp.sum(jnp.sin(x["a"]) * jnp.arange(1.0, P + 1)) + jnp.sum(x["b"] ** 2)
