"""How relaxation and derivatives of crystals grow with the number of atoms. JSON out.

`python scripts/bench/crystal_growth.py [--silicon 512 4096 13824 46656] [--copper 500 4000 13500 48668]
                                        [--fmax 1e-9] [--limit 3600] [-o FILE.json]`

One atom in a hundred is missing at random, the others are moved by 0.1 angstrom at most. Silicon is
diamond with Stillinger and Weber's potential, derivatives by ten parameters; copper fcc with Zhou's
embedded atoms, by all of its twenty-two or so. Sizes are those of the whole crystal. Every size runs in
a process of its own on one core that compiles what it needs.
    relax      to --fmax, with Newton's method
    hessian    assembled, scaled or factorised, its lowest eigenvalue
    positions  d(positions)/d(all parameters), one solve each
    elastic    d(elastic tensor)/d(all parameters), particles relaxed: six more solves, for the strains
    energy     d(energy)/d(all parameters): no solve
Told are wall and CPU seconds, `compiling` among the wall seconds, and `peak`, the largest resident
memory in GB up to the end of each. Exponents of N are slopes of least-squares lines through the
logarithms of wall seconds without compiling, and of memory less that of an idle process.
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
from mdsens.derivatives.linearization import (  # noqa: E402
    ROUGH,
    Linearization,
    linearize,
    newton_correction,
)
from mdsens.derivatives.named import select  # noqa: E402
from mdsens.derivatives.total import envelope, forward, response  # noqa: E402
from mdsens.equilibrium import search  # noqa: E402
from mdsens.timing import Clock  # noqa: E402

SILICON = Path(__file__).resolve().parents[2] / "systems" / "dislocation" / "Si.sw"
PHASES = ("relax", "hessian", "positions", "elastic", "energy")


def crystal(material: str, atoms: int) -> tuple[Any, Any, Any]:
    """(potential, parameters, system)."""
    if material == "silicon":
        cell, potential = (
            bulk("Si", "diamond", a=5.43094978, cubic=True),
            ms.potentials.StillingerWeber(),
        )
    else:
        cell, potential = bulk("Cu", "fcc", a=3.615, cubic=True), ms.potentials.EAMZhou()
    whole = cell.repeat(round((atoms / len(cell)) ** (1 / 3)))
    rng = np.random.default_rng(0)
    whole = whole[np.sort(rng.permutation(len(whole))[max(1, len(whole) // 100) :])]
    whole.positions += rng.uniform(-0.1, 0.1, whole.positions.shape)
    system = ms.read(whole)
    file = {"file": SILICON} if material == "silicon" else {}
    return potential, potential.parameters(system, **file), system


def peak() -> float:
    """GB; Linux counts in kB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def timed(run: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    clock, cpu = Clock(), time.process_time()
    result = run()
    cpu = time.process_time() - cpu
    return result, {"wall": clock.total, "compiling": clock.compiling, "cpu": cpu, "peak": peak()}


def one(material: str, atoms: int, fmax: float) -> dict[str, Any]:
    """All phases of one size."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    potential, params, system = crystal(material, atoms)
    idle, times = peak(), {}
    found, times["relax"] = timed(lambda: search(potential, params, system, fmax=fmax))
    if found.why:
        raise SystemExit(found.why)
    # `tol` of the file is zero, and nothing moves with it.
    theta = select(params, [name for name in params if name != "tol"])

    def assembled() -> tuple[Linearization, np.ndarray]:
        line = linearize(found.problem, found.setting, "auto", 1e-10, found.factor)
        return line, newton_correction(line, ROUGH)

    (line, left), times["hessian"] = timed(assembled)
    quiet = lambda *_: None  # noqa: E731
    answers, times["positions"] = timed(
        lambda: [response(line, name, theta, left, quiet) for name in theta]
    )
    elastic, times["elastic"] = timed(
        lambda: [
            forward(line, ms.elastic_tensor, name, theta, left, answer)
            for name, answer in zip(theta, answers, strict=True)
        ]
    )
    energy, times["energy"] = timed(lambda: envelope(line, ms.energy, theta, left))
    return {
        "material": material, "atoms": system.n_particles, "parameters": len(theta), "idle": idle,
        "steps": int(found.report.steps), "newton_steps": int(found.report.newton_steps),
        "fmax": float(found.report.residual), "lambda_min": float(np.min(line.lowest)),
        "solver": line.why, "residual": max(a.residual for a in answers),
        "elastic_error": max(t.error for t in elastic),
        "energy_error": max(t.error for t in energy.values()),
        **times,
    }  # fmt: skip


def in_a_process(material: str, atoms: int, fmax: float, limit: float) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", material, str(atoms), "--fmax", str(fmax)]
    row: dict[str, Any] = {"material": material, "atoms": atoms}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return {**row, "failed": f"more than {limit} s"}
    if done.returncode:
        last = (done.stderr.strip() or f"exit {done.returncode}").splitlines()[-1]
        return {**row, "failed": last}
    return json.loads(done.stdout.splitlines()[-1])


def exponents(rows: list[dict[str, Any]]) -> dict[str, float]:
    n = np.log([row["atoms"] for row in rows])
    found = {}
    for phase in PHASES:
        seconds = [row[phase]["wall"] - row[phase]["compiling"] for row in rows]
        extra = [row[phase]["peak"] - row["idle"] for row in rows]
        found[f"{phase} seconds"] = float(np.polyfit(n, np.log(seconds), 1)[0])
        found[f"{phase} peak"] = float(np.polyfit(n, np.log(extra), 1)[0])
    return found


def told(row: dict[str, Any]) -> str:
    head = f"{row['material']:8s}{row['atoms']:8d}"
    if "failed" in row:
        return f"{head}  {row['failed']}"
    parts = [
        f"{p} {row[p]['wall'] - row[p]['compiling']:.3g} s (+{row[p]['compiling']:.2g}) "
        f"{row[p]['peak']:.2f} GB"
        for p in PHASES
    ]
    return f"{head}  {row['steps']:5d} steps  " + "  ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--silicon", type=int, nargs="*", default=[512, 4096, 13824, 46656])
    parser.add_argument("--copper", type=int, nargs="*", default=[500, 4000, 13500, 48668])
    parser.add_argument("--fmax", type=float, default=1e-9)
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds for one size")
    parser.add_argument("--one", nargs=2, metavar=("MATERIAL", "ATOMS"), help="one size, here")
    parser.add_argument("-o", "--output", type=Path, default=Path("crystal_growth.json"))
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one[0], int(options.one[1]), options.fmax)))
        return
    results, slopes = [], {}
    for material, sizes in (("silicon", options.silicon), ("copper", options.copper)):
        rows = []
        for atoms in sizes:
            rows.append(in_a_process(material, atoms, options.fmax, options.limit))
            print(told(rows[-1]), flush=True)
        good = [row for row in rows if "failed" not in row]
        if len(good) > 1:
            slopes[material] = exponents(good)
            print("exponents", {name: round(value, 2) for name, value in slopes[material].items()})
        results += rows
    about = {
        "python": platform.python_version(), "jax": jax.__version__, "mdsens": ms.__version__,
        "cores": 1,
    }  # fmt: skip
    options.output.write_text(
        json.dumps({"about": about, "exponents": slopes, "results": results}, indent=1)
    )


if __name__ == "__main__":
    main()
