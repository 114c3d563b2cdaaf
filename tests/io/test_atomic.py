"""A file appears complete or not at all, whatever happens to disk, folder or process."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import time

import h5py
import pytest

from mdsens.errors import OutputError
from mdsens.files import atomic
from mdsens.io.results import read_result, write_result
from tests.io import handmade


def leftovers(folder):
    return [path.name for path in folder.iterdir() if path.name.endswith(".tmp")]


def test_replaces_what_is_there(tmp_path):
    path = tmp_path / "out"
    atomic.write_bytes(path, b"old")
    atomic.write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert leftovers(tmp_path) == []
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_follows_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "out")
    atomic.write_bytes(tmp_path / "link", b"x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "out").read_bytes() == b"x"


@pytest.mark.parametrize("action", [atomic.check_writable, lambda p: atomic.write_bytes(p, b"x")])
@pytest.mark.parametrize(
    "name, telling",
    [
        ("none/out", "there is no folder"),
        ("file/out", "there is no folder"),
        ("folder", "is a folder"),
        ("pipe", "not a regular file"),
        ("x" * 250, "File name too long"),
        ("x" * 300, "File name too long"),
        ("a\0b", "null byte"),
    ],
)
def test_places_that_cannot_be(tmp_path, told, action, name, telling):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    assert telling in told(OutputError, lambda: action(tmp_path / name))


def test_folder_that_cannot_be_written(told):
    # Nobody creates files there, not even root.
    line = told(OutputError, lambda: atomic.check_writable("/proc/self/out.h5"))
    assert line.startswith("/proc/self/out.h5: output: ")


def test_check_leaves_nothing(tmp_path):
    atomic.check_writable(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def earlier(tmp_path):
    return write_result(handmade.result(1), tmp_path / "out.h5")


def test_full_disk(earlier, told, monkeypatch):
    def write(descriptor, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = earlier.read_bytes()
    monkeypatch.setattr(os, "write", write)
    line = told(OutputError, lambda: write_result(handmade.result(), earlier))
    monkeypatch.undo()
    assert "No space left" in line and "make room" in line
    assert earlier.read_bytes() == before
    assert leftovers(earlier.parent) == []


def test_limit_on_file_size(earlier, told):
    """The kernel's own refusal in the middle of the file."""
    before = earlier.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        line = told(OutputError, lambda: write_result(handmade.result(), earlier))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "File too large" in line
    assert earlier.read_bytes() == before
    assert leftovers(earlier.parent) == []


@pytest.mark.parametrize("when", ["open", "write", "fsync", "replace"])
def test_interruption_removes_the_temporary(earlier, monkeypatch, when):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, when, interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_result(handmade.result(), earlier)
    monkeypatch.undo()
    assert leftovers(earlier.parent) == []
    read_result(earlier)


WRITER = """
import sys
from tests.io import handmade
from mdsens.io.results import write_result
results = [handmade.result(k) for k in range(2)]
print("ready", flush=True)
for k in range(1_000_000):
    write_result(results[k % 2], sys.argv[1])
"""


def killed_writers(path, repository, kills, rng):
    for _ in range(kills):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], cwd=repository, stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.1))
        writer.kill()
        writer.wait()
        writer.stdout.close()
        if path.exists():
            yield read_result(path)


def test_kill(tmp_path, repository, rng):
    for back in killed_writers(tmp_path / "out.h5", repository, 3, rng):
        assert back.certificate.converged


@pytest.mark.slow
def test_many_kills(tmp_path, repository, rng):
    written = 0
    for back in killed_writers(tmp_path / "out.h5", repository, 60, rng):
        assert back.certificate.converged
        written += 1
    assert written > 30
    assert h5py.is_hdf5(tmp_path / "out.h5")
