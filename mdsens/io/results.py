"""Results in HDF5: one layout, written whole or not at all, read with suspicion. No JAX.

    /                attrs format, format_version, creator, created, potential
    /state           positions, cell, species, pbc, fixed, columns/<name>
    /parameters      <name>, attrs units, keys (of a table)
    /observables     <name>, attrs units
    /sensitivity     <observable>/<parameter>, attrs units, mode, solve_residual, derivative_error
    /certificate     attrs; rattler_indices
    /provenance      attrs; run_toml, structure_hash

Every array of floats has `units`; every array of rank >= 1 has a checksum. Behind the HDF5 image,
where HDF5 does not look, one line tells its SHA-256: the library itself may crash on or loop in a
damaged file, so damage is to be found before it opens it. Programs that edit the file cut it off.
"""

from __future__ import annotations

import hashlib
import math
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import h5py
import numpy as np

from mdsens.errors import OutputError
from mdsens.files.atomic import write_bytes
from mdsens.files.inspection import check_regular_file
from mdsens.parameters import Table
from mdsens.result import Certificate, Derivative, Result
from mdsens.system import System
from mdsens.units import LENGTH, label

FORMAT = "mdsens"
FORMAT_VERSION = 1
PACKAGES = ("mdsens", "jax", "jaxlib", "jax-md", "numpy", "scipy", "ase", "h5py")
# No filter we use shrinks data by more than deflate can; what claims to is a trap or damaged.
LARGEST_EXPANSION = 1032
SMALL_BYTES = 2**20
# The format of HDF5 1.10 has checksums on its own structures, which the older one lacks.
IN_MEMORY: Any = {"driver": "core", "backing_store": False, "libver": ("v110", "v110")}
CERTIFICATE_ATTRIBUTES = tuple(f.name for f in fields(Certificate) if f.name != "rattler_indices")


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
    # Built in memory: a full disk under an open HDF5 file ends in a crash of the process.
    with h5py.File(path.name, "w", **IN_MEMORY, block_size=_block_size(result)) as file:
        _write_root(file, result)
        _write_state(file.create_group("state"), result.system)
        _write_parameters(_ordered(file, "parameters"), result)
        _write_observables(_ordered(file, "observables"), result)
        if result.sensitivity:
            _write_sensitivity(_ordered(file, "sensitivity"), result)
        _write_certificate(file.create_group("certificate"), result.certificate)
        provenance = file.create_group("provenance")
        _write_provenance(provenance, result.provenance)
        texts = {"run_toml": run_toml, "structure_hash": structure_hash}
        texts["overrides"] = "\n".join(overrides) or None
        for name, text in texts.items():
            if text is not None:
                provenance.create_dataset(name, data=text, dtype=h5py.string_dtype())
        file.flush()
        image = file.id.get_file_image()
    write_bytes(path, image + _seal(hashlib.sha256(image)))
    return path


def _seal(digest: Any) -> bytes:
    return f"\nmdsens sha256 {digest.hexdigest()}\n".encode()


def _block_size(result: Result) -> int:
    """How much the image grows at a time: about its own size, or growing it takes quadratic time."""
    derivatives = (d for by in result.sensitivity.values() for d in by.values())
    size = sum(np.asarray(d.value).nbytes for d in derivatives)
    return min(max(size, 2**16), 2**28)


def _ordered(parent: h5py.Group, name: str) -> h5py.Group:
    """A group that lists its members in the order they were written, as the input has them."""
    return parent.create_group(name, track_order=True)


def _write_root(file: h5py.File, result: Result) -> None:
    file.attrs["format"] = FORMAT
    file.attrs["format_version"] = FORMAT_VERSION
    file.attrs["creator"] = f"mdsens {version('mdsens')}"
    file.attrs["created"] = datetime.now(UTC).isoformat(timespec="seconds")
    file.attrs["potential"] = result.potential


def _write_state(group: h5py.Group, system: System) -> None:
    length = label(system.units, LENGTH)
    group.attrs["units"] = system.units
    group.attrs["source"] = system.source
    _write_array(group, "positions", np.asarray(system.positions), length)
    _write_array(group, "cell", np.asarray(system.cell), length)
    _write_array(group, "species", _fixed_strings(system.species))
    _write_array(group, "pbc", np.array(system.pbc, dtype=bool))
    _write_array(group, "fixed", np.array(system.fixed, dtype=bool))
    # The file does not say what its columns are measured in.
    unknown = "reduced" if system.units == "reduced" else "unspecified"
    for name, values in system.columns.items():
        _write_array(group.require_group("columns"), _link_name(name), values, unknown)


def _fixed_strings(names: Sequence[str]) -> np.ndarray:
    # Fixed length, since a checksum does not reach the text of variable-length strings.
    encoded = [name.encode() for name in names]
    return np.array(encoded, dtype=h5py.string_dtype(length=max(map(len, encoded), default=1)))


def _link_name(name: str) -> str:
    """A name without what has a meaning in an HDF5 path."""
    return quote(name, safe=" ") if name.strip(".") else name.replace(".", "%2E")


def _write_parameters(group: h5py.Group, result: Result) -> None:
    for name, value in result.parameters.items():
        data = np.asarray(value, dtype=np.float64)
        dataset = _write_array(group, name, data, result.parameter_units[name])
        if isinstance(value, Table):
            dataset.attrs["keys"] = list(value.keys)


def _write_observables(group: h5py.Group, result: Result) -> None:
    for name, value in result.observables.items():
        data = np.asarray(value, dtype=np.float64)
        _write_array(group, name, data, result.observable_units[name])


def _write_sensitivity(group: h5py.Group, result: Result) -> None:
    for observable, derivatives in result.sensitivity.items():
        inner = _ordered(group, observable)
        for name, derivative in derivatives.items():
            value = np.asarray(derivative.value, dtype=np.float64)
            # One parameter's displacement field is what is read together.
            slab = (1, *value.shape[1:]) if observable == "positions" and value.ndim == 3 else None
            dataset = _write_array(inner, name, value, derivative.units, slab, shuffle=True)
            dataset.attrs["mode"] = derivative.mode
            dataset.attrs["solve_residual"] = float(derivative.solve_residual)
            dataset.attrs["derivative_error"] = float(derivative.derivative_error)
            if derivative.keys is not None:
                dataset.attrs["keys"] = list(derivative.keys)


def _write_certificate(group: h5py.Group, certificate: Certificate) -> None:
    for name in CERTIFICATE_ATTRIBUTES:
        group.attrs[name] = getattr(certificate, name)
    group.attrs["rattlers"] = certificate.rattlers
    indices = np.asarray(certificate.rattler_indices, dtype=np.int64)
    _write_array(group, "rattler_indices", indices)


def _write_provenance(group: h5py.Group, provenance: Mapping[str, Any]) -> None:
    stated = {k: v for k, v in provenance.items() if k != "versions" and v is not None}
    for package, number in {**_versions(), **provenance.get("versions", {})}.items():
        group.attrs[f"version_{package.replace('-', '_')}"] = number
    for name, value in stated.items():
        group.attrs[name] = value


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _write_array(
    group: h5py.Group,
    name: str,
    data: np.ndarray,
    units: str | None = None,
    chunk: tuple[int, ...] | None = None,
    shuffle: bool = False,
) -> h5py.Dataset:
    # Scalars and empty arrays cannot be chunked, and only chunks have checksums.
    chunked = data.ndim > 0 and data.size > 0
    whole = data.shape if data.nbytes <= SMALL_BYTES else True
    dataset = group.create_dataset(
        name,
        data=data,
        chunks=(chunk or whole) if chunked else None,
        fletcher32=chunked,
        shuffle=shuffle and chunked,
    )
    if data.dtype.kind == "f":
        assert units is not None, f"{dataset.name} has no units"
        dataset.attrs["units"] = units
    return dataset


# Reading


def read_result(path: str | Path) -> Result:
    """Read a result file back.

    Links to elsewhere, data kept in other files, shapes that cannot fit the file and damaged
    checksums are refused; nothing in a file is ever executed.

    Raises:
        InputError: there is no such file.
        OutputError: the file is damaged, hostile, or no mdsens result.
    """
    path = Path(path)
    if path.is_file() and path.stat().st_size == 0:
        raise OutputError(f"{path}: result: the file is empty; compute it again")
    size = check_regular_file(path, "result")
    try:
        if not h5py.is_hdf5(path):
            raise _Refused("result: not an HDF5 file; name a file written by `mdsens run`")
        _check_seal(path, size)
        with h5py.File(path, "r") as file:
            return _Reader(file, size).result()
    except _Refused as refusal:
        raise OutputError(f"{path}: {refusal}") from None
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200]
        raise OutputError(f"{path}: result: damaged ({reason}); compute it again") from error


class _Refused(Exception):
    """What is wrong with a file: "where: what; what to do"."""


def _check_seal(path: Path, size: int) -> None:
    """Compare the content with the digest at its end, if there is one."""
    length = len(_seal(hashlib.sha256()))
    with path.open("rb") as stream:
        stream.seek(max(size - length, 0))
        seal = stream.read()
        if not re.fullmatch(rb"\nmdsens sha256 [0-9a-f]{64}\n", seal):
            return
        stream.seek(0)
        digest, rest = hashlib.sha256(), size - length
        while rest and (chunk := stream.read(min(rest, 2**20))):
            digest.update(chunk)
            rest -= len(chunk)
    if _seal(digest) != seal:
        raise _Refused("result: damaged (its content is not what was written); compute it again")


class _Reader:
    """Reads known places of an open file, each only after a look at how it is stored."""

    def __init__(self, file: h5py.File, size: int):
        self.file = file
        self.size = size

    def result(self) -> Result:
        self._check_format()
        system = self._system()
        parameters = dict(self._parameters())
        observables = self._arrays("observables")
        certificate = self._certificate()
        return Result(
            system=system,
            potential=_attributes(self.file)["potential"],
            parameters=parameters,
            observables=observables,
            observable_units={n: self._units("observables", n) for n in observables},
            parameter_units={n: self._units("parameters", n) for n in parameters},
            sensitivity={o: self._derivatives(o) for o in self._names("sensitivity")},
            certificate=certificate,
            provenance=self._provenance(),
        )

    def _check_format(self) -> None:
        attributes = _attributes(self.file)
        if attributes.get("format") != FORMAT:
            raise _Refused("result: HDF5, but not of mdsens; name a file written by `mdsens run`")
        number = int(attributes["format_version"])
        if number > FORMAT_VERSION:
            raise _Refused(
                f"result: format version {number}, this mdsens reads up to {FORMAT_VERSION}; "
                "update mdsens"
            )

    def _system(self) -> System:
        attributes = _attributes(self._group("state"))
        positions, cell = self._array("state/positions"), self._array("state/cell")
        species, pbc = self._strings("state/species"), self._array("state/pbc")
        fixed = self._array("state/fixed")
        n, d = len(species), len(pbc)
        if (positions.shape, cell.shape, fixed.shape) != ((n, d), (d, d), (n,)):
            raise _Refused("/state: the shapes of its arrays do not fit; compute it again")
        columns = self._arrays("state/columns") if "columns" in self._names("state") else {}
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

    def _parameters(self) -> Iterator[tuple[str, np.ndarray | Table]]:
        for name, values in self._arrays("parameters").items():
            keys = _keys(self._dataset(f"parameters/{name}"))
            yield name, values if keys is None else Table(values, keys)

    def _derivatives(self, observable: str) -> dict[str, Derivative]:
        return {
            name: self._derivative(f"sensitivity/{observable}/{name}")
            for name in self._names(f"sensitivity/{observable}")
        }

    def _derivative(self, place: str) -> Derivative:
        dataset = self._dataset(place)
        attributes = _attributes(dataset)
        return Derivative(
            value=self._array(place),
            mode=attributes["mode"],
            units=attributes["units"],
            keys=_keys(dataset),
            solve_residual=float(attributes["solve_residual"]),
            derivative_error=float(attributes["derivative_error"]),
        )

    def _certificate(self) -> Certificate:
        attributes = _attributes(self._group("certificate"))
        values = {name: attributes[name] for name in CERTIFICATE_ATTRIBUTES}
        return Certificate(rattler_indices=self._array("certificate/rattler_indices"), **values)

    def _provenance(self) -> dict[str, Any]:
        group = self._group("provenance")
        stated = _attributes(group)
        texts = {name: self._text_of(f"provenance/{name}") for name in self._names("provenance")}
        return {**stated, **texts}

    # What lies where, with the look before the leap.

    def _group(self, place: str) -> h5py.Group:
        found = self._at(place)
        if not isinstance(found, h5py.Group):
            raise _Refused(f"/{place}: missing or not a group; compute it again")
        return found

    def _at(self, place: str) -> Any:
        """The object at `place`, every step there a plain link; None if there is none."""
        node: Any = self.file
        for name in place.split("/"):
            link = node.get(name, getlink=True) if isinstance(node, h5py.Group) else None
            if link is None:
                return None
            if not isinstance(link, h5py.HardLink):
                raise _Refused(f"/{place}: leads elsewhere; get the file from whoever computed it")
            node = node[name]
        return node

    def _names(self, place: str) -> list[str]:
        return list(self._group(place)) if self._at(place) is not None else []

    def _dataset(self, place: str) -> h5py.Dataset:
        dataset = self._at(place)
        if not isinstance(dataset, h5py.Dataset):
            raise _Refused(f"/{place}: missing or not a dataset; compute it again")
        if dataset.is_virtual or dataset.external:
            raise _Refused(f"/{place}: its data are in another file; get the file with its data")
        expansion = LARGEST_EXPANSION if dataset.compression else 1
        if _needed_bytes(dataset) > expansion * self.size:
            raise _Refused(
                f"/{place}: claims {dataset.nbytes} bytes, more than the file can hold; "
                "get the file from whoever computed it"
            )
        if dataset.size and not _is_stored(dataset):
            raise _Refused(f"/{place}: data are missing; compute it again")
        return dataset

    def _array(self, place: str) -> np.ndarray:
        dataset = self._dataset(place)
        if dataset.dtype.kind not in "fiub":
            raise _Refused(f"/{place}: {dataset.dtype} are no numbers; compute it again")
        return np.asarray(dataset[()])

    def _arrays(self, place: str) -> dict[str, np.ndarray]:
        return {name: self._array(f"{place}/{name}") for name in self._names(place)}

    def _strings(self, place: str) -> tuple[str, ...]:
        dataset = self._dataset(place)
        if h5py.check_string_dtype(dataset.dtype) is None or dataset.ndim != 1:
            raise _Refused(f"/{place}: is no list of strings; compute it again")
        return tuple(map(_text, dataset[()]))

    def _text_of(self, place: str) -> str:
        dataset = self._dataset(place)
        if h5py.check_string_dtype(dataset.dtype) is None or dataset.ndim != 0:
            raise _Refused(f"/{place}: is no text; compute it again")
        return _text(dataset[()])

    def _units(self, group: str, name: str) -> str:
        return _attributes(self._dataset(f"{group}/{name}"))["units"]


def _needed_bytes(dataset: h5py.Dataset) -> int:
    chunk = math.prod(dataset.chunks or (0,)) * dataset.dtype.itemsize
    return max(dataset.nbytes, chunk)


def _is_stored(dataset: h5py.Dataset) -> bool:
    if dataset.chunks is None:
        return dataset.id.get_storage_size() > 0
    needed = math.prod(
        -(-length // chunk) for length, chunk in zip(dataset.shape, dataset.chunks, strict=True)
    )
    return dataset.id.get_num_chunks() == needed


def _attributes(node: h5py.Group | h5py.Dataset) -> dict[str, Any]:
    """Attributes as Python values: text, numbers, arrays."""
    return {name: _plain(value) for name, value in node.attrs.items()}


def _keys(dataset: h5py.Dataset) -> tuple[str, ...] | None:
    keys = _attributes(dataset).get("keys")
    return None if keys is None else tuple(map(_text, keys))


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if isinstance(value, np.generic) else value


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
