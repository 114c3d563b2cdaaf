"""Results for other programs. No JAX.

extxyz   the state with derivatives per particle as columns
h5md     the trajectory of an ensemble, or the state as one frame
lammps   the state as a data file
csv      observables and derivatives, a row per number
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mdsens.errors import InputError
from mdsens.files.atomic import check_writable, write_bytes
from mdsens.io.derivative_table import as_csv
from mdsens.io.described import facts, with_responses
from mdsens.io.h5md import write_h5md
from mdsens.io.lammps_data import lammps_data
from mdsens.io.results import read_result
from mdsens.io.structures import extxyz
from mdsens.result import Result

_TEXTS: dict[str, Callable[[Result], str]] = {
    "extxyz": lambda result: extxyz(with_responses(result), facts(result)),
    "lammps": lambda result: lammps_data(result.system),
    "csv": as_csv,
}
# By format, the ending of a file that is given no name, and others that tell the format.
ENDINGS = {
    "extxyz": (".extxyz", ".xyz"),
    "h5md": (".h5md",),
    "lammps": (".data", ".lmp", ".lammps"),
    "csv": (".csv",),
}


def format_for(path: Path) -> str:
    """The format that the ending of a file tells.

    Raises:
        InputError: it tells none.
    """
    for name, endings in ENDINGS.items():
        if path.suffix.lower() in endings:
            return name
    raise InputError(
        f"{path}: export: no format by its ending; give --to, one of {', '.join(ENDINGS)}"
    )


def export(source: Path, path: Path, form: str) -> None:
    """Write the result file `source` to `path` in a format, one of `ENDINGS`.

    Raises:
        InputError: the result has not what the format needs.
        OutputError: a damaged result; a file that cannot be written.
    """
    check_writable(path)
    result = read_result(source)
    if form == "h5md":
        write_h5md(result, source, path)
    else:
        write_bytes(path, _TEXTS[form](result).encode())
