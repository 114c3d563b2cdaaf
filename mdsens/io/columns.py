"""Tables in HDF5: columns with one row per item, each row an array of the column's own shape. No JAX.

Rows of unequal shape are padded at their ends: with NaN, -1, False or nothing. In a file the columns
are the fields of a few compound datasets (rows0, rows1, ...), since many small datasets are slow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mdsens.io.hdf5 import SMALL_BYTES, Reader, Refused, opened, write_array, write_hdf5

_PADDING: dict[str, Any] = {"f": np.nan, "i": -1, "u": 0, "b": False, "S": b""}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. -]*(/[A-Za-z0-9_][A-Za-z0-9_. -]*)*")
# HDF5 describes the fields of a dataset in 64 kB.
_FIELDS = 200
_BLOCK = 2**26


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
    names = list(columns)
    parts = [names[k : k + _FIELDS] for k in range(0, len(names), _FIELDS)]

    def fill(file: h5py.File) -> None:
        for name, value in attributes.items():
            file.attrs[name] = value
        for k, part in enumerate(parts):
            rows = _together({name: columns[name].values for name in part})
            chunk = (max(1, min(len(rows), SMALL_BYTES // rows.itemsize)),)
            dataset = write_array(file, f"rows{k}", rows, chunk=chunk, shuffle=True)
            dataset.attrs["units"] = json.dumps({n: columns[n].units for n in part})

    write_hdf5(path, fill, sum(c.values.nbytes for c in columns.values()), note)


def _together(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Columns as the fields of one array."""
    fields = [(name, values.dtype, values.shape[1:]) for name, values in columns.items()]
    rows = np.empty(len(next(iter(columns.values()))), np.dtype(fields))
    for name, values in columns.items():
        rows[name] = values
    return rows


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
        found: dict[str, Form] = {}
        for part in self._parts():
            dataset = self._reader.dataset(part)
            dtype = dataset.dtype
            if dataset.shape != (rows,) or dataset.compression or dtype.fields is None:
                raise Refused(f"/{part}: is no table of {rows} rows; compute it again")
            units = json.loads(self._reader.attributes(part)["units"])
            for name, (field, *_) in dtype.fields.items():
                if not _NAME.fullmatch(name) or field.base.kind not in _PADDING or name in found:
                    raise Refused(f"/{part}: {name!r} is no column of ours; compute it again")
                found[name] = Form(field.base, field.shape, str(units[name]))
        return found

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """All rows, some at a time, as arrays with columns as fields; to be called after `forms`."""
        for part in self._parts():
            dataset = self._reader.dataset(part)
            count = dataset.shape[0]
            step = max(1, _BLOCK // max(1, dataset.nbytes // max(1, count)))
            for k in range(0, count, step):
                yield slice(k, k + step), np.asarray(dataset[k : k + step])

    def _parts(self) -> list[str]:
        return [name for name in self._reader.names("") if re.fullmatch(r"rows\d+", name)]


@contextmanager
def opened_columns(path: Path, what: str) -> Iterator[ColumnFile]:
    """See `mdsens.io.hdf5.opened`."""
    with opened(path, what, sealed=True) as reader:
        yield ColumnFile(reader)
