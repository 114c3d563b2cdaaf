"""What all parameter files have in common: they are text, in metal units."""

from __future__ import annotations

import re
from pathlib import Path

from mdsens.errors import InputError
from mdsens.files.inspection import check_regular_file

LARGEST_FILE = 64 * 2**20


def read_text(path: Path) -> str:
    """The file's text; raises InputError where it is none, or too large to be one."""
    if check_regular_file(path, "parameter file") > LARGEST_FILE:
        raise InputError(f"{path}: parameter file: larger than 64 MiB; name a LAMMPS file")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path}: parameter file: is not text; name a LAMMPS file") from None


def check_units(path: Path, number: int, comment: str) -> None:
    """Raise InputError if a comment's tag `UNITS:` names others than metal."""
    units = re.search(r"UNITS:\s*(\w+)", comment)
    if units and units[1] != "metal":
        raise InputError(
            f"{path}: line {number}: units {units[1]}; only metal (eV, angstrom) is read: convert it"
        )
