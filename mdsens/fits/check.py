"""What can be known of a FIT.toml without JAX: the input itself, and the files it names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mdsens.errors import InputError
from mdsens.files.inspection import check_regular_file
from mdsens.fits.spec import FitSpec, load, names_of
from mdsens.io.structures import read
from mdsens.io.toml import read_toml

_STRUCTURES = {
    "crystal": ("structure",),
    "defect": ("structure", "bulk"),
    "surface": ("structure", "bulk"),
    "barrier": ("minimum", "saddle"),
    "average": ("structure",),
}  # fmt: skip


def is_fit(path: str | Path) -> bool:
    """Whether a TOML file says what may change in a potential."""
    _, raw = read_toml(Path(path), "run file", "RUN.toml")
    return "free" in raw and "system" not in raw


def check(path: str | Path, overrides: Sequence[str] = ()) -> str:
    """A sentence on a FIT.toml that is fine.

    Raises:
        InputError: "FILE: where: what; what to do".
    """
    spec = load(path, overrides)
    try:
        for name, index in _structures(spec):
            read(spec.file(name), index)
        for file, what in _others(spec):
            check_regular_file(spec.file(file), what)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    targets, free = len(list(names_of(spec.tables))), len(spec.tables.free)
    return f"{path} is fine: {targets} target{'s'[: targets > 1]}, {free} of [free]"


def _structures(spec: FitSpec) -> Iterator[tuple[str, int]]:
    for kind, keys in _STRUCTURES.items():
        rows: Sequence[Any] = getattr(spec.tables, kind)
        for row in rows:
            yield from ((getattr(row, key), getattr(row, "index", -1)) for key in keys)


def _others(spec: FitSpec) -> Iterator[tuple[str, str]]:
    tables = spec.tables
    if tables.potential.file is not None:
        yield tables.potential.file, "potential file"
    yield from ((row.file, "labelled structures") for row in tables.data)
    yield from ((curve.file, "curve") for row in tables.average for curve in row.curves)
