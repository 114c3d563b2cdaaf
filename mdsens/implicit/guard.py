"""The guard: an identity that refuses NaN in eager code and lets it through under `jit`.

    eager value      raises DerivativeUndefined, with a sentence
    jit              identity: a NaN stays a NaN, the only thing compiled code can say
    vmap             identity: one bad member must not poison the batch
    jvp, transpose   a guard again, so that derivatives of every order are watched

A guard stands on each side of the linear solve. Transposition runs the solve backwards, so the two
sides change places: what was the right-hand side is then the answer.
"""

from __future__ import annotations

import enum
from typing import Any

import jax
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from mdsens.errors import DerivativeUndefined


class Side(enum.Enum):
    """Which end of the linear solve a guard watches."""

    INPUT = "input"
    OUTPUT = "output"


_SENTENCES = {
    Side.INPUT: (
        "the right-hand side of the implicit linear solve holds NaN or infinity: the solution, its "
        "optimality function or the cotangent handed back is probably not finite"
    ),
    Side.OUTPUT: (
        "the linear solve behind an implicit derivative failed: the Jacobian at the solution is "
        "probably singular, too badly conditioned, or the solver given missed its tolerance"
    ),
}
_OPPOSITE = {Side.INPUT: Side.OUTPUT, Side.OUTPUT: Side.INPUT}


def check(tree: Any, side: Side) -> None:
    """Raise if a concrete pytree holds anything that is not finite.

    Raises:
        DerivativeUndefined: with the sentence of that side.
    """
    for leaf in jax.tree_util.tree_leaves(tree):
        if not np.all(np.isfinite(np.asarray(leaf))):
            raise DerivativeUndefined(_SENTENCES[side])


def guard(x: jax.Array, side: Side) -> jax.Array:
    """The identity on an array, watched."""
    return _guard_p.bind(x, side=side)


_guard_p = Primitive("mdsens_guard")


def _eager(x: Any, *, side: Side) -> Any:
    check(x, side)
    return x


def _batched(args: Any, dims: Any, *, side: Side) -> Any:
    del side
    return args[0], dims[0]


def _transposed(cotangent: Any, x: Any, *, side: Side) -> Any:
    del x
    if isinstance(cotangent, ad.Zero):
        return [cotangent]
    return [_guard_p.bind(cotangent, side=_OPPOSITE[side])]


_guard_p.def_impl(_eager)
_guard_p.def_abstract_eval(lambda x, *, side: x)
ad.deflinear2(_guard_p, _transposed)
batching.primitive_batchers[_guard_p] = _batched
mlir.register_lowering(_guard_p, lambda ctx, x, *, side: [x])
