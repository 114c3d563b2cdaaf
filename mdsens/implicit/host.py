"""Any solver in front: Python, SciPy or another program, inside jit, vmap and derivatives.

    @custom_root(F)
    @host
    def solve(init, theta):            # NumPy arrays in, NumPy arrays out
        return some_program(init, theta)

The derivative is that of F alone; the solver is never differentiated, only run.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.errors import InputError, NotConverged
from mdsens.implicit.announced import (
    as_announced,
    copied,
    floating,
    has_nan,
    shapes_of,
    without_value,
)
from mdsens.implicit.asking import ask, converse
from mdsens.implicit.leaves import (
    Rebuild,
    closes_over_tracers,
    is_traced_now,
    outside_transformations,
    split,
)
from mdsens.implicit.signature import signature_of, with_defaults
from mdsens.linear.precision import require_float64

Function = Callable[..., Any]


def host(solver: Function, like: Any = None, evaluate: Function | None = None) -> Function:
    """A function on NumPy arrays as one that JAX may call anywhere.

    Outside of `jit` and `vmap` the solver is simply called, with its arguments as NumPy arrays of
    its own; what is no array passes untouched. Inside, the compiled program stops, calls it, and
    goes on; members of a batch are solved one after the other.

    A solver must not run JAX itself while a compiled program waits for it: with as many programs
    under way as the machine has cores, all wait for each other for ever. So where it needs the
    values of a JAX function, an energy or a gradient, it says `evaluate`, and is called as
    solver(value, init, *args), where

        value(x) = evaluate(x, *args)

    takes and returns NumPy arrays, evaluated by the program that is waiting.

    Args:
        solver: solver(init, *args) -> pytree of arrays, or solver(value, init, *args).
        like: pytree of arrays or `jax.ShapeDtypeStruct` with the structure, shapes and types of the
            result. Inside jit and vmap, where they must be known beforehand, those of init in
            float64 by default; say so if the result (auxiliary data included) is not like init.
        evaluate: evaluate(x, *args) -> pytree of arrays, traceable by JAX; x is like init.

    Returns:
        solver(init, *args), without a derivative of its own: decorate it with `custom_root`.

    Raises:
        NotConverged: raised by the solver, or for it where it returns NaN; under jit and vmap the
            result is NaN.
        InputError: the result is not as announced or in single precision, or the solver closes over
            a value that is being transformed. Under jit and vmap this, and whatever else the solver
            raises, comes up as an error of JAX with the message inside.
    """
    require_float64(like)
    runner = _Host(solver, None if like is None else shapes_of(like), evaluate)
    signature = signature_of(solver)
    if evaluate is not None:
        signature = signature.replace(parameters=list(signature.parameters.values())[1:])

    @functools.wraps(solver)
    def called(*args: Any, **kwargs: Any) -> Any:
        if closes_over_tracers(solver):
            raise InputError(
                "the host solver closes over a value that is being differentiated, batched or "
                "compiled; hand it over as an argument"
            )
        dynamic, rebuild = split(with_defaults(signature, args, kwargs))
        return runner(rebuild, dynamic)

    setattr(called, "__signature__", signature)  # noqa: B010
    return called


@dataclass(frozen=True)
class _Host:
    """A solver with what is known of it; its arguments as `split` gives them."""

    solver: Function
    announced: Any
    evaluate: Function | None

    def __call__(self, rebuild: Rebuild, dynamic: list[Any]) -> Any:
        if closes_over_tracers(self.evaluate):
            return self.inside(rebuild, dynamic)
        if not is_traced_now(dynamic):
            return self.outside(rebuild, dynamic)
        # Without a conversation nothing needs compiling, and a batch of numbers is a Python loop.
        compiled = self.evaluate is not None and rebuild.is_hashable
        return (self._inside if compiled else self.inside)(rebuild, dynamic)

    def outside(self, rebuild: Rebuild, dynamic: list[Any]) -> Any:
        """The result for numbers."""
        evaluate = self._value if rebuild.is_hashable else self._value_at

        def value(x: Any) -> Any:
            return jax.tree_util.tree_map(np.asarray, evaluate(rebuild, x, dynamic))

        with outside_transformations():
            result = self._run(value, rebuild, dynamic)
        if self.announced is not None:
            result = as_announced(result, self.announced, f"{self} returned")
        if has_nan(result):
            raise NotConverged(f"{self} returned NaN", result)
        arrays, others = split(result)
        return others([jnp.asarray(leaf) for leaf in arrays])

    def inside(self, rebuild: Rebuild, dynamic: list[Any]) -> Any:
        """The result for arguments that are being compiled or batched."""
        start = floating(_first(rebuild(dynamic)))
        announced = start if self.announced is None else self.announced
        shapes, treedef = jax.tree_util.tree_flatten(announced)
        if not shapes:
            raise InputError(
                f"{self} runs inside jit or vmap, where the shapes of its result must be known "
                "beforehand; say host(solver, like=...) with arrays of these shapes"
            )

        def solve(value: Function | None, *numbers: np.ndarray) -> list[np.ndarray]:
            try:
                result = self._run(value, rebuild, list(numbers))
            except NotConverged:
                return [without_value(shape) for shape in shapes]
            return jax.tree_util.tree_leaves(as_announced(result, announced, f"{self} returned"))

        if self.evaluate is None:
            leaves = ask(functools.partial(solve, None), tuple(shapes), *dynamic)
        else:
            leaves = self._converse(solve, start, tuple(shapes), rebuild, dynamic)
        return jax.tree_util.tree_unflatten(treedef, leaves)

    def _converse(
        self, solve: Function, start: Any, shapes: tuple, rebuild: Rebuild, dynamic: list[Any]
    ) -> list[Any]:
        points, point_tree = jax.tree_util.tree_flatten(start)

        def evaluate(x: Sequence[Any]) -> Any:
            return self._value_at(rebuild, jax.tree_util.tree_unflatten(point_tree, x), dynamic)

        value_tree = jax.tree_util.tree_structure(jax.eval_shape(evaluate, points))

        def talk(value: Function, *numbers: np.ndarray) -> list[np.ndarray]:
            def value_at(x: Any) -> Any:
                point = as_announced(x, start, f"{self} asked for a value at")
                leaves = value(jax.tree_util.tree_leaves(point))
                return jax.tree_util.tree_unflatten(value_tree, leaves)

            return solve(value_at, *numbers)

        leaves_of = jax.tree_util.tree_leaves
        return converse(talk, lambda x: leaves_of(evaluate(x)), tuple(points), shapes, *dynamic)

    def _run(self, value: Function | None, rebuild: Rebuild, numbers: list[Any]) -> Any:
        args, kwargs = rebuild([copied(leaf) for leaf in numbers])
        return self.solver(*(() if self.evaluate is None else (value,)), *args, **kwargs)

    def _value_at(self, rebuild: Rebuild, x: Any, dynamic: list[Any]) -> Any:
        assert self.evaluate is not None
        args, kwargs = rebuild(dynamic)
        return self.evaluate(x, *args[1:], **kwargs)

    # Kept here, not in a cache of JAX: the programs go when the solver goes.
    @cached_property
    def _value(self) -> Function:
        return jax.jit(self._value_at, static_argnums=0)

    @cached_property
    def _inside(self) -> Function:
        return jax.jit(self.inside, static_argnums=0)

    def __str__(self) -> str:
        return f"the host solver {getattr(self.solver, '__name__', repr(self.solver))}"


def _first(given: tuple[tuple, dict[str, Any]]) -> Any:
    args, kwargs = given
    return next(iter((*args, *kwargs.values())), None)
