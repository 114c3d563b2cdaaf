"""Structures as LAMMPS data files, through ASE's writer. No JAX."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import numpy as np
from ase.data import chemical_symbols
from ase.io.lammpsdata import write_lammps_data

from mdsens.errors import InputError
from mdsens.io.structures import to_atoms
from mdsens.masses import masses_of
from mdsens.system import System


def lammps_data(system: System) -> str:
    """A data file of atom_style atomic; types are the species in alphabetical order.

    Lengths and masses stand as they are (units metal, or lj for reduced systems). Open directions get
    a box with room for all particles. Cells are turned as LAMMPS wants them.

    Raises:
        InputError: masses are unknown, or particles of one species differ in mass.
    """
    types, mass = system.types, _mass_of_types(system)
    atoms = to_atoms(_boxed(replace(system, columns={})))
    # ASE tells types apart by chemical symbols; those of other species are borrowed. Masses it would
    # convert by constants of another year.
    symbols = chemical_symbols[1 : len(mass) + 1]
    atoms.set_chemical_symbols([symbols[t] for t in types])
    atoms.arrays.pop("type", None)
    stream = StringIO()
    write_lammps_data(stream, atoms, specorder=symbols)
    rows = [
        f"{k} {m!r} # {name}"
        for k, (m, name) in enumerate(zip(mass.tolist(), system.type_names, strict=True), 1)
    ]
    head, body = stream.getvalue().split("\nAtoms # atomic\n")
    head = head.replace("(written by ASE)", f"{system.source}, {system.units} units", 1)
    return "\n".join([head, "Masses", "", *rows, "", "Atoms # atomic", body])


def _mass_of_types(system: System) -> np.ndarray:
    mass, types = masses_of(system), system.types
    each = np.array([mass[types == t][0] for t in range(len(system.type_names))])
    if not np.array_equal(each[types], mass):
        raise InputError(
            f"{system.source}: column mass: particles of one species differ in mass, which a LAMMPS data "
            "file of atom_style atomic cannot tell; export extxyz"
        )
    return each


def _boxed(system: System) -> System:
    """With all particles inside the cell in its open directions."""
    if all(system.pbc):
        return system
    cell, open_ = np.array(system.cell), ~np.asarray(system.pbc)
    fractional = np.asarray(system.positions) @ np.linalg.inv(cell)
    low, span = fractional.min(axis=0), np.ptp(fractional, axis=0)
    size = np.linalg.norm(cell, axis=1)
    # A length of one on each side, so that flat things have a box as well.
    margin = 1.0 / size
    cell[open_] *= (span + 2.0 * margin)[open_, None]
    shift = np.where(open_, margin - low, 0.0) @ np.asarray(system.cell)
    return system.with_positions(np.asarray(system.positions) + shift).with_cell(cell)
