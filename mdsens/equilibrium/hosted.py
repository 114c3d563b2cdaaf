"""Solves behind derivatives that run on the host, in eager code: in the middle of compiled programs.

    x = (P H P)^+ b by what was made of H beforehand

Compiled code can hold arrays only. So the solve carries the entries of H, and a number under which
what was made of them is kept; should that be gone (of many states the earliest are let go), it is made
once more.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp

from mdsens.implicit import Certified
from mdsens.implicit.asking import ask
from mdsens.linear import HostSolver, Inverse, Projector

_KEPT = 8
_NUMBERS = itertools.count()
_INVERSES: OrderedDict[int, Inverse] = OrderedDict()
# Entries are padded to a multiple of this fraction, so that states alike share compiled code.
_ROOM = 8


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class HostSolve(Certified):
    """(P H P)^+ b, NaN where the solve misses its tolerance or H is not positive.

    Attributes:
        solver: static.
        number: of what was made of H.
        data, indices, starts: H by columns, padded.
        projector: of the state; a mask of NaN for one that has no derivative.
    """

    symmetric = True
    solver: HostSolver = field(metadata={"static": True})
    number: Any
    data: Any
    indices: Any
    starts: Any
    projector: Projector

    @staticmethod
    def of(solver: HostSolver, inverse: Inverse, projector: Projector, sound: Any) -> HostSolve:
        """For a state whose Hessian has been made into `inverse`."""
        number = next(_NUMBERS)
        _keep(number, inverse)
        matrix = inverse.matrix
        step = max(1, 2 ** (matrix.nnz.bit_length() - 1) // _ROOM)
        pad = (0, -matrix.nnz % step)
        mask = jnp.where(sound, projector.mask, jnp.nan)
        return HostSolve(
            solver, np.int64(number), np.pad(matrix.data, pad), np.pad(matrix.indices, pad),
            matrix.indptr, Projector(mask, projector.basis),
        )  # fmt: skip

    def __call__(self, matvec: Any, b: jax.Array) -> jax.Array:
        solver = self.solver

        def answer(*given: Any) -> Sequence[np.ndarray]:
            return [_answer(solver, *given)]

        p = self.projector
        given = (self.number, self.data, self.indices, self.starts, p.mask, p.basis, b)
        return ask(answer, (jax.ShapeDtypeStruct(b.shape, b.dtype),), *given)[0]


def _answer(solver: HostSolver, number: Any, *given: Any) -> np.ndarray:
    """x for b, the last of what is given. In a callback: JAX must not run here."""
    data, indices, starts, mask, basis, b = map(np.asarray, given)
    if not np.all(np.isfinite(mask)):
        return np.full_like(b, np.nan)
    inverse = _INVERSES.get(int(number))
    if inverse is None:
        used, n = int(starts[-1]), len(mask)
        # H is symmetric: whether these are its columns or its rows is all the same.
        matrix = sp.csc_array((data[:used], indices[:used], starts), shape=(n, n))
        modes: Any = (mask, basis)
        inverse = solver.factorize(matrix, Projector(*modes))
        _keep(int(number), inverse)
    x = inverse.attempt(b, inverse.rtol)[0]
    return np.full_like(b, np.nan) if inverse.inertia > 0 else x


def _keep(number: int, inverse: Inverse) -> None:
    _INVERSES[number] = inverse
    while len(_INVERSES) > _KEPT:
        _INVERSES.popitem(last=False)
