"""Files that appear complete or not at all.

Bytes go to a hidden temporary beside the target, to the disk, and only then to the target's name:
of the ways to write a result this is the one that survives being killed at any moment.
"""

from __future__ import annotations

import errno
import os
import secrets
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from mdsens.errors import OutputError

PROBE_BYTES = 4096

# What this process has to remove when it leaves.
temporaries: set[Path] = set()


def write_bytes(path: str | Path, data: bytes) -> None:
    """Replace the content of `path` by `data`, or leave it as it was.

    The temporary `.<name>.<random>.tmp` is removed whatever happens, short of a kill.

    Raises:
        OutputError: missing or unwritable folder, full disk, target that is no regular file.
    """
    target = _target(Path(path))
    temporary = _temporary(target)
    try:
        _write_new(temporary, data)
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except OSError as error:
        raise _failure(Path(path), error) from error
    finally:
        _discard(temporary)


@contextmanager
def replacing(path: str | Path, size: int) -> Iterator[BinaryIO]:
    """A file to write and read, which takes the place of `path` at the end; for what is too large
    to be held in memory.

    Args:
        size: how large it may become. So much room is reserved, so that a full disk shows at once
            and not under a library that cannot bear it.

    Raises:
        OutputError: as `write_bytes`, or what has been written raised OSError.
    """
    target = _target(Path(path))
    temporary = _temporary(target)
    try:
        with open(temporary, "x+b") as stream:
            if sys.platform == "linux":  # others have no call for it
                os.posix_fallocate(stream.fileno(), 0, size)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except OutputError:
        raise
    except OSError as error:
        raise _failure(Path(path), error) from error
    finally:
        _discard(temporary)


def check_writable(path: str | Path) -> None:
    """Raise OutputError now if `write_bytes` to `path` would fail as things stand."""
    target = _target(Path(path))
    temporary = _temporary(target)
    try:
        _write_new(temporary, bytes(PROBE_BYTES))
    except OSError as error:
        raise _failure(Path(path), error) from error
    finally:
        _discard(temporary)


def check_apart(path: str | Path, others: Iterable[Path]) -> None:
    """Raise OutputError if `path` is one of the files that a run reads or writes otherwise."""
    if any(os.path.realpath(path) == os.path.realpath(other) for other in others):
        raise OutputError(f"{path}: output: a file that this run needs; choose another name")


def discard_temporaries() -> None:
    """Remove what unfinished writes have made so far; for those who leave without returning."""
    for path in tuple(temporaries):
        _discard(path)


def _target(path: Path) -> Path:
    """The file itself where `path` is a link to it; OutputError if it cannot be a file."""
    try:
        target = Path(os.path.realpath(path))
        fault = _fault(target)
    except ValueError as error:  # a zero byte in the name
        raise OutputError(f"{path!r}: output: {error}; choose another name") from error
    except OSError as error:
        raise _failure(path, error) from error
    if fault:
        raise OutputError(f"{path}: output: {fault}")
    return target


def _fault(target: Path) -> str | None:
    if not target.parent.is_dir():
        return f"there is no folder {target.parent}; make it or choose another"
    if target.is_dir():
        return "is a folder; name a file in it"
    if target.exists() and not target.is_file():
        return "is not a regular file; choose another name"
    return None


def _temporary(target: Path) -> Path:
    path = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    temporaries.add(path)
    return path


def _write_new(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    # Not every file system can sync a folder; the content of the file is on the disk either way.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _discard(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
    temporaries.discard(path)


def _failure(path: Path, error: OSError) -> OutputError:
    remedy = "choose another place"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        remedy = "make room or choose another place; an earlier file is as it was"
    return OutputError(f"{path}: output: {error.strerror or error}; {remedy}")
