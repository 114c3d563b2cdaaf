"""Repeating a step so that the repetition can be differentiated.

Forward mode carries tangents along. Reverse mode needs every state again, the last one first: kept
are those at the ends of sqrt(k) segments of sqrt(k) steps each, and a segment is walked once more
when its turn comes (a schedule of Griewank 1992, doi:10.1080/10556789208805505, with one level).
"""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from mdsens.errors import InputError

Step = Callable[[Any], Any]


def reversible(step: Step, state: Any, count: Any, room: int, checkpoint: bool) -> Any:
    """`step` applied `count` times to `state`, for derivatives of either mode.

    Args:
        count: a Python int, or a traced one that is at most `room`.
        room: for so many steps, a Python int; those beyond `count` are skipped.
        checkpoint: keep about 2 sqrt(room) states instead of `room`.
    """
    length = isqrt(max(room - 1, 0)) + 1
    if isinstance(count, int):
        if checkpoint:
            state = _repeat(_segment(step, length), state, count // length)
            count = count % length
        return _repeat(step, state, count)

    def while_unfinished(advance: Step) -> Step:
        return lambda carry: lax.cond(carry[0] < count, advance, lambda same: same, carry)

    one = while_unfinished(lambda carry: (carry[0] + 1, step(carry[1])))
    if checkpoint:
        one, room = while_unfinished(_segment(one, length)), -(-room // length)
    return _repeat(one, (jnp.asarray(0), state), room)[1]


def _segment(step: Step, length: int) -> Step:
    return jax.checkpoint(lambda carry: _repeat(step, carry, length))


def _repeat(step: Step, carry: Any, count: int) -> Any:
    if count == 0:
        return carry
    return lax.scan(lambda c, _: (step(c), None), carry, None, length=count)[0]


def forward_only(step: Step, state: Any, count: Any) -> Any:
    """`step` applied `count` times to `state`; nothing is stored, and reverse mode refused."""
    end = lax.fori_loop(0, count, lambda _, s: step(s), state)
    return jax.tree_util.tree_map(_one_way, end)


@jax.custom_jvp
def _one_way(x: Any) -> Any:
    return x


@_one_way.defjvp
def _tangent(primals: tuple, tangents: tuple) -> tuple[Any, Any]:
    (x,), (t,) = primals, tangents
    return _one_way(x), t if t.dtype == jax.dtypes.float0 else _one_way_p.bind(t)


_one_way_p = Primitive("mdsens_one_way")


def _refused(cotangent: Any, t: Any) -> Any:
    del cotangent, t
    raise InputError(
        'Automatic(mode="forward") carries tangents forwards and keeps no iterates, so it has no '
        'reverse mode (grad, vjp, jacrev); use jvp or jacfwd, or mode="reverse"'
    )


def _batched(args: Any, dims: Any) -> Any:
    return _one_way_p.bind(args[0]), dims[0]


_one_way_p.def_impl(lambda t: t)
_one_way_p.def_abstract_eval(lambda t: t)
ad.deflinear2(_one_way_p, _refused)
batching.primitive_batchers[_one_way_p] = _batched
mlir.register_lowering(_one_way_p, lambda ctx, t: [t])
