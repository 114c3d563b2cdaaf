"""HDF5 files that appear whole or not at all, and that are read with suspicion. No JAX.

Behind the HDF5 image, where HDF5 does not look, may stand a note, and then one line that tells the
SHA-256 of all before it: the library itself may crash on or loop in a damaged file, so damage is to
be found before it opens it. Programs that edit the file cut these lines off.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mdsens.errors import MdsensError, OutputError
from mdsens.files.atomic import write_bytes
from mdsens.files.inspection import check_regular_file

# No filter we use shrinks data by more than deflate can; what claims to is a trap or damaged.
LARGEST_EXPANSION = 1032
SMALL_BYTES = 2**20
LONGEST_NOTE = 4096
# The format of HDF5 1.10 has checksums on its own structures, which the older one lacks.
LIBVER = ("v110", "v110")
IN_MEMORY: Any = {"driver": "core", "backing_store": False, "libver": LIBVER}


# Writing


def write_hdf5(
    path: Path, fill: Callable[[h5py.File], None], size: int = 0, note: str | None = None
) -> None:
    """Write what `fill` puts into a new file; it appears complete or not at all.

    Args:
        path: the file; its folder must exist.
        fill: makes the content.
        size: of the content, roughly, in bytes.
        note: one line to find without HDF5, see `read_note`.

    Raises:
        OutputError: missing or unwritable folder, full disk; nothing partial is left behind.
    """
    # Growing the image takes quadratic time if it is by little.
    block = min(max(size, 2**16), 2**28)
    # Built in memory: a full disk under an open HDF5 file ends in a crash of the process.
    with h5py.File(path.name, "w", **IN_MEMORY, block_size=block) as file:
        fill(file)
        file.flush()
        content = file.id.get_file_image()
    if note is not None:
        content += f"\nmdsens note {note}\n".encode()
    write_bytes(path, content + _seal(hashlib.sha256(content)))


def write_array(
    group: h5py.Group,
    name: str,
    data: np.ndarray,
    units: str | None = None,
    chunk: tuple[int, ...] | None = None,
    shuffle: bool = False,
) -> h5py.Dataset:
    """A checksummed dataset; floats need `units`."""
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


def _seal(digest: Any) -> bytes:
    return f"\nmdsens sha256 {digest.hexdigest()}\n".encode()


_SEAL_BYTES = len(_seal(hashlib.sha256()))


# Reading


class Refused(Exception):
    """What is wrong with a file: "where: what; what to do"."""


@contextmanager
def opened(path: Path, what: str, sealed: bool = False) -> Iterator[Reader]:
    """A file whose seal is whole, if it has one; `what` ("result") names it in messages.

    Args:
        sealed: it must have one.

    Raises:
        InputError: there is no such file.
        OutputError: the file is damaged or hostile, as found here or by whoever reads it.
    """
    if path.is_file() and path.stat().st_size == 0:
        raise OutputError(f"{path}: {what}: the file is empty; compute it again")
    size = check_regular_file(path, what)
    try:
        if not h5py.is_hdf5(path):
            raise Refused(f"{what}: not an HDF5 file; name a file written by mdsens")
        right = _digest_is_right(path, size)
        if right is False or (sealed and right is None):
            raise Refused(
                f"{what}: damaged (its content is not what was written); compute it again"
            )
        with h5py.File(path, "r") as file:
            yield Reader(file, size)
    except MdsensError:
        raise
    except Refused as refusal:
        raise OutputError(f"{path}: {refusal}") from None
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200]
        raise OutputError(f"{path}: {what}: damaged ({reason}); compute it again") from error


def format_of(path: Path) -> str:
    """The attribute `format` of a result or record; "" where there is none.

    Raises:
        InputError, OutputError: as `opened`: a damaged file is not handed to HDF5.
    """
    with opened(path, "result") as r:
        return str(r.attributes().get("format", ""))


def read_note(path: Path) -> str | None:
    """The note at the end of a file, which is looked at no further; None if there is none."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(path.stat().st_size - LONGEST_NOTE, 0))
            tail = stream.read(LONGEST_NOTE)
    except OSError:
        return None
    found = re.search(rb"\nmdsens note ([^\n]*)\n\nmdsens sha256 [0-9a-f]{64}\n\Z", tail)
    return found[1].decode(errors="replace") if found else None


def _digest_is_right(path: Path, size: int) -> bool | None:
    """Whether the content is what the digest at its end says; None if there is no digest."""
    with path.open("rb") as stream:
        stream.seek(max(size - _SEAL_BYTES, 0))
        seal = stream.read()
        if not re.fullmatch(rb"\nmdsens sha256 [0-9a-f]{64}\n", seal):
            return None
        stream.seek(0)
        digest, rest = hashlib.sha256(), size - _SEAL_BYTES
        while rest and (chunk := stream.read(min(rest, 2**20))):
            digest.update(chunk)
            rest -= len(chunk)
    return _seal(digest) == seal


class Reader:
    """Reads known places of an open file, each only after a look at how it is stored."""

    def __init__(self, file: h5py.File, size: int):
        self._file = file
        self._size = size

    def names(self, place: str) -> list[str]:
        """What is in a group; nothing if it is not there."""
        found = self._at(place)
        if found is not None and not isinstance(found, h5py.Group):
            raise Refused(f"/{place}: not a group; compute it again")
        return [] if found is None else list(found)

    def dataset(self, place: str) -> h5py.Dataset:
        dataset = self._at(place)
        if not isinstance(dataset, h5py.Dataset):
            raise Refused(f"/{place}: missing or not a dataset; compute it again")
        if dataset.is_virtual or dataset.external:
            raise Refused(f"/{place}: its data are in another file; get the file with its data")
        expansion = LARGEST_EXPANSION if dataset.compression else 1
        if _needed_bytes(dataset) > expansion * self._size:
            raise Refused(
                f"/{place}: claims {_needed_bytes(dataset)} bytes, more than the file can hold; "
                "get the file from whoever computed it"
            )
        if dataset.size and not _is_stored(dataset):
            raise Refused(f"/{place}: data are missing; compute it again")
        return dataset

    def array(self, place: str) -> np.ndarray:
        dataset = self.dataset(place)
        if dataset.dtype.kind not in "fiub":
            raise Refused(f"/{place}: {dataset.dtype} are no numbers; compute it again")
        return np.asarray(dataset[()])

    def arrays(self, place: str) -> dict[str, np.ndarray]:
        return {name: self.array(f"{place}/{name}") for name in self.names(place)}

    def strings(self, place: str) -> tuple[str, ...]:
        dataset = self.dataset(place)
        if h5py.check_string_dtype(dataset.dtype) is None or dataset.ndim != 1:
            raise Refused(f"/{place}: is no list of strings; compute it again")
        return tuple(map(as_text, dataset[()]))

    def text(self, place: str) -> str:
        dataset = self.dataset(place)
        if h5py.check_string_dtype(dataset.dtype) is None or dataset.ndim != 0:
            raise Refused(f"/{place}: is no text; compute it again")
        return as_text(dataset[()])

    def attributes(self, place: str = "") -> dict[str, Any]:
        """Of a group or dataset, as Python values: text, numbers, arrays."""
        node = self._at(place)
        return {} if node is None else {name: _plain(value) for name, value in node.attrs.items()}

    def _at(self, place: str) -> Any:
        """The object at `place`, every step there a plain link; None if there is none."""
        node: Any = self._file
        for name in place.split("/") if place else ():
            link = node.get(name, getlink=True) if isinstance(node, h5py.Group) else None
            if link is None:
                return None
            if not isinstance(link, h5py.HardLink):
                raise Refused(f"/{place}: leads elsewhere; get the file from whoever computed it")
            node = node[name]
        return node


def _needed_bytes(dataset: h5py.Dataset) -> int:
    # Without making NumPy's description of the type, which takes a while.
    itemsize = dataset.id.get_type().get_size()
    return max(math.prod(dataset.shape), math.prod(dataset.chunks or (0,))) * itemsize


def _is_stored(dataset: h5py.Dataset) -> bool:
    if dataset.chunks is None:
        return dataset.id.get_storage_size() > 0
    needed = math.prod(
        -(-length // chunk) for length, chunk in zip(dataset.shape, dataset.chunks, strict=True)
    )
    return dataset.id.get_num_chunks() == needed


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if isinstance(value, np.generic) else value


def as_text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
