"""Derivatives of a dislocation in silicon: every position by all ten parameters. JSON out.

`python scripts/bench/dislocation.py [--fmax 1e-9] [-o FILE.json]`

systems/dislocation, 1982 atoms, Stillinger-Weber, on all cores. Everything needed is compiled, as for a
user who does it once; nothing is read from a compile cache. How this grows: crystal_growth.py.
    relax        to --fmax, with Newton's method
    hessian      assembled, factorised or scaled, its lowest eigenvalue
    derivative   ten solves, each with an estimate of its error
Told are wall and CPU seconds, and `peak`, the largest resident memory in GB up to the end of each;
`again` is the same with everything compiled.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_enable_compilation_cache", False)

import mdsens as ms  # noqa: E402
from mdsens.derivatives.linearization import linearize  # noqa: E402
from mdsens.derivatives.total import response  # noqa: E402
from mdsens.equilibrium import search  # noqa: E402
from mdsens.system import System  # noqa: E402

FOLDER = Path(__file__).resolve().parents[2] / "systems" / "dislocation"
NAMES = ("epsilon", "sigma", "a", "lambda", "gamma", "costheta0", "A", "B", "p", "q")
PHASES = ("relax", "hessian", "derivative")


def timed(run: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    # Linux counts in kB.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return result, {"wall": wall, "cpu": cpu, "peak": peak}


def phases(system: System, fmax: float) -> dict[str, Any]:
    potential = ms.potentials.StillingerWeber()
    params = potential.parameters(system, file=FOLDER / "Si.sw")
    theta = {name: params[name] for name in NAMES}
    found, relaxing = timed(lambda: search(potential, params, system, fmax=fmax))
    if found.why:
        raise SystemExit(found.why)
    line, assembling = timed(lambda: linearize(found.problem, found.setting, "auto", 1e-10))
    still = np.zeros(system.positions.size)
    answers, solving = timed(
        lambda: [response(line, name, theta, still, lambda *_: None) for name in NAMES]
    )
    times = dict(zip(PHASES, (relaxing, assembling, solving), strict=True))
    return {
        "atoms": system.n_particles, "steps": int(found.report.steps), "solver": line.why,
        "lambda_min": float(np.min(line.lowest)), "residual": max(a.residual for a in answers),
        **times,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fmax", type=float, default=1e-9)
    parser.add_argument("-o", "--output", type=Path, default=Path("dislocation.json"))
    options = parser.parse_args()
    system = ms.read(FOLDER / "screw.extxyz")
    first, again = (phases(system, options.fmax) for _ in range(2))
    for name in PHASES:
        print(
            f"{name:<11} {first[name]['wall']:.3g} s, {first[name]['cpu']:.3g} s CPU "
            f"({again[name]['cpu']:.3g} again), {first[name]['peak']:.2f} GB",
            flush=True,
        )
    about = {
        "python": platform.python_version(), "jax": jax.__version__, "mdsens": ms.__version__,
        "cores": len(os.sched_getaffinity(0)),
    }  # fmt: skip
    again = {name: again[name] for name in PHASES}
    options.output.write_text(json.dumps({"about": about, **first, "again": again}, indent=1))


if __name__ == "__main__":
    main()
