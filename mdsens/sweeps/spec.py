"""SWEEP.toml: a RUN.toml and what to vary in it, as checked data. No JAX."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from mdsens.errors import InputError
from mdsens.io.toml import TomlTable, key_path, read_toml, shown, validated
from mdsens.sweeps.axes import FORMS, Axis, values_of

Dimension = tuple[Axis, ...]


class PlanTable(TomlTable):
    """[plan]: how many items make a batch, and which axes advance together."""

    batch: int = Field(default=64, ge=1, le=2**20)
    zip: list[list[str]] = Field(default=[])


class SweepTables(TomlTable):
    """All of a SWEEP.toml."""

    base: str = Field(description='name the RUN.toml to vary, base = "run.toml"')
    axes: dict[str, Any] = Field(description="add [axes] with what to vary")
    plan: PlanTable = PlanTable()


@dataclass(frozen=True)
class Sweep:
    """A checked SWEEP.toml.

    Attributes:
        path: the file, as the user named it.
        base: the RUN.toml.
        base_text: its content.
        base_raw: what it says.
        dimensions: of the grid of items; the axes of one dimension advance together.
        batch: items at a time.
    """

    path: Path
    base: Path
    base_text: str
    base_raw: Mapping[str, Any]
    dimensions: tuple[Dimension, ...]
    batch: int


def load(path: str | Path) -> Sweep:
    """Read and check a SWEEP.toml and the syntax of its RUN.toml.

    Raises:
        InputError: "FILE: where: what; what to do".
    """
    path = Path(path)
    _, raw = read_toml(path, "sweep file", "SWEEP.toml")
    try:
        tables = validated(SweepTables, raw)
        base = path.parent / tables.base
        dimensions = tuple(_dimensions(_axes(tables.axes, base.parent), tables.plan.zip))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    base_text, base_raw = read_toml(base, "run file", "RUN.toml")
    return Sweep(path, base, base_text, base_raw, dimensions, tables.plan.batch)


def _axes(table: Mapping[str, Any], folder: Path) -> dict[str, list[Any]]:
    axes: dict[str, list[Any]] = {}
    for key, given in _leaves(table):
        if key in axes:
            raise InputError(f"axes.{key}: there twice; name it once")
        axes[key] = values_of(key, given, folder)
    return axes


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and what is given for each; a table is one more step unless it is of some form."""
    if not table:
        raise InputError(f"axes{'.' if prefix else ''}{prefix[:-1]}: empty; name a key to vary")
    for name, given in table.items():
        if isinstance(given, Mapping) and not FORMS & given.keys():
            yield from _leaves(given, f"{prefix}{name}.")
        else:
            yield prefix + name, given


def _dimensions(axes: Mapping[str, list[Any]], zipped: list[list[str]]) -> Iterator[Dimension]:
    """Every axis once, in the order of the file; zipped ones where the first of them stands."""
    partners: dict[str, list[str]] = {}
    for group in zipped:
        for key in group:
            if key not in axes:
                raise InputError(
                    f"plan.zip: {shown(key)} is no axis; allowed: {', '.join(map(str, axes))}"
                )
            if key in partners:
                raise InputError(f"plan.zip: {shown(key)} is there twice; name it once")
            partners[key] = group
    done: set[str] = set()
    for key in axes:
        group = partners.get(key, [key])
        if key in done:
            continue
        done.update(group)
        lengths = {k: len(axes[k]) for k in group}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{k} has {n}" for k, n in lengths.items())
            raise InputError(f"plan.zip: axes of unequal length ({told}); make them equal")
        yield tuple(Axis(k, tuple(key_path(k)), tuple(axes[k])) for k in group)
