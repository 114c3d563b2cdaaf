"""What varies: the values of one key of RUN.toml, listed, spaced, drawn or found. No JAX."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from mdsens.errors import InputError
from mdsens.io.toml import TomlTable, key_path, shown, validated

STRUCTURE = "system.structure"
MOST_ITEMS = 10**7


@dataclass(frozen=True)
class Axis:
    """A dotted key of RUN.toml, its names one by one, and the values it takes."""

    key: str
    path: tuple[str, ...]
    values: tuple[Any, ...]


class AxisTable(TomlTable):
    """The forms of an axis other than a plain list; exactly one of them."""

    values: list[Any] | None = None
    glob: str | None = None
    range: list[int] | None = None
    linspace: list[float] | None = None
    geomspace: list[float] | None = None
    uniform: list[float] | None = None
    loguniform: list[float] | None = None
    normal: list[float] | None = None
    count: int | None = Field(default=None, ge=1, le=MOST_ITEMS)
    seed: int | None = Field(default=None, ge=0)


RANDOM = ("uniform", "loguniform", "normal")
FORMS = frozenset(AxisTable.model_fields)


def values_of(key: str, given: Any, folder: Path) -> list[Any]:
    """The values of an axis; `folder` is where the RUN.toml lies.

    Raises:
        InputError: "axes.KEY: what; what to do".
    """
    where = f"axes.{key}"
    if not key_path(key):
        raise InputError(f"{where}: not a dotted key; write table.key as in RUN.toml")
    try:
        values = given if isinstance(given, list) else _formed(key, given, folder)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    if not values:
        raise InputError(f"{where}: no values; give at least one")
    if len(values) > MOST_ITEMS:
        raise InputError(f"{where}: {len(values)} values; at most {MOST_ITEMS}")
    if not all(isinstance(v, float | int | str | list | dict) for v in values):
        raise InputError(f"{where}: values are numbers, strings, lists or tables; correct them")
    if len({_kind(v) for v in values}) > 1:
        raise InputError(f"{where}: values of different types; make them alike")
    return values


def _kind(value: Any) -> type:
    """Integers are numbers like any other; true and false are not."""
    return float if type(value) is int else type(value)


def _formed(key: str, given: Any, folder: Path) -> list[Any]:
    if not isinstance(given, Mapping):
        raise InputError(f"{shown(given)} is no list; write [{shown(given)}]")
    table = validated(AxisTable, given)
    forms = sorted(given.keys() - {"count", "seed"})
    if len(forms) != 1:
        allowed = ", ".join(
            name for name in AxisTable.model_fields if name not in ("count", "seed")
        )
        raise InputError(f"needs one of {allowed}; {', '.join(forms) or 'none'} given")
    form = forms[0]
    if form in RANDOM:
        return _drawn(key, form, getattr(table, form), table)
    if "count" in given or "seed" in given:
        raise InputError(f"count and seed belong to {', '.join(RANDOM)}; leave them out")
    if form == "glob":
        return _found(key, given["glob"], folder)
    return list(table.values or []) if form == "values" else _spaced(form, getattr(table, form))


def _found(key: str, pattern: str, folder: Path) -> list[str]:
    if key != STRUCTURE:
        raise InputError(f"glob is for {STRUCTURE}; list the values")
    try:
        names = sorted(p.relative_to(folder).as_posix() for p in folder.glob(pattern))
    except (ValueError, NotImplementedError, OSError) as error:
        raise InputError(f"glob: {shown(pattern)}: {error}; correct the pattern") from None
    if not names:
        raise InputError(f"glob: no file {shown(pattern)} in {folder}; check the pattern")
    return names


def _spaced(form: str, numbers: list[float]) -> list[Any]:
    if form == "range":
        if len(numbers) not in (2, 3) or 0 in numbers[2:]:
            raise InputError(
                f"range: {shown(numbers)}; write [start, stop] or [start, stop, step], stop excluded"
            )
        whole = range(*(int(x) for x in numbers))
        if len(whole) > MOST_ITEMS:
            raise InputError(f"range: {len(whole)} values; at most {MOST_ITEMS}")
        return list(whole)
    if len(numbers) != 3 or not 1 <= numbers[2] <= MOST_ITEMS or numbers[2] % 1:
        raise InputError(f"{form}: {shown(numbers)}; write [first, last, how many]")
    if form == "geomspace" and not numbers[0] * numbers[1] > 0:
        raise InputError(
            f"geomspace: {shown(numbers)}; first and last must have one sign and not be zero"
        )
    space = np.geomspace if form == "geomspace" else np.linspace
    return space(numbers[0], numbers[1], int(numbers[2])).tolist()


def _drawn(key: str, form: str, numbers: list[float], table: AxisTable) -> list[float]:
    """Drawn by NumPy's PCG64 from seed and key: the same on every machine, another on every axis."""
    if len(numbers) != 2 or table.count is None or table.seed is None:
        what = "[mean, standard deviation]" if form == "normal" else "[low, high]"
        raise InputError(
            f"{form}: incomplete; write {form} = {what}, count = how many, seed = an integer"
        )
    a, b = numbers
    wrong = b < 0 if form == "normal" else a > b
    if wrong or (form == "loguniform" and a <= 0):
        raise InputError(f"{form}: {shown(numbers)} is out of range; correct the numbers")
    rng = np.random.default_rng([table.seed, zlib.crc32(key.encode())])
    if form == "normal":
        drawn = rng.normal(a, b, table.count)
    elif form == "loguniform":
        drawn = np.clip(np.exp(rng.uniform(np.log(a), np.log(b), table.count)), a, b)
    else:
        drawn = rng.uniform(a, b, table.count)
    return drawn.tolist()
