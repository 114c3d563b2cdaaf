"""Derivatives of a dislocation, and their growth with the number of atoms in silicon. JSON out.

`python scripts/bench/dislocation.py [--atoms 512 1728 4096] [--fmax 1e-9] [--limit 1800]
                                     [-o FILE.json]`

Stillinger-Weber silicon, every position by all ten parameters. Every line is a process of its own that
compiles everything it needs, as for a user who does it once; nothing is read from a compile cache.
    dislocation  systems/dislocation, 1982 atoms, on all cores
    crystals     diamond with one atom in fifty missing at random and the others moved by 0.1 angstrom,
                 so many atoms before that; on one core
What is told of each: wall and CPU seconds, and `peak`, the largest resident memory in GB up to its end.
    relax        to --fmax, with Newton's method
    hessian      assembled, factorised or scaled, its lowest eigenvalue
    derivative   ten solves, each with an estimate of its error
`again` is the same with everything compiled. Exponents of N are slopes of least-squares lines through
the logarithms of CPU seconds when compiled and of memory less that of an idle process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jax
import numpy as np
from ase.build import bulk

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


def crystal(atoms: int) -> System:
    cells = round((atoms / 8) ** (1 / 3))
    rng = np.random.default_rng(0)
    whole = bulk("Si", "diamond", a=5.43094978, cubic=True).repeat(cells)
    whole = whole[np.sort(rng.permutation(len(whole))[len(whole) // 50 :])]
    whole.positions += rng.uniform(-0.1, 0.1, whole.positions.shape)
    return ms.read(whole)


def timed(run: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return result, {"wall": wall, "cpu": cpu, "peak": peak()}


def peak() -> float:
    """GB; Linux counts in kB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


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


def one(atoms: int, fmax: float) -> dict[str, Any]:
    """The dislocation for 0 atoms."""
    if atoms:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    idle = peak()
    system = crystal(atoms) if atoms else ms.read(FOLDER / "screw.extxyz")
    first = phases(system, fmax)
    again = phases(system, fmax)
    return {"idle": idle, **first, "again": {name: again[name] for name in PHASES}}


def in_a_process(atoms: int, fmax: float, limit: float) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", str(atoms), "--fmax", str(fmax)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return {"atoms": atoms, "failed": f"more than {limit} s"}
    if done.returncode:
        last = (done.stderr.strip() or f"exit {done.returncode}").splitlines()[-1]
        return {"atoms": atoms, "failed": last}
    return json.loads(done.stdout.splitlines()[-1])


def exponents(rows: list[dict[str, Any]]) -> dict[str, float]:
    n = np.log([row["atoms"] for row in rows])
    found = {}
    for phase in PHASES:
        cpu = [row["again"][phase]["cpu"] for row in rows]
        extra = [row[phase]["peak"] - row["idle"] for row in rows]
        found[f"{phase} cpu"] = float(np.polyfit(n, np.log(cpu), 1)[0])
        found[f"{phase} peak"] = float(np.polyfit(n, np.log(extra), 1)[0])
    return found


def told(row: dict[str, Any]) -> str:
    if "failed" in row:
        return f"{row['atoms']:8d}  {row['failed']}"
    return f"{row['atoms']:8d}" + "".join(
        f"   {p} {row[p]['wall']:.3g} s, {row[p]['cpu']:.3g} s CPU ({row['again'][p]['cpu']:.3g} again), "
        f"{row[p]['peak']:.2f} GB"
        for p in PHASES
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--atoms", type=int, nargs="*", default=[512, 1728, 4096])
    parser.add_argument("--fmax", type=float, default=1e-9)
    parser.add_argument("--limit", type=float, default=1800.0, help="seconds for one size")
    parser.add_argument("--one", type=int, help="one size, here")
    parser.add_argument("-o", "--output", type=Path, default=Path("dislocation.json"))
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(one(options.one, options.fmax)))
        return
    rows = []
    for atoms in [0, *options.atoms]:
        rows.append(in_a_process(atoms, options.fmax, options.limit))
        print(told(rows[-1]), flush=True)
    good = [row for row in rows[1:] if "failed" not in row]
    slopes = exponents(good) if len(good) > 1 else {}
    print("exponents", {name: round(value, 2) for name, value in slopes.items()})
    about = {
        "python": platform.python_version(), "jax": jax.__version__, "mdsens": ms.__version__,
        "cores": len(os.sched_getaffinity(0)),
    }  # fmt: skip
    report = {"about": about, "exponents": slopes, "dislocation": rows[0], "crystals": rows[1:]}
    options.output.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
