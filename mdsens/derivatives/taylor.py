"""The Taylor series of a minimum along a change of its parameters.

Along theta(t) = theta + t c the minimum z(t) keeps F(z(t), theta(t)) = dW/dz = 0. Differentiating k
times at t = 0 puts the highest derivative of z, and it alone, behind the Hessian:

    A z_k = - [d^k/dt^k F(z_1 t + ... + z_(k-1) t^(k-1)/(k-1)!, theta + t c)] at t = 0

so that one factorisation of A gives the series to any order, one solve each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.derivatives.kernels import Theta, with_parameters
from mdsens.derivatives.linearization import Linearization, linearize
from mdsens.derivatives.named import select
from mdsens.equilibrium.problem import Problem, Setting

RTOL = 1e-10


def taylor_series(line: Linearization, change: Theta, order: int) -> np.ndarray:
    """(order, n) derivatives of the minimum along a change of parameters."""
    series = np.zeros((0, line.operator.size))
    for _ in range(order):
        rhs = _explicit(line.problem, line.setting, series, change)
        step = -line.solve(np.asarray(rhs)[:, None])[0][:, 0]
        series = np.vstack([series, step])
    return series


@partial(jax.jit, static_argnames="problem")
def _explicit(problem: Problem, setting: Setting, series: Any, change: Theta) -> jax.Array:
    """d^k F/dt^k at t = 0 along the series known so far, k = len(series) + 1."""

    def force(t: jax.Array) -> jax.Array:
        return problem.gradient(horner(series, t), setting_at(setting, change, t))

    derivative = _derivative(force)
    for _ in series:
        derivative = _derivative(derivative)
    return derivative(jnp.zeros(()))


def _derivative(f: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array], jax.Array]:
    return lambda t: jax.jvp(f, (t,), (jnp.ones(()),))[1]


def horner(series: Any, t: Any) -> Any:
    """sum_k series[k-1] t^k / k!, (n,)."""
    z = 0.0 * (series[0] if len(series) else np.zeros(series.shape[1]))
    for k in range(len(series), 0, -1):
        z = (z + series[k - 1]) * (t / k)
    return z


def setting_at(setting: Setting, change: Theta, t: Any) -> Setting:
    theta = select(setting.params, list(change))
    return with_parameters(setting, {name: theta[name] + t * change[name] for name in change})


@partial(jax.jit, static_argnames="problem")
def force_at(problem: Problem, z: Any, setting: Setting) -> jax.Array:
    return problem.gradient(z, setting)


@partial(jax.jit, static_argnames="problem")
def configuration_at(problem: Problem, setting: Setting, z: Any) -> tuple[jax.Array, jax.Array]:
    return problem.configuration(z, setting)


def linearized_at(
    line: Linearization, series: np.ndarray, change: Theta, t: float
) -> Linearization:
    """The predicted state as a linear system of its own."""
    positions, cell = configuration_at(line.problem, line.setting, horner(series, t))
    setting = replace(setting_at(line.setting, change, t), positions=positions, cell=cell)
    return linearize(line.problem, setting, "auto", RTOL)
