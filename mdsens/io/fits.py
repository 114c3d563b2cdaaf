"""The HDF5 file of a fit. No JAX.

/               attrs: format = "mdsens fit", format_version, potential, created
/parameters     all at the best fit; attrs keys where tables
/free           labels, value, sigma, start, correlation; deviation and direction of the principal
                combinations, stiffest first; ensemble, draws (n, k); attrs chi2, chi2_start,
                freedom, inflation, why
/targets/<k>    attrs name; labels, units, wanted, sigma, start, value, predicted_sigma; the labels
                of labelled structures are energy, force, stress; of targets with curves also at, where
                on its curve each point is, NaN for other numbers
/history/<k>    chi2 and validation of every step from start k
/provenance     attrs: package versions, wall_total_s; fit_toml, overrides, identity
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np

from mdsens.fit_record import FitRecord, TargetRecord
from mdsens.io.hdf5 import Reader, Refused, opened, write_array, write_hdf5
from mdsens.io.results import versions, write_strings
from mdsens.parameters import Table

FORMAT, VERSION = "mdsens fit", 1
_ROWS = ("wanted", "sigma", "start", "value", "predicted_sigma")


def write_fit(record: FitRecord, path: Path) -> None:
    """Write the file whole or not at all.

    Raises:
        OutputError: as `write_result`.
    """

    def fill(file: h5py.File) -> None:
        file.attrs["format"], file.attrs["format_version"] = FORMAT, VERSION
        file.attrs["created"] = datetime.now(UTC).isoformat(timespec="seconds")
        file.attrs["potential"] = record.potential
        group = file.create_group("parameters", track_order=True)
        for name, value in record.parameters.items():
            dataset = write_array(group, name, np.asarray(value, float), "own")
            if isinstance(value, Table):
                dataset.attrs["keys"] = list(value.keys)
        free = file.create_group("free")
        free.attrs.update(record.facts)
        write_strings(free, "labels", record.labels)
        for name, values in record.free.items():
            write_array(free, name, values, "own")
        _write_lists(file, record)
        provenance = file.create_group("provenance")
        provenance.attrs.update(
            {f"version_{k.replace('-', '_')}": v for k, v in versions().items()}
        )
        for name, value in record.provenance.items():
            # An attribute has room for 64 kB.
            if isinstance(value, str):
                provenance.create_dataset(name, data=value, dtype=h5py.string_dtype())
            else:
                provenance.attrs[name] = value

    size = sum(t.value.nbytes * 8 for t in record.targets)
    write_hdf5(path, fill, size)


def _write_lists(file: h5py.File, record: FitRecord) -> None:
    for k, target in enumerate(record.targets):
        group = file.create_group(f"targets/{k}")
        group.attrs["name"] = target.name
        write_strings(group, "labels", target.labels)
        write_strings(group, "units", target.units)
        for name in _ROWS:
            write_array(group, name, getattr(target, name), "see units")
        if target.curves:
            write_array(group, "at", target.at, "see labels")
    for k, steps in enumerate(record.history):
        group = file.create_group(f"history/{k}")
        for name, values in steps.items():
            write_array(group, name, values, "1")


def read_fit(path: Path) -> FitRecord:
    """What `write_fit` wrote.

    Raises:
        InputError, OutputError: as `read_result`.
    """
    with opened(path, "fit") as r:
        facts = r.attributes()
        if facts.get("format") != FORMAT or facts.get("format_version") != VERSION:
            raise Refused("fit: not a record of a fit of this version; compute it again")
        return FitRecord(
            str(facts["potential"]), {n: _parameter(r, n) for n in r.names("parameters")},
            r.strings("free/labels"),
            {n: r.array(f"free/{n}") for n in r.names("free") if n != "labels"},
            r.attributes("free"),
            tuple(_target(r, f"targets/{k}") for k in range(len(r.names("targets")))),
            tuple(r.arrays(f"history/{k}") for k in range(len(r.names("history")))),
            {
                **r.attributes("provenance"),
                **{n: r.text(f"provenance/{n}") for n in r.names("provenance")},
            },
        )  # fmt: skip


def _parameter(r: Reader, name: str) -> np.ndarray | Table:
    value, keys = r.array(f"parameters/{name}"), r.attributes(f"parameters/{name}").get("keys")
    return value if keys is None else Table(value, tuple(map(str, keys)))


def _target(r: Reader, place: str) -> TargetRecord:
    rows = [r.array(f"{place}/{name}") for name in _ROWS]
    at = r.array(f"{place}/at") if "at" in r.names(place) else np.full(len(rows[0]), np.nan)
    return TargetRecord(
        str(r.attributes(place)["name"]), r.strings(f"{place}/labels"), r.strings(f"{place}/units"),
        *rows, at=at,
    )  # fmt: skip
