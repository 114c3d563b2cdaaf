"""Linear solves made to fail behind implicit derivatives: how many are reported. JSON out.

`python scripts/bench/failing_solves.py [--repeats 4] [-o failing_solves.json]`

F = A x - B theta of 24 unknowns, the derivative taken forward and in reverse through attach,
custom_root, root_jvp and root_vjp, by solvers that are stopped early, made for other matrices, wrong
on purpose, or the default where it must give up. Each result is compared with the exact one (80-bit
arithmetic) and counted as
    reported   NaN (compiled) or an exception (eager)
    right      to 1e-6 of its norm
    silent     anything else
Where A is singular the exact one has minimum norm; forwards, iterative solvers of an unsymmetric A
and solvers of one's own may add null vectors. Up to a condition number of 1e6 none may be silent, or
the exit status is 1. Beyond, soft modes that are absent from b are absent from the residual too, and
some are.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.sparse.linalg import bicgstab, cg, gmres

jax.config.update("jax_enable_x64", True)

from mdsens.errors import DerivativeUndefined  # noqa: E402
from mdsens.implicit import AUTO, Auto, attach, custom_root, root_jvp, root_vjp  # noqa: E402

N, P = 24, 5
TOLERANCE = 1e-6
EXACT = np.longdouble


# Solvers that fail, or may.
def transposed(matvec, b):
    transpose = jax.linear_transpose(matvec, b)
    return lambda v: transpose(v)[0]


def normal_cg(matvec, b, **options):
    transpose = transposed(matvec, b)
    return cg(lambda x: transpose(matvec(x)), transpose(b), **options)[0]


def written_down(matvec, b):
    return jax.vmap(matvec, out_axes=1)(jnp.eye(b.size))


def elimination(matvec, b):
    return jnp.linalg.solve(written_down(matvec, b), b)


def ridge(matvec, b):
    return jnp.linalg.solve(written_down(matvec, b) + 1e-3 * jnp.eye(b.size), b)


def single_precision(matvec, b):
    matrix = written_down(matvec, b).astype(jnp.float32)
    return jnp.linalg.solve(matrix, b.astype(jnp.float32)).astype(float)


def of_the_transpose(matvec, b):
    return jnp.linalg.solve(written_down(matvec, b).T, b)


def jacobi(matvec, b, sweeps):
    diagonal = jnp.diag(written_down(matvec, b))
    return jax.lax.fori_loop(0, sweeps, lambda _, x: x + (b - matvec(x)) / diagonal, 0 * b)


SOLVERS: dict[str, Callable] = {
    "cg": lambda A, b: cg(A, b)[0],
    "cg, 3 iterations": lambda A, b: cg(A, b, maxiter=3)[0],
    "cg, 15 iterations": lambda A, b: cg(A, b, maxiter=15)[0],
    "cg, tol 1e-12": lambda A, b: cg(A, b, tol=1e-12)[0],
    "normal cg": normal_cg,
    "normal cg, tol 1e-12": partial(normal_cg, tol=1e-12),
    "normal cg, 10 iterations": partial(normal_cg, maxiter=10),
    "gmres, tol 0.1": lambda A, b: gmres(A, b, tol=0.1)[0],
    "gmres, restart 3": lambda A, b: gmres(A, b, restart=3, maxiter=5)[0],
    "gmres": lambda A, b: gmres(A, b)[0],
    "bicgstab": lambda A, b: bicgstab(A, b)[0],
    "bicgstab, 5 iterations": lambda A, b: bicgstab(A, b, maxiter=5)[0],
    "jacobi, 20 sweeps": partial(jacobi, sweeps=20),
    "elimination": elimination,
    "elimination with a ridge": ridge,
    "elimination in float32": single_precision,
    "elimination of the transpose": of_the_transpose,
    "least squares": lambda A, b: jnp.linalg.lstsq(written_down(A, b), b)[0],
    "1 % off": lambda A, b: 1.01 * elimination(A, b),
    "of another system": lambda A, b: elimination(A, b + 1e-4 * jnp.sin(jnp.arange(b.size))),
    "opposite sign": lambda A, b: -elimination(A, b),
    "zero": lambda A, b: 0 * b,
    "the right-hand side": lambda A, b: b,
    "always the same": lambda A, b: jnp.ones_like(b),
    "huge": lambda A, b: 1e200 * elimination(A, b),
    "NaN": lambda A, b: jnp.nan * b,
    "infinity": lambda A, b: jnp.inf * b,
    "one NaN": lambda A, b: elimination(A, b).at[0].set(jnp.nan),
    "default": AUTO,
    "default, matrix free": Auto(dense_limit=3, elimination_limit=3),
}


class System(NamedTuple):
    """A, B, a tangent and a cotangent."""

    A: np.ndarray
    B: np.ndarray
    t: np.ndarray
    v: np.ndarray


def spectrum(rng, values, symmetric):
    left, right = (np.linalg.qr(rng.normal(size=(N, N)))[0] for _ in range(2))
    matrix = (left * values) @ (left if symmetric else right).T
    return 0.5 * (matrix + matrix.T) if symmetric else matrix


def log_spaced(condition):
    return np.logspace(0, -np.log10(condition), N)


def alternating(condition):
    return log_spaced(condition) * (-1.0) ** np.arange(N)


def few_soft(condition):
    """Two singular values apart from the rest."""
    return np.r_[np.linspace(1, 0.5, N - 2), 2 / condition, 1 / condition]


SPECTRA = {
    "definite": (log_spaced, True),
    "indefinite": (alternating, True),
    "unsymmetric": (log_spaced, False),
    "two soft modes": (few_soft, True),
    "two soft modes, unsymmetric": (few_soft, False),
}


def regular(rng, kind, condition, stiff) -> System:
    """`stiff` leaves soft modes out of the answer, where errors hide."""
    values, symmetric = SPECTRA[kind]
    A = spectrum(rng, values(condition), symmetric)
    B, t, v = rng.normal(size=(N, P)), rng.normal(size=P), rng.normal(size=N)
    return System(A, A @ B, t, A.T @ v) if stiff else System(A, B, t, v)


def singular(rng, kind, condition) -> System:
    """Two null modes; B in the range of A, the cotangent anywhere."""
    values, symmetric = SPECTRA[kind]
    A = spectrum(rng, np.r_[values(condition)[:-2], 0.0, 0.0], symmetric)
    return System(A, A @ rng.normal(size=(N, P)), rng.normal(size=P), rng.normal(size=N))


def chain(rng) -> System:
    """A ring of springs: A is exactly singular."""
    to_next = np.roll(np.eye(N), 1, axis=1) - np.eye(N)
    stiffness = rng.integers(1, 4, size=N).astype(float)
    A = to_next.T @ (stiffness[:, None] * to_next)
    return System(A, A @ rng.normal(size=(N, P)), rng.normal(size=P), rng.normal(size=N))


def systems(rng, conditions) -> Iterator[tuple[str, System, bool]]:
    """(name, system, singular) once for every kind, condition and right-hand side."""
    for kind in SPECTRA:
        for condition in conditions:
            for stiff in (False, True):
                sides = "stiff" if stiff else "any"
                name = f"{kind}, condition {condition:.0e}, {sides} right-hand sides"
                yield name, regular(rng, kind, condition, stiff), False
        yield f"{kind}, singular", singular(rng, kind, 1e3), True
    yield "ring of springs", chain(rng), True


def truths(system: System, is_singular: bool) -> dict[str, np.ndarray]:
    """A^-1 B t and B^T A^-T v."""
    if is_singular:
        inverse = np.linalg.pinv(system.A, rcond=1e-10)
        return {
            "forward": inverse @ system.B @ system.t,
            "reverse": system.B.T @ inverse.T @ system.v,
        }
    wide = System(*(a.astype(EXACT) for a in system))
    return {
        "forward": solved(wide.A, wide.B @ wide.t),
        "reverse": wide.B.T @ solved(wide.A.T, wide.v),
    }


def solved(a, b):
    """A^-1 b in 80-bit arithmetic, by refinement."""
    rough = np.linalg.inv(a.astype(float))
    x = np.zeros_like(b)
    for _ in range(25):
        x = x + (rough @ (b - a @ x).astype(float)).astype(EXACT)
    return x


# Doors: (A, B, t, v) -> J t or J^T v.
def condition(x, theta, A, B):
    return A @ x - B @ theta


def through_attach(solve, system, theta):
    return attach(condition, jnp.zeros(N), (theta, system.A, system.B), solve)


def through_custom_root(solve, system, theta):
    @custom_root(condition, solve=solve)
    def solver(init, theta, A, B):
        return init

    return solver(jnp.zeros(N), theta, system.A, system.B)


def forward(door, solve, system):
    return jax.jvp(partial(door, solve, system), (jnp.zeros(P),), (system.t,))[1]


def reverse(door, solve, system):
    return jax.vjp(partial(door, solve, system), jnp.zeros(P))[1](system.v)[0]


def by_root_jvp(solve, system):
    def f(x, theta):
        return condition(x, theta, system.A, system.B)

    return root_jvp(f, jnp.zeros(N), (jnp.zeros(P),), (system.t,), solve)


def by_root_vjp(solve, system):
    def f(x, theta):
        return condition(x, theta, system.A, system.B)

    return root_vjp(f, jnp.zeros(N), (jnp.zeros(P),), system.v, solve)[0]


DOORS: dict[str, tuple[str, Callable]] = {
    "attach, forward": ("forward", partial(forward, through_attach)),
    "attach, reverse": ("reverse", partial(reverse, through_attach)),
    "custom_root, reverse": ("reverse", partial(reverse, through_custom_root)),
    "root_jvp": ("forward", by_root_jvp),
    "root_vjp": ("reverse", by_root_vjp),
}


def judge(found, true, null=None) -> str:
    """reported, right or silent; `null` (n, k) holds vectors that may be added to the truth."""
    found = np.asarray(found)
    if np.any(np.isnan(found)):
        return "reported"
    error = (found - true).astype(float)
    if null is not None:
        error = error - null @ (null.T @ error)
    return "right" if np.linalg.norm(error) <= TOLERANCE * np.linalg.norm(true) else "silent"


def null_vectors(matrix) -> np.ndarray:
    _, values, right = np.linalg.svd(matrix)
    return right[values < 1e-10 * values[0]].T


class Case(NamedTuple):
    name: str
    system: System
    true: dict[str, np.ndarray]
    null: np.ndarray | None

    def verdict(self, solver, mode, found) -> str:
        least = solver == "default" or ("default" in solver and "unsymmetric" not in self.name)
        return judge(found, self.true[mode], None if least or mode == "reverse" else self.null)


def cases(repeats: int, seed: int, conditions) -> list[Case]:
    rng = np.random.default_rng(seed)
    drawn = [case for _ in range(repeats) for case in systems(rng, conditions)]
    return [
        Case(name, system, truths(system, flag), null_vectors(system.A) if flag else None)
        for name, system, flag in drawn
    ]


def compiled(solvers, chosen: list[Case], doors=None) -> Iterator[tuple[str, str, str, str]]:
    """(solver, door, system, verdict) of every case under jit."""
    batch = System(*(jnp.stack(parts) for parts in zip(*(c.system for c in chosen), strict=True)))
    for solver in solvers:
        for door, (mode, product) in (doors or DOORS).items():
            # One at a time, as vmap would run every loop as long as its slowest member needs.
            one_by_one = jax.jit(partial(jax.lax.map, partial(product, SOLVERS[solver])))
            for found, case in zip(np.asarray(one_by_one(batch)), chosen, strict=True):
                yield solver, door, case.name, case.verdict(solver, mode, found)


def eager(solvers, chosen: list[Case]) -> Iterator[tuple[str, str, str, str]]:
    """The same in eager code, where a failure is an exception and NaN would be silent."""
    for solver in solvers:
        for door, (mode, product) in DOORS.items():
            for case in chosen:
                try:
                    found = product(SOLVERS[solver], case.system)
                except DerivativeUndefined:
                    verdict = "reported"
                else:
                    nan = np.any(np.isnan(found))
                    verdict = "silent" if nan else case.verdict(solver, mode, found)
                yield solver, door, case.name, verdict


PROMISED, BEYOND = (1e2, 1e4, 1e6), (1e8, 1e10, 1e12)
EAGER = ("cg", "gmres, restart 3", "elimination with a ridge", "one NaN", "default")


def told(what: str, results) -> tuple[dict[str, dict[str, int]], list[tuple[str, str, str]]]:
    """Prints the counts of each solver; returns them, and the silent ones."""
    counts: dict[str, Counter] = {}
    silent = []
    for solver, door, system, verdict in results:
        counts.setdefault(solver, Counter())[verdict] += 1
        if verdict == "silent":
            silent.append((solver, door, system))
    total = sum(counts.values(), Counter())
    print(f"{what}\n  {'solver':32}{'reported':>10}{'right':>10}{'silent':>10}")
    for solver, count in (*counts.items(), ("all", total)):
        print(f"  {solver:32}" + "".join(f"{count[v]:10d}" for v in VERDICTS))
    return {name: dict(count) for name, count in (*counts.items(), ("all", total))}, silent


VERDICTS = ("reported", "right", "silent")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=Path("failing_solves.json"))
    options = parser.parse_args()

    promised = cases(options.repeats, options.seed, PROMISED)
    beyond = [c for c in cases(options.repeats, options.seed, BEYOND) if c.null is None]
    few = [*promised[5:7], promised[-1]]
    found, silent = told("compiled, condition up to 1e6, and singular", compiled(SOLVERS, promised))
    found_eager, silent_eager = told("eager, a few of them", eager(EAGER, few))
    found_beyond, silent_beyond = told("compiled, condition 1e8 to 1e12", compiled(SOLVERS, beyond))
    record = {
        "what": "derivatives by failing linear solves: reported, right to 1e-6, silently wrong",
        "unknowns": N,
        "promised": found,
        "eager": found_eager,
        "beyond": found_beyond,
        "silent": [*silent, *silent_eager],
        "silent_beyond": silent_beyond,
        "versions": {"jax": jax.__version__, "python": platform.python_version()},
    }
    options.output.write_text(json.dumps(record, indent=2) + "\n")
    print(f"wrote {options.output}")
    for solver, door, system in record["silent"]:
        print(f"silent: {solver}; {door}; {system}")
    return 1 if record["silent"] else 0


if __name__ == "__main__":
    sys.exit(main())
