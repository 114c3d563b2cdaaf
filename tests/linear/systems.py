"""Small matrices with a known spectrum and a known null space."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp

from mdsens.linear import HostSolver, Operator, Projector, SolveInfo


class Case(NamedTuple):
    """A symmetric matrix, the projector off its null space, and its pseudo-inverse."""

    matrix: np.ndarray
    projector: Projector
    inverse: np.ndarray

    @property
    def operator(self) -> Operator:
        a = jnp.asarray(self.matrix)
        return Operator(lambda x: a @ x, len(a), blocks(a), sp.csc_array(self.matrix))


def with_spectrum(eigenvalues: np.ndarray, null: int = 2, seed: int = 0) -> Case:
    """Random eigenvectors; `null` further eigenvalues are zero and known to be."""
    values = np.concatenate([np.zeros(null), eigenvalues])
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values), len(values))))[0]
    matrix = (q * values) @ q.T
    inverse = np.where(values == 0, 0.0, 1 / np.where(values == 0, 1.0, values))
    projector = Projector(jnp.ones(len(values)), jnp.asarray(q[:, :null]))
    return Case(0.5 * (matrix + matrix.T), projector, (q * inverse) @ q.T)


def network(rows: int, columns: int, stress: float = 0.0, seed: int = 0) -> Case:
    """Springs on a jittered periodic triangular lattice; `stress` > 0 makes it buckle.

    Two translations are null modes.
    """
    rng = np.random.default_rng(seed)
    sites = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), -1)
    points = sites + rng.uniform(0, 0.3, sites.shape)
    box = np.array([rows, columns])
    matrix = np.zeros((rows * columns, 2, rows * columns, 2))
    label = np.arange(rows * columns).reshape(rows, columns)
    for step in ((1, 0), (0, 1), (1, 1)):
        apart = np.roll(points, (-step[0], -step[1]), (0, 1)) - points
        apart -= np.round(apart / box) * box
        unit = apart / np.linalg.norm(apart, axis=-1, keepdims=True)
        stiff = unit[..., :, None] * unit[..., None, :]
        stiff = (stiff - stress * (np.eye(2) - stiff)).reshape(-1, 2, 2)
        i, j = label.ravel(), np.roll(label, (-step[0], -step[1]), (0, 1)).ravel()
        for a, b, sign in ((i, i, 1), (j, j, 1), (i, j, -1), (j, i, -1)):
            np.add.at(matrix, (a, slice(None), b, slice(None)), sign * stiff)
    n = 2 * rows * columns
    translations = np.tile(np.eye(2), (n // 2, 1)) / np.sqrt(n / 2)
    projector = Projector(jnp.ones(n), jnp.asarray(translations))
    dense = matrix.reshape(n, n)
    return Case(dense, projector, np.linalg.pinv(dense, rcond=1e-11, hermitian=True))


@partial(jax.jit, static_argnums=0)
def _traced(solver: Any, matrix: jax.Array, b: jax.Array, projector: Projector) -> Any:
    return solver.solve(Operator(lambda x: matrix @ x, len(matrix), blocks(matrix)), b, projector)


def solve(solver: Any, matrix: Any, b: Any, projector: Projector) -> tuple[jax.Array, SolveInfo]:
    """`solver.solve`, compiled once per solver and shape where it can be."""
    if isinstance(solver, HostSolver):
        operator = Operator(lambda x: matrix @ x, len(matrix), matrix=sp.csc_array(matrix))
        return solver.solve(operator, jnp.asarray(b), projector)
    return _traced(solver, jnp.asarray(matrix), jnp.asarray(b), projector)


def blocks(matrix: jax.Array) -> jax.Array:
    """The 2 x 2 blocks on the diagonal."""
    return jnp.stack([matrix[i : i + 2, i : i + 2] for i in range(0, len(matrix), 2)])


def relative_error(found: object, expected: np.ndarray) -> float:
    """Largest deviation over the largest expected entry; NaN counts as infinite."""
    error = np.max(np.abs(np.asarray(found) - expected)) / np.max(np.abs(expected))
    return float(np.nan_to_num(error, nan=np.inf))
