"""Tables in HDF5: columns with one row per item, each row an array of the column's own shape. No JAX.

Rows of unequal shape are padded at their ends: with NaN, -1, False or nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mdsens.io.hdf5 import Reader, Refused, opened, write_array, write_hdf5

_PADDING: dict[str, Any] = {"f": np.nan, "i": -1, "u": 0, "b": False, "S": b""}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. -]*(/[A-Za-z0-9_][A-Za-z0-9_. -]*)*")
_DEEPEST = 4
_MOST_COLUMNS = 10_000


@dataclass(frozen=True, eq=False)
class Column:
    """A quantity of several items.

    Attributes:
        values: (rows, ...) of floats, integers, booleans or byte strings.
        units: of floats.
    """

    values: np.ndarray
    units: str = ""


@dataclass(frozen=True)
class Form:
    """What two pieces of one column may differ in: type and shape of a row, units."""

    dtype: np.dtype
    shape: tuple[int, ...]
    units: str = ""

    @property
    def padding(self) -> Any:
        return _PADDING[self.dtype.kind]


def column(rows: Sequence[Any] | np.ndarray, units: str = "") -> Column:
    """Rows of one kind as a column; None is a row that is not there."""
    arrays = [None if row is None else _row(row) for row in rows]
    form = joined([Form(a.dtype, a.shape, units) for a in arrays if a is not None])
    values = np.full((len(rows), *form.shape), form.padding, form.dtype)
    for k, array in enumerate(arrays):
        if array is not None:
            values[(k, *map(slice, array.shape))] = array
    return Column(values, form.units)


def joined(forms: Sequence[Form]) -> Form:
    """The form that has room for all.

    Raises:
        Refused: they are of different kinds.
    """
    kinds = {(f.dtype.kind, len(f.shape)) for f in forms}
    if len(kinds) != 1:
        raise Refused("columns of different kinds under one name; compute them again")
    units = {f.units for f in forms}
    return Form(
        max((f.dtype for f in forms), key=lambda dtype: dtype.itemsize),
        tuple(max(lengths) for lengths in zip(*(f.shape for f in forms), strict=True)),
        units.pop() if len(units) == 1 else "see units of each item",
    )


def _row(value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind == "U":
        array = np.char.encode(array, "utf-8")
    kinds = {"f": np.float64, "i": np.int64, "u": np.int64, "b": np.bool_}
    return array.astype(kinds.get(array.dtype.kind, array.dtype))


def write_columns(
    path: Path, columns: Mapping[str, Column], attributes: Mapping[str, Any], note: str
) -> None:
    """Write columns by name ("group/name"); see `write_hdf5` for the note and what is raised."""

    def fill(file: h5py.File) -> None:
        for name, value in attributes.items():
            file.attrs[name] = value
        for name, one in columns.items():
            place, _, short = name.rpartition("/")
            group = file.require_group(place) if place else file
            write_array(group, short, stored(one.values), one.units or None, shuffle=True)

    write_hdf5(path, fill, sum(c.values.nbytes for c in columns.values()), note)


def stored(values: np.ndarray) -> np.ndarray:
    """As HDF5 is to have it: byte strings say that they are UTF-8."""
    return values.astype(string_type(values.dtype)) if values.dtype.kind == "S" else values


def string_type(dtype: np.dtype) -> np.dtype:
    """Byte strings as text of fixed length: a checksum does not reach that of variable length."""
    return h5py.string_dtype(length=max(dtype.itemsize, 1))


class ColumnFile:
    """An open file of columns, looked at before it is believed."""

    def __init__(self, reader: Reader):
        self._reader = reader
        self.attributes = reader.attributes()

    def forms(self, rows: int) -> dict[str, Form]:
        """Every column, by name.

        Raises:
            Refused: a name, type or shape that no file of ours has, or not so many rows.
        """
        found = {}
        for name in self._walk("", 0):
            dataset = self._reader.dataset(name)
            if (
                dataset.dtype.kind not in _PADDING
                or dataset.compression
                or dataset.shape[:1] != (rows,)
            ):
                raise Refused(f"/{name}: is no column of {rows} rows; compute it again")
            units = self._reader.attributes(name).get("units", "")
            dtype = (
                np.dtype(f"S{dataset.dtype.itemsize}")
                if dataset.dtype.kind == "S"
                else dataset.dtype
            )
            found[name] = Form(dtype, dataset.shape[1:], str(units))
            if len(found) > _MOST_COLUMNS:
                raise Refused(f"more than {_MOST_COLUMNS} columns; compute it again")
        return found

    def values(self, name: str) -> np.ndarray:
        return np.asarray(self._reader.dataset(name)[()])

    def _walk(self, place: str, depth: int) -> Iterator[str]:
        for name in self._reader.names(place):
            full = f"{place}/{name}" if place else name
            if not _NAME.fullmatch(name) or depth > _DEEPEST:
                raise Refused(f"/{full!r}: no name of ours; compute it again")
            if self._reader.is_group(full):
                yield from self._walk(full, depth + 1)
            else:
                yield full


@contextmanager
def opened_columns(path: Path, what: str) -> Iterator[ColumnFile]:
    """See `mdsens.io.hdf5.opened`."""
    with opened(path, what, sealed=True) as reader:
        yield ColumnFile(reader)
