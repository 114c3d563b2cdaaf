"""A relaxed state as a factorised linear system with its spectrum known: what certificates rest on."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from mdsens.equilibrium.linearized import (
    backbone,
    interacting,
    inverse_at,
    operator_at,
    solved_by,
    solver_for,
)
from mdsens.equilibrium.newton import measure
from mdsens.equilibrium.problem import Problem, Setting, spacing
from mdsens.errors import InputError
from mdsens.gauge import zero_modes
from mdsens.linear import (
    AssembledCG,
    HostSolver,
    Inverse,
    Operator,
    Projector,
    SparseFactor,
    largest_eigenvalue,
    lowest_eigenvalues,
    named,
)

# An eigenvalue below this fraction of the largest is a zero mode that nothing explains.
_ZERO = 1e-10
# Of the lowest eigenvalue, relative.
_LOWEST = 1e-3
# Relative residual of solutions that tell how far off another one is: to a tenth (measured, 3D).
ROUGH = 0.1
# Remainders below this fraction of their right-hand side are round-off.
_NOISE = 1e-13


class Answer(NamedTuple):
    """How the state answers some strains; see `mdsens.derivatives.strained`.

    Attributes:
        strains: (k, d d), orthonormal, and orthogonal to those of other answers.
        forces: H's mixed derivatives with them, Xi (n, k).
        displacements: U, (N d, k).
        residual: relative, of the solve.
    """

    strains: np.ndarray
    forces: np.ndarray
    displacements: np.ndarray
    residual: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Diagnosed(ABC):
    """A state whose certificate can be written.

    Attributes:
        rattlers: (N,) bool.
        zero_modes: rigid motions removed.
        why: which linear solver and why, in words.
        largest: the largest curvature.
        lowest: lowest eigenvalues on the complement.
        negative: how many eigenvalues are below zero there.
        sound: rattlers carry no load.
    """

    rattlers: np.ndarray
    zero_modes: int
    why: str
    largest: float
    lowest: np.ndarray
    negative: int
    sound: bool

    @property
    def unexplained(self) -> int:
        """Eigenvalues that are zero without a rigid motion or rattler to explain them."""
        return int(np.sum(np.abs(self.lowest) <= _ZERO * self.largest))

    @property
    def condition(self) -> float:
        """Of H on the complement; 1 where nothing is left to move."""
        lowest = float(np.min(np.abs(self.lowest), initial=self.largest))
        return self.largest / max(lowest, 1e-300)


@dataclass(frozen=True, eq=False, kw_only=True)
class Diagnosis(Diagnosed):
    """No more than that."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Linearization(Diagnosed):
    """(P H P)^+ at a state, ready to be applied.

    Attributes:
        problem, setting: the state is z = 0; rattlers' contacts are out of the list.
        near: the setting with those pairs only that interact, for the potential's own derivatives.
        projector: P.
        operator: H by its action, with blocks and, if assembled, the matrix.
        solver: what has been made of the matrix, or a solver that needs none.
        length: the particle spacing.
        answers: to strains that have been asked for.
    """

    problem: Problem
    setting: Setting
    near: Setting
    projector: Projector
    operator: Operator
    solver: Any
    length: float
    answers: list[Answer] = field(default_factory=list)

    def solve(self, rhs: Any, rtol: float | None = None) -> tuple[np.ndarray, float]:
        """(P H P)^+ rhs for rhs (n, k), and the largest true relative residual.

        A column of zeros has the solution zero, without a solve.

        Args:
            rtol: a larger relative residual to be content with, where that saves time.

        Raises:
            DerivativeUndefined: a column missed its tolerance.
        """
        rhs = np.asarray(rhs)
        x = np.zeros_like(rhs)
        needed = np.any(rhs != 0.0, axis=0)
        if not needed.any():
            return x, 0.0
        if isinstance(self.solver, Inverse):
            found, info = self.solver.solve(rhs[:, needed], rtol)
        else:
            found, info = solved_by(
                self.solver, self.problem, self.near, self.projector, rhs[:, needed]
            )
        info.raise_if_failed()
        x[:, needed] = np.asarray(found)
        return x, float(np.max(np.asarray(info.residual), initial=0.0))

    def remainder(self, rhs: Any, product: Any) -> np.ndarray:
        """P (rhs - product) for columns (n, k), zero where only round-off of rhs is left."""
        rhs = self.project(np.asarray(rhs))
        left = rhs - self.project(np.asarray(product))
        # It has no direction worth solving for.
        left[:, np.linalg.norm(left, axis=0) <= _NOISE * np.linalg.norm(rhs, axis=0)] = 0.0
        return self.project(left)

    def project(self, x: np.ndarray) -> np.ndarray:
        """P x for x (n, k), on the host."""
        mask, basis = np.asarray(self.projector.mask)[:, None], np.asarray(self.projector.basis)
        kept = x * mask
        return kept - basis @ (basis.T @ kept)


def linearize(
    problem: Problem, setting: Setting, solver: str, rtol: float, spent: Inverse | None = None
) -> Linearization:
    """Remove what does not move, assemble or not, factorise or not, and look at the spectrum.

    Args:
        spent: the factor of a state nearby, used where it is near enough.

    Raises:
        InputError: solver = "sparse" for a potential without local terms.
    """
    here = backbone(problem, setting)
    projector = here.projector
    near = interacting(problem, here.setting)
    operator = operator_at(problem, near)
    chosen, why = _chosen(solver, problem, operator.size, rtol)
    if isinstance(chosen, HostSolver):
        chosen = inverse_at(chosen, problem, here, spent)
        operator = replace(operator, matrix=chosen.matrix)
    factor = chosen if isinstance(chosen, SparseFactor) else None
    spectrum = lowest_eigenvalues(operator, projector, 1, factor, _LOWEST)
    start = np.random.default_rng(0).normal(size=operator.size)
    largest, length = largest_eigenvalue(operator.on_host, start), float(spacing(setting))
    return Linearization(
        problem=problem, setting=here.setting, near=near, projector=projector, operator=operator,
        solver=chosen, length=length, rattlers=np.asarray(here.rattlers),
        zero_modes=int(zero_modes(projector)), why=why, largest=largest, lowest=spectrum.values,
        negative=spectrum.negative, sound=bool(here.sound),
    )  # fmt: skip


def newton_correction(line: Linearization, rtol: float | None = None) -> np.ndarray:
    """The Newton step left over at the state, (n,): how far the minimum may still be."""
    gradient = np.asarray(measure(line.problem, line.setting)[0])
    return -line.solve(gradient[:, None], rtol)[0][:, 0]


def _chosen(solver: str, problem: Problem, n: int, rtol: float) -> tuple[Any, str]:
    if solver == "auto":
        return solver_for(problem, n, traced=False, rtol=rtol)
    if solver == "sparse" and not problem.potential.is_local:
        raise InputError(
            f'solver = "sparse" needs a potential with known local terms, and '
            f'{problem.potential.kind} has none; use "auto", "dense", "cg" or "minres"'
        )
    if solver == "cg" and problem.potential.is_local:
        return AssembledCG(rtol, problem.dimension), "cg, as asked, on the assembled matrix"
    return named(solver, rtol), f"{solver}, as asked"
