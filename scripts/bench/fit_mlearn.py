"""Classical potentials fitted to first principles, and to properties besides. JSON out.

`python scripts/bench/fit_mlearn.py DATA [--only NAME ...] [--every 1] [-o FILE.json]`

DATA is the folder of the mlearn data (github.com/materialsvirtuallab/mlearn, BSD-3: PBE energies and
forces of Si and Mo), with Si/ and Mo/ in it. Each potential starts from published parameters:
    published   as they are; only the zero of energy is shifted to the training set
    data        fitted to energies and forces of every `--every`-th training structure
    both        and to a, C11, C12, C44 (atoms relaxed) and the formation energy of a vacancy, all from
                structures that are relaxed anew in every step, with implicit derivatives; once from
                the published parameters and once from those of `data`, and the better one counts
All energies together count as ten numbers known to 20 meV per atom, all forces as ten known to
0.2 eV/angstrom, as their number says nothing of their weight; a to 0.2 %, moduli to 3 %, the vacancy to
0.1 eV. Told are errors on the test set (rms and mean absolute, energy per atom and force component),
properties, chi^2, steps, CPU seconds (`prepared`: compilation and the first evaluation), and parameters
that ended at a bound or hardly moved. chi^2 of the fit that did not count stands beside the other.

Properties wanted: Si CASTEP PW91 (Bartok et al., doi:10.1103/PhysRevX.8.041048), a 0.15 % below that of
the data (5.469); Mo PBE (Zuo et al., doi:10.1021/acs.jpca.9b08723). Beside them stand mean absolute
errors on the same test sets of machine-learned potentials (Zuo et al., as listed with
doi:10.1063/5.0158783), and of EAM for Mo on an earlier, larger set (Chen et al.,
doi:10.1103/PhysRevMaterials.1.043603).
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ase import Atoms
from ase.build import bulk

jax.config.update("jax_enable_x64", True)

import mdsens as ms  # noqa: E402
from mdsens.errors import MdsensError  # noqa: E402
from mdsens.fitting import (  # noqa: E402
    ENERGY_SHIFT,
    Fit,
    Free,
    Labelled,
    Measured,
    Space,
    Target,
    Wanted,
    crystal,
    defect,
    fit,
    reading,
    space,
)
from mdsens.io.labelled import read_labelled  # noqa: E402
from mdsens.parameters import Table  # noqa: E402
from mdsens.potentials import Potential  # noqa: E402

GPA = 1 / 160.2176634
ENERGY, FORCE, COUNT = 0.02, 0.2, 10
Shares = dict[str, float]


@dataclass(frozen=True)
class Element:
    """What a potential of it should give: the cubic cell, vacancy in `cells`^3 of it, eV, angstrom, GPa."""

    cell: Atoms
    cells: int
    a: float
    moduli: Mapping[str, float]
    vacancy: float
    known: Mapping[str, tuple[float, float]]


ELEMENTS = {
    "Si": Element(
        bulk("Si", "diamond", 5.461, cubic=True), 2, 5.461,
        {"C11": 153.3, "C12": 56.3, "C44": 72.2}, 3.6,
        {"GAP": (2.91, 0.07), "MTP": (2.21, 0.06)},
    ),
    "Mo": Element(
        bulk("Mo", "bcc", 3.16, cubic=True), 3, 3.16,
        {"C11": 472.0, "C12": 158.0, "C44": 106.0}, 2.7,
        {"GAP": (2.24, 0.09), "MTP": (2.83, 0.09), "EAM (Zhou), other data": (122.0, 0.41)},
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A potential, its element, published parameters, and what is free."""

    potential: Potential
    element: str
    given: Mapping[str, float]
    free: Mapping[str, Free]


def some(names: str, **more: Free) -> dict[str, Free]:
    return {**dict.fromkeys(names.split(), Free(transform="log")), **more}


CASES = {
    # doi:10.1103/PhysRevB.31.5262; epsilon only multiplies A and lambda
    "stillinger_weber": Case(
        ms.potentials.StillingerWeber(), "Si",
        {"epsilon": 2.1683, "sigma": 2.0951, "a": 1.8, "lambda": 21.0, "gamma": 1.2,
         "costheta0": -1 / 3, "A": 7.049556277, "B": 0.6022245584, "p": 4.0, "q": 0.0},
        some("A B p lambda gamma", sigma=Free(1.0, 8.0), a=Free(0.4, 2.6), costheta0=Free(-1.0, 1.0)),
    ),
    # doi:10.1103/PhysRevB.38.9902; gamma only multiplies beta
    "tersoff": Case(
        ms.potentials.Tersoff(), "Si",
        {"m": 3.0, "gamma": 1.0, "lambda3": 0.0, "c": 100390.0, "d": 16.217, "costheta0": -0.59825,
         "n": 0.78734, "beta": 1.1e-6, "lambda2": 1.7322, "B": 471.18, "R": 2.85, "D": 0.15,
         "lambda1": 2.4799, "A": 1830.8},
        some("A B lambda1 lambda2 n beta c d", costheta0=Free(-1.0, 1.0), R=Free(2.6, 3.4),
             D=Free(0.05, 0.6)),
    ),
    # doi:10.1080/01418618408244210
    "finnis_sinclair": Case(
        ms.potentials.FinnisSinclair(), "Mo",
        {"A": 1.887117, "d": 4.114825, "beta": 0.0, "c": 3.25, "c0": 43.4475218, "c1": -31.9332978,
         "c2": 6.0804249},
        some("A", d=Free(3.4, 5.2), c=Free(2.9, 4.5), beta=Free(-2.0, 2.0), c0=Free(), c1=Free(),
             c2=Free()),
    ),
    # doi:10.1103/PhysRevB.69.144113; F, whose branches have to meet, stays
    "eam_zhou": Case(
        ms.potentials.EAMZhou(), "Mo", {},
        some("A B alpha beta r_e f_e kappa lambda"),
    ),
}  # fmt: skip


def data(name: str, file: Path, every: int) -> Labelled:
    systems, labels = read_labelled(file)
    systems, labels = systems[::every], labels[::every]
    forces = sum(x.forces.size for x in labels if x.forces is not None)
    return Labelled(
        name, systems, labels, ENERGY * (len(systems) / COUNT) ** 0.5, FORCE * (forces / COUNT) ** 0.5
    )  # fmt: skip


def properties(wanted: Element) -> list[Target]:
    solid = ms.read(wanted.cell)
    hole = wanted.cell.repeat(wanted.cells)
    del hole[0]
    rows = [("a", wanted.a, 0.002 * wanted.a, "angstrom", 1.0)]
    rows += [(n, v, 0.03 * v, "GPa", GPA) for n, v in wanted.moduli.items()]
    return [
        crystal(
            "crystal",
            solid,
            [(reading(n, solid), Wanted(n, v, s, u, f)) for n, v, s, u, f in rows],
            cell="isotropic",
        ),
        defect("vacancy", ms.read(hole), solid, energy=Wanted("vacancy", wanted.vacancy, 0.1, "eV")),
    ]  # fmt: skip


def shifted(case: Case, training: Labelled) -> Any:
    """Published parameters, energies counted from where the training set has them on average."""
    params = case.potential.parameters(training.systems[0], **case.given)
    params[ENERGY_SHIFT] = Table(np.zeros(1), (case.element,))
    where = space(params, {ENERGY_SHIFT: Free()})
    off = training.values(case.potential, where, np.zeros(1)) - training.wanted
    params[ENERGY_SHIFT] = Table(-np.mean(off[training.kinds == 0], keepdims=True), (case.element,))
    return params


def errors(test: Labelled, potential: Potential, where: Space, u: np.ndarray) -> Shares:
    """rms and mean absolute errors: meV per atom, eV/angstrom."""
    off = test.values(potential, where, u) - test.wanted
    energy, force = 1e3 * off[test.kinds == 0], off[test.kinds == 1]
    return {
        "energy_rms": float(np.sqrt(np.mean(energy**2))), "energy_mae": float(np.mean(abs(energy))),
        "force_rms": float(np.sqrt(np.mean(force**2))), "force_mae": float(np.mean(abs(force))),
    }  # fmt: skip


def judged(
    case: Case, test: Labelled, wanted: list[Target], where: Space, u: np.ndarray
) -> dict[str, Any]:
    found: dict[str, Any] = {"errors": errors(test, case.potential, where, u), "properties": {}}
    for target in wanted:
        assert isinstance(target, Measured)
        try:
            numbers = target.values(case.potential, where, u)
        except MdsensError as error:
            numbers, found["failed"] = np.full(len(target.wanted), np.nan), str(error)
        found["properties"] |= {
            r.label: float(v) for r, v in zip(target.readings, numbers, strict=True)
        }
    return found


def fitted(case: Case, starts: list[Any], targets: list[Target]) -> tuple[list[Fit], Shares]:
    """Fits from each of the starts, the best one first."""
    free = {**case.free, ENERGY_SHIFT: Free()}
    begun = time.process_time()
    where = space(starts[0], free)
    for target in targets:
        target.evaluate(case.potential, where, np.zeros(where.size), ())
    ready = time.process_time()
    found = [
        fit(case.potential, params, targets, free, tolerance=1e-5, max_iterations=100)
        for params in starts
    ]
    seconds = {"prepared": ready - begun, "fit": time.process_time() - ready}
    return sorted(found, key=lambda f: f.best.chi2), seconds


def ends(found: Fit) -> dict[str, list[str]]:
    """Parameters at a bound, and those that moved by less than a thousandth."""
    where, u = found.space, found.best.u
    lower, upper = where.bounds()
    labels = np.array(where.labels)
    return {
        "at_bound": labels[np.minimum(u - lower, upper - u) < 1e-3].tolist(),
        "unmoved": labels[abs(u) < 1e-3].tolist(),
    }


def stages(case: Case, folder: Path, every: int) -> dict[str, Any]:
    training = data("training", folder / case.element / "training.json", every)
    test = data("test", folder / case.element / "test.json", 1)
    wanted = properties(ELEMENTS[case.element])
    params = shifted(case, training)
    where = space(params, {ENERGY_SHIFT: Free()})
    rows = {"published": judged(case, test, wanted, where, np.zeros(1))}
    print(told("published", rows["published"]), flush=True)
    starts = [params]
    for name, targets in (("data", [training]), ("both", [training, *wanted])):
        try:
            (found, *others), seconds = fitted(case, starts, targets)
        except MdsensError as error:
            rows[name] = {"failed": str(error)}
            continue
        starts.append(found.params)
        run, theta = found.runs[found.chosen], np.asarray(found.space.theta(found.best.u))
        assert run is not None
        rows[name] = {
            **judged(case, test, wanted, found.space, found.best.u), **ends(found), "why": run.why,
            "chi2_start": found.first.chi2, "chi2": found.best.chi2,
            "others": [f.best.chi2 for f in others], "steps": len(run.steps) - 1, "cpu": seconds,
            "failures": dict(found.best.failures),
            "parameters": dict(zip(found.space.labels, theta.tolist(), strict=True)),
        }  # fmt: skip
        print(told(name, rows[name]), flush=True)
    return {"structures": len(training.systems), "free": len(case.free), "stages": rows}


def told(name: str, row: dict[str, Any]) -> str:
    if "errors" not in row:
        return f"  {name:10s} failed: {row['failed']}"
    e, p = row["errors"], row["properties"]
    line = (
        f"  {name:10s} E {e['energy_rms']:6.1f} ({e['energy_mae']:5.1f}) meV  F {e['force_rms']:.3f} "
        f"({e['force_mae']:.3f}) eV/A  a {p['a']:.3f}  "
        + "  ".join(f"{n} {p[n]:5.1f}" for n in ("C11", "C12", "C44"))
        + f"  vacancy {p['vacancy']:.2f}"
    )
    if "chi2" in row:
        cpu, others = row["cpu"], "".join(f" ({x:.4g})" for x in row["others"])
        line += (
            f"\n  {'':10s} chi^2 {row['chi2_start']:.4g} -> {row['chi2']:.4g}"
            f"{others}, {row['steps']} steps, "
            f"{cpu['fit']:.1f} s CPU ({cpu['prepared']:.1f} s prepared)"
        )
    for what in ("why", "failed", "failures", "at_bound", "unmoved"):
        line += f"\n  {'':10s} {what}: {row[what]}" if row.get(what) else ""
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with Si/ and Mo/ of mlearn")
    parser.add_argument("--only", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--every", type=int, default=1, help="thins the training set")
    parser.add_argument("-o", "--output", type=Path, default=Path("fit_mlearn.json"))
    options = parser.parse_args()
    about = {
        "python": platform.python_version(), "jax": jax.__version__, "mdsens": ms.__version__,
        "every": options.every,
    }  # fmt: skip
    results = {}
    for name in options.only:
        wanted = ELEMENTS[CASES[name].element]
        goal = "  ".join(f"{n} {v:.1f}" for n, v in wanted.moduli.items())
        print(f"{name}, {CASES[name].element}: rms (mean absolute) on the test set", flush=True)
        results[name] = stages(CASES[name], options.data, options.every)
        print(f"  {'wanted':10s} a {wanted.a:.3f}  {goal}  vacancy {wanted.vacancy:.2f}")
        for other, (energy, force) in wanted.known.items():
            print(f"  {other}: mean absolute {energy} meV, {force} eV/A", flush=True)
        options.output.write_text(json.dumps({"about": about, "results": results}, indent=1))


if __name__ == "__main__":
    main()
