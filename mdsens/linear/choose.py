"""Which solver for which system, and why, in a sentence that goes into the results."""

from __future__ import annotations

from typing import Literal

from mdsens.errors import InputError
from mdsens.linear.assembled import AssembledCG
from mdsens.linear.cg import CG
from mdsens.linear.dense import Dense
from mdsens.linear.minres import MINRES
from mdsens.linear.sparse import SparseDirect

LinearSolver = Dense | SparseDirect | AssembledCG | CG | MINRES

# eigh of 600 x 600 takes 0.1 s on one core, as long as a few solves by CG; it grows with n^3.
_DENSE = 600
# One factorisation of a 2D network takes 0.1 s and 0.03 GB for 10 000 discs, 5 s and 0.3 GB for
# 100 000, 53 s and 1.5 GB for 400 000, 7 minutes and 9 GB for a million, a solve with it 3, 70,
# 350 and 1200 ms; the limit is where memory would come to that of a workstation. In 3D 0.15 s for
# 1000 spheres, but half a minute for 10 000.
_SPARSE = {2: 3_000_000, 3: 6_000}


def choose(
    n: int,
    dimension: int,
    definite: bool,
    local: bool,
    device: Literal["cpu", "gpu"] | str,
    traced: bool,
    rtol: float = 1e-10,
) -> tuple[LinearSolver, str]:
    """The solver for n unknowns, and the reason.

    Args:
        n: number of unknowns.
        dimension: of space, which decides how a sparse factor fills in.
        definite: whether A is known to be positive definite off its null space.
        local: whether a sparse matrix can be assembled (short-ranged potential).
        device: where products with A run.
        traced: inside jit or grad, where no host code can run.
        rtol: largest relative residual accepted.
    """
    if not traced and local and n <= _SPARSE.get(dimension, 0):
        return SparseDirect(rtol=rtol), (
            f"sparse factorisation, because {n} unknowns in {dimension}D fill in little and one "
            "factor serves every right-hand side"
        )
    if n <= _DENSE:
        return Dense(rtol=rtol), f"dense, because {n} unknowns are few"
    why = f"{n} unknowns on {device} are too many for a factorisation"
    if traced:
        why = f"{n} unknowns are many and compiled code cannot factorise sparsely"
    if definite and local and not traced and device == "cpu":
        return AssembledCG(rtol=rtol, block=dimension), (
            f"conjugate gradients on the assembled matrix, because {why} and a minimum is definite"
        )
    if definite:
        return CG(rtol=rtol), f"conjugate gradients, because {why} and a minimum is definite"
    return MINRES(rtol=rtol), f"minimum residuals, because {why} and the matrix is indefinite"


def named(name: str, rtol: float = 1e-10) -> LinearSolver:
    """The solver called dense, sparse, cg or minres.

    Raises:
        InputError: no solver has that name.
    """
    known = {"dense": Dense, "sparse": SparseDirect, "cg": CG, "minres": MINRES}
    if name not in known:
        raise InputError(f"there is no solver {name!r}; there are {', '.join(known)}")
    return known[name](rtol=rtol)
