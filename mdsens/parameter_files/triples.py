"""LAMMPS' files of parameters per triple of elements: *.sw, *.tersoff, *.edip.

An entry is three elements and a fixed number of values, over as many lines as it likes; `#` begins a
comment. The first comment may carry a tag `UNITS: metal`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from mdsens.errors import InputError
from mdsens.files.atomic import write_bytes
from mdsens.parameter_files.text import check_units, read_text


def read_triples(path: Path, names: Sequence[str], elements: Sequence[str]) -> dict[str, Any]:
    """The values of `names`, in the file's order, for all triples of `elements`: a number each
    where there is one element, else {"A-B-C": number}.

    Raises:
        InputError: "FILE: line n: what; what to do": malformed entry, other units than metal,
            an element or a triple that the file lacks, a triple that is there twice.
    """
    wanted = ["-".join(t) for t in product(elements, repeat=3)]
    entries: dict[str, list[float]] = {}
    found: set[str] = set()
    for line, words in _entries(path, 3 + len(names)):
        key = "-".join(words[:3])
        found.update(words[:3])
        if key in entries:
            raise InputError(f"{path}: line {line}: {key} is there twice; remove one")
        entries[key] = [_number(path, line, word) for word in words[3:]]
    for element in elements:
        if element not in found:
            raise InputError(
                f"{path}: element {element} of the structure is not in this file, which has "
                f"{', '.join(sorted(found)) or 'none'}; choose another file"
            )
    missing = [key for key in wanted if key not in entries]
    if missing:
        raise InputError(f"{path}: no entry for {', '.join(missing)}; add one")
    if len(wanted) == 1:
        return dict(zip(names, entries[wanted[0]], strict=True))
    return {n: {key: entries[key][k] for key in wanted} for k, n in enumerate(names)}


def write_triples(
    path: Path, values: Mapping[str, Any], elements: Sequence[str], comment: str
) -> None:
    """Write values (numbers, or {"A-B-C": number}) so that reading them gives the same bits.

    Raises:
        OutputError: the file cannot be written.
    """
    lines = [f"# {comment} UNITS: metal", f"# element 1 2 3, {' '.join(values)}"]
    for triple in product(elements, repeat=3):
        key = "-".join(triple)
        numbers = [v[key] if isinstance(v, Mapping) else v for v in values.values()]
        lines.append(" ".join([*triple, *(repr(float(np.asarray(x))) for x in numbers)]))
    write_bytes(path, ("\n".join(lines) + "\n").encode())


def _entries(path: Path, length: int) -> list[tuple[int, list[str]]]:
    """(number of its first line, words) of each entry."""
    entries: list[tuple[int, list[str]]] = []
    words: list[str] = []
    begin = 0
    for number, text in enumerate(read_text(path).splitlines(), start=1):
        line, _, comment = text.partition("#")
        check_units(path, number, comment)
        begin = begin if words else number
        words += line.split()
        if len(words) > length:
            raise InputError(
                f"{path}: line {number}: an entry of {length} words (three elements, {length - 3} "
                f"numbers) that begins on line {begin} has more; correct it"
            )
        if len(words) == length:
            entries.append((begin, words))
            words = []
    if words:
        raise InputError(
            f"{path}: line {begin}: the last entry has {len(words)} words of {length} (three "
            f"elements, {length - 3} numbers); complete it"
        )
    return entries


def _number(path: Path, line: int, word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise InputError(
            f"{path}: line {line}: {word!r} is not a number; correct the entry that begins there"
        ) from None
