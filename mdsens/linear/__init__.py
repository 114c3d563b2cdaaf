"""Solve A x = b for symmetric A with a known null space. Knows no atoms.

solver.solve(operator, rhs, projector) -> (x, SolveInfo),    x = (P A P)^+ P b
"""

from mdsens.linear.cg import CG
from mdsens.linear.dense import Dense
from mdsens.linear.minres import MINRES
from mdsens.linear.operator import Operator
from mdsens.linear.outcome import Outcome, SolveInfo
from mdsens.linear.precision import require_float64
from mdsens.linear.preconditioner import block_jacobi
from mdsens.linear.projector import Projector

__all__ = [
    "CG",
    "MINRES",
    "Dense",
    "Operator",
    "Outcome",
    "Projector",
    "SolveInfo",
    "block_jacobi",
    "require_float64",
]
