"""An iterative method as a value: what it repeats, when it stops, which equation it solves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from mdsens.errors import InputError, NotConverged
from mdsens.implicit.condition import require_like, require_unknowns
from mdsens.implicit.hoist import hoist
from mdsens.implicit.leaves import is_traced_now, split, stopped
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
        search = self._fixed if self.tol == 0.0 else self._search
        return _undifferentiated(search, require_unknowns(x0), *args)

    def state_after(self, count: Any, x0: Any, *args: Any) -> Any:
        """s_count, from x0. Not differentiated; `count` may be traced."""
        return _undifferentiated(self._state_after, count, require_unknowns(x0), *args)

    def _state_after(self, count: Any, x0: Any, *args: Any) -> Any:
        start = self.init(x0, *args)
        return jax.lax.fori_loop(0, count, lambda _, state: self.step(state, *args), start)

    def _fixed(self, x0: Any, *args: Any) -> tuple[Any, Info]:
        state = self._state_after(self.max_steps, x0, *args)
        residual = self._residual(state, args)
        return self.read(state), Info(self.max_steps, residual, jnp.isfinite(residual))

    def _search(self, x0: Any, *args: Any) -> tuple[Any, Info]:
        def unfinished(carry: tuple) -> jax.Array:
            _, steps, done = carry
            return ~done & (steps < self.max_steps)

        def advance(carry: tuple) -> tuple:
            state, steps, _ = carry
            # F and the step are evaluated at one place: the compiler shares what they share.
            done = ~(self._residual(state, args) > self.tol)
            following = self.step(state, *args)
            kept = jax.tree_util.tree_map(partial(jnp.where, done), state, following)
            return kept, steps + ~done, done

        start = (self.init(x0, *args), jnp.asarray(0), jnp.asarray(False))
        state, steps, _ = jax.lax.while_loop(unfinished, advance, start)
        residual = self._residual(state, args)
        return self.read(state), Info(steps, residual, residual <= self.tol)

    def _residual(self, state: Any, args: tuple) -> jax.Array:
        return jnp.linalg.norm(ravel_pytree(self.condition(self.read(state), *args))[0])


def _undifferentiated(fun: Callable[..., Any], *inputs: Any) -> Any:
    """fun(*inputs), a constant to every derivative, also by what `fun` closes over."""
    dynamic, rebuild = split(stopped(inputs))
    explicit, captured, _ = hoist(lambda leaves: fun(*rebuild(leaves)), dynamic)
    return explicit(stopped(captured), dynamic)


def require_converged(iteration: Iteration, x: Any, info: Info) -> None:
    """Refuse, in eager code, an x that the iteration did not bring to its tolerance.

    Raises:
        NotConverged: its `result` is x.
    """
    if is_traced_now(info) or bool(info.converged):
        return
    raise NotConverged(
        f"the iteration is not converged: |F| = {float(info.residual):.3g} after "
        f"{int(info.steps)} steps, tol = {iteration.tol:.3g}; raise max_steps or tol, or ask for a "
        "fixed number of steps by tol=0",
        x,
    )


def nan_unless(converged: jax.Array, x: Any) -> Any:
    """x, or NaN with a derivative of NaN: all that compiled code can say."""
    # A product, because the derivative of a rejected branch of `where` is a finite zero.
    factor = jnp.where(converged, 1.0, jnp.nan)
    return jax.tree_util.tree_map(lambda leaf: leaf * factor, x)
