"""Parameters out: as the file of LAMMPS that they could have come from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mdsens.catalogue import PotentialEntry
from mdsens.errors import InputError
from mdsens.masses import element_data
from mdsens.parameter_files import Setfl, write_setfl, write_triples
from mdsens.parameters import Table
from mdsens.system import System


def write_parameters(potential: Any, params: Any, system: System, path: str | Path) -> None:
    """Write parameters as a LAMMPS file (*.sw, *.tersoff, *.edip, *.eam.alloy, *.eam.fs).

    `potential.parameters(system, file=path)` gives the same bits again, and LAMMPS the same energies.

    Args:
        potential: one whose parameters may come from a file: stillinger_weber, tersoff, edip, eam.
        params: its parameters, fitted or not.
        system: its species are the elements of the file; in eV and angstrom.
        path: of the file, replaced whole or not at all; "*.fs" for densities per ordered pair.

    Raises:
        InputError: the potential has no file format, or the units are reduced.
        OutputError: the file cannot be written.
    """
    entry = check_parameters(potential, system)
    path, names = Path(path), system.type_names
    comment = f"{entry.kind}, written by mdsens"
    if entry.file == "setfl":
        write_setfl(path, _setfl(params, names, comment))
        return
    values = {p.name: _by_key(params[p.name]) for p in entry.parameters}
    write_triples(path, values, names, comment)


def check_parameters(potential: Any, system: System) -> PotentialEntry:
    """What is known of the potential; InputError where `write_parameters` has no format for it."""
    entry: PotentialEntry | None = getattr(potential, "entry", None)
    if entry is None or entry.file is None:
        raise InputError(
            f"{potential.kind}: LAMMPS has no file of parameters for it; write a pair_coeff line"
        )
    if system.units != "metal":
        raise InputError(f"{system.source}: units {system.units}; files are in metal units only")
    return entry


def _setfl(params: Mapping[str, Any], names: tuple[str, ...], comment: str) -> Setfl:
    f, rho, phi = (_by_key(params[k]) for k in ("embedding", "density", "pair"))
    if all(name in rho for name in names):
        density = np.array([rho[a] for a in names])
    else:
        density = np.array([[rho[f"{a}-{b}"] for b in names] for a in names])
    pairs = [(a, b) for k, a in enumerate(names) for b in names[: k + 1]]
    return Setfl(
        comments=(f"# {comment} UNITS: metal", "#", "#"),
        elements=names,
        headers=tuple(_header(a) for a in names),
        drho=float(params["drho"]),
        dr=float(params["dr"]),
        cutoff=float(params["cutoff"]),
        embedding=np.array([f[a] for a in names]),
        density=density,
        pair=np.array(
            [phi[f"{a}-{b}"] if f"{a}-{b}" in phi else phi[f"{b}-{a}"] for a, b in pairs]
        ),
    )


def _header(name: str) -> str:
    """Atomic number and mass; the lattice is a comment of the format."""
    number, mass = element_data(name)
    return f"{number} {mass!r} 0.0 none"


def _by_key(value: Any) -> Any:
    if isinstance(value, Table):
        return dict(zip(value.keys, np.asarray(value.values), strict=True))
    return float(np.asarray(value))
