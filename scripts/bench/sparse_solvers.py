"""Which sparse factorisation serves a packing's Hessian best? Writes JSON to standard output.

    python scripts/bench/sparse_solvers.py [--large] > sparse_solvers.json

Needs qdldl and cholespy beside SciPy. Networks of springs on jittered periodic lattices stand for
packings: in 2D a triangular lattice with a quarter of its bonds removed (4.5 bonds per disc), in 3D
8 nearest neighbours per sphere. The translations are grounded at one particle, so that the matrix
is positive definite.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import cholespy
import numpy as np
import qdldl
import scipy
import scipy.sparse as sp
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree


def jittered(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Points of a triangular (2D) or cubic (3D) lattice in a unit-spaced periodic box, displaced."""
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, len(shape))
    points = grid.astype(float)
    if len(shape) == 2:
        points[:, 1] += 0.5 * (grid[:, 0] % 2)
    return (points + rng.uniform(0.0, 0.25, points.shape)) % np.array(shape)


def bonds_of(points: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Pairs (b, 2) of nearest neighbours: 6 of which a quarter is dropped in 2D, 8 in 3D."""
    wanted = 6 if len(shape) == 2 else 8
    near = cKDTree(points, boxsize=shape).query(points, k=wanted + 1)[1][:, 1:]
    pairs = np.stack([np.repeat(np.arange(len(points)), wanted), near.ravel()], 1)
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    return pairs[rng.random(len(pairs)) < 0.75] if len(shape) == 2 else pairs


def hessian(points: np.ndarray, pairs: np.ndarray, shape: tuple[int, ...]) -> sp.csc_matrix:
    """Sum over bonds of n n^T, assembled; particle 0 grounded."""
    size, d = len(points), len(shape)
    i, j = pairs.T
    apart = points[j] - points[i]
    apart -= np.round(apart / shape) * shape
    unit = apart / np.linalg.norm(apart, axis=1)[:, None]
    row = np.repeat(np.arange(len(pairs)), d)
    sites = [sp.csr_matrix((unit.ravel(), (row, (d * k[:, None] + np.arange(d)).ravel())),
                           shape=(len(pairs), d * size)) for k in (i, j)]  # fmt: skip
    compatibility = sites[1] - sites[0]
    full = (compatibility.T @ compatibility + 1e-4 * sp.eye(d * size)).tocsc()
    return full[d:, d:]


def qdldl_factor(a: sp.csc_matrix) -> Callable[[np.ndarray], np.ndarray]:
    return qdldl.Solver(sp.triu(a, format="csc"), upper=True).solve


def cholespy_factor(a: sp.csc_matrix) -> Callable[[np.ndarray], np.ndarray]:
    coo = a.tocoo()
    solver = cholespy.CholeskySolverD(
        a.shape[0], coo.row.astype(np.int32), coo.col.astype(np.int32), coo.data,
        cholespy.MatrixType.COO,
    )  # fmt: skip

    def solve(b: np.ndarray) -> np.ndarray:
        x = np.zeros_like(b)
        solver.solve(b, x)
        return x

    return solve


def superlu_symmetric(a: sp.csc_matrix) -> Callable[[np.ndarray], np.ndarray]:
    options = {"SymmetricMode": True}
    return splu(a, "MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options).solve


def superlu_pivoting(a: sp.csc_matrix) -> Callable[[np.ndarray], np.ndarray]:
    return splu(a, "COLAMD").solve


CANDIDATES = {
    "qdldl": qdldl_factor,
    "cholespy": cholespy_factor,
    "superlu symmetric mode": superlu_symmetric,
    "superlu partial pivoting": superlu_pivoting,
}
SMALL = {"2D N=1000": (25, 40), "2D N=10000": (100, 100), "3D N=1000": (10, 10, 10)}
LARGE = {"3D N=4000": (10, 20, 20)}


def measure(a: sp.csc_matrix, factorize: Callable, repeats: int) -> dict[str, float]:
    """Best wall seconds of `repeats` runs and the relative residual."""
    b = np.random.default_rng(1).normal(size=a.shape[0])
    factor_s, solve_s, x = np.inf, np.inf, b
    for _ in range(repeats):
        start = time.perf_counter()
        solve = factorize(a)
        middle = time.perf_counter()
        x = solve(b)
        solve_s = min(solve_s, time.perf_counter() - middle)
        factor_s = min(factor_s, middle - start)
    residual = np.linalg.norm(a @ x - b) / np.linalg.norm(b)
    return {"factor_s": factor_s, "solve_s": solve_s, "residual": float(residual)}


def main() -> None:
    """Print the table as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="3D N=4000 too (a minute)")
    systems = SMALL | (LARGE if parser.parse_args().large else {})
    table = {}
    for name, shape in systems.items():
        rng = np.random.default_rng(0)
        points = jittered(shape, rng)
        a = hessian(points, bonds_of(points, shape, rng), shape)
        repeats = 3 if a.shape[0] < 25_000 and len(shape) == 2 else 1
        table[name] = {k: measure(a, f, repeats) for k, f in CANDIDATES.items()}
    print(json.dumps({"scipy": scipy.__version__, "systems": table}, indent=1))


if __name__ == "__main__":
    main()
