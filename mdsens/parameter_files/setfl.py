"""LAMMPS' files of embedded atoms: *.eam.alloy (setfl) and *.eam.fs (one density per ordered pair).

three lines of comments; "UNITS: metal" on the first
number of elements, their names
Nrho drho Nr dr cutoff
for each element: atomic number, mass, lattice constant, lattice; F at Nrho knots; f at Nr knots
    (*.eam.fs: what the element gives to each element in turn, Nr knots each)
for each pair 1-1, 2-1, 2-2, 3-1, ...: r phi at Nr knots
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mdsens.errors import InputError
from mdsens.files.atomic import write_bytes
from mdsens.parameter_files.text import check_units, read_text


@dataclass(frozen=True, eq=False)
class Setfl:
    """What is in a file of embedded atoms; n elements, energies in eV, lengths in angstrom.

    Attributes:
        comments: three lines.
        elements: n names.
        headers: n lines of atomic number, mass, lattice constant and lattice.
        drho, dr: distances of knots; the first knot is at 0.
        cutoff: range.
        embedding: (n, Nrho) F.
        density: (n, Nr) f of each element, or (n, n, Nr): what the first gives to the second.
        pair: (n (n + 1) / 2, Nr) r phi of 1-1, 2-1, 2-2, 3-1, ...
    """

    comments: tuple[str, str, str]
    elements: tuple[str, ...]
    headers: tuple[str, ...]
    drho: float
    dr: float
    cutoff: float
    embedding: np.ndarray
    density: np.ndarray
    pair: np.ndarray

    def parameters(self, species: Sequence[str], source: str) -> dict[str, Any]:
        """Parameters of `eam` for some of the elements, tables as {key: knots}.

        Raises:
            InputError: an element that the file, named `source`, lacks.
        """
        for name in species:
            if name not in self.elements:
                raise InputError(
                    f"{source}: element {name} of the structure is not in this file, which has "
                    f"{', '.join(self.elements)}; choose another file"
                )
        place = {name: self.elements.index(name) for name in species}
        pairs = [(a, b) for k, a in enumerate(species) for b in species[k:]]
        if self.density.ndim == 2:
            density = {a: self.density[place[a]] for a in species}
        else:
            density = {
                f"{a}-{b}": self.density[place[a], place[b]] for a in species for b in species
            }
        return {
            "embedding": {a: self.embedding[place[a]] for a in species},
            "density": density,
            "pair": {f"{a}-{b}": self.pair[_triangle(place[a], place[b])] for a, b in pairs},
            "drho": self.drho,
            "dr": self.dr,
            "cutoff": self.cutoff,
        }


def _triangle(a: int, b: int) -> int:
    """Place of a pair in 0-0, 1-0, 1-1, 2-0, ..."""
    low, high = sorted((a, b))
    return high * (high + 1) // 2 + low


def read_setfl(path: Path) -> Setfl:
    """A file of embedded atoms; names that end in `.fs` have a density per ordered pair.

    Raises:
        InputError: "FILE: line n: what; what to do".
    """
    lines = _Lines(path)
    comments = tuple(lines.next("a comment") for _ in range(3))
    check_units(path, 1, comments[0])
    elements = _elements(lines)
    n = len(elements)
    n_rho, drho, n_r, dr, cutoff = _grid(lines)
    shape = (n, n_r) if path.suffix == ".fs" else (n_r,)
    headers, embedding, density = [], [], []
    for element in elements:
        headers.append(_header(lines, element))
        embedding.append(lines.numbers((n_rho,), f"F of {element}"))
        density.append(lines.numbers(shape, f"the density of {element}"))
    pair = [
        lines.numbers((n_r,), f"r phi of {elements[a]}-{elements[b]}")
        for a in range(n)
        for b in range(a + 1)
    ]
    lines.end()
    return Setfl(
        (comments[0], comments[1], comments[2]), elements, tuple(headers), drho, dr, cutoff,
        np.array(embedding), np.array(density), np.array(pair),
    )  # fmt: skip


def write_setfl(path: Path, table: Setfl) -> None:
    """Write a file so that reading it gives the same bits; its name must end in `.fs` where there is a
    density per ordered pair, and only there.

    Raises:
        InputError: the name does not say what the file is.
        OutputError: the file cannot be written.
    """
    if (path.suffix == ".fs") != (table.density.ndim == 3):
        raise InputError(
            f'{path}: a name ending in ".fs" is for a density per ordered pair of elements, any other '
            "for one per element; name it accordingly"
        )
    n_rho, n_r = table.embedding.shape[1], table.pair.shape[1]
    lines = [
        *table.comments,
        " ".join([str(len(table.elements)), *table.elements]),
        f"{n_rho} {table.drho!r} {n_r} {table.dr!r} {table.cutoff!r}",
    ]
    for header, f, rho in zip(table.headers, table.embedding, table.density, strict=True):
        lines += [header, *_rows(f), *_rows(rho)]
    lines += _rows(table.pair)
    write_bytes(path, ("\n".join(lines) + "\n").encode())


def _rows(values: np.ndarray) -> list[str]:
    """Five numbers a line; a function begins on a new one."""
    functions = np.asarray(values).reshape(-1, np.shape(values)[-1]).tolist()
    return [" ".join(map(repr, row[k : k + 5])) for row in functions for k in range(0, len(row), 5)]


class _Lines:
    """The lines of a file, taken one after the other."""

    def __init__(self, path: Path):
        self.path = path
        self.lines = read_text(path).splitlines()
        self.taken = 0

    def fault(self, what: str) -> InputError:
        return InputError(f"{self.path}: line {self.taken}: {what}")

    def next(self, what: str) -> str:
        self.taken += 1
        if self.taken > len(self.lines):
            raise self.fault(f"the file ends where {what} should be; complete it")
        return self.lines[self.taken - 1]

    def numbers(self, shape: tuple[int, ...], what: str) -> np.ndarray:
        """Numbers over as many lines as they take, the last one filled by them alone."""
        values: list[float] = []
        count = int(np.prod(shape))
        while len(values) < count:
            for word in self.next(f"the next of {count} numbers for {what}").split():
                values.append(self.number(word, what))
        if len(values) > count:
            raise self.fault(
                f"{what} has {count} numbers and ends within this line; begin what follows on the next"
            )
        return np.array(values).reshape(shape)

    def number(self, word: str, what: str) -> float:
        try:
            value = float(word)
        except ValueError:
            value = np.nan
        if not np.isfinite(value):
            raise self.fault(f"{word!r} is not a finite number; {what} needs one here")
        return value

    def end(self) -> None:
        for line in self.lines[self.taken :]:
            self.taken += 1
            if line.strip():
                raise self.fault(
                    f"{line.strip()[:40]!r} after the last pair; remove it, or, with a density per "
                    'ordered pair of elements, let the name of the file end in ".fs"'
                )


def _elements(lines: _Lines) -> tuple[str, ...]:
    words = lines.next("the number and names of elements").split()
    count = int(words[0]) if words and words[0].isdigit() else 0
    if count < 1 or len(words) != count + 1 or len(set(words[1:])) != count:
        raise lines.fault(
            'should be the number of elements and their names, such as "2 Cu Ni"; correct it'
        )
    return tuple(words[1:])


def _grid(lines: _Lines) -> tuple[int, float, int, float, float]:
    words = lines.next("Nrho drho Nr dr cutoff").split()
    if len(words) == 5 and words[0].isdigit() and words[2].isdigit():
        n_rho, n_r = int(words[0]), int(words[2])
        drho, dr, cutoff = (lines.number(words[k], "the grid") for k in (1, 3, 4))
        if min(n_rho, n_r) >= 5 and min(drho, dr, cutoff) > 0.0:
            return n_rho, drho, n_r, dr, cutoff
    raise lines.fault(
        'should be "Nrho drho Nr dr cutoff", at least 5 knots each and positive lengths; correct it'
    )


def _header(lines: _Lines, element: str) -> str:
    line = lines.next(f"the atomic number of {element}")
    words = line.split()
    if len(words) != 4 or not words[0].lstrip("-").isdigit():
        raise lines.fault(
            f"should be atomic number, mass, lattice constant and lattice of {element}; correct it, or, "
            'with a density per ordered pair of elements, let the name of the file end in ".fs"'
        )
    return line
