"""Columns over a grid in one HDF5 file, written piece by piece. No JAX.

Every dataset begins with the axes of the grid, which are its dimension scales (/axes). Items are
numbered as C arrays are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mdsens.io.columns import Form, stored, string_type
from mdsens.io.hdf5 import write_array
from mdsens.io.pieces import hdf5_in_pieces

# Columns below this size are put together in memory and written at once.
_SMALL = 8 * 2**20
_CHUNK = 2**18

Axes = Sequence[Mapping[str, Sequence[Any]]]


@contextmanager
def written_grid(path: Path, axes: Axes, forms: Mapping[str, Form]) -> Iterator[Grid]:
    """A file to put columns into; it appears complete or not at all.

    Args:
        axes: per dimension of the grid, the values along it by name, all of one length.
        forms: of the columns, by name.

    Raises:
        OutputError: missing or unwritable folder, full disk; nothing partial is left behind.
    """
    with hdf5_in_pieces(path, _bound(axes, forms)) as file:
        grid = Grid(file, axes, forms)
        yield grid
        grid.finish()


class Grid:
    """The columns of a grid on their way into a file."""

    def __init__(self, file: h5py.File, axes: Axes, forms: Mapping[str, Form]):
        self.file = file
        self._forms = forms
        self._shape = tuple(len(next(iter(along.values()))) for along in axes)
        self._scales = [
            (next(iter(along)), [_scale(file, name, v) for name, v in along.items()])
            for along in axes
        ]
        self._small = {
            name: np.full((math.prod(self._shape), *form.shape), form.padding, form.dtype)
            for name, form in forms.items()
            if math.prod((*self._shape, *form.shape)) * form.dtype.itemsize <= _SMALL
        }
        self._large = {name: self._made(name) for name in forms if name not in self._small}

    def put(self, name: str, items: np.ndarray, values: np.ndarray) -> None:
        """Rows of a column, (k, ...) for k items, ascending."""
        inner = tuple(slice(n) for n in values.shape[1:])
        if name in self._small:
            self._small[name][(items, *inner)] = values
            return
        cuts = np.flatnonzero(np.diff(items) != 1) + 1
        for run in np.split(np.arange(len(items)), cuts):
            k = int(run[0])
            for box, count in boxes(int(items[k]), int(items[run[-1]]) + 1, self._shape):
                lengths = [s.stop - s.start for s in box]
                piece = values[k : k + count].reshape(*lengths, *values.shape[1:])
                self._large[name][(*box, *inner)] = stored(piece)
                k += count

    def finish(self) -> None:
        """Write what has been put together in memory."""
        for name, values in self._small.items():
            dataset = self._made(name)
            dataset[...] = stored(values.reshape(dataset.shape))

    def _made(self, name: str) -> h5py.Dataset:
        form, text = self._forms[name], self._forms[name].dtype.kind == "S"
        shape = (*self._shape, *form.shape)
        chunked = math.prod(shape) > 0
        dataset = self.file.create_dataset(
            name,
            shape,
            string_type(form.dtype) if text else form.dtype,
            chunks=_chunk(shape, len(self._shape), form.dtype.itemsize) if chunked else None,
            fletcher32=chunked,
            shuffle=chunked,
            fillvalue=None if text else form.padding,
        )
        if form.dtype.kind == "f":
            dataset.attrs["units"] = form.units
        for k, (label, scales) in enumerate(self._scales):
            for scale in scales:
                dataset.dims[k].attach_scale(scale)
            dataset.dims[k].label = label
        return dataset


def boxes(start: int, stop: int, shape: tuple[int, ...]) -> Iterator[tuple[tuple[slice, ...], int]]:
    """Items start to stop as boxes of the grid, in order, each with how many items it has."""
    if len(shape) == 1:
        yield (slice(start, stop),), stop - start
        return
    row = math.prod(shape[1:])
    (first, behind), (last, ahead) = divmod(start, row), divmod(stop, row)
    if behind or first == last:
        end = row if first < last else ahead
        yield from _within(first, behind, end, shape)
        first += 1
    if first < last:
        full = tuple(slice(0, n) for n in shape[1:])
        yield (slice(first, last), *full), (last - first) * row
    if first <= last and ahead:
        yield from _within(last, 0, ahead, shape)


def _within(
    row: int, start: int, stop: int, shape: tuple[int, ...]
) -> Iterator[tuple[tuple[slice, ...], int]]:
    for box, count in boxes(start, stop, shape[1:]):
        yield (slice(row, row + 1), *box), count


def _chunk(shape: tuple[int, ...], axes: int, itemsize: int) -> tuple[int, ...]:
    """Some hundred kilobytes of neighbouring rows; of a large row its first axes one by one."""
    chunk = list(shape)
    for k in [*range(axes), *range(axes, len(shape) - 1)]:
        rest = math.prod(chunk[k + 1 :]) * itemsize
        chunk[k] = max(1, min(shape[k], _CHUNK // max(rest, 1)))
        if chunk[k] > 1:
            break
    return tuple(chunk)


def _scale(file: h5py.File, name: str, values: Sequence[Any]) -> h5py.Dataset:
    numbers = all(isinstance(v, float | int) and not isinstance(v, bool) for v in values)
    if numbers:
        data = np.array(values)
    else:
        texts = [v if isinstance(v, str) else json.dumps(v) for v in values]
        data = np.char.encode(np.array(texts), "utf-8")
        data = data.astype(string_type(data.dtype))
    scale = write_array(
        file.require_group("axes"), name, data, "as in RUN.toml" if data.dtype.kind == "f" else None
    )
    scale.make_scale(name)
    return scale


def _bound(axes: Axes, forms: Mapping[str, Form]) -> int:
    """Bytes that the file will not exceed: chunks at the edges are whole ones."""
    grid = tuple(len(next(iter(along.values()))) for along in axes)
    total = 2**20 + 1000 * sum(grid)
    for form in forms.values():
        shape = (*grid, *form.shape)
        chunk = _chunk(shape, len(grid), form.dtype.itemsize)
        chunks = math.prod(-(-n // c) for n, c in zip(shape, chunk, strict=True))
        total += 2**16 + chunks * (math.prod(chunk) * form.dtype.itemsize + 64)
    return total
