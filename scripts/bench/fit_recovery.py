"""Parameters found again from data that they made, from starts that are far off. JSON out.

`python scripts/bench/fit_recovery.py [--starts 20] [--off 0.2] [--tries 1] [--limit SECONDS]
[--only NAME ...] [--data KIND ...] [-o FILE.json]`

Every free parameter starts anywhere within `--off` of its true value, all at once. A start succeeds if
every parameter ends within 1e-6 of the truth (relative). With `--tries` n each fit goes down from n starts,
the given one and others drawn around it.
    forces   energies and forces of 16 rattled and strained cells
    relaxed  properties of the relaxed crystal alone: a, cohesive energy, C11, C12, C44 with and without
             relaxing atoms where that matters, phonons
    mixed    the first four structures of the one, and a, C11, C12, C44 of the other
Told are the starts that succeeded, the steps and CPU seconds of those (medians; the first one, which
compiles, apart), and how the others ended: elsewhere, with an error, or "stopped" where a fit was not done
within `--limit` CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jax
import numpy as np
from ase.build import bulk

jax.config.update("jax_enable_x64", True)

import mdsens as ms  # noqa: E402
from mdsens.errors import MdsensError  # noqa: E402
from mdsens.fitting import (  # noqa: E402
    Free,
    Labelled,
    Labels,
    Target,
    Wanted,
    crystal,
    fit,
    reading,
    space,
)
from mdsens.system import System  # noqa: E402

GPA = 1 / 160.2176634
X = (0.5, 0.0, 0.5)
SIGMA = {"a": 1e-3, "cohesive_energy": 1e-3, "phonon": 0.05}
ELASTIC = ("a", "C11", "C12", "C44")
KINDS = ("forces", "relaxed", "mixed")


class Stopped(Exception):
    """A fit has had its CPU seconds."""


@dataclass(frozen=True)
class Case:
    """A potential, its true parameters, what is free, and its crystal."""

    potential: Any
    cell: Any
    given: dict[str, float]
    free: tuple[str, ...]
    relaxed: tuple[str, ...]


CASES = {
    "stillinger_weber": Case(
        ms.potentials.StillingerWeber(), bulk("Si", "diamond", 5.431, cubic=True),
        {"epsilon": 2.1683, "sigma": 2.0951, "a": 1.8, "lambda": 21.0, "gamma": 1.2,
         "costheta0": -1 / 3, "A": 7.049556277, "B": 0.6022245584, "p": 4.0, "q": 0.0},
        ("A", "B", "sigma", "lambda", "gamma", "costheta0"), ("A", "B", "sigma", "lambda"),
    ),
    "tersoff": Case(
        ms.potentials.Tersoff(), bulk("Si", "diamond", 5.432, cubic=True),
        {"m": 3.0, "gamma": 1.0, "lambda3": 0.0, "c": 100390.0, "d": 16.217, "costheta0": -0.59825,
         "n": 0.78734, "beta": 1.1e-6, "lambda2": 1.7322, "B": 471.18, "R": 2.85, "D": 0.15,
         "lambda1": 2.4799, "A": 1830.8},
        ("A", "B", "lambda1", "lambda2", "n", "costheta0"), ("A", "B", "lambda1", "lambda2"),
    ),
    "eam_zhou": Case(
        ms.potentials.EAMZhou(), bulk("Cu", "fcc", 3.615, cubic=True), {},
        ("A", "B", "alpha", "beta", "r_e", "F_2"), ("A", "B", "r_e", "F_2"),
    ),
}  # fmt: skip


def structures(case: Case) -> list[System]:
    """Cells stretched by up to 5 %, sheared by 3 %, and atoms off their sites by up to 0.25."""
    rng, found = np.random.default_rng(0), []
    for k in range(16):
        atoms = case.cell.copy()
        strain = (0.1 * rng.random() - 0.05) * np.eye(3) + 0.03 * rng.standard_normal((3, 3))
        atoms.set_cell(atoms.cell[:] @ (np.eye(3) + strain), scale_atoms=True)
        atoms.positions += (0.05 + 0.0125 * k) * rng.uniform(-1, 1, atoms.positions.shape)
        found.append(ms.read(atoms))
    return found


def labelled(case: Case, params: Any, systems: list[System]) -> Labelled:
    labels = []
    for system in systems:
        atoms = ms.to_atoms(system)
        atoms.calc = ms.Calculator(case.potential, params)
        labels.append(Labels(energy=atoms.get_potential_energy(), forces=atoms.get_forces()))
    return Labelled("data", systems, labels, energy=1e-3, forces=1e-2)


def relaxed(case: Case, params: Any, names: tuple[str, ...]) -> Target:
    """The crystal with the true values of its properties."""
    system = ms.read(case.cell)
    more = {"phonon": {"q": X, "branch": 0}} if "phonon" in names else {}
    read = [reading(n, system, **more.get(n, {})) for n in names]

    def target(values: Any) -> Target:
        wanted = [
            Wanted(r.label, float(v), SIGMA.get(n, 1.0 * GPA))
            for r, n, v in zip(read, names, values, strict=True)
        ]
        return crystal("crystal", system, list(zip(read, wanted, strict=True)), cell="isotropic")

    somewhere = space(params, {case.free[0]: Free()})
    values = target(np.ones(len(names))).evaluate(case.potential, somewhere, np.zeros(1), ()).values
    return target(values)


def targets(case: Case, params: Any, kind: str) -> list[Target]:
    everything = (*ELASTIC, "cohesive_energy", "C44_clamped", "phonon")
    if kind == "relaxed":
        return [relaxed(case, params, everything)]
    data = labelled(case, params, structures(case)[: 4 if kind == "mixed" else None])
    return [data] if kind == "forces" else [data, relaxed(case, params, ELASTIC)]


def once(
    case: Case,
    wanted: list[Target],
    start: Any,
    names: tuple[str, ...],
    true: Any,
    tries: int,
    limit: float,
) -> Any:
    """One start: how it went."""
    begun = time.process_time()

    def watch(*_: Any) -> None:
        if time.process_time() - begun > limit:
            raise Stopped(f"after {limit:g} s")

    try:
        found = fit(
            case.potential,
            start,
            wanted,
            dict.fromkeys(names, Free()),
            tolerance=1e-14,
            max_iterations=300,
            starts=tries,
            record=watch,
        )
    except (MdsensError, Stopped) as error:
        return {
            "ended": "stopped" if isinstance(error, Stopped) else type(error).__name__,
            "said": str(error),
            "cpu": time.process_time() - begun,
        }
    off = max(float(np.max(np.abs(_flat(found.params[n]) / _flat(true[n]) - 1))) for n in names)
    return {
        "ended": "recovered" if off < 1e-6 else "elsewhere", "off": off, "chi2": found.best.chi2,
        "steps": sum(len(run.steps) for run in found.runs if run is not None),
        "cpu": time.process_time() - begun, "said": found.why,
    }  # fmt: skip


def _flat(value: Any) -> np.ndarray:
    return np.asarray(getattr(value, "values", value), float).ravel()


def moved(params: Any, names: tuple[str, ...], off: float, rng: Any) -> Any:
    """The truth, each of the named parameters off by a random fraction."""
    factor = {n: 1 + off * rng.uniform(-1, 1) for n in names}
    return {n: v * factor[n] if n in factor else v for n, v in params.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Recovery of parameters from random starts.")
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--off", type=float, default=0.2)
    parser.add_argument("--tries", type=int, default=1, help="starts of each fit")
    parser.add_argument("--limit", type=float, default=float("inf"), help="CPU seconds of each fit")
    parser.add_argument("--only", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--data", nargs="*", default=KINDS, choices=KINDS)
    parser.add_argument("-o", "--output", type=Path, default=Path("fit_recovery.json"))
    options = parser.parse_args()
    about = {"machine": platform.machine(), "jax": jax.__version__, "mdsens": ms.__version__}
    about |= {"starts": options.starts, "off": options.off, "tries": options.tries}
    about |= {"limit": options.limit}
    results = []
    for name in options.only:
        case = CASES[name]
        true = case.potential.parameters(ms.read(case.cell), **case.given)
        for kind in options.data:
            free = case.relaxed if kind == "relaxed" else case.free
            wanted, rng = targets(case, true, kind), np.random.default_rng(1)
            runs = []
            for _ in range(options.starts):
                start = moved(true, free, options.off, rng)
                runs.append(once(case, wanted, start, free, true, options.tries, options.limit))
                print(said(len(runs), runs[-1]), flush=True)
            row = {"potential": name, "data": kind, "free": free, "runs": runs, **summary(runs)}
            results.append(row)
            print(told(row), flush=True)
            options.output.write_text(json.dumps({"about": about, "results": results}, indent=1))
    print(f"wrote {options.output}")


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    good = [r for r in runs if r["ended"] == "recovered"]
    middle: Callable[[str], float] = lambda key: (  # noqa: E731
        statistics.median(r[key] for r in good) if good else float("nan")
    )
    ends = [r["ended"] for r in runs]
    return {
        "recovered": len(good), "steps": middle("steps"), "cpu": middle("cpu"),
        "first_cpu": runs[0]["cpu"], "ends": {e: ends.count(e) for e in sorted(set(ends))},
    }  # fmt: skip


def said(number: int, run: dict[str, Any]) -> str:
    """One start in a line."""
    line = f"  start {number}: {run['ended']}, {run['cpu']:.1f} s CPU"
    if "steps" in run:
        line += f", {run['steps']} steps, off by {run['off']:.1e}, chi^2 {run['chi2']:.3g}"
    return line + (f"; {run['said']}" if run["said"] else "")


def told(row: dict[str, Any]) -> str:
    return (
        f"{row['potential']:<18}{row['data']:<9}{len(row['free'])} free  {row['recovered']:>3} of "
        f"{len(row['runs'])}  steps {row['steps']:<5g} cpu {row['cpu']:.2f} s (first {row['first_cpu']:.1f})"
        f"  {row['ends']}"
    )


if __name__ == "__main__":
    main()
