"""A fit by mdsens and the same fit by finite differences, as a user would do it today. JSON out.

`python scripts/bench/fit_against_differences.py [--structures 20] [--off 0.05] [--step 1e-4]
[--goal 1e-4] [--only mdsens LAMMPS ASE] [-o FILE.json]`

Eight parameters of Stillinger-Weber silicon are found again from data that they made: energies and
forces of rattled and strained cells of 64 atoms, and a, C11, C12, C44 (atoms relaxed) and the formation
energy of a vacancy in 63 atoms. All start from the same parameters, each off by up to `--off`, count the
same residuals, and go down by scipy's least_squares (trf) in the same coordinates, until chi^2 is
`--goal` times the number of residuals.
    mdsens   `ms.fit`; derivatives by JAX and the implicit function theorem. `first` compiles, `again` not
    LAMMPS   forward differences of `--step`, relative; properties as in crystal_jacobian.py
    ASE      the same with mdsens' Calculator and ASE's BFGS
Told are wall and CPU seconds on one core until the goal, evaluations of all residuals, steps (Jacobians),
chi^2 where it ended, the largest error of a parameter, and the ratios of CPU seconds to mdsens' `again`.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ase
import numpy as np
import scipy
from ase.build import bulk
from crystal_jacobian import START, InASE, InLammps, measured, strained, vacancy
from scipy.optimize import least_squares

import mdsens as ms
from mdsens.fitting import (
    Evaluation,
    Free,
    Labelled,
    Labels,
    Target,
    Wanted,
    crystal,
    defect,
    fit,
    reading,
    space,
)

FREE = ("A", "B", "p", "sigma", "a", "lambda", "gamma", "costheta0")
GPA = 1 / 160.2176634
SIGMA = {"a": 1e-3, "C11": GPA, "C12": GPA, "C44": GPA}
ENERGY, FORCE, VACANCY = 1e-3, 1e-2, 1e-2
CELL = bulk("Si", "diamond", a=5.43094978, cubic=True)
HOLE = vacancy(CELL, 2)
# The trust region of `ms.fit` begins with changes of this size; the others' as well.
FIRST = 0.3
POTENTIAL = ms.potentials.StillingerWeber()


class Reached(Exception):
    """Raised by whoever sees chi^2 at the goal."""


@dataclass
class Clock:
    """What a fit spends until chi^2 is at the goal."""

    goal: float
    chi2: list[float] = field(default_factory=list)
    values: Any = None

    def __post_init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def see(self, chi2: float, values: np.ndarray) -> None:
        """Called with each evaluation: chi^2 and parameters over those at the start."""
        self.chi2.append(chi2)
        if chi2 <= self.goal:
            self.values = values
            raise Reached

    def told(self, start: np.ndarray, steps: int) -> dict[str, Any]:
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        true = np.array([START[n] for n in FREE])
        off = None if self.values is None else float(np.max(np.abs(self.values * start / true - 1)))
        return {
            "wall": wall, "cpu": cpu, "evaluations": len(self.chi2), "steps": steps,
            "chi2": self.chi2[-1], "off": off, "history": self.chi2,
        }  # fmt: skip


def structures(count: int) -> list[ase.Atoms]:
    """Cells of 64 atoms, strained by 2 % and rattled by 0.1 angstrom."""
    rng, found = np.random.default_rng(0), []
    for _ in range(count):
        # Lower triangular, as LAMMPS wants its cells.
        atoms = strained(CELL.repeat(2), np.tril(0.02 * rng.standard_normal((3, 3))))
        atoms.positions += 0.1 * rng.standard_normal(atoms.positions.shape)
        found.append(atoms)
    return found


def targets(frames: list[ase.Atoms], params: Any) -> list[Target]:
    """What the true parameters say."""
    labels, systems = [], [ms.read(atoms) for atoms in frames]
    engine = InASE(params)
    for atoms in frames:
        energy, forces = engine.label(atoms)
        labels.append(Labels(energy=energy, forces=forces))
    system, hole = ms.read(CELL), ms.read(HOLE)
    read = [reading(n, system) for n in SIGMA]

    def relaxed(values: Any, cost: float) -> list[Target]:
        wanted = [Wanted(n, float(v), s) for (n, s), v in zip(SIGMA.items(), values, strict=True)]
        return [
            crystal("crystal", system, list(zip(read, wanted, strict=True)), cell="isotropic"),
            defect("vacancy", hole, system, energy=Wanted("energy", cost, VACANCY)),
        ]

    somewhere = space(params, {"A": Free()})
    true = [
        t.evaluate(POTENTIAL, somewhere, np.zeros(1), ()).values
        for t in relaxed(np.ones(len(SIGMA)), 1.0)
    ]
    return [
        Labelled("data", systems, labels, energy=ENERGY, forces=FORCE),
        *relaxed(true[0], float(true[1][0])),
    ]


def by_mdsens(wanted: list[Target], start: np.ndarray, goal: float) -> dict[str, Any]:
    params = POTENTIAL.parameters(
        ms.read(CELL), **{**START, **dict(zip(FREE, map(float, start), strict=True))}
    )
    clock = Clock(goal)

    def record(_: int, at: Evaluation) -> None:
        clock.see(at.chi2, 1 + np.sign(start) * at.u)

    with suppress(Reached):
        fit(POTENTIAL, params, wanted, dict.fromkeys(FREE, Free()), record=record, tolerance=1e-15)
    # Every evaluation of mdsens comes with its Jacobian.
    return clock.told(start, len(clock.chi2))


def by_differences(
    kind: type, frames: list[ase.Atoms], wanted: list[Target], start: np.ndarray, goal: float,
    step: float,
) -> dict[str, Any]:  # fmt: skip
    data, solid, hole = wanted
    residuals_of = _residuals(kind, frames, data, np.concatenate([solid.wanted, hole.wanted]))
    clock = Clock(goal)
    jacobians = 0

    def residuals(u: np.ndarray) -> np.ndarray:
        r = residuals_of((1 + u) * start)
        clock.see(float(r @ r), 1 + u)
        return r

    def jacobian(u: np.ndarray) -> np.ndarray:
        nonlocal jacobians
        jacobians += 1
        here = residuals(u)
        return np.stack([(residuals(u + step * e) - here) / step for e in np.eye(len(u))], axis=-1)

    with suppress(Reached):
        least_squares(
            residuals, np.zeros(len(start)), jacobian,
            x_scale=FIRST, xtol=1e-15, ftol=1e-15, gtol=1e-15,
        )  # fmt: skip
    return clock.told(start, jacobians)


def _residuals(
    kind: type, frames: list[ase.Atoms], data: Any, properties: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    deviations = np.array([*SIGMA.values(), VACANCY])

    def residuals(theta: np.ndarray) -> np.ndarray:
        engine = kind({**START, **dict(zip(FREE, map(float, theta), strict=True))})
        rows = []
        for atoms, known in zip(frames, data.data, strict=True):
            energy, forces = engine.label(atoms)
            rows.append([(energy - known.energy) / len(atoms) / ENERGY])
            rows.append(((forces - known.forces) / FORCE).ravel())
        found = measured(engine, CELL, 2)
        engine.close()
        values = [found[k] for k in ("a0", "C11", "C12", "C44", "vacancy energy")]
        rows.append((np.array(values, float) - properties) / deviations)
        return np.concatenate(rows)

    return residuals


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--structures", type=int, default=20)
    parser.add_argument("--off", type=float, default=0.05)
    parser.add_argument("--step", type=float, default=1e-4, help="of finite differences, relative")
    parser.add_argument("--goal", type=float, default=1e-4, help="chi^2 per residual")
    ways = ("mdsens", "LAMMPS", "ASE")
    parser.add_argument("--only", nargs="*", default=ways, choices=ways)
    parser.add_argument("-o", "--output", type=Path, default=Path("fit_against_differences.json"))
    options = parser.parse_args()
    frames = structures(options.structures)
    wanted = targets(frames, POTENTIAL.parameters(ms.read(CELL), **START))
    off = 1 + options.off * np.random.default_rng(1).uniform(-1, 1, len(FREE))
    start = off * [START[n] for n in FREE]
    goal = options.goal * sum(len(t.wanted) for t in wanted)
    rows: dict[str, Any] = {}
    if "mdsens" in options.only:
        for name in ("mdsens, first", "mdsens, again"):
            rows[name] = by_mdsens(wanted, start, goal)
            print(told(name, rows), flush=True)
    for name, kind in (("LAMMPS", InLammps), ("ASE", InASE)):
        if name in options.only:
            rows[name] = by_differences(kind, frames, wanted, start, goal, options.step)
            print(told(name, rows), flush=True)
    about = {
        "python": platform.python_version(), "scipy": scipy.__version__, "ase": ase.__version__,
        "mdsens": ms.__version__, "free": FREE, "off": options.off, "step": options.step,
        "goal": goal, "structures": options.structures,
    }  # fmt: skip
    options.output.write_text(json.dumps({"about": about, "rows": rows}, indent=1))


def told(name: str, rows: dict[str, Any]) -> str:
    row = rows[name]
    best = rows.get("mdsens, again", row)
    off = "not reached" if row["off"] is None else f"{row['off']:.1e}"
    return (
        f"{name:14s} {row['wall']:8.2f} s {row['cpu']:8.2f} s CPU  {row['evaluations']:4d} evaluations "
        f"{row['steps']:3d} steps  chi^2 {row['chi2']:.2e}  parameters {off}  {row['cpu'] / best['cpu']:6.1f}"
    )


if __name__ == "__main__":
    main()
