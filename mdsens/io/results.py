"""Results in HDF5: one layout, see `mdsens.io.hdf5` for how it is written and read. No JAX.

    /                attrs format, format_version, creator, created, potential
    /state           positions, cell, species, pbc, fixed, columns/<name>
    /parameters      <name>, attrs units, keys (of a table)
    /observables     <name>, attrs units; of an ensemble error, one standard deviation, and
                     distances or wavenumbers of what is a function of them
    /sensitivity     <observable>/<parameter>, attrs units, mode, solve_residual, derivative_error;
                     of an ensemble error instead of these two
    /certificate     attrs; rattler_indices; of an ensemble (format_version 2) attrs of its own
    /provenance      attrs; run_toml, structure_hash

Every array of floats has `units`; every array of rank >= 1 has a checksum.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import h5py
import numpy as np

from mdsens.catalogue import CURVES
from mdsens.io.hdf5 import Reader, Refused, as_text, opened, write_array, write_hdf5
from mdsens.parameters import Table
from mdsens.result import Certificate, Derivative, EnsembleCertificate, Result
from mdsens.system import System
from mdsens.units import LENGTH, label

FORMAT = "mdsens"
# Of a state at rest, and of an ensemble; up to the latter is read.
FORMAT_VERSION, FORMAT_VERSION_ENSEMBLE = 1, 2
PACKAGES = ("mdsens", "jax", "jaxlib", "jax-md", "numpy", "scipy", "ase", "h5py")
CERTIFICATE_ATTRIBUTES = tuple(f.name for f in fields(Certificate) if f.name != "rattler_indices")
ENSEMBLE_ATTRIBUTES = tuple(f.name for f in fields(EnsembleCertificate))


# Writing


def write_result(
    result: Result,
    path: str | Path,
    run_toml: str | None = None,
    structure_hash: str | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Write a result; the file appears complete or not at all, an earlier one stays until then.

    Args:
        result: what to write.
        path: the file; its folder must exist.
        run_toml: the text of the input that led here.
        structure_hash: digest of the structure file.
        overrides: the `--set` items that changed the input.

    Raises:
        OutputError: missing or unwritable folder, full disk; nothing partial is left behind.
    """
    path = Path(path)
    texts = {"run_toml": run_toml, "structure_hash": structure_hash}
    texts["overrides"] = "\n".join(overrides) or None

    def fill(file: h5py.File) -> None:
        _write_root(file, result)
        _write_state(file.create_group("state"), result.system)
        _write_parameters(_ordered(file, "parameters"), result)
        _write_observables(_ordered(file, "observables"), result)
        if result.sensitivity:
            _write_sensitivity(_ordered(file, "sensitivity"), result)
        _write_certificate(file.create_group("certificate"), result.certificate)
        provenance = file.create_group("provenance")
        _write_provenance(provenance, result.provenance)
        for name, text in texts.items():
            if text is not None:
                provenance.create_dataset(name, data=text, dtype=h5py.string_dtype())

    derivatives = (d for by in result.sensitivity.values() for d in by.values())
    write_hdf5(path, fill, sum(np.asarray(d.value).nbytes for d in derivatives))
    return path


def _ordered(parent: h5py.Group, name: str) -> h5py.Group:
    """A group that lists its members in the order they were written, as the input has them."""
    return parent.create_group(name, track_order=True)


def _write_root(file: h5py.File, result: Result) -> None:
    file.attrs["format"] = FORMAT
    sampled = isinstance(result.certificate, EnsembleCertificate)
    file.attrs["format_version"] = FORMAT_VERSION_ENSEMBLE if sampled else FORMAT_VERSION
    file.attrs["creator"] = f"mdsens {version('mdsens')}"
    file.attrs["created"] = datetime.now(UTC).isoformat(timespec="seconds")
    file.attrs["potential"] = result.potential


def _write_state(group: h5py.Group, system: System) -> None:
    length = label(system.units, LENGTH)
    group.attrs["units"] = system.units
    group.attrs["source"] = system.source
    write_array(group, "positions", np.asarray(system.positions), length)
    write_array(group, "cell", np.asarray(system.cell), length)
    write_strings(group, "species", system.species)
    write_array(group, "pbc", np.array(system.pbc, dtype=bool))
    write_array(group, "fixed", np.array(system.fixed, dtype=bool))
    # The file does not say what its columns are measured in.
    unknown = "reduced" if system.units == "reduced" else "unspecified"
    for name, values in system.columns.items():
        write_array(group.require_group("columns"), _link_name(name), values, unknown)


def write_strings(group: h5py.Group, name: str, texts: Sequence[str]) -> None:
    """A checksummed list of texts."""
    # Fixed length, since a checksum does not reach the text of variable-length strings.
    encoded = [text.encode() for text in texts]
    length = max(1, *map(len, encoded), 1)
    write_array(group, name, np.array(encoded, dtype=h5py.string_dtype(length=length)))


def _link_name(name: str) -> str:
    """A name without what has a meaning in an HDF5 path."""
    return quote(name, safe=" ") if name.strip(".") else name.replace(".", "%2E")


def _write_parameters(group: h5py.Group, result: Result) -> None:
    for name, value in result.parameters.items():
        data = np.asarray(value, dtype=np.float64)
        dataset = write_array(group, name, data, result.parameter_units[name])
        if isinstance(value, Table):
            dataset.attrs["keys"] = list(value.keys)


def _write_observables(group: h5py.Group, result: Result) -> None:
    for name, value in result.observables.items():
        data = np.asarray(value, dtype=np.float64)
        dataset = write_array(group, name, data, result.observable_units[name])
        if name in result.observable_errors:
            dataset.attrs["error"] = result.observable_errors[name]
        if name in result.observable_along:
            dataset.attrs[CURVES[name].name] = result.observable_along[name]


def _write_sensitivity(group: h5py.Group, result: Result) -> None:
    for observable, derivatives in result.sensitivity.items():
        inner = _ordered(group, observable)
        for name, derivative in derivatives.items():
            value = np.asarray(derivative.value, dtype=np.float64)
            # One parameter's displacement field is what is read together.
            slab = (1, *value.shape[1:]) if observable == "positions" and value.ndim == 3 else None
            dataset = write_array(inner, name, value, derivative.units, slab, shuffle=True)
            dataset.attrs["mode"] = derivative.mode
            if derivative.error is not None:
                dataset.attrs["error"] = derivative.error
            else:
                dataset.attrs["solve_residual"] = float(derivative.solve_residual)
                dataset.attrs["derivative_error"] = float(derivative.derivative_error)
            if derivative.keys is not None:
                dataset.attrs["keys"] = list(derivative.keys)


def _write_certificate(group: h5py.Group, certificate: Certificate | EnsembleCertificate) -> None:
    if isinstance(certificate, EnsembleCertificate):
        group.attrs.update(vars(certificate))
        return
    for name in CERTIFICATE_ATTRIBUTES:
        group.attrs[name] = getattr(certificate, name)
    group.attrs["rattlers"] = certificate.rattlers
    indices = np.asarray(certificate.rattler_indices, dtype=np.int64)
    write_array(group, "rattler_indices", indices)


def _write_provenance(group: h5py.Group, provenance: Mapping[str, Any]) -> None:
    stated = {k: v for k, v in provenance.items() if k != "versions" and v is not None}
    for package, number in {**versions(), **provenance.get("versions", {})}.items():
        group.attrs[f"version_{package.replace('-', '_')}"] = number
    for name, value in stated.items():
        group.attrs[name] = value


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


# Reading


def read_result(path: str | Path) -> Result:
    """Read a result file back.

    Links to elsewhere, data kept in other files, shapes that cannot fit the file and damaged
    checksums are refused; nothing in a file is ever executed.

    Raises:
        InputError: there is no such file.
        OutputError: the file is damaged, hostile, or no mdsens result.
    """
    with opened(Path(path), "result") as reader:
        return _result(reader)


def _result(r: Reader) -> Result:
    _check_format(r)
    system = _system(r)
    parameters = dict(_parameters(r))
    observables = r.arrays("observables")
    certificate = _certificate(r)
    return Result(
        system=system,
        potential=r.attributes()["potential"],
        parameters=parameters,
        observables=observables,
        observable_units={n: _units(r, "observables", n) for n in observables},
        parameter_units={n: _units(r, "parameters", n) for n in parameters},
        sensitivity={o: _derivatives(r, o) for o in r.names("sensitivity")},
        certificate=certificate,
        provenance=_provenance(r),
        observable_errors=dict(_besides(r, dict.fromkeys(observables, "error"))),
        observable_along=dict(_besides(r, {n: CURVES[n].name for n in observables if n in CURVES})),
    )


def _besides(r: Reader, wanted: Mapping[str, str]) -> Iterator[tuple[str, np.ndarray]]:
    """An attribute of each of some observables, of those that have it."""
    for name, what in wanted.items():
        attributes = r.attributes(f"observables/{name}")
        if what in attributes:
            yield name, np.asarray(attributes[what])


def _check_format(r: Reader) -> None:
    attributes = r.attributes()
    if attributes.get("format") != FORMAT:
        raise Refused("result: HDF5, but not of mdsens; name a file written by `mdsens run`")
    number = int(attributes["format_version"])
    if number > FORMAT_VERSION_ENSEMBLE:
        raise Refused(
            f"result: format version {number}, this mdsens reads up to {FORMAT_VERSION_ENSEMBLE}; "
            "update mdsens"
        )


def _system(r: Reader) -> System:
    attributes = r.attributes("state")
    positions, cell = r.array("state/positions"), r.array("state/cell")
    species, pbc = r.strings("state/species"), r.array("state/pbc")
    fixed = r.array("state/fixed")
    n, d = len(species), len(pbc)
    if (positions.shape, cell.shape, fixed.shape) != ((n, d), (d, d), (n,)):
        raise Refused("/state: the shapes of its arrays do not fit; compute it again")
    columns = r.arrays("state/columns") if "columns" in r.names("state") else {}
    return System(
        positions=positions,
        cell=cell,
        pbc=tuple(map(bool, pbc)),
        species=species,
        fixed=tuple(map(bool, fixed)),
        columns={unquote(name): values for name, values in columns.items()},
        units=attributes["units"],
        source=attributes["source"],
    )


def _parameters(r: Reader) -> Iterator[tuple[str, np.ndarray | Table]]:
    for name, values in r.arrays("parameters").items():
        keys = _keys(r.attributes(f"parameters/{name}"))
        yield name, values if keys is None else Table(values, keys)


def _derivatives(r: Reader, observable: str) -> dict[str, Derivative]:
    return {
        name: _derivative(r, f"sensitivity/{observable}/{name}")
        for name in r.names(f"sensitivity/{observable}")
    }


def _derivative(r: Reader, place: str) -> Derivative:
    attributes = r.attributes(place)
    value, mode, units = r.array(place), attributes["mode"], attributes["units"]
    if "error" in attributes:
        error = np.asarray(attributes["error"])
        return Derivative(value, mode, units, _keys(attributes), error=error)
    return Derivative(
        value=value,
        mode=mode,
        units=units,
        keys=_keys(attributes),
        solve_residual=float(attributes["solve_residual"]),
        derivative_error=float(attributes["derivative_error"]),
    )


def _certificate(r: Reader) -> Certificate | EnsembleCertificate:
    attributes = r.attributes("certificate")
    if int(r.attributes()["format_version"]) == FORMAT_VERSION_ENSEMBLE:
        return EnsembleCertificate(**{name: attributes[name] for name in ENSEMBLE_ATTRIBUTES})
    values = {name: attributes[name] for name in CERTIFICATE_ATTRIBUTES}
    return Certificate(rattler_indices=r.array("certificate/rattler_indices"), **values)


def _provenance(r: Reader) -> dict[str, Any]:
    texts = {name: r.text(f"provenance/{name}") for name in r.names("provenance")}
    return {**r.attributes("provenance"), **texts}


def _units(r: Reader, group: str, name: str) -> str:
    return r.attributes(f"{group}/{name}")["units"]


def _keys(attributes: Mapping[str, Any]) -> tuple[str, ...] | None:
    keys = attributes.get("keys")
    return None if keys is None else tuple(map(as_text, keys))
