"""Structures in and out through ASE. No JAX.

A file is inspected before ASE parses it, and what ASE returns is checked before anyone computes
with it: ASE itself accepts NaN positions, flat cells and overlapping atoms, and reports other
faults as raw exceptions.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from io import BytesIO, StringIO
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, cast

import ase
import ase.io
import numpy as np
from ase.constraints import FixAtoms, FixCartesian
from ase.data import atomic_numbers
from ase.io.formats import UnknownFileTypeError, filetype, ioformats, open_with_compression

from mdsens.errors import InputError, OutputError
from mdsens.files.inspection import (
    HEAD_BYTES,
    Frame,
    check_announced_size,
    check_regular_file,
    check_text,
    faulty_particle,
    find_frames,
)
from mdsens.system import REDUCED_SYMBOL, System, complete_cell, validate
from mdsens.units import SYSTEMS

FRAME_FORMATS = ("extxyz", "xyz")
XYZ_SUFFIXES = (".extxyz", ".xyz")


def read(
    source: str | Path | ase.Atoms,
    index: int = -1,
    dimension: int | None = None,
    units: str | None = None,
    format: str | None = None,
) -> System:
    """A System from any structure file ASE reads, or from ASE Atoms.

    Args:
        source: file or ase.Atoms.
        index: which frame of the file, negative from the end.
        dimension: 2 or 3; inferred if None: 2 where pbc is "T T F" and all z are equal.
        units: "metal" (eV, angstrom) or "reduced"; if None what the file's `units=` key says, else
            "reduced" where no particle has a chemical symbol, else "metal".
        format: ASE's name of the file format; guessed if None.

    Raises:
        InputError: the file, or the configuration in it, cannot be used; says where and why.
    """
    if isinstance(source, ase.Atoms):
        return from_atoms(source, dimension=dimension, units=units)
    path = Path(source)
    try:
        format = _inspect(path, index, format)
    except InputError:
        raise
    except Exception as error:  # a damaged gzip, bzip2 or xz file; each has its own exceptions
        raise InputError(f"{path}: structure: cannot be read ({error}); write it again") from error
    atoms = _parse(path, format, index)
    return from_atoms(atoms, dimension=dimension, units=units, source=str(path))


def particle_counts(path: Path, format: str | None = None) -> list[int]:
    """Particles in each frame of a structure file; extended XYZ is counted without being parsed.

    Raises:
        InputError: the file cannot be used; says where and why.
    """
    if is_extxyz(path, format):
        return [frame.particles for frame in Frames(path).frames]
    known = _inspect(path, -1, format)
    found = _parse(path, known, slice(None))
    return [len(atoms) for atoms in (found if isinstance(found, list) else [found])]


def is_extxyz(path: Path, format: str | None) -> bool:
    """Whether a file is extended XYZ by its name or the format given, and not compressed."""
    name = format or ("extxyz" if path.suffix in XYZ_SUFFIXES else None)
    return name == "extxyz"


class Frames:
    """An extended XYZ file whose frames are read one by one, without reading the others each time."""

    def __init__(self, path: Path):
        """Raises InputError: the file cannot be used; says where and why."""
        size = check_regular_file(path, "structure")
        with path.open("rb") as stream:
            self.frames: list[Frame] = find_frames(path, stream, size)
        _check_index(path, 0, len(self.frames))
        self._path, self._ends = path, [*(frame.start for frame in self.frames[1:]), size]

    def read(
        self, index: int = -1, dimension: int | None = None, units: str | None = None
    ) -> System:
        """The System of a frame; see `read`."""
        _check_index(self._path, index, len(self.frames))
        start, end = self.frames[index].start, self._ends[index]
        with self._path.open("rb") as stream:
            stream.seek(start)
            content = stream.read(end - start)
        check_text(self._path, BytesIO(content))
        atoms = _parse(self._path, "extxyz", 0, StringIO(content.decode()))
        return from_atoms(atoms, dimension=dimension, units=units, source=str(self._path))


def read_frames(path: str | Path, format: str | None = None) -> list[ase.Atoms]:
    """All structures of a file that passes the checks of `read`, as ASE Atoms.

    Raises:
        InputError: as `read`.
    """
    path = Path(path)
    format = _inspect(path, -1, format)
    return list(_parse(path, format, slice(None)))


def from_atoms(
    atoms: ase.Atoms,
    dimension: int | None = None,
    units: str | None = None,
    source: str = "Atoms",
) -> System:
    """A checked System from ASE Atoms; arguments as for `read`, `source` names it in messages."""
    if len(atoms) == 0:
        raise InputError(f"{source}: structure: no particles; give a file with at least one")
    d = _dimension(atoms, dimension, source)
    pbc = tuple(bool(p) for p in atoms.pbc[:d])
    return validate(
        System(
            positions=np.array(atoms.positions[:, :d], dtype=np.float64),
            cell=_cell(atoms, pbc, source),
            pbc=pbc,
            species=_species(atoms),
            fixed=tuple(map(bool, _fixed(atoms, d, source))),
            columns=_columns(atoms),
            units=_units(atoms, units, source),
            source=source,
        )
    )


def to_atoms(system: System, state: Any = None) -> ase.Atoms:
    """ASE Atoms of a system: 2D gets z = 0 and a unit third vector; its columns and fixed atoms.

    Species that are no chemical symbols become X with a `type` column.

    Args:
        state: where the atoms stand instead, such as what `relax` made of the system.
    """
    if state is not None:
        system = system.with_positions(state.positions).with_cell(state.cell)
    n, d = system.n_particles, system.dimension
    positions, cell = np.zeros((n, 3)), np.eye(3)
    positions[:, :d] = np.asarray(system.positions)
    cell[:d, :d] = np.asarray(system.cell)
    chemical = all(name in atomic_numbers for name in system.type_names)
    symbols = list(system.species) if chemical else [REDUCED_SYMBOL] * n
    pbc = (*system.pbc, *(False,) * (3 - d))
    atoms = ase.Atoms(symbols, positions=positions, cell=cell, pbc=pbc)
    for name, values in system.columns.items():
        if name not in atoms.arrays:
            atoms.set_array(name, np.asarray(values))
    if not chemical and "type" not in system.columns:
        atoms.set_array("type", np.array(system.species))
    if any(system.fixed):
        atoms.set_constraint(FixAtoms(mask=np.array(system.fixed)))
    atoms.info["units"] = system.units
    return atoms


def write_extxyz(system: System, path: str | Path) -> Path:
    """Write a system as extended XYZ, see `extxyz`.

    Raises:
        OutputError: the file cannot be written.
    """
    path = Path(path)
    try:
        path.write_text(extxyz(system), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}; choose another place") from error
    return path


def extxyz(system: System, facts: Mapping[str, float | np.ndarray] = MappingProxyType({})) -> str:
    """A system as extended XYZ; numbers carry 17 digits, so they come back bit for bit.

    Args:
        facts: numbers and arrays of the whole, for the comment line.
    """
    atoms = to_atoms(system)
    told = [
        f'{name}="{" ".join(repr(float(x)) for x in np.ravel(value))}"'
        for name, value in facts.items()
    ]
    count, head, *rows = _extxyz_lines(atoms, np.array(system.fixed))
    return "\n".join([count, " ".join([head, *told]), *rows, ""])


def _extxyz_lines(atoms: ase.Atoms, fixed: np.ndarray) -> list[str]:
    # ASE's own writer keeps 8 decimals, too few to start a relaxation from where another ended.
    columns = {"species": np.array(atoms.get_chemical_symbols()), "pos": atoms.positions}
    columns |= {k: v for k, v in atoms.arrays.items() if k not in ("numbers", "positions")}
    if fixed.any():
        columns["move_mask"] = ~fixed
    letters = {"f": "R", "i": "I", "u": "I", "b": "L", "U": "S"}
    properties = ":".join(
        f"{name}:{letters[v.dtype.kind]}:{1 if v.ndim == 1 else v.shape[1]}"
        for name, v in columns.items()
    )
    lattice = " ".join(repr(float(x)) for x in np.asarray(atoms.cell).ravel())
    pbc = " ".join("T" if p else "F" for p in atoms.pbc)
    head = f'Lattice="{lattice}" Properties={properties} pbc="{pbc}" units={atoms.info["units"]}'
    rows = [
        " ".join(_word(x) for v in columns.values() for x in np.atleast_1d(v[i]))
        for i in range(len(atoms))
    ]
    return [str(len(atoms)), head, *rows]


def _word(x: Any) -> str:
    if isinstance(x, (bool, np.bool_)):
        return "T" if x else "F"
    return repr(float(x)) if isinstance(x, np.floating) else str(x)


def _inspect(path: Path, index: int, format: str | None) -> str:
    """The format of a file that may be parsed; InputError if it may not."""
    size = check_regular_file(path, "structure")
    if format is not None and (format not in ioformats or not ioformats[format].can_read):
        raise InputError(f"{path}: system.format: ASE reads no format {format!r}; leave it out")
    try:
        name = format or filetype(str(path))
    except UnknownFileTypeError:
        raise InputError(
            f"{path}: structure: of no format that ASE knows; use extended XYZ (.extxyz)"
        ) from None
    if name not in ioformats:
        raise InputError(f"{path}: structure: ASE reads no {name!r} files; use extended XYZ")
    if not ioformats[name].acceptsfd or ioformats[name].isbinary:
        return name
    with _open(path) as stream:
        size = check_text(path, stream)
    with _open(path) as stream:
        if name in FRAME_FORMATS:
            _check_index(path, index, len(find_frames(path, stream, size)))
        else:
            check_announced_size(path, stream.read(HEAD_BYTES), name, size)
    return name


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], open_with_compression(str(path), "rb"))


def _check_index(path: Path, index: int, frames: int) -> None:
    if frames == 0:
        raise InputError(f"{path}: structure: no particles; give a file with at least one")
    if not -frames <= index < frames:
        raise InputError(
            f"{path}: system.index: no frame {index}; the file has {frames} "
            f"frame{'s' if frames > 1 else ''}, 0 to {frames - 1} (-1 is the last)"
        )


def _parse(path: Path, format: str, index: int | slice, stream: IO[str] | None = None) -> Any:
    """What ASE makes of a file, or of a part of it that is given as `stream`."""

    def parse(which: Any) -> Any:
        with warnings.catch_warnings():
            # Deprecations inside ASE are not the business of whoever reads a file.
            warnings.simplefilter("ignore", DeprecationWarning)
            source = str(path) if stream is None else stream
            return ase.io.read(source, index=which, format=format, do_not_split_by_at_sign=True)

    try:
        try:
            return parse(index)
        except (IndexError, AssertionError, StopIteration):
            # Raised for a frame that is not there, but also by broken files: count to tell.
            if isinstance(index, int) and stream is None:
                _check_index(path, index, len(parse(slice(None))))
            raise
    except InputError:
        raise
    except Exception as error:  # ASE's parsers raise whatever they stumble over
        raise InputError(_unreadable(path, format, error)) from error


def _unreadable(path: Path, format: str, error: Exception) -> str:
    if format in FRAME_FORMATS:
        with _open(path) as stream:
            fault = faulty_particle(stream, atomic_numbers)
        if fault:
            return f"{path}: {fault}" + ("" if ";" in fault else "; correct the line")
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    if isinstance(error, KeyError):
        reason = f"unknown species or key {reason}"
    return f"{path}: structure: cannot be parsed: {reason}; correct the file"


def _dimension(atoms: ase.Atoms, asked: int | None, source: str) -> int:
    z = atoms.positions[:, 2]
    flat = bool((z == z[0]).all())
    if asked is None:
        planar = flat and tuple(map(bool, atoms.pbc)) == (True, True, False)
        return 2 if planar else 3
    if asked not in (2, 3):
        raise InputError(f"{source}: system.dimension: {asked!r}; allowed: 2, 3")
    if asked == 2 and not flat:
        i = int(np.flatnonzero(z != z[0])[0])
        raise InputError(
            f"{source}: system.dimension: 2, but particle {i} has z = {z[i]:g} and particle 0 "
            f"z = {z[0]:g}; set dimension = 3 or flatten the structure"
        )
    return asked


def _cell(atoms: ase.Atoms, pbc: tuple[bool, ...], source: str) -> np.ndarray:
    full, d = np.array(atoms.cell, dtype=np.float64), len(pbc)
    if not np.isfinite(full).all():
        raise InputError(f"{source}: cell: {full.tolist()} is not finite; correct the file")
    cell = full[:d, :d]
    for a in range(d):
        if pbc[a] and not full[a].any():
            raise InputError(
                f"{source}: cell: vector {a} is zero, but pbc says it is periodic; give its length"
            )
        if pbc[a] and full[a, d:].any():
            raise InputError(
                f"{source}: cell: vector {a} {full[a].tolist()} leaves the plane of a 2D system; "
                "set dimension = 3 or its third component to 0"
            )
    return cell if all(pbc) else complete_cell(cell, pbc)


def _species(atoms: ase.Atoms) -> tuple[str, ...]:
    symbols = atoms.get_chemical_symbols()
    types = atoms.arrays.get("type")
    if types is None or types.ndim != 1:
        return tuple(symbols)
    return tuple(
        _type_name(t) if symbol == REDUCED_SYMBOL else symbol
        for symbol, t in zip(symbols, types, strict=True)
    )


def _type_name(value: Any) -> str:
    number = isinstance(value, np.floating) and float(value).is_integer()
    return str(int(value)) if number else str(value)


def _fixed(atoms: ase.Atoms, d: int, source: str) -> np.ndarray:
    """(N,) True for particles that no constraint lets move; partial constraints are refused."""
    fixed = np.zeros(len(atoms), dtype=bool)
    for constraint in atoms.constraints:
        if isinstance(constraint, FixAtoms):
            fixed[constraint.index] = True
        elif isinstance(constraint, FixCartesian):
            mask = np.broadcast_to(np.asarray(constraint.mask)[:d], (d,))
            if mask.any() and not mask.all():
                i = int(np.atleast_1d(constraint.index)[0])
                raise InputError(
                    f"{source}: particle {i}: fixed in some directions only; "
                    "fix all directions or none"
                )
            fixed[constraint.index] |= bool(mask.all())
        else:
            raise InputError(
                f"{source}: constraint {type(constraint).__name__}: not supported; "
                "only FixAtoms is, remove it"
            )
    return fixed


def _columns(atoms: ase.Atoms) -> dict[str, np.ndarray]:
    # Names that ASE takes for results (charges, magmoms) move from the arrays to a calculator.
    results: Mapping[str, Any] = getattr(atoms.calc, "results", {})
    found = {**results, **atoms.arrays}
    return {
        name: np.array(values)
        for name, values in found.items()
        if name not in ("numbers", "positions") and _is_column(values, len(atoms))
    }


def _is_column(values: Any, n: int) -> bool:
    array = np.asarray(values)
    return array.dtype.kind in "iuf" and array.ndim in (1, 2) and len(array) == n


def _units(atoms: ase.Atoms, asked: str | None, source: str) -> str:
    units = asked if asked is not None else atoms.info.get("units")
    if units is None:
        return "reduced" if not atoms.numbers.any() else "metal"
    if units not in SYSTEMS:
        raise InputError(f"{source}: units: {units!r}; allowed: {', '.join(SYSTEMS)}")
    return str(units)
