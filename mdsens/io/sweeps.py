"""Merged sweeps read back: a number per run of everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mdsens.io.hdf5 import Reader, Refused, as_text, opened
from mdsens.sweep_record import Column, SweepRecord

FORMAT = "mdsens sweep"
LARGEST = 2**28  # bytes; arrays beyond are left out


def read_sweep(path: str | Path) -> SweepRecord:
    """Read a merged file.

    Raises:
        InputError: there is no such file.
        OutputError: the file is damaged, hostile, or no merged sweep.
    """
    with opened(Path(path), "sweep") as reader:
        if reader.attributes().get("format") != FORMAT:
            raise Refused("sweep: HDF5, but no sweep; name a file written by `mdsens sweep merge`")
        return _record(reader)


def _record(r: Reader) -> SweepRecord:
    codes = r.array("items/exit_code")
    dimensions = r.dataset("items/exit_code").dims
    axes = tuple(
        {
            name.removeprefix("/axes/"): _values(r, name.removeprefix("/"))
            for name in (str(scale.name) for scale in dimension.values())
        }
        for dimension in dimensions
    )
    names = [f"{o}/{p}" for o in r.names("sensitivity") for p in r.names(f"sensitivity/{o}")]
    return SweepRecord(
        axes=axes,
        shape=codes.shape,
        observables=dict(
            _columns(
                r, "observables", sorted({*r.names("observables")} - {"positions"}), codes.ndim
            )
        ),
        derivatives=dict(_columns(r, "sensitivity", names, codes.ndim)),
        exit_codes=codes.ravel(),
        outcomes=tuple(map(as_text, r.dataset("items/outcome")[()].ravel())),
        provenance=_provenance(r),
    )


def _values(r: Reader, place: str) -> np.ndarray:
    values = r.dataset(place)[()]
    return np.array([as_text(v) for v in values]) if values.dtype.kind in "SO" else values


def _columns(r: Reader, group: str, names: list[str], grid: int) -> Iterator[tuple[str, Column]]:
    for name in names:
        place = f"{group}/{name}"
        dataset = r.dataset(place)
        if dataset.nbytes > LARGEST or dataset.dtype.kind != "f":
            continue
        values, unit = r.array(place), str(r.attributes(place).get("units", ""))
        told = name if group == "observables" else "d {} / d {}".format(*name.split("/"))
        if values.ndim > grid:
            values, told = _norms(values, grid), f"|{told}|"
        yield told, Column(values.ravel(), unit)


def _norms(values: np.ndarray, grid: int) -> np.ndarray:
    """Of the arrays of every run, NaN where nothing is known; padding does not count."""
    rows = values.reshape(*values.shape[:grid], -1)
    norms = np.sqrt(np.nansum(rows**2, axis=-1))
    return np.where(np.isnan(rows).all(axis=-1), np.nan, norms)


def _provenance(r: Reader) -> dict[str, str]:
    texts = {name: r.text(f"provenance/{name}") for name in ("run_toml", "files")}
    attributes = {
        k: str(v) for k, v in r.attributes().items() if k in ("creator", "created", "plan")
    }
    return {**attributes, **texts}
