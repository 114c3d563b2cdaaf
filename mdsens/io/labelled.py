"""Structures with energies, forces and stresses that somebody else has computed: files in, data out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ase
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress

from mdsens.errors import InputError
from mdsens.files.inspection import check_regular_file
from mdsens.fitting import Labels
from mdsens.io.structures import from_atoms, read_frames
from mdsens.io.toml import shown
from mdsens.system import System
from mdsens.units import GPA

LARGEST_JSON = 2**30
_KBAR = 0.1 * GPA  # eV/angstrom^3


def read_labelled(path: str | Path) -> tuple[list[System], list[Labels]]:
    """All structures of a file, and what is known of them.

    Any file of ASE's with energies, forces, stresses (extxyz, vasprun.xml, ...), or a JSON list of
    pymatgen's: dicts with "structure" and "outputs" (energy in eV, forces in eV/angstrom,
    virial_stress in kbar, as a pressure, in the order xx yy zz xy yz zx).

    Raises:
        InputError: the file cannot be read, or a structure has no labels; which one is told.
    """
    path = Path(path)
    frames = _from_json(path) if path.suffix == ".json" else read_frames(path)
    systems, data = [], []
    for k, atoms in enumerate(frames):
        system = from_atoms(atoms, source=f"{path}[{k}]")
        systems.append(system)
        data.append(labels_of(atoms, system))
    return systems, data


def labels_of(atoms: ase.Atoms, system: System) -> Labels:
    """What ASE Atoms carry: results of a calculator that was, or entries of `info` and arrays.

    A virial is told as the stress it is. Where the cell is not periodic in all directions it has no
    volume, and its stress is NaN: `Labelled` refuses that where stresses count.

    Raises:
        InputError: neither energy, forces nor stress, or one that is not the numbers it should be.
    """
    known: dict[str, Any] = {**atoms.info, **atoms.arrays, **getattr(atoms.calc, "results", {})}
    energy, forces, stress, virial = (
        None if known.get(name) is None else _numbers(system, name, known[name])
        for name in ("energy", "forces", "stress", "virial")
    )
    if stress is None and virial is not None:
        volume = abs(np.linalg.det(system.cell)) if all(system.pbc) else np.nan
        stress = -virial / volume
    if energy is None and forces is None and stress is None:
        raise InputError(
            f"{system.source}: neither energy, forces nor stress; leave the structure out"
        )
    d = system.dimension
    return Labels(
        None if energy is None else energy.item(),
        None if forces is None else forces.reshape(system.n_particles, -1)[:, :d],
        None if stress is None else _tensor(stress)[:d, :d],
    )


def _numbers(system: System, name: str, label: Any) -> np.ndarray:
    """(n,) a label as the numbers it has to be: one energy, two or three per force, six or nine."""
    n = system.n_particles
    counts = {"energy": (1,), "forces": (system.dimension * n, 3 * n)}.get(name, (6, 9))
    try:
        values = np.asarray(label, dtype=float).ravel()
    except (TypeError, ValueError):
        raise InputError(
            f"{system.source}: {name}: {shown(label)} is no number; correct the file"
        ) from None
    if values.size not in counts:
        raise InputError(
            f"{system.source}: {name}: {values.size} numbers where {counts[-1]} should be; "
            "correct the file"
        )
    return values


def _tensor(values: np.ndarray) -> np.ndarray:
    return voigt_6_to_full_3x3_stress(values) if values.size == 6 else values.reshape(3, 3)


def _from_json(path: Path) -> list[ase.Atoms]:
    if check_regular_file(path, "data") > LARGEST_JSON:
        raise InputError(f"{path}: data: larger than 1 GB; split the file")
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: data: is no JSON ({error}); correct the file") from None
    if not isinstance(rows, list):
        raise InputError(f"{path}: data: no list of structures; give one in pymatgen's form")
    frames = []
    for k, row in enumerate(rows):
        try:
            frames.append(_atoms(row["structure"], row["outputs"]))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            raise InputError(
                f"{path}: structure {k}: {reason}; each needs pymatgen's structure (lattice, sites) "
                "and outputs"
            ) from None
    return frames


def _atoms(structure: Mapping[str, Any], outputs: Mapping[str, Any]) -> ase.Atoms:
    sites: Sequence[Mapping[str, Any]] = structure["sites"]
    atoms = ase.Atoms(
        [site["species"][0]["element"] for site in sites],
        scaled_positions=np.array([site["abc"] for site in sites], dtype=float),
        cell=np.array(structure["lattice"]["matrix"], dtype=float),
        pbc=True,
    )
    results: dict[str, Any] = {"energy": float(outputs["energy"])}
    if "forces" in outputs:
        results["forces"] = np.array(outputs["forces"], dtype=float)
    if "virial_stress" in outputs:
        xx, yy, zz, xy, yz, zx = np.array(outputs["virial_stress"], dtype=float)
        pressure = np.array([[xx, xy, zx], [xy, yy, yz], [zx, yz, zz]])
        results["stress"] = full_3x3_to_voigt_6_stress(-_KBAR * pressure)
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms
