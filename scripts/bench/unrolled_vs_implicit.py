"""Unrolled against implicit derivatives: time and memory by the number of inner steps. JSON out.

`python scripts/bench/unrolled_vs_implicit.py [-o FILE.json] [--figure FILE.png]`

x_k is reached by k steps of an iterative method, and a scalar of x_k differentiated in reverse mode:
    steps          the k steps alone, no derivative
    unrolled       through all of them, every state kept
    checkpointed   the same, 2 sqrt(k) states kept
    implicit       by the condition that x* meets, at x_k
Two problems: the pressure of 128 discs (systems/disks_128) by their diameters, jax-md's FIRE; the
validation loss of a regularised logistic regression by its penalties, gradient descent. Beside them
`relax`, which stops by itself, and its gradient. Times are medians of one run without compilation,
memory is what XLA plans for temporaries; programs that plan more than --most-bytes are not run.

Measured for the discs (jax 0.10.1, two busy cores; time in units of the steps alone):

    steps    unrolled           checkpointed     implicit
     1000    9.4    1650 MB     4.0     56 MB    1.3    3.4 MB
     3000    5.1    4943 MB     3.5     94 MB    0.8    3.4 MB
    10000    -     16472 MB     5.2    168 MB    1.5    3.4 MB

From 3000 steps on, all three agree to 5e-12; after 300 steps, far from rest, none means anything.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)

import mdsens as ms  # noqa: E402
from mdsens._jaxmd import minimize, space  # noqa: E402
from mdsens.implicit import (  # noqa: E402
    AUTO,
    Analytic,
    Automatic,
    Estimator,
    Implicit,
    Iteration,
    Projected,
)
from mdsens.linear import MINRES, Projector  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
STEPS = (100, 300, 1000, 3000, 10000)


class Problem(NamedTuple):
    """scalar(x_k, theta) with x_k by k steps from x0; `solve` for the implicit derivative."""

    name: str
    iteration: Callable[[int], Iteration]
    scalar: Callable[[Any, Any], jax.Array]
    x0: jax.Array
    theta: jax.Array
    solve: Any

    def program(self, estimator: Estimator, k: int) -> Callable[[jax.Array], jax.Array]:
        iteration = self.iteration(k)
        return lambda theta: self.scalar(estimator(iteration, self.x0, theta), theta)


def packing(system: ms.System) -> Problem:
    """The pressure of discs by their diameters; jax-md's FIRE, all pairs, in jax-md's own way."""
    side = float(system.cell[0, 0])
    displacement, shift = space.periodic(side)
    pair = space.map_product(displacement)

    def energy(r, diameter, stretch=1.0):
        distance = stretch * space.distance(pair(r, r) + jnp.eye(len(r))[:, :, None])
        overlap = 1.0 - distance / (0.5 * (diameter[:, None] + diameter[None]))
        touching = (overlap > 0.0) & ~jnp.eye(len(r), dtype=bool)
        return 0.25 * jnp.sum(jnp.where(touching, overlap, 0.0) ** 2)

    def fire(diameter):
        return minimize.fire_descent(lambda r, **_: energy(r, diameter), shift)

    def pressure(r, diameter):
        return -jax.grad(energy, argnums=2)(r, diameter, 1.0) / (2.0 * side**2)

    def iteration(k):
        return Iteration(
            step=lambda state, diameter: fire(diameter)[1](state),
            optimality_fun=jax.grad(energy),
            init=lambda r, diameter: jax.tree.map(jnp.asarray, fire(diameter)[0](r)),
            read=lambda state: state.position,
            tol=0.0,
            max_steps=k,
        )

    drift = jnp.tile(jnp.eye(2), (len(system.positions), 1))
    solve = Projected(MINRES(), Projector.complement(drift))
    diameter = ms.potentials.SoftSphere().parameters(system, diameter="diameter")["diameter"]
    start = jnp.asarray(system.positions)
    return Problem("128 discs, FIRE", iteration, pressure, start, jnp.asarray(diameter), solve)


def logistic(samples: int = 400, features: int = 50, seed: int = 0) -> Problem:
    """Loss on samples held back, by the penalties of the features; gradient descent."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, features)) * np.linspace(1.0, 4.0, features)
    y = np.sign(x @ rng.normal(size=features) + 4.0 * rng.normal(size=samples))
    signed = jnp.asarray(y[:, None] * x)
    train, held = signed[::2], signed[1::2]
    theta = jnp.asarray(0.1 * rng.uniform(0.5, 2.0, features))

    def loss(w, data):
        return jnp.mean(jnp.logaddexp(0.0, -data @ w))

    def objective(w, penalties):
        return loss(w, train) + 0.5 * jnp.sum(penalties * w**2)

    slope = jax.grad(objective)
    curvature = 0.25 * float(np.linalg.norm(np.asarray(train), 2)) ** 2 / len(train)
    rate = 1.0 / (curvature + float(theta.max()))

    def iteration(k):
        return Iteration(lambda w, p: w - rate * slope(w, p), slope, tol=0.0, max_steps=k)

    def validation(w, penalties):
        return loss(w, held)

    x0 = jnp.zeros(features)
    return Problem("logistic regression", iteration, validation, x0, theta, AUTO)


class Point(NamedTuple):
    """One program: seconds (None where it was not run), bytes of temporaries, and the distance of
    the gradient from the implicit one, relative."""

    steps: int
    seconds: float | None
    bytes: int
    difference: float | None


def study(
    problem: Problem, steps: Sequence[int], repeats: int, most: int
) -> dict[str, list[Point]]:
    """The four curves of a problem."""
    curves: dict[str, list[Point]] = {}
    for k in steps:
        programs = {
            "implicit": jax.grad(problem.program(Implicit(problem.solve), k)),
            "steps": problem.program(Analytic(), k),
            "unrolled": jax.grad(problem.program(Automatic(checkpoint=False), k)),
            "checkpointed": jax.grad(problem.program(Automatic(), k)),
        }
        reference = None
        for name, program in programs.items():
            compiled = jax.jit(program).lower(problem.theta).compile()
            size = compiled.memory_analysis().temp_size_in_bytes
            seconds = difference = None
            if size <= most:
                seconds, found = timed(partial(compiled, problem.theta), repeats)
                reference = found if reference is None else reference
                if name not in ("steps", "implicit"):
                    left = np.linalg.norm(found - reference) / np.linalg.norm(reference)
                    difference = float(left)
            point = Point(k, seconds, size, difference)
            curves.setdefault(name, []).append(point)
            print(f"  {name:14}{line(point)}", flush=True)
    return curves


def line(p: Point) -> str:
    seconds = "        -" if p.seconds is None else f"{1e3 * p.seconds:9.2f}"
    difference = "" if p.difference is None else f"{p.difference:14.1e}"
    return f"{p.steps:8d}{seconds} ms{p.bytes / 1e6:12.3f} MB{difference}"


def timed(call: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """(median seconds, result)."""
    result = jax.block_until_ready(call())
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - start)
    return statistics.median(times), result


def relaxation(system: ms.System, repeats: int) -> dict[str, Any]:
    """`mdsens.relax` and the gradient of the pressure after it, eager and compiled."""
    potential = ms.potentials.SoftSphere()
    params = potential.parameters(system, diameter="diameter")

    def pressure(p):
        return ms.pressure(potential, p, ms.relax(potential, p, system))

    compiled = jax.jit(lambda p: ms.relax(potential, p, system).positions)
    gradient = jax.jit(jax.grad(pressure)).lower(params).compile()
    calls = {
        "relax": lambda: ms.relax(potential, params, system).positions,
        "implicit": lambda: jax.grad(pressure)(params)["diameter"],
        "relax_jit": lambda: compiled(params),
        "implicit_jit": lambda: gradient(params)["diameter"],
    }
    seconds = {name: timed(call, repeats)[0] for name, call in calls.items()}
    return {
        "seconds": seconds,
        "implicit / relax": seconds["implicit"] / seconds["relax"],
        "implicit_jit / relax_jit": seconds["implicit_jit"] / seconds["relax_jit"],
        "bytes of implicit_jit": gradient.memory_analysis().temp_size_in_bytes,
    }


def draw(curves: dict[str, dict[str, list[Point]]], path: Path) -> None:
    """Left: time. Right: memory. Both problems, against the number of steps."""
    from matplotlib.figure import Figure

    colours = {
        "steps": "#777777",
        "unrolled": "#D55E00",
        "checkpointed": "#E69F00",
        "implicit": "#0072B2",
    }
    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (problem, found), style in zip(curves.items(), ("o-", "s--"), strict=True):
        for name, points in found.items():
            label = f"{problem}: {name}"
            run = [(p.steps, p.seconds) for p in points if p.seconds is not None]
            left.loglog(*zip(*run, strict=True), style, ms=4, color=colours[name], label=label)
            planned = [(p.steps, p.bytes / 1e6) for p in points]
            right.loglog(*zip(*planned, strict=True), style, ms=4, color=colours[name])
    left.set(xlabel="inner steps", ylabel="seconds")
    right.set(xlabel="inner steps", ylabel="temporaries (MB)")
    for axes in (left, right):
        axes.grid(alpha=0.2)
    figure.legend(*left.get_legend_handles_labels(), loc="outside right", fontsize=8, frameon=False)
    figure.savefig(path, dpi=160)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--most-bytes", type=float, default=8e9)
    parser.add_argument("-o", "--output", type=Path, default=Path("unrolled_vs_implicit.json"))
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()

    system = ms.read(ROOT / "systems" / "disks_128" / "disks.extxyz")
    curves = {}
    for problem in (packing(system), logistic()):
        print(f"{problem.name}\n  {'':14}{'steps':>8}{'time':>12}{'memory':>15}{'- implicit':>14}")
        curves[problem.name] = study(problem, options.steps, options.repeats, options.most_bytes)
    relax = relaxation(system, options.repeats)
    print(f"relax and its gradient\n  {json.dumps(relax)}")
    record = {
        "what": "reverse mode through k steps against the implicit derivative",
        "problems": {
            problem: {name: [p._asdict() for p in points] for name, points in found.items()}
            for problem, found in curves.items()
        },
        "relax": relax,
        "versions": {
            "jax": jax.__version__,
            "mdsens": ms.__version__,
            "python": platform.python_version(),
        },
        "device": str(jax.devices()[0]),
        "cores": os.cpu_count(),
    }
    options.output.write_text(json.dumps(record, indent=2) + "\n")
    print(f"wrote {options.output}")
    if options.figure:
        draw(curves, options.figure)
        print(f"wrote {options.figure}")


if __name__ == "__main__":
    main()
