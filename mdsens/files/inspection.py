"""Is this file worth parsing? Cheap checks before any parser sees it.

Parsers believe what a header says: a file that claims a billion particles keeps one busy for
minutes, and a folder, a device or a binary file ends in a raw exception.
"""

from __future__ import annotations

import re
import stat
from codecs import getincrementaldecoder
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from mdsens.errors import InputError

HEAD_BYTES = 65536
LINE_BYTES = 1 << 20  # no sane line of a structure file is longer
PARTICLE_BYTES = 4  # the shortest line that can say anything about a particle


def check_regular_file(path: Path, what: str) -> int:
    """The size of a readable, non-empty, regular file in bytes; InputError for anything else."""
    try:
        status = path.stat()
        kind = status.st_mode
        if stat.S_ISREG(kind):
            path.open("rb").close()
    except FileNotFoundError:
        raise InputError(f"{path}: {what}: no such file; check the path") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: {what}: cannot be read ({reason}); check the path") from None
    if stat.S_ISDIR(kind):
        raise InputError(f"{path}: {what}: is a folder; name a file in it")
    if not stat.S_ISREG(kind):
        raise InputError(f"{path}: {what}: is not a regular file; copy its content to one")
    if status.st_size == 0:
        raise InputError(f"{path}: {what}: the file is empty; write it again")
    return status.st_size


def check_text(path: Path, stream: IO[bytes]) -> int:
    """The length of a UTF-8 stream in bytes; InputError if it is not text. Memory is bounded."""
    decoder = getincrementaldecoder("utf-8")()
    size = 0
    while chunk := stream.read(1 << 20):
        size += len(chunk)
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError:
            raise _not_text(path) from None
        if b"\0" in chunk:
            raise _not_text(path)
    return size


def _not_text(path: Path) -> InputError:
    return InputError(
        f"{path}: structure: is not a text file, though its name or beginning says so; "
        "check that it is the file you meant"
    )


class Frame(NamedTuple):
    """A frame of an (ext)xyz file: where it starts, in bytes, and how many particles it has."""

    start: int
    particles: int


def find_frames(path: Path, stream: IO[bytes], size: int) -> list[Frame]:
    """The frames of an (ext)xyz file; InputError where a header promises more lines than there are.

    `size` bounds the particles a header may promise before anything is read on its word.
    """
    frames: list[Frame] = []
    place = 0
    lines = _lines(path, stream)
    for line in lines:
        start, place = place, place + len(line)
        if line.lstrip().startswith(b"VEC") and frames:
            continue
        if not line.strip():
            break
        n = _announced(path, line, len(frames))
        _check_count(path, n, size, f"frame {len(frames)}")
        body = [len(text) for _, text in zip(range(n + 1), lines, strict=False)]
        if len(body) < n + 1:
            raise InputError(
                f"{path}: frame {len(frames)}: says {n} particles, but the file ends after "
                f"{max(len(body) - 1, 0)}; the file is truncated, write it again"
            )
        place += sum(body)
        frames.append(Frame(start, n))
    return frames


def faulty_particle(stream: IO[bytes], symbols: Container[str]) -> str | None:
    """Which line of an (ext)xyz file a parser must have stumbled over, in words; None if none."""
    lines = enumerate(stream, start=1)
    for _, line in lines:
        if not line.strip().isdigit():
            continue
        columns = _columns(next(lines, (0, b""))[1])
        for (number, text), i in zip(lines, range(int(line)), strict=False):
            fault = _row_fault(text.decode(errors="replace").split(), columns, symbols)
            if fault:
                return f"line {number}: particle {i}: {fault}"
    return None


def _columns(comment: bytes) -> list[str]:
    """One letter per word of a particle's line: S text, R real, I integer, L logical; * a symbol."""
    found = re.search(rb"\bProperties=\"?([^\s\"]+)", comment)
    text = (found[1] if found else b"species:S:1:pos:R:3").decode(errors="replace").split(":")
    columns = []
    for name, letter, count in zip(text[::3], text[1::3], text[2::3], strict=False):
        letter = "*" if name == "species" else letter
        columns += [letter] * (int(count) if count.isdigit() else 1)
    return columns


def _row_fault(words: list[str], columns: list[str], symbols: Container[str]) -> str | None:
    if len(words) < len(columns):
        return f"{len(words)} words, needs {len(columns)}"
    for word, letter in zip(words, columns, strict=False):
        if letter == "*" and word.capitalize() not in symbols and not word.isdigit():
            return f"unknown species {word!r}; use a chemical symbol, or X with a `type` column"
        if letter in "RI" and not _is_number(word):
            return f"{word!r} is not a number"
    return None


def _is_number(word: str) -> bool:
    try:
        float(word.replace("D", "E").replace("d", "e"))
    except ValueError:
        return False
    return True


def _lines(path: Path, stream: IO[bytes]) -> Iterator[bytes]:
    number = 0
    while line := stream.readline(LINE_BYTES):
        number += 1
        if len(line) == LINE_BYTES and not line.endswith(b"\n"):
            raise InputError(f"{path}: line {number}: longer than {LINE_BYTES} bytes; not xyz")
        yield line


def _announced(path: Path, line: bytes, frame: int) -> int:
    text = line.strip()
    if not re.fullmatch(rb"\d{1,18}", text):
        shown = text[:40].decode(errors="replace")
        raise InputError(
            f"{path}: frame {frame}: expected the number of particles, found {shown!r}; "
            "an xyz frame begins with it"
        )
    return int(text)


def check_announced_size(path: Path, head: bytes, format_name: str, size: int) -> None:
    """Compare the number of particles in the head of other text formats with the file's size."""
    reader = _COUNTS.get(format_name)
    n = reader(head) if reader else None
    if n is not None:
        _check_count(path, n, size, "header")


def _check_count(path: Path, n: int, size: int, where: str) -> None:
    if n * PARTICLE_BYTES > size + PARTICLE_BYTES:
        raise InputError(
            f"{path}: {where}: says {n} particles, but a file of {size} bytes cannot hold them; "
            "the file is damaged or truncated, write it again"
        )


def _matched(pattern: bytes) -> Callable[[bytes], int | None]:
    def find(head: bytes) -> int | None:
        found = re.search(pattern, head, re.MULTILINE)
        return int(found[1]) if found else None

    return find


def _poscar(head: bytes) -> int | None:
    for line in head.splitlines()[5:7]:
        words = line.split(b"!")[0].split()
        if words and all(re.fullmatch(rb"\d{1,18}", word) for word in words):
            return sum(map(int, words))
    return None


_COUNTS: dict[str, Callable[[bytes], int | None]] = {
    "lammps-data": _matched(rb"^\s*(\d{1,18})\s+atoms\b"),
    "lammps-dump-text": _matched(rb"ITEM: NUMBER OF ATOMS\s+(\d{1,18})"),
    "gromacs": _matched(rb"\A[^\n]*\n\s*(\d{1,18})"),
    "cfg": _matched(rb"^\s*Number of particles\s*=\s*(\d{1,18})"),
    "gen": _matched(rb"\A\s*(\d{1,18})"),
    "vasp": _poscar,
}
