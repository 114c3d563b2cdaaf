"""HDF5 files that are too large for memory and still appear complete or not at all. No JAX."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import h5py

from mdsens.files.atomic import replacing
from mdsens.io.hdf5 import LIBVER

_CACHE = 16 * 2**20


@contextmanager
def hdf5_in_pieces(path: Path, bound: int) -> Iterator[h5py.File]:
    """A new HDF5 file to write into.

    Args:
        bound: bytes that it will not exceed, which are reserved on the disk.

    Raises:
        OutputError: missing or unwritable folder, full disk; nothing partial is left behind.
    """
    with replacing(path, bound) as stream:
        reserved = _Reserved(stream)
        with h5py.File(reserved, "w", libver=LIBVER, rdcc_nbytes=_CACHE) as file:
            yield file
        stream.truncate(reserved.length)


class _Reserved(io.RawIOBase):
    """A file as HDF5 sees it: it ends where HDF5 has got to, whatever is reserved behind."""

    def __init__(self, stream: BinaryIO):
        super().__init__()
        self._stream = stream
        self.length = 0

    def write(self, data: Any) -> int:
        count = self._stream.write(data)
        self.length = max(self.length, self._stream.tell())
        return count

    def truncate(self, size: int | None = None) -> int:
        self.length = self.tell() if size is None else size
        return self.length

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            return self._stream.seek(self.length + offset)
        return self._stream.seek(offset, whence)

    def readinto(self, buffer: Any) -> int:
        return self._stream.readinto(buffer)  # pyright: ignore[reportAttributeAccessIssue]

    def tell(self) -> int:
        return self._stream.tell()

    def seekable(self) -> bool:
        return True
