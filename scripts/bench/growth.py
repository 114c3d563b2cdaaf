"""How relaxation, derivative and moduli of packings grow with the number of particles. JSON and figure.

`python scripts/bench/growth.py [--discs 1000 3000 10000 30000 100000] [--spheres 1000 3000 10000]
                                [--fmax 1e-10] [--limit 3600] [-o FILE.json] [--figure FILE.png]`

Bidisperse harmonic packings as in relax_packings.py. Every size runs in a process of its own on one
core. What takes long is compiled while it is timed: the relaxation beyond 10 000 particles (about ten
seconds of it), the rest beyond 200 000 (about five each). Else everything is done once before.
    relax       from the random start to --fmax; Newton's method at the end where that is below 1e-8
    derivative  dp/d(all diameters), certified: factor or scaling, lowest eigenvalue, solves, error
    moduli      G and K, from the relaxed state and the factor at hand
`peak` is the largest resident memory of the process up to the end of each, in GB, JAX included.
Exponents are slopes of least-squares lines through the logarithms, of memory less that of an idle
process.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from relax_packings import start

# Before anything else: it keeps to one core and 64 bits, and XLA quiet.
# isort: split

import jax
import numpy as np

import mdsens as ms
from mdsens.derivatives.bound import bound
from mdsens.derivatives.kernels import measured
from mdsens.derivatives.linearization import (
    ROUGH,
    linearize,
    newton_correction,
)
from mdsens.derivatives.total import adjoint
from mdsens.equilibrium import search

_RELAXED_TWICE, _MEASURED_TWICE = 10_000, 200_000
PHASES = ("relax", "derivative", "moduli")


def peak() -> float:
    """GB; Linux counts in kB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def timed(run: Callable[[], Any], again: bool) -> tuple[Any, dict[str, float]]:
    if again:
        run()
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return result, {"wall": wall, "cpu": cpu, "peak": peak()}


def one(d: int, n: int, fmax: float) -> dict[str, Any]:
    """All phases of one size."""
    system, potential, idle = start(n, d), ms.potentials.SoftSphere(), peak()
    params = potential.parameters(system, diameter="diameter")
    again, polish = n <= _MEASURED_TWICE, fmax < 1e-8
    found, relaxing = timed(
        lambda: search(potential, params, system, fmax=fmax, polish=polish), n <= _RELAXED_TWICE
    )
    if found.why:
        raise SystemExit(found.why)

    def derivative() -> Any:
        line = linearize(found.problem, found.setting, "auto", 1e-10, found.factor)
        theta = {"diameter": params["diameter"]}
        return line, adjoint(line, ms.pressure, theta, newton_correction(line, ROUGH))["diameter"]

    (line, total), deriving = timed(derivative, again)

    def moduli() -> Any:
        # What is known of the displacements would be kept.
        line.__dict__.pop("nonaffine", None)
        functions = {f.__name__: bound(line, f)[0] for f in (ms.shear_modulus, ms.bulk_modulus)}
        return jax.block_until_ready(measured(line.problem, functions, line.setting))

    values, measuring = timed(moduli, again)
    return {
        "dimension": d, "particles": n, "idle": idle, "steps": int(found.report.steps),
        "fmax": float(found.report.residual), "lambda_min": float(np.min(line.lowest)),
        "derivative_error": total.error, "solve_residual": total.residual, "solver": line.why,
        **{name: float(value) for name, value in values.items()},
        "relax": relaxing, "derivative": deriving, "moduli": measuring,
    }  # fmt: skip


def in_a_process(d: int, n: int, fmax: float, limit: float) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", str(d), str(n), "--fmax", str(fmax)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return {"dimension": d, "particles": n, "failed": f"more than {limit} s"}
    if done.returncode:
        last = (done.stderr.strip() or f"exit {done.returncode}").splitlines()[-1]
        return {"dimension": d, "particles": n, "failed": last}
    return json.loads(done.stdout.splitlines()[-1])


def exponents(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Of N, one by one."""
    n = np.log([row["particles"] for row in rows])
    found = {}
    for phase in PHASES:
        for key in ("wall", "cpu"):
            found[f"{phase} {key}"] = np.polyfit(n, np.log([r[phase][key] for r in rows]), 1)[0]
        extra = [r[phase]["peak"] - r["idle"] for r in rows]
        found[f"{phase} peak"] = np.polyfit(n, np.log(extra), 1)[0]
    return {key: float(value) for key, value in found.items()}


def draw(results: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    for d, line in ((2, "o-"), (3, "s--")):
        rows = [r for r in results if r["dimension"] == d and "failed" not in r]
        n = [r["particles"] for r in rows]
        for k, phase in enumerate(PHASES):
            panels[0].loglog(
                n, [r[phase]["cpu"] for r in rows], line, color=f"C{k}", label=f"{phase}, {d}D"
            )
            panels[1].loglog(n, [r[phase]["peak"] for r in rows], line, color=f"C{k}")
    for panel, name in zip(panels, ("seconds of one core", "peak memory / GB"), strict=True):
        panel.set(xlabel="particles", ylabel=name)
    panels[0].legend(frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description="Growth with the number of particles.")
    parser.add_argument(
        "--discs", type=int, nargs="*", default=[1000, 3000, 10_000, 30_000, 100_000]
    )
    parser.add_argument("--spheres", type=int, nargs="*", default=[1000, 3000, 10_000])
    parser.add_argument("--fmax", type=float, default=1e-10)
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds for one size")
    parser.add_argument("--one", type=int, nargs=2, metavar=("D", "N"), help="one size, here")
    parser.add_argument("-o", "--output", type=Path, default=Path("growth.json"))
    parser.add_argument("--figure", type=Path, default=Path("growth.png"))
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(*options.one, options.fmax)))
        return
    results, slopes = [], {}
    for d, sizes in ((2, options.discs), (3, options.spheres)):
        for n in sizes:
            row = in_a_process(d, n, options.fmax, options.limit)
            results.append(row)
            told = row.get("failed") or "  ".join(
                f"{p} {row[p]['cpu']:.3g} s {row[p]['peak']:.2f} GB" for p in PHASES
            )
            print(f"{d}D N={n:<8}{told}", flush=True)
        good = [r for r in results if r["dimension"] == d and "failed" not in r]
        if len(good) > 1:
            slopes[f"{d}D"] = exponents(good)
            print(f"{d}D exponents", {k: round(v, 2) for k, v in slopes[f"{d}D"].items()})
    about = {"machine": platform.machine(), "jax": jax.__version__, "mdsens": ms.__version__}
    options.output.write_text(
        json.dumps({"about": about, "exponents": slopes, "results": results}, indent=1)
    )
    draw(results, options.figure)
    print(f"wrote {options.output} and {options.figure}")


if __name__ == "__main__":
    main()
