"""d(pressure) and d(shear modulus) by all diameters of a packing: what they cost. JSON out.

`python scripts/bench/packing_derivatives.py [--discs 1000 10000] [--spheres 1000 10000] [--repeat 3]
                                             [--slow] [-o FILE.json]`

Bidisperse harmonic packings as in relax_packings.py, relaxed once each by `relax`, in the same run.
One core, double precision; medians after a first call that compiles. `cpu` is what the processor
spent and is the figure to trust on a busy machine; `of relax` is the ratio of cpu times.
    relax       from the random start to 1e-10 and on to the floor of float64
    dp, dG      all that `sensitivity` does after its relaxation, with the factor that was left behind:
                lowest eigenvalue, nonaffine displacements for G, solves, and an error estimate
    jaxopt      dp by `jaxopt.implicit_diff.root_vjp` at the same state with its default solver, normal
                conjugate gradients on products of derivatives, with --slow
`error` is relative (largest deviation over largest entry) to a solve by the same factorisation or, in
3D, conjugate gradients to 1e-13.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from relax_packings import start

# Before anything else: it keeps to one core and 64 bits, and XLA quiet.
# isort: split

import jax
import jax.numpy as jnp
import numpy as np

import mdsens as ms
from mdsens.derivatives.linearization import (
    ROUGH,
    linearize,
    newton_correction,
)
from mdsens.derivatives.total import adjoint
from mdsens.equilibrium import Found, search
from mdsens.equilibrium.linearized import backbone
from mdsens.system import System

POTENTIAL = ms.potentials.SoftSphere()


def timed(
    run: Callable[[], Any], repeat: int, compiled: bool = False
) -> tuple[Any, dict[str, float]]:
    """The last result, and the medians of wall and cpu seconds, after a first call that compiles."""
    result, walls, cpus = None if compiled else run(), [], []
    for _ in range(repeat):
        wall, cpu = time.perf_counter(), time.process_time()
        result = run()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return result, {"wall": statistics.median(walls), "cpu": statistics.median(cpus)}


def derivative(found: Found, observable: Callable[..., Any], rtol: float = 1e-10) -> np.ndarray:
    """By all diameters, as `sensitivity` does it."""
    line = linearize(found.problem, found.setting, "auto", rtol, found.factor)
    theta = {"diameter": found.setting.params["diameter"]}
    return adjoint(line, observable, theta, newton_correction(line, ROUGH))["diameter"].value[0]


def by_jaxopt(found: Found) -> Callable[[], np.ndarray]:
    """Its documented use: forces that vanish, and its own default solve."""
    from jaxopt.implicit_diff import root_vjp

    state = backbone(found.problem, found.setting).setting
    params, x = state.params, state.positions

    def force(x: jax.Array, diameter: jax.Array) -> jax.Array:
        given = {**params, "diameter": diameter}
        return jax.grad(POTENTIAL.energy, argnums=1)(given, x, state.cell, state.neighbors)

    def pressure(x: jax.Array, diameter: jax.Array) -> jax.Array:
        given = {**params, "diameter": diameter}

        def energy(strain: jax.Array) -> jax.Array:
            one = jnp.eye(len(state.cell))
            stretch = one * (1.0 + strain)
            return POTENTIAL.energy(given, x @ stretch, state.cell @ stretch, state.neighbors)

        d = len(state.cell)
        return -jax.grad(energy)(0.0) / (d * jnp.abs(jnp.linalg.det(state.cell)))

    @jax.jit
    def run(diameter: jax.Array) -> jax.Array:
        by_x, direct = jax.grad(pressure, argnums=(0, 1))(x, diameter)
        return direct + root_vjp(force, x, (diameter,), by_x)[0]

    return lambda: np.asarray(run(params["diameter"]))


def deviation(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.max(np.abs(found - expected)) / np.max(np.abs(expected)))


def measure(system: System, repeat: int, slow: bool) -> dict[str, Any]:
    params = POTENTIAL.parameters(system, diameter="diameter")
    found = search(POTENTIAL, params, system)
    if found.why:
        raise SystemExit(found.why)
    # The search has compiled what there is to compile.
    relaxing = timed(lambda: ms.relax(POTENTIAL, params, system), 1, compiled=True)[1]
    rows: dict[str, Any] = {"relax": relaxing}
    for name, observable in (("dp", ms.pressure), ("dG", ms.shear_modulus)):
        value, row = timed(lambda o=observable: derivative(found, o), repeat)
        row["error"] = deviation(value, derivative(found, observable, rtol=1e-13))
        rows[name] = row
    if slow:
        value, row = timed(by_jaxopt(found), 1)
        row["error"] = deviation(value, derivative(found, ms.pressure, rtol=1e-13))
        row["cpu over dp"] = row["cpu"] / rows["dp"]["cpu"]
        rows["jaxopt"] = row
    for row in rows.values():
        row["of relax"] = row["cpu"] / relaxing["cpu"]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Derivatives of packings, timed.")
    parser.add_argument("--discs", type=int, nargs="*", default=[1000, 10_000])
    parser.add_argument("--spheres", type=int, nargs="*", default=[1000, 10_000])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--slow", action="store_true", help="jaxopt's default too")
    parser.add_argument("-o", "--output", type=Path, default=Path("packing_derivatives.json"))
    options = parser.parse_args()
    results = []
    for d, n in [(2, n) for n in options.discs] + [(3, n) for n in options.spheres]:
        for name, row in measure(start(n, d), options.repeat, options.slow).items():
            results.append({"dimension": d, "particles": n, "work": name, **row})
            numbers = "".join(f"  {key} {value:.3g}" for key, value in row.items())
            print(f"{d}D N={n:<7}{name:<8}{numbers}", flush=True)
    about = {"machine": platform.machine(), "jax": jax.__version__, "mdsens": ms.__version__}
    options.output.write_text(json.dumps({"about": about, "results": results}, indent=1))
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
