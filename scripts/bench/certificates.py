"""Certificates of derivatives: coverage of the error estimate, looseness of the bound. JSON out.

`python scripts/bench/certificates.py [--repeats 12] [-o certificates.json]`

Random quadratic problems F(x, theta) = 0 of 8 unknowns, symmetric (indefinite) and not, condition
numbers 1 to 1e6, approximate solutions 1e-1 to 1e-12 away, at random or along the softest
direction. The true derivative is that of the root to which Newton's method leads, in 80-bit
arithmetic. Wrong by more than the estimate counts against the coverage; so does a certificate where
Newton's method leads nowhere. A refusal (not converged, singular) is no certificate.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

jax.config.update("jax_enable_x64", True)

import mdsens as ms  # noqa: E402
from mdsens.implicit.certificates.derivative import Forward, Reverse  # noqa: E402
from mdsens.implicit.certificates.equation import Equation  # noqa: E402
from mdsens.implicit.certificates.examine import examine  # noqa: E402
from mdsens.implicit.certificates.record import Verdict  # noqa: E402
from mdsens.linear import Projector  # noqa: E402

N, P = 8, 4
CONDITIONS = tuple(10.0**k for k in range(7))
DISTANCES = tuple(10.0**-k for k in range(1, 13))
MODES = ("tangent", "cotangent", "outer")
EXACT = np.longdouble


class Problem(NamedTuple):
    """F = A x + C[y, y] + K theta + M[y, theta - theta0] - c, with y = x - x0."""

    A: np.ndarray
    C: np.ndarray
    K: np.ndarray
    M: np.ndarray
    x0: np.ndarray
    theta0: np.ndarray
    c: np.ndarray


def force(problem, x, theta):
    """F, in NumPy of any precision and in JAX."""
    y = x - problem.x0
    bent = (problem.C @ y) @ y + (problem.M @ (theta - problem.theta0)) @ y
    return problem.A @ x + problem.K @ theta - problem.c + bent


def random_problem(rng: np.random.Generator, condition: float, symmetric: bool) -> Problem:
    """A has singular values from 1 down to 1 / condition; the root is x0 but for rounding."""
    left, right = (np.linalg.qr(rng.normal(size=(N, N)))[0] for _ in range(2))
    values = np.logspace(0, -np.log10(condition), N)
    curvature = rng.choice([0.1, 1.0, 10.0]) * rng.choice([1.0, 1.0 / condition]) / N
    C = curvature * rng.normal(size=(N, N, N))
    if symmetric:
        A = (left * values * rng.choice([-1.0, 1.0], size=N)) @ left.T
        A = 0.5 * (A + A.T)
        C = sum(np.transpose(C, order) for order in itertools.permutations(range(3))) / 6
    else:
        A = (left * values) @ right.T
    x0, theta0, K = rng.normal(size=N), rng.normal(size=P), rng.normal(size=(N, P))
    M = rng.normal(size=(N, N, P)) / N
    return Problem(A, C, K, M, x0, theta0, A @ x0 + K @ theta0)


def start(rng: np.random.Generator, problem: Problem, distance: float) -> np.ndarray:
    """A point that far from the root, in a random direction or mostly along the softest one."""
    direction = rng.normal(size=N)
    if rng.random() < 0.5:
        direction = np.linalg.solve(problem.A, direction)
    return problem.x0 + distance * direction / np.linalg.norm(direction)


class Exact(NamedTuple):
    """A problem in 80-bit arithmetic, at the root to which Newton's method leads."""

    A: np.ndarray
    B: np.ndarray
    x: np.ndarray
    theta: np.ndarray


def solved(a, b):
    """A^-1 b in 80-bit arithmetic, by refinement."""
    rough = np.linalg.inv(a.astype(float))
    x = np.zeros_like(b)
    for _ in range(8):
        x = x + (rough @ (b - a @ x).astype(float)).astype(EXACT)
    return x


def exact(problem: Problem, x: np.ndarray) -> Exact | None:
    """The root reached from x, or None."""
    wide = Problem(*(a.astype(EXACT) for a in problem))
    x, theta = x.astype(EXACT), wide.theta0
    for _ in range(60):
        y = x - wide.x0
        a = wide.A + wide.C @ y + np.swapaxes(wide.C, 1, 2) @ y
        step = solved(a, force(wide, x, theta))
        x = x - step
        if np.linalg.norm(step.astype(float)) < 1e-18 * np.linalg.cond(a.astype(float)):
            return Exact(a, wide.K + np.swapaxes(wide.M, 1, 2) @ y, x, theta)
    return None


def outer(weights, x, theta):
    return jnp.sum(jnp.sin(weights * x)) * (1.0 + theta @ theta)


def weighted(weights, x, theta):
    del theta
    return weights @ x


def directions(t, v):
    return {
        "tangent": Forward(jnp.asarray(t)),
        "cotangent": Reverse(Partial(weighted, jnp.asarray(v))),
        "outer": Reverse(Partial(outer, jnp.asarray(v))),
    }


def truths(e: Exact, t, v):
    """J t, J^T v and the gradient of `outer` at the exact root."""
    scale, angles = 1 + e.theta @ e.theta, v * e.x
    gradient = scale * v * np.cos(angles)
    return {
        "tangent": -solved(e.A, e.B @ t),
        "cotangent": -e.B.T @ solved(e.A.T, v.astype(EXACT)),
        "outer": 2 * e.theta * np.sum(np.sin(angles)) - e.B.T @ solved(e.A.T, gradient),
    }


def jacobian_error(problem: Problem, x: np.ndarray, e: Exact) -> float:
    """|J(x) - J(x*)|, J by elimination."""
    y = x - problem.x0
    a = problem.A + problem.C @ y + np.swapaxes(problem.C, 1, 2) @ y
    here = -np.linalg.solve(a, problem.K + np.swapaxes(problem.M, 1, 2) @ y)
    return float(np.linalg.norm((here + solved(e.A, e.B)).astype(float), 2))


def cases(
    repeats: int,
    seed: int = 0,
    conditions: Sequence[float] = CONDITIONS,
    distances: Sequence[float] = DISTANCES,
) -> Iterator[dict]:
    """A record for every problem, mode and correction."""
    rng = np.random.default_rng(seed)
    for condition, symmetric, distance, _ in itertools.product(
        conditions, (True, False), distances, range(repeats)
    ):
        problem = random_problem(rng, condition, symmetric)
        x, t, v = start(rng, problem, distance), rng.normal(size=P), rng.normal(size=N)
        data = Problem(*map(jnp.asarray, problem))
        equation = Equation(Partial(force, data), data.theta0, Projector.identity(N), symmetric)
        root = exact(problem, x)
        true = truths(root, t, v) if root else {}
        for (mode, direction), corrected in itertools.product(
            directions(t, v).items(), (False, True)
        ):
            found = examine(equation, jnp.asarray(x), direction, corrected)
            record = {"condition": condition, "distance": distance, "corrected": corrected}
            record |= {"mode": mode, "verdict": found.verdict.name}
            if found.verdict is Verdict.CERTIFIED:
                difference = np.asarray(found.derivative) - true.get(mode, np.inf)
                record["estimate"] = found.derivative_error
                record["error"] = float(np.linalg.norm(difference.astype(float)))
                record["relative"] = record["error"] / found.derivative_norm
                record["bound"] = found.bound
                record["jacobian_error"] = jacobian_error(problem, x, root) if root else np.inf
            yield record


def quantiles(values: list[float]) -> dict[str, float]:
    ordered = np.sort(values)
    places = {"min": 0.0, "median": 0.5, "99 %": 0.99, "max": 1.0}
    return {name: float(ordered[int(q * (len(ordered) - 1))]) for name, q in places.items()}


def coverage(records: list[dict]) -> dict:
    """How often the true error stayed below the estimate, by order of the estimator."""
    table = {}
    for corrected in (False, True):
        mine = [r for r in records if r["corrected"] == corrected]
        given = [r for r in mine if r["verdict"] == "CERTIFIED"]
        ratios = [r["estimate"] / max(r["error"], 1e-300) for r in given]
        table["corrected" if corrected else "plain"] = {
            "cases": len(mine),
            "refused": len(mine) - len(given),
            "certified": len(given),
            "covered": sum(ratio >= 1 for ratio in ratios),
            "coverage": float(np.mean(np.array(ratios) >= 1)),
            "estimate / error": quantiles(ratios),
        }
    return table


def looseness(records: list[dict]) -> dict:
    """Bound of the theorem over the true error of J; no bound is an infinite one."""
    mine = [r for r in records if r["mode"] == "tangent" and not r["corrected"] and "bound" in r]
    # Closer than that both are rounding.
    far = [r for r in mine if r["jacobian_error"] > 1e-9 * r["condition"]]
    ratios = [r["bound"] / r["jacobian_error"] for r in far if np.isfinite(r["bound"])]
    return {"cases": len(far), "no bound": len(far) - len(ratios)} | quantiles(ratios)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=Path("certificates.json"))
    options = parser.parse_args()
    records = list(cases(options.repeats, options.seed))
    report = {
        "unknowns": N,
        "parameters": P,
        "coverage of the error estimate": coverage(records),
        "bound / true error of the Jacobian": looseness(records),
        "versions": {
            "jax": jax.__version__,
            "mdsens": ms.__version__,
            "python": platform.python_version(),
        },
    }
    text = json.dumps(report, indent=2)
    print(text)
    options.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
