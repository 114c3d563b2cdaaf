"""The minimizers: FIRE, preconditioned FIRE and gradient descent of jax-md, and an L-BFGS."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from mdsens._jaxmd import minimize
from mdsens.equilibrium.lbfgs import LBFGS
from mdsens.equilibrium.preconditioner import exponential_preconditioner
from mdsens.equilibrium.scaled import Minimizer, Scaled, Step

# Velocity Verlet is stable up to dt = 2 at frequency one; twice the curvature of the start is
# allowed for, and FIRE needs some of the rest to turn round.
_DT_MAX = 0.9


class Fire:
    """jax-md's FIRE in lengths, rescaled as it converges.

    jax-md adds 1e-3 to the force norm, in whatever units. Here z = anchor + scale * y with the scale
    following the force down, so that the norm it sees stays between 1/128 and 1.
    """

    def _parts(self, force: Any):
        return minimize.fire_descent(force, _shift, dt_start=0.1 * _DT_MAX, dt_max=_DT_MAX)

    def init(self, problem: Scaled, z: jax.Array, gradient: jax.Array) -> Any:
        scale = jnp.maximum(jnp.linalg.norm(gradient), 1e-300)
        state = self._parts(lambda y, **_: -gradient / scale)[0](jnp.zeros_like(z))
        return z, scale, jax.tree.map(jnp.asarray, state)

    def step(self, problem: Scaled, z: jax.Array, memory: Any) -> Step:
        anchor, scale, state = memory
        force = lambda y, **_: -problem.gradient(anchor + scale * y) / scale  # noqa: E731
        state = self._parts(force)[1](state)
        small = jnp.linalg.norm(state.force) < 2.0**-7
        shrink = jnp.where(small, 2.0**-7, 1.0)
        scale = scale * shrink
        state = state.set(
            position=state.position / shrink,
            momentum=state.momentum / shrink,
            force=state.force / shrink,
        )
        z = anchor + scale * state.position
        return Step(z, -state.force * scale, (anchor, scale, state))


class PreconFire:
    """jax-md's preconditioned FIRE with an exponential graph preconditioner made where it begins."""

    def _parts(self, problem: Scaled, force, inverse, product):
        return minimize.precon_fire_descent(
            force,
            _shift,
            dt_max=_DT_MAX,
            max_move=0.2 * problem.length,
            use_armijo=False,
            preconditioner=lambda _, f, **__: inverse(f),
            preconditioner_dot=lambda _, x, y, **__: x @ product(y),
        )

    def init(self, problem: Scaled, z: jax.Array, gradient: jax.Array) -> Any:
        factor, matrix = exponential_preconditioner(problem.gradient, z, problem.setting)
        state = self._parts(problem, lambda y, **_: -gradient, None, None)[0](z)
        return factor, matrix, state

    def step(self, problem: Scaled, z: jax.Array, memory: Any) -> Step:
        factor, matrix, state = memory
        n = matrix.shape[0]

        def inverse(f):
            rest = f[n * problem.setting.positions.shape[1] :]
            body = f[: f.size - rest.size].reshape(n, -1)
            solved = jax.scipy.linalg.cho_solve((factor, True), body)
            return jnp.concatenate([solved.reshape(-1), rest])

        def product(y):
            rest = y[n * problem.setting.positions.shape[1] :]
            return jnp.concatenate(
                [(matrix @ y[: y.size - rest.size].reshape(n, -1)).reshape(-1), rest]
            )

        force = lambda y, **_: -problem.gradient(y)  # noqa: E731
        state = self._parts(problem, force, inverse, product)[1](state)
        return Step(state.position, -state.force, (factor, matrix, state))


class GradientDescent:
    """jax-md's gradient descent with step 1/k."""

    def init(self, problem: Scaled, z: jax.Array, gradient: jax.Array) -> jax.Array:
        return gradient

    def step(self, problem: Scaled, z: jax.Array, memory: Any) -> Step:
        # The force at z is known from the step before.
        z = minimize.gradient_descent(lambda y, **_: -memory, _shift, step_size=1.0)[1](z)
        gradient = problem.gradient(z)
        return Step(z, gradient, gradient)


MINIMIZERS: dict[str, Minimizer] = {
    "fire": Fire(),
    "precon_fire": PreconFire(),
    "gradient_descent": GradientDescent(),
    "lbfgs": LBFGS(),
}


def _shift(z: jax.Array, dz: jax.Array, **_: Any) -> jax.Array:
    return z + dz
