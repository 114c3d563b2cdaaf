"""What warm starts save in bi-level runs, piece by piece: iterations, and nothing lost. JSON out.

`python scripts/bench/warm_starts.py [--problems logistic lasso discs] [-o FILE.json]`

Every run starts from the same theta with the same optimiser and goes on until the gradient, evaluated
to full accuracy, has the same small norm:
    cold        inner iteration and adjoint solve from scratch at every outer step, to full accuracy
    + x         the inner iteration starts from the last x
    + w         the adjoint solve starts from the last w
    + M         an old inverse of A preconditions the adjoint solve and moves x along with theta
    + tied      both solves leave a hundredth of what they start from; run by `bilevel`
and then all of it with one piece left out. Counted are
    inner       steps of the inner iteration, and two more evaluations of F per outer step
    adjoint     products with A^T, those for residuals and for the inverse included
Problems: logistic regression with one penalty per feature (Nesterov), lasso with one penalty per
feature (ISTA; A not symmetric), the diameters of 128 discs that relax to given positions and a given
pressure (FIRE).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jax
import jax.numpy as jnp
import numpy as np
import optax

jax.config.update("jax_enable_x64", True)

import mdsens as ms  # noqa: E402
from mdsens.equilibrium.minimizers import Fire  # noqa: E402
from mdsens.equilibrium.scaled import Scaled  # noqa: E402
from mdsens.implicit import Iteration, WarmImplicit, bilevel, hypergradient  # noqa: E402
from mdsens.linear import Projector, largest_curvature  # noqa: E402
from mdsens.neighbors import pair_list  # noqa: E402
from mdsens.state import Configuration  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
REDUCTION = 0.01


@dataclass(frozen=True)
class Problem:
    """A bi-level problem, and when it counts as solved."""

    what: str
    inner: Iteration
    loss: Callable[..., jax.Array]
    theta0: Any
    x0: Any
    optimizer: optax.GradientTransformation
    gradient_tol: float
    estimator: WarmImplicit
    steps: int = 600


@dataclass(frozen=True)
class Variant:
    """Which pieces are in use."""

    x: bool = True
    w: bool = True
    m: bool = True
    tied: bool = True


VARIANTS = {
    "cold": Variant(False, False, False, False),
    "+ x": Variant(True, False, False, False),
    "+ w": Variant(True, True, False, False),
    "+ M": Variant(True, True, True, False),
    "+ tied = all": Variant(),
    "all but x": Variant(x=False),
    "all but w": Variant(w=False),
    "all but M": Variant(m=False),
}


def regression(seed: int, rows: int, features: int) -> tuple[jax.Array, ...]:
    """Inputs and noisy answers of a sparse linear law, for training and for validation."""
    rng = np.random.default_rng(seed)
    law = 3.0 * rng.normal(size=features) * (rng.random(features) < 0.3)
    scale = np.logspace(0.0, -0.7, features)
    made = []
    for _ in range(2):
        inputs = rng.normal(size=(rows, features)) * scale
        made += [jnp.asarray(inputs), jnp.asarray(inputs @ law + 2.0 * rng.normal(size=rows))]
    return tuple(made)


def logistic(rows: int = 150, features: int = 60) -> Problem:
    inputs, scores, held, held_scores = regression(0, rows, features)
    answers, held_answers = jnp.sign(scores), jnp.sign(held_scores)
    curvature = float(jnp.linalg.norm(inputs, 2) ** 2) / (4 * rows)

    def gradient(w, logs):
        surprise = answers * jax.nn.sigmoid(-answers * (inputs @ w))
        return -inputs.T @ surprise / rows + jnp.exp(logs) * w

    def nesterov(state, logs):
        w, ahead = state
        top, bottom = curvature + jnp.max(jnp.exp(logs)), jnp.min(jnp.exp(logs))
        q = jnp.sqrt(bottom / top)
        new = ahead - gradient(ahead, logs) / top
        return new, new + (1 - q) / (1 + q) * (new - w)

    def loss(w, logs):
        fit = jnp.mean(jax.nn.softplus(-held_answers * (held @ w)))
        return fit + 0.01 * jnp.mean((logs + 3.0) ** 2)

    return Problem(
        f"logistic regression, {rows} rows, {features} features, one penalty each",
        Iteration(nesterov, gradient, lambda w, _: (w, w), lambda state: state[0], tol=1e-8),
        loss,
        jnp.full(features, -2.0, float),
        jnp.zeros(features),
        optax.adam(0.1),
        1e-5,
        WarmImplicit(symmetric=True, rtol=1e-8),
    )


def lasso(rows: int = 100, features: int = 60) -> Problem:
    inputs, scores, held, held_scores = regression(1, rows, features)
    curvature = float(jnp.linalg.norm(inputs, 2) ** 2) / rows

    def ista(w, logs):
        y = w - inputs.T @ (inputs @ w - scores) / (rows * curvature)
        return jnp.sign(y) * jnp.maximum(jnp.abs(y) - jnp.exp(logs) / curvature, 0.0)

    def loss(w, logs):
        return 0.5 * jnp.mean((held @ w - held_scores) ** 2) + 0.01 * jnp.mean((logs + 2.0) ** 2)

    return Problem(
        f"lasso, {rows} rows, {features} features, one penalty each",
        Iteration(ista, tol=1e-9, max_steps=100_000),
        loss,
        jnp.full(features, -2.0, float),
        jnp.zeros(features),
        optax.adam(0.1),
        2e-3,
        WarmImplicit(rtol=1e-8),
    )


def discs() -> Problem:
    """Hertzian discs slightly denser than systems/disks_128, so that none is loose; the target is
    the packing of diameters that differ by 2 %."""
    system = ms.read(ROOT / "systems" / "disks_128" / "disks.extxyz")
    potential = ms.potentials.SoftSphere()
    params = potential.parameters(system, diameter="diameter", epsilon=1.0, alpha=2.5)
    first = 1.05 * params["diameter"]
    start = ms.relax(potential, {**params, "diameter": first}, system)
    system = replace(system, positions=np.asarray(start.positions))
    pairs = jax.tree.map(jnp.asarray, pair_list(system, 1.2 * float(jnp.max(first))))
    cell, (n, d) = jnp.asarray(system.cell), start.positions.shape
    noise = 0.02 * np.random.default_rng(0).normal(size=n)
    wanted = first * jnp.exp(jnp.asarray(noise))
    target = ms.relax(potential, {**params, "diameter": wanted}, system).positions

    def forces(x, logs):
        own = {**params, "diameter": first * jnp.exp(logs)}
        return jax.grad(potential.energy, argnums=1)(own, x, cell, pairs)

    def pressure(x, logs):
        own = {**params, "diameter": first * jnp.exp(logs)}
        return ms.pressure(potential, own, Configuration(x, cell, pairs, system.pbc))

    def loss(x, logs):
        moved = x - target
        moved = moved - jnp.mean(moved, axis=0, keepdims=True)
        aim = pressure(target, jnp.asarray(noise))
        return 100 * jnp.mean(jnp.sum(moved**2, axis=1)) + (pressure(x, logs) / aim - 1.0) ** 2

    x0 = start.positions
    stiffness = jax.linearize(lambda x: forces(x, jnp.zeros(n)), x0)[1]
    k = largest_curvature(lambda v: stiffness(v.reshape(n, d)).reshape(-1), n * d)

    def scaled(logs):
        return Scaled(None, lambda z: forces(z.reshape(n, d), logs).reshape(-1) / k, None, None)

    def init(x, logs):
        problem, z = scaled(logs), x.reshape(-1)
        return x, Fire().init(problem, z, problem.gradient(z))

    def fire(state, logs):
        after = Fire().step(scaled(logs), state[0].reshape(-1), state[1])
        return after.z.reshape(n, d), after.memory

    translations = Projector(jnp.ones(n * d), jnp.tile(jnp.eye(d), (n, 1)) / np.sqrt(n))
    return Problem(
        f"{n} discs, positions and pressure by their diameters",
        Iteration(fire, forces, init, lambda state: state[0], tol=1e-9),
        loss,
        jnp.zeros(n),
        x0,
        optax.adam(optax.exponential_decay(0.004, 100, 0.5)),
        1e-3,
        WarmImplicit(symmetric=True, rtol=1e-8, projector=lambda *_: translations),
    )


PROBLEMS = {"logistic": logistic, "lasso": lasso, "discs": discs}


def with_pieces(problem: Problem, variant: Variant) -> dict[str, Any]:
    """A bi-level run with some of the pieces, and what it took."""
    estimator = problem.estimator if variant.m else replace(problem.estimator, dense_limit=0)

    @jax.jit
    def step(theta, x, memory, own, reduction):
        found = hypergradient(
            problem.loss, problem.inner, theta, x, memory, estimator=estimator, reduction=reduction
        )
        updates, own = problem.optimizer.update(found.gradient, own, theta)
        return optax.apply_updates(theta, updates), own, found, jnp.linalg.norm(found.gradient)

    theta, x = problem.theta0, problem.x0
    memory, own = estimator.memory(x.size), problem.optimizer.init(theta)
    jax.block_until_ready(step(theta, x, memory, own, 0.0))
    began, k, exact, inner, adjoint, inverses = time.perf_counter(), 0, True, 0, 0, 0
    while True:
        following, later, found, norm = step(theta, x, memory, own, 0.0 if exact else REDUCTION)
        inner += int(found.inner.steps) + 2
        adjoint += int(found.adjoint.products)
        inverses += int(found.adjoint.refreshed)
        done = norm <= problem.gradient_tol or k == problem.steps
        if done and exact:
            break
        x, memory = found.x, found.memory
        if done:
            exact = True
            continue
        theta, own, k, exact = following, later, k + 1, not variant.tied
        if not variant.x:
            x = problem.x0
        if not variant.w:
            memory = memory._replace(adjoint=jnp.zeros(problem.x0.size))
    seconds = time.perf_counter() - began
    return counted(k, inner, adjoint, inverses, seconds) | certified(problem, theta, found)


def with_all(problem: Problem) -> dict[str, Any]:
    """The same by `bilevel`; the time begins with the second step, the first one compiles."""
    ticks = []
    result = bilevel(
        problem.loss, problem.inner, problem.optimizer, problem.theta0, problem.x0,
        steps=problem.steps, estimator=problem.estimator, reduction=REDUCTION,
        gradient_tol=problem.gradient_tol, callback=lambda *_: ticks.append(time.perf_counter()),
    )  # fmt: skip
    seconds, history = time.perf_counter() - ticks[0], result.history
    inner = int(history.inner_iterations.sum()) + 2 * len(history.step)
    adjoint, inverses = int(history.adjoint_products.sum()), int(history.refreshed.sum())
    steps = int(result.state.step)
    told = counted(steps, inner, adjoint, inverses, seconds)
    return told | certified(problem, result.theta, result)


def counted(steps: int, inner: int, adjoint: int, inverses: int, seconds: float) -> dict[str, Any]:
    return {
        "outer_steps": steps,
        "inner": inner,
        "adjoint": adjoint,
        "total": inner + adjoint,
        "inverses": inverses,
        "seconds": seconds,
    }


def certified(problem: Problem, theta: Any, found: Any) -> dict[str, Any]:
    """The loss and the gradient as returned, and how far they are from better ones."""
    estimator = replace(problem.estimator, rtol=1e-12)
    inner = replace(problem.inner, tol=problem.inner.tol / 30.0)
    memory = estimator.memory(found.x.size)
    better = hypergradient(problem.loss, inner, theta, found.x, memory, estimator=estimator)
    assert bool(better.inner.converged) and int(better.adjoint.outcome) == 0
    return {
        "loss": float(found.value),
        "gradient": float(jnp.linalg.norm(found.gradient)),
        "loss_error": abs(float(found.value - better.value)),
        "gradient_error": float(jnp.linalg.norm(found.gradient - better.gradient)),
    }


def measured(name: str) -> dict[str, Any]:
    problem = PROBLEMS[name]()
    print(f"\n{problem.what}; |gradient| <= {problem.gradient_tol}", flush=True)
    heads = ("steps", "inner", "adjoint", "total", "ratio", "per step", "seconds", "loss")
    print(" " * 12, *(f"{head:>8}" for head in heads), flush=True)
    rows = {}
    for label, variant in VARIANTS.items():
        everything = variant == Variant()
        row = with_all(problem) if everything else with_pieces(problem, variant)
        rows[label] = row
        row["ratio"] = rows["cold"]["total"] / row["total"]
        steps = (rows["cold"]["outer_steps"] + 1) / (row["outer_steps"] + 1)
        row["ratio_per_outer_step"] = row["ratio"] / steps
        columns = [f"{row[name]:8}" for name in ("outer_steps", "inner", "adjoint", "total")]
        columns += [f"{row[name]:8.1f}" for name in ("ratio", "ratio_per_outer_step", "seconds")]
        print(f"{label:12}", *columns, f"{row['loss']:12.10f}", flush=True)
    return {"what": problem.what, "unknowns": problem.x0.size, "runs": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", nargs="+", choices=list(PROBLEMS), default=list(PROBLEMS))
    parser.add_argument("-o", "--output", type=Path, default=Path("warm_starts.json"))
    options = parser.parse_args()
    record = {
        "reduction": REDUCTION,
        "problems": {name: measured(name) for name in options.problems},
        "versions": {
            "jax": jax.__version__,
            "optax": optax.__version__,
            "mdsens": ms.__version__,
            "python": platform.python_version(),
        },
        "device": str(jax.devices()[0]),
        "cores": os.cpu_count(),
    }
    options.output.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
