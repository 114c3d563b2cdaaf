"""Asking Python in the middle of a JAX program, without letting Python ask JAX back.

A callback of compiled code blocks one of the few threads JAX has for running programs. If it runs a
JAX program itself, and waits for it, all threads may be waiting: a deadlock, certain on one core. So a
host solver that needs a JAX function does not call it. It runs in a thread of its own and says where
it wants the function evaluated; the compiled program evaluates it, and hands the value over:

    x = start(args);    while not done: x = go_on(f(x));    finish()

Callbacks pass NumPy arrays between the two, and nothing else happens in them.
"""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from mdsens.errors import InputError
from mdsens.implicit.leaves import is_traced_now

Callback = Callable[..., Sequence[np.ndarray]]
Shapes = tuple[jax.ShapeDtypeStruct, ...]


def ask(callback: Callback, shapes: Shapes, *operands: Any) -> list[Any]:
    """callback(*operands): a function on NumPy arrays, called when the numbers are there.

    Called once for every time this is reached, and for each member of a batch in turn.

    Args:
        callback: returns arrays of exactly these shapes and types.
        shapes: of what it returns.
        operands: arrays.

    Raises:
        InputError: it is differentiated.
    """
    return _ask_p.bind(*operands, callback=callback, shapes=shapes)


_ask_p = Primitive("mdsens_ask")
_ask_p.multiple_results = True


def _eager(*operands: Any, callback: Callback, shapes: Shapes) -> list[jax.Array]:
    del shapes
    return [jnp.asarray(leaf) for leaf in callback(*map(np.asarray, operands))]


def _batched(operands: Any, dims: Any, **params: Any) -> tuple[list[Any], list[int]]:
    size = next(x.shape[d] for x, d in zip(operands, dims, strict=True) if d is not None)
    moved = [
        jnp.broadcast_to(x, (size, *x.shape)) if d is None else jnp.moveaxis(x, d, 0)
        for x, d in zip(operands, dims, strict=True)
    ]
    if is_traced_now(moved):
        results = jax.lax.map(lambda member: _ask_p.bind(*member, **params), moved)
    else:
        members = [_eager(*member, **params) for member in zip(*moved, strict=True)]
        results = [jnp.stack(leaves) for leaves in zip(*members, strict=True)]
    return results, [0] * len(results)


def _differentiated(primals: Any, tangents: Any, **params: Any) -> Any:
    raise InputError(
        "a host solver has no derivative of its own; say what its result solves, "
        "custom_root(F)(host(solver))"
    )


def _lowered(ctx: Any, *operands: Any, callback: Callback, shapes: Shapes) -> Any:
    # Marked as having an effect, so that two equal questions are asked twice.
    results, _, _ = mlir.emit_python_callback(
        ctx, callback, None, list(operands), ctx.avals_in, ctx.avals_out, has_side_effect=True
    )
    return results


_ask_p.def_impl(_eager)
_ask_p.def_abstract_eval(
    lambda *operands, callback, shapes: [ShapedArray(s.shape, s.dtype) for s in shapes]
)
ad.primitive_jvps[_ask_p] = _differentiated
batching.primitive_batchers[_ask_p] = _batched
mlir.register_lowering(_ask_p, _lowered)


def converse(
    solver: Callable[..., Sequence[np.ndarray]],
    evaluate: Callable[[Sequence[jax.Array]], Sequence[jax.Array]],
    wishes: Shapes,
    shapes: Shapes,
    *operands: Any,
) -> list[Any]:
    """solver(value, *operands) on NumPy arrays, where value(x) is evaluate(x) on NumPy arrays.

    Args:
        solver: returns arrays of exactly these shapes and types.
        evaluate: a JAX function, from arrays like `wishes` to arrays.
        wishes: shapes of what it is evaluated at.
        shapes: of what the solver returns.
        operands: arrays.
    """
    number = jax.ShapeDtypeStruct((), np.int64)
    done = jax.ShapeDtypeStruct((), np.bool_)

    def start(*given: np.ndarray) -> list[Any]:
        key = next(_NUMBERS)
        nowhere = [np.zeros(w.shape, w.dtype) for w in wishes]
        _TALKS[key] = _Talk(lambda value: solver(value, *given), nowhere)
        return [np.int64(key), *_TALKS[key].next_wish()]

    def go_on(key: np.ndarray, *value: np.ndarray) -> list[Any]:
        return _TALKS[int(key)].next_wish(value)

    def finish(key: np.ndarray, _: np.ndarray) -> Sequence[np.ndarray]:
        return _TALKS.pop(int(key)).result()

    def again(carry: list[Any]) -> list[Any]:
        key, _, *x = carry
        return [key, *ask(go_on, (done, *wishes), key, *evaluate(x))]

    begun = ask(start, (number, done, *wishes), *operands)
    key, ended, *_ = jax.lax.while_loop(lambda carry: ~carry[1], again, begun)
    return ask(finish, shapes, key, ended)


class _Talk:
    """One run of a solver in a thread of its own, which stops wherever it wants a value."""

    def __init__(self, solver: Callable[..., Sequence[np.ndarray]], nowhere: list[np.ndarray]):
        self._solver = solver
        self._last = nowhere
        self._wishes: queue.SimpleQueue = queue.SimpleQueue()
        self._values: queue.SimpleQueue = queue.SimpleQueue()
        self._outcome: Future = Future()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self._outcome.set_result(self._solver(self._value))
        except BaseException as error:  # raised again by whoever asks for the result
            self._outcome.set_exception(error)
        self._wishes.put(None)

    def _value(self, x: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        self._wishes.put(x)
        return self._values.get()

    def next_wish(self, value: Sequence[np.ndarray] | None = None) -> list[Any]:
        """[whether the solver has ended, where it wants the next value], given the last one.

        In a batch the members that have ended are asked on with the others.
        """
        if self._outcome.done():
            return [np.True_, *self._last]
        if value is not None:
            self._values.put(value)
        wish = self._wishes.get()
        self._last = self._last if wish is None else wish
        return [np.bool_(wish is None), *self._last]

    def result(self) -> Sequence[np.ndarray]:
        """What the solver returned or raised."""
        return self._outcome.result()


_TALKS: dict[int, _Talk] = {}
_NUMBERS = itertools.count()
