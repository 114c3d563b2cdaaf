"""The Taylor series of a minimum along a path of its parameters and its cell.

Along theta(t) = theta + t c and h(t) = h (1 + t e), positions carried along affinely, the minimum
z(t) keeps F(z(t), t) = dW/dz = 0. Differentiating k times at t = 0 puts the highest derivative of
z, and it alone, behind the Hessian:

    A z_k = - [d^k/dt^k F(z_1 t + ... + z_(k-1) t^(k-1)/(k-1)!, t)] at t = 0

so that one factorisation of A gives the series to any order, one solve each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
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


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Path:
    """A straight path: d(parameter)/dt by name, and the strain d(h)/dt = h e, (d, d)."""

    parameters: Theta
    strain: Any

    def at(self, setting: Setting, t: Any) -> Setting:
        """The setting at t, with z = 0 its affine image."""
        theta = select(setting.params, list(self.parameters))
        moved = {name: theta[name] + t * rate for name, rate in self.parameters.items()}
        stretch = jnp.eye(len(self.strain)) + t * self.strain
        setting = replace(
            setting, positions=setting.positions @ stretch, cell=setting.cell @ stretch
        )
        return with_parameters(setting, moved)


def taylor_series(line: Linearization, path: Path, order: int) -> np.ndarray:
    """(order, n) derivatives of the minimum along a path."""
    series = np.zeros((0, line.operator.size))
    for _ in range(order):
        rhs = _explicit(line.problem, line.setting, series, path)
        step = -line.solve(np.asarray(rhs)[:, None])[0][:, 0]
        series = np.vstack([series, step])
    return series


@partial(jax.jit, static_argnames="problem")
def _explicit(problem: Problem, setting: Setting, series: Any, path: Path) -> jax.Array:
    """d^k F/dt^k at t = 0 along the series known so far, k = len(series) + 1."""

    def force(t: jax.Array) -> jax.Array:
        return problem.gradient(horner(series, t), path.at(setting, t))

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


@partial(jax.jit, static_argnames="problem")
def force_at(problem: Problem, z: Any, setting: Setting) -> jax.Array:
    return problem.gradient(z, setting)


@partial(jax.jit, static_argnames="problem")
def configuration_at(problem: Problem, setting: Setting, z: Any) -> tuple[jax.Array, jax.Array]:
    return problem.configuration(z, setting)


def linearized_at(line: Linearization, series: np.ndarray, path: Path, t: float) -> Linearization:
    """The predicted state as a linear system of its own."""
    there = path.at(line.setting, t)
    positions, cell = configuration_at(line.problem, there, horner(series, t))
    return linearize(line.problem, replace(there, positions=positions, cell=cell), "auto", RTOL)
