"""An iterative method as a value: what it repeats, when it stops, which equation it solves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from mdsens.errors import InputError, NotConverged
from mdsens.implicit.condition import require_like, require_unknowns
from mdsens.implicit.hoist import hoist
from mdsens.implicit.leaves import (
    Rebuild,
    closes_over_tracers,
    is_traced_now,
    split,
    stopped,
)
from mdsens.linear.precision import require_float64


class Info(NamedTuple):
    """How an iteration ended.

    Attributes:
        steps: steps made.
        residual: 2-norm of F at the x returned.
        converged: residual <= tol; for a fixed number of steps (tol = 0), x is finite.
    """

    steps: Any
    residual: Any
    converged: Any


def _start_there(x0: Any, *args: Any) -> Any:
    del args
    return x0


def _itself(state: Any) -> Any:
    return state


@dataclass(frozen=True)
class Iteration:
    """An iterative method for F(x, theta) = 0.

        s_0 = init(x0, *args),    s_{k+1} = step(s_k, *args),    x_k = read(s_k)

    stopped at the first k with |F(x_k, *args)| <= tol. A method without memory needs a step only:
    its state s is x itself. One with memory (velocities, step sizes, counters) says how a state is
    made of x and how x is read from it.

    All functions must be traceable by JAX; for `Automatic`, `OneStep` and `Neumann` the step must
    be differentiable too.

    Attributes:
        step: (s, *args) -> s.
        optimality_fun: F(x, *args) -> pytree like x; T(x, *args) - x by default (see `map`).
        init: (x0, *args) -> s_0; x0 itself by default.
        read: s -> x; s itself by default.
        tol: on the 2-norm of F. 0 asks for exactly `max_steps` steps, whatever the residual.
        max_steps: at most so many steps.
    """

    step: Callable[..., Any]
    optimality_fun: Callable[..., Any] | None = None
    init: Callable[..., Any] = _start_there
    read: Callable[[Any], Any] = _itself
    tol: float = 1e-10
    max_steps: int = 10_000

    def __post_init__(self) -> None:
        if not self.tol >= 0.0:
            raise InputError(f"tol = {self.tol} must not be negative; 0 makes all max_steps steps")
        if self.max_steps < 0:
            raise InputError(f"max_steps = {self.max_steps} must not be negative")

    def map(self, x: Any, *args: Any) -> Any:
        """T(x, *args): x after one step from a fresh state at x."""
        image = self.read(self.step(self.init(x, *args), *args))
        require_like(image, x, "one step of the iteration returned", "the x it started from")
        return image

    def condition(self, x: Any, *args: Any) -> Any:
        """F(x, *args)."""
        if self.optimality_fun is not None:
            return self.optimality_fun(x, *args)
        return jax.tree_util.tree_map(jnp.subtract, self.map(x, *args), x)

    def run(self, x0: Any, *args: Any) -> tuple[Any, Info]:
        """(x, Info): iterate from x0. Not differentiated; composes with jit and vmap.

        Raises:
            InputError, Float32Error: x0 is not made of float64 arrays.
        """
        require_float64(args)
        search = _fixed_number if self.tol == 0.0 else _search
        return self._constant(search, require_unknowns(x0), args)

    def inform(self, x: Any, steps: Any, args: tuple) -> Info:
        """The report on an x reached by so many steps, however many. Not differentiated."""
        return self._constant(_inform, x, steps, args)

    def state_after(self, count: Any, x0: Any, *args: Any) -> Any:
        """s_count, from x0. Not differentiated; `count` may be traced."""
        return self._constant(_state_after, require_unknowns(x0), args, count)

    def apply(self, fun: Callable[..., Any], *inputs: Any) -> Any:
        """fun(self, *inputs), compiled once for this iteration; differentiated as it stands."""
        dynamic, rebuild = split(inputs)
        if self._is_bound_to_a_trace or not rebuild.is_hashable:
            return fun(self, *inputs)
        return self._compiled(fun, rebuild, dynamic)

    def _constant(self, fun: Callable[..., Any], *inputs: Any) -> Any:
        """fun(self, *inputs), a constant to every derivative."""
        inputs = stopped(inputs)
        if not self._is_bound_to_a_trace:
            return self.apply(fun, *inputs)
        # A parameter that a step closes over would carry its derivative into the loop.
        dynamic, rebuild = split(inputs)
        explicit, captured, _ = hoist(lambda leaves: fun(self, *rebuild(leaves)), dynamic)
        return explicit(stopped(captured), dynamic)

    @property
    def _is_bound_to_a_trace(self) -> bool:
        functions = (self.step, self.optimality_fun, self.init, self.read)
        return is_traced_now(functions) or closes_over_tracers(functions)

    # Kept here, not in a cache of JAX: the program goes when the iteration goes.
    @cached_property
    def _compiled(self) -> Callable[..., Any]:
        def call(fun: Callable[..., Any], rebuild: Rebuild, dynamic: list[Any]) -> Any:
            return fun(self, *rebuild(dynamic))

        return jax.jit(call, static_argnums=(0, 1))


def _state_after(iteration: Iteration, x0: Any, args: tuple, count: Any) -> Any:
    start = iteration.init(x0, *args)
    return jax.lax.fori_loop(0, count, lambda _, state: iteration.step(state, *args), start)


def _fixed_number(iteration: Iteration, x0: Any, args: tuple) -> tuple[Any, Info]:
    x = iteration.read(_state_after(iteration, x0, args, iteration.max_steps))
    return x, _inform(iteration, x, iteration.max_steps, args)


def _search(iteration: Iteration, x0: Any, args: tuple) -> tuple[Any, Info]:
    def unfinished(carry: tuple) -> jax.Array:
        _, steps, residual = carry
        return (residual > iteration.tol) & (steps < iteration.max_steps)

    def advance(carry: tuple) -> tuple:
        state, steps, _ = carry
        # F and the step are evaluated at one place: the compiler shares what they share.
        residual = _residual(iteration, iteration.read(state), args)
        done = ~(residual > iteration.tol)
        following = iteration.step(state, *args)
        kept = jax.tree_util.tree_map(partial(jnp.where, done), state, following)
        return kept, steps + ~done, residual

    start = (iteration.init(x0, *args), jnp.asarray(0), jnp.asarray(jnp.inf))
    state, steps, residual = jax.lax.while_loop(unfinished, advance, start)
    x = iteration.read(state)
    # The residual before the last step, where that step was the last one allowed.
    last = residual > iteration.tol
    residual = jnp.where(last, _residual(iteration, x, args), residual)
    return x, Info(steps, residual, residual <= iteration.tol)


def _inform(iteration: Iteration, x: Any, steps: Any, args: tuple) -> Info:
    residual = _residual(iteration, x, args)
    return Info(jnp.asarray(steps), residual, jnp.isfinite(residual))


def _residual(iteration: Iteration, x: Any, args: tuple) -> jax.Array:
    return jnp.linalg.norm(ravel_pytree(iteration.condition(x, *args))[0])


def require_converged(iteration: Iteration, x: Any, info: Info) -> None:
    """Refuse, in eager code, an x that the iteration did not bring to its tolerance.

    Raises:
        NotConverged: its `result` is (x, info).
    """
    if is_traced_now(info) or bool(info.converged):
        return
    raise NotConverged(
        f"the iteration is not converged: |F| = {float(info.residual):.3g} after "
        f"{int(info.steps)} steps, tol = {iteration.tol:.3g}; raise max_steps or tol, or ask for a "
        "fixed number of steps by tol=0",
        (x, info),
    )


def nan_unless(converged: jax.Array, x: Any) -> Any:
    """x, or NaN with a derivative of NaN: all that compiled code can say."""
    # A product, because the derivative of a rejected branch of `where` is a finite zero.
    factor = jnp.where(converged, 1.0, jnp.nan)
    return jax.tree_util.tree_map(lambda leaf: leaf * factor, x)
