"""Nonaffine displacements of a linearised state, with what it has been made into."""

from __future__ import annotations

from typing import Any

import numpy as np

from mdsens.derivatives.linearization import ROUGH, Answer, Linearization
from mdsens.equilibrium.problem import Problem, Setting
from mdsens.observables.nonaffine import imbalance, no_displacements

# What is left of a strain, when combinations of others are taken off, is nothing below this.
_SPANNED = 1e-10


def nonaffine(line: Linearization, strains: np.ndarray) -> tuple[np.ndarray, float]:
    """Displacements U (N d, s) that answer strains (s, d, d), and their residual.

    What is a combination of strains asked for before costs no solve.
    """
    wanted = strains.reshape(len(strains), -1)
    known = np.vstack([np.zeros((0, wanted.shape[1])), *(a.strains for a in line.answers)])
    _, size, rows = np.linalg.svd(wanted - wanted @ known.T @ known, full_matrices=False)
    new = rows[size > _SPANNED]
    if len(new):
        units = new.reshape(-1, *strains.shape[1:])
        forces = _imbalance(line, line.near, units, no_displacements(line.near, units))
        u, residual = _solve_at_fixed_strain(line, -line.project(forces))
        line.answers.append(Answer(new, forces, u[: line.setting.positions.size], residual))
    u = sum(a.displacements @ (a.strains @ wanted.T) for a in line.answers)
    return np.asarray(u), max(a.residual for a in line.answers)


def nonaffine_near(
    line: Linearization, setting: Setting, strains: np.ndarray, u: np.ndarray
) -> np.ndarray:
    """U at a setting near the state, roughly, from `nonaffine` at the state."""
    wanted = strains.reshape(len(strains), -1)
    forces = sum(a.forces @ (a.strains @ wanted.T) for a in line.answers)
    left = line.remainder(forces, forces - _imbalance(line, setting, strains, u))
    return u + _solve_at_fixed_strain(line, -left, ROUGH)[0][: len(u)]


def _imbalance(line: Linearization, setting: Setting, strains: np.ndarray, u: Any) -> np.ndarray:
    """H U + Xi at fixed strain, with rows for the unknowns of the cell, (n, s)."""
    fixed = Problem(line.problem.potential, line.problem.pbc)
    left = np.asarray(imbalance(fixed, setting, strains, u))
    return np.pad(left, ((0, line.operator.size - len(left)), (0, 0)))


def _solve_at_fixed_strain(
    line: Linearization, rhs: np.ndarray, rtol: float | None = None
) -> tuple[np.ndarray, float]:
    """`line.solve` with strain imposed instead of free: displacements, and strains of zero, (n, k).

    The factor of a free cell is that of displacements and strain, A = [[H, B], [B^T, C]]. With
    A (x, s) = (b, 0) and A (Y, S) = (0, 1) block elimination gives H^-1 b = x - Y S^-1 s.
    """
    strains = line.setting.positions.size
    x, residual = line.solve(rhs, rtol)
    y, missed = line.solve(np.eye(len(rhs), len(rhs) - strains, -strains))
    return x - y @ np.linalg.solve(y[strains:], x[strains:]), max(residual, missed)
