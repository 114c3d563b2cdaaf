"""A plan: everything a sweep computes, in one immutable file. No JAX.

Items are the points of a grid, numbered as C arrays are. What belongs to them is stored by axis, not
by item; batches follow from that by rule, so that everybody who has the file has the same ones.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mdsens.errors import InputError
from mdsens.files.atomic import write_bytes
from mdsens.files.inspection import check_regular_file
from mdsens.sweeps.axes import Axis

FORMAT = "mdsens sweep plan"
FORMAT_VERSION = 1
# Particle numbers of a batch differ by no more than this factor.
_ALIKE = 1.125
# Of these the compiled code does not depend on the value of a number.
_FREE = (("potential", "parameters"), ("relax", "pressure"))


@dataclass(frozen=True)
class File:
    """A file that a plan rests on, named as RUN.toml names it.

    Attributes:
        sha256: of its content.
        particles: in each of its frames; empty for what is no structure.
    """

    name: str
    sha256: str
    particles: tuple[int, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What to compute.

    Attributes:
        base: the RUN.toml, relative to the folder of the plan.
        base_text: its content.
        dimensions: of the grid; the axes of one dimension advance together.
        batch: items at a time, at most.
        files: structures first, in the order of their axis.
        particles: (items,) per item.
    """

    base: str
    base_text: str
    dimensions: tuple[tuple[Axis, ...], ...]
    batch: int
    files: tuple[File, ...]
    particles: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(d[0].values) for d in self.dimensions)

    @property
    def items(self) -> int:
        return int(np.prod(self.shape))

    @cached_property
    def hash(self) -> str:
        return _hash(_content(self))

    def values(self, item: int) -> dict[tuple[str, ...], Any]:
        """What item number `item` has in place of what RUN.toml says, by path."""
        places = np.unravel_index(item, self.shape)
        pairs = zip(self.dimensions, places, strict=True)
        return {a.path: a.values[int(k)] for axes, k in pairs for a in axes}

    @cached_property
    def batches(self) -> tuple[np.ndarray, ...]:
        """The items of each batch, ascending: alike in what is compiled for them, and in size."""
        kinds = np.stack([*self._kinds(), np.floor(np.log(self.particles) / np.log(_ALIKE))])
        order = np.lexsort(kinds[::-1])
        cuts = np.flatnonzero(np.diff(kinds[:, order], axis=1).any(axis=0)) + 1
        return tuple(
            group[k : k + self.batch]
            for group in np.split(order, cuts)
            for k in range(0, len(group), self.batch)
        )

    def _kinds(self) -> Iterator[np.ndarray]:
        """Per dimension, what of an item's values decides how it is compiled, as a number."""
        for axes, places in zip(self.dimensions, np.indices(self.shape, sparse=True), strict=True):
            told = [
                json.dumps([_kind(a, v) for a, v in zip(axes, row, strict=True)])
                for row in _rows(axes)
            ]
            numbers = np.unique(np.array(told), return_inverse=True)[1]
            yield np.broadcast_to(numbers[places], self.shape).ravel()


def _rows(axes: tuple[Axis, ...]) -> Iterator[tuple[Any, ...]]:
    return zip(*(axis.values for axis in axes), strict=True)


def _kind(axis: Axis, value: Any) -> Any:
    if axis.path in (("system", "structure"), ("system", "index")):
        return None  # their size counts
    number = isinstance(value, float | int) and not isinstance(value, bool)
    return None if number and axis.path[:2] in _FREE else value


def write_plan(plan: Plan, path: str | Path) -> None:
    """Write a plan; one that is there is never changed.

    Raises:
        InputError: another plan is there.
        OutputError: the file cannot be written.
    """
    path = Path(path)
    if path.exists() and read_plan(path).hash != plan.hash:
        raise InputError(
            f"{path}: another plan is there; choose another name, or remove it and its shards"
        )
    content = _content(plan)
    write_bytes(path, _canonical({**content, "sha256": _hash(content)}))


def read_plan(path: str | Path) -> Plan:
    """Read a plan back.

    Raises:
        InputError: there is no such file, or it is no plan, or not as it was written.
    """
    path = Path(path)
    check_regular_file(path, "plan")
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != FORMAT:
            raise ValueError(content["format"])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise InputError(f"{path}: plan: is none; name what `mdsens sweep plan` wrote") from None
    if content["version"] != FORMAT_VERSION:
        raise InputError(
            f"{path}: plan: version {content['version']}, this mdsens knows {FORMAT_VERSION}; "
            "plan again"
        )
    if content.pop("sha256", None) != _hash(content):
        raise InputError(f"{path}: plan: not as it was written; plan again")
    axes = [
        tuple(Axis(a["key"], tuple(a["path"]), tuple(a["values"])) for a in d)
        for d in content["dimensions"]
    ]
    files = [File(f["name"], f["sha256"], tuple(f["particles"])) for f in content["files"]]
    return Plan(
        content["base"], content["base_text"], tuple(axes), content["batch"], tuple(files),
        np.repeat(*np.array(content["particles"]).T),
    )  # fmt: skip


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def relative(path: Path, folder: Path) -> str:
    """A path as seen from a folder, with steps up where needed."""
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def _content(plan: Plan) -> dict[str, Any]:
    change = np.flatnonzero(np.diff(plan.particles, prepend=-1))
    lengths = np.diff(change, append=plan.items)
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "base": plan.base,
        "base_text": plan.base_text,
        "batch": plan.batch,
        "dimensions": [[vars(axis) for axis in axes] for axes in plan.dimensions],
        "files": [vars(file) for file in plan.files],
        "particles": [
            [int(plan.particles[k]), int(n)] for k, n in zip(change, lengths, strict=True)
        ],
    }


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, sort_keys=True).encode()


def _hash(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(content)).hexdigest()
