"""Who is at which batch: files that only one process can make.

They save work and decide nothing: a batch done twice is the same shard twice. So a claim whose owner
is known or taken to be dead is simply taken over.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mdsens.errors import OutputError
from mdsens.files.atomic import temporaries

# An owner that has not shown itself for so long is dead; it does so many times in between.
LEASE_SECONDS = 180.0
_BEATS = 6


def owner() -> str:
    """Who we are, in one line: host, process, and what stays the same when Slurm starts us again."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    task = f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID')}" if array else "-"
    return f"{socket.gethostname()} {os.getpid()} {task}"


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Whether the claim is ours; it is kept alive meanwhile, and given back.

    Raises:
        OutputError: the folder cannot be written to.
    """
    if not (_made(path) or (_is_stale(path) and _taken_over(path))):
        yield False
        return
    temporaries.add(path)
    done = threading.Event()
    beat = threading.Thread(target=_keep_alive, args=(path, done), daemon=True)
    beat.start()
    try:
        yield True
    finally:
        done.set()
        beat.join()
        _release(path)
        temporaries.discard(path)


def _release(path: Path) -> None:
    with suppress(OSError):
        if path.read_text() == owner():
            path.unlink()


def _made(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(owner())
    except FileExistsError:
        return False
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise OutputError(f"{path}: claim: {error.strerror}; make room or repair it") from error
    return True


def _taken_over(path: Path) -> bool:
    with suppress(OSError):
        path.unlink()
    return _made(path)


def _is_stale(path: Path) -> bool:
    try:
        age, words = time.time() - path.stat().st_mtime, path.read_text().split()
    except (OSError, UnicodeDecodeError):
        return True
    if age > LEASE_SECONDS:
        return True
    if len(words) != 3:
        return False  # being written
    host, process, task = words
    our_host, _, our_task = owner().split()
    if host == our_host:
        return not _is_alive(process)
    return task == our_task != "-"  # of an earlier life of ours


def _is_alive(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except ValueError:
        return False
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _keep_alive(path: Path, done: threading.Event) -> None:
    while not done.wait(LEASE_SECONDS / _BEATS):
        with suppress(OSError):
            os.utime(path)
