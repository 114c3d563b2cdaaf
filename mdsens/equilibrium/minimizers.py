"""Descent to a force tolerance: FIRE, preconditioned FIRE, gradient descent, L-BFGS.

None of them knows a unit. Forces are divided by the largest curvature k of the energy at the start,
which makes them lengths: a step of gradient descent is the force itself, and the highest vibration
has frequency one, so that one time step fits soft and hard, reduced and metal units alike.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from mdsens._jaxmd import minimize
from mdsens.equilibrium.preconditioner import exponential_preconditioner
from mdsens.equilibrium.problem import Problem, Setting, spacing
from mdsens.linear import largest_curvature

# Velocity Verlet is stable up to dt = 2 at frequency one; twice the curvature of the start is
# allowed for, and FIRE needs some of the rest to turn round.
_DT_MAX = 0.9


class Progress(NamedTuple):
    """Where a descent stands.

    Attributes:
        z: (n,) unknowns.
        memory: the minimizer's own state.
        steps: steps made since the beginning.
        residual: convergence measure at z.
        best: lowest residual so far, and `idle` steps since it last fell: an L-BFGS whose line
            search drowns in round-off idles.
        fresh: the neighbour list still holds at z.
    """

    z: jax.Array
    memory: Any
    steps: jax.Array
    residual: jax.Array
    best: jax.Array
    idle: jax.Array
    fresh: jax.Array


class Scaled(NamedTuple):
    """The problem in units of its own stiffness: energy/k and gradient/k of displacements z."""

    energy: Any
    gradient: Any
    length: jax.Array
    setting: Setting


class Minimizer(Protocol):
    """init: memory at z and the scaled gradient there. step: the next z, gradient and memory."""

    def init(self, problem: Scaled, z: jax.Array) -> tuple[jax.Array, Any]: ...
    def step(self, problem: Scaled, z: jax.Array, memory: Any) -> Step: ...


class Step(NamedTuple):
    z: jax.Array
    gradient: jax.Array
    memory: Any


class Fire:
    """jax-md's FIRE in lengths, rescaled as it converges.

    jax-md adds 1e-3 to the force norm, in whatever units. Here z = anchor + scale * y with the scale
    following the force down, so that the norm it sees stays between 1/128 and 1.
    """

    def _parts(self, problem: Scaled, anchor: jax.Array, scale: jax.Array):
        force = lambda y, **_: -problem.gradient(anchor + scale * y) / scale  # noqa: E731
        return minimize.fire_descent(force, _shift, dt_start=0.1 * _DT_MAX, dt_max=_DT_MAX)

    def init(self, problem: Scaled, z: jax.Array) -> tuple[jax.Array, Any]:
        state = self._parts(problem, z, jnp.ones(()))[0](jnp.zeros_like(z))
        scale = jnp.maximum(jnp.linalg.norm(state.force), 1e-300)
        state = jax.tree.map(jnp.asarray, state.set(force=state.force / scale))
        return -state.force * scale, (z, scale, state)

    def step(self, problem: Scaled, z: jax.Array, memory: Any) -> Step:
        anchor, scale, state = memory
        state = self._parts(problem, anchor, scale)[1](state)
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
    """jax-md's preconditioned FIRE with an exponential graph preconditioner made once per list."""

    def _parts(self, problem: Scaled, inverse, product):
        force = lambda y, **_: -problem.gradient(y)  # noqa: E731
        return minimize.precon_fire_descent(
            force,
            _shift,
            dt_max=_DT_MAX,
            max_move=0.2 * problem.length,
            use_armijo=False,
            preconditioner=lambda _, f, **__: inverse(f),
            preconditioner_dot=lambda _, x, y, **__: x @ product(y),
        )

    def init(self, problem: Scaled, z: jax.Array) -> tuple[jax.Array, Any]:
        factor, matrix = exponential_preconditioner(problem.gradient, z, problem.setting)
        state = self._parts(problem, None, None)[0](z)
        return -state.force, (factor, matrix, state)

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

        state = self._parts(problem, inverse, product)[1](state)
        return Step(state.position, -state.force, (factor, matrix, state))


class GradientDescent:
    """jax-md's gradient descent with step 1/k."""

    def init(self, problem: Scaled, z: jax.Array) -> tuple[jax.Array, Any]:
        gradient = problem.gradient(z)
        return gradient, gradient

    def step(self, problem: Scaled, z: jax.Array, memory: Any) -> Step:
        # The force at z is known from the step before.
        z = minimize.gradient_descent(lambda y, **_: -memory, _shift, step_size=1.0)[1](z)
        gradient = problem.gradient(z)
        return Step(z, gradient, gradient)


class LBFGS:
    """optax' L-BFGS with a zoom line search, no coordinate moving further than a tenth of the
    particle spacing per step, so that the neighbour list holds along the whole line."""

    def _parts(self, problem: Scaled) -> optax.GradientTransformationExtraArgs:
        return optax.chain(
            optax.scale_by_lbfgs(memory_size=10, scale_init_precond=False),
            optax.scale(-1.0),
            _limit_step(0.1 * problem.length),
            optax.scale_by_zoom_linesearch(
                max_linesearch_steps=12, max_learning_rate=1.0, initial_guess_strategy="one"
            ),
        )

    def init(self, problem: Scaled, z: jax.Array) -> tuple[jax.Array, Any]:
        return problem.gradient(z), self._parts(problem).init(z)

    def step(self, problem: Scaled, z: jax.Array, memory: Any) -> Step:
        value, gradient = optax.value_and_grad_from_state(problem.energy)(z, state=memory)
        update, memory = self._parts(problem).update(
            gradient, memory, z, value=value, grad=gradient, value_fn=problem.energy
        )
        return Step(z + jnp.asarray(update), optax.tree.get(memory, "grad"), memory)


MINIMIZERS: dict[str, Minimizer] = {
    "fire": Fire(),
    "precon_fire": PreconFire(),
    "gradient_descent": GradientDescent(),
    "lbfgs": LBFGS(),
}


@partial(jax.jit, static_argnames=("problem", "name"))
def descend(
    problem: Problem,
    name: str,
    setting: Setting,
    curvature: jax.Array,
    target: jax.Array,
    budget: jax.Array,
    steps: jax.Array,
) -> Progress:
    """Descend from z = 0 until the residual is below `target`, `steps` reaches `budget`, the
    neighbour list no longer holds, or the residual stops falling. `curvature`: see `scales`."""
    minimizer = MINIMIZERS[name]
    z = problem.start(setting)
    scaled = Scaled(
        lambda y: problem.objective(y, setting) / curvature,
        lambda y: problem.gradient(y, setting) / curvature,
        spacing(setting),
        setting,
    )
    cutoff = problem.potential.cutoff(setting.params)

    def measure(step: Step, steps, best, idle):
        residual = problem.residual(step.gradient * curvature, setting)
        better = residual < 0.99 * best
        fresh = setting.neighbors.holds_for(*problem.configuration(step.z, setting), cutoff)
        best = jnp.where(better, residual, best)
        idle = jnp.where(better, 0, idle + 1)
        return Progress(step.z, step.memory, steps, residual, best, idle, fresh)

    def unfinished(p: Progress):
        going = (p.residual > target) & (p.steps < budget) & jnp.isfinite(p.residual)
        return going & p.fresh & (p.idle < patience(name))

    def advance(p: Progress):
        return measure(minimizer.step(scaled, p.z, p.memory), p.steps + 1, p.best, p.idle)

    gradient, memory = minimizer.init(scaled, z)
    start = Step(z, gradient, memory)
    first = measure(start, steps, jnp.asarray(jnp.inf), jnp.asarray(0))
    return jax.lax.while_loop(unfinished, advance, first)


def patience(name: str) -> int:
    """Steps without progress before giving up; FIRE oscillates, a stalled line search does not."""
    return 200 if name == "lbfgs" else 20_000


@partial(jax.jit, static_argnames="problem")
def scales(problem: Problem, setting: Setting) -> tuple[jax.Array, jax.Array]:
    """The largest curvature of W at z = 0, never zero, and the force scale: that times a spacing."""
    z = problem.start(setting)
    k = largest_curvature(lambda v: problem.hessian_product(z, setting, v), z.size)
    k = jnp.where(k > 0.0, k, 1.0)
    return k, k * spacing(setting)


def _shift(z: jax.Array, dz: jax.Array, **_: Any) -> jax.Array:
    return z + dz


def _limit_step(largest: jax.Array) -> optax.GradientTransformation:
    def update(updates, state, params=None):
        del params
        longest = jnp.maximum(jnp.max(jnp.abs(updates)), 1e-300)
        return updates * jnp.minimum(1.0, largest / longest), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)
