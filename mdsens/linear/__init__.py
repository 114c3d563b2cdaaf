"""Solve A x = b for symmetric A with a known null space. Knows no atoms.

solver.solve(operator, rhs, projector) -> (x, SolveInfo),    x = (P A P)^+ P b
"""

from mdsens.linear.assembled import AssembledCG, ScaledMatrix
from mdsens.linear.cg import CG
from mdsens.linear.choose import LinearSolver, choose, named
from mdsens.linear.dense import Dense
from mdsens.linear.inverse import HostSolver, Inverse
from mdsens.linear.lanczos import largest_curvature, largest_eigenvalue
from mdsens.linear.minres import MINRES
from mdsens.linear.operator import Operator
from mdsens.linear.outcome import Outcome, SolveInfo
from mdsens.linear.precision import require_float64
from mdsens.linear.preconditioner import block_jacobi
from mdsens.linear.projector import Projector
from mdsens.linear.sparse import SparseDirect, SparseFactor
from mdsens.linear.spectrum import LowestEigenvalues, lowest_eigenvalues

__all__ = [
    "CG",
    "MINRES",
    "AssembledCG",
    "Dense",
    "HostSolver",
    "Inverse",
    "LinearSolver",
    "LowestEigenvalues",
    "Operator",
    "Outcome",
    "Projector",
    "ScaledMatrix",
    "SolveInfo",
    "SparseDirect",
    "SparseFactor",
    "block_jacobi",
    "choose",
    "largest_curvature",
    "largest_eigenvalue",
    "lowest_eigenvalues",
    "named",
    "require_float64",
]
