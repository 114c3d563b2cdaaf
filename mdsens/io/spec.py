"""RUN.toml: what to compute, as checked data. No JAX, no NumPy arrays.

Types, ranges and unknown keys are checked by the models below; names (potentials, observables,
minimizers, ...) against the catalogue. Every fault is one sentence that lists what is allowed.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from mdsens.catalogue import (
    CELL_MODES,
    MINIMIZERS,
    OBSERVABLES,
    POTENTIALS,
    SOLVERS,
    PotentialEntry,
)
from mdsens.errors import InputError
from mdsens.files.inspection import check_regular_file
from mdsens.parameters import active_parameters
from mdsens.units import SYSTEMS

LARGEST_FILE = 10 * 2**20


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class SystemTable(_Table):
    """[system]: where the particles come from; see mdsens.io.structures.read."""

    structure: str = Field(description="name the structure file")
    index: int = -1
    dimension: int | None = None
    units: str | None = None
    format: str | None = None


class PotentialTable(_Table):
    """[potential]: its kind, parameters, the file they come from, and options (all other keys)."""

    model_config = ConfigDict(extra="allow")

    kind: str = Field(description="name the potential, see `mdsens list potentials`")
    file: str | None = None
    parameters: dict[str, float | str | dict[str, float]] = {}

    @property
    def entry(self) -> PotentialEntry:
        return POTENTIALS[self.kind]

    @property
    def options(self) -> dict[str, str]:
        return dict(self.model_extra or {})


class RelaxTable(_Table):
    """[relax]: how to find the minimum."""

    minimizer: str = "auto"
    fmax: float = Field(default=1e-10, gt=0)
    max_steps: int = Field(default=100_000, ge=1, lt=2**31)
    cell: str = "fixed"
    pressure: float = 0.0
    polish: bool = True


class SensitivityTable(_Table):
    """[sensitivity]: what to measure, with respect to what to differentiate it, and how."""

    observables: list[str] = ["energy"]
    wrt: list[str] = []
    positions: bool = False
    solver: str = "auto"
    rtol: float = Field(default=1e-10, gt=0, lt=1)


class RunTables(_Table):
    """All of a RUN.toml."""

    system: SystemTable = Field(description='add [system] with structure = "FILE"')
    potential: PotentialTable = Field(description='add [potential] with kind = "..."')
    relax: RelaxTable = RelaxTable()
    sensitivity: SensitivityTable = SensitivityTable()


@dataclass(frozen=True)
class Spec:
    """A checked RUN.toml.

    Attributes:
        path: the file, as the user named it.
        text: its content.
        overrides: the `--set` items applied to it.
        tables: the checked values.
    """

    path: Path
    text: str
    overrides: tuple[str, ...]
    tables: RunTables

    @property
    def structure(self) -> Path:
        """The structure file; its name is relative to the folder of the RUN.toml."""
        return self.path.parent / self.tables.system.structure

    @property
    def potential_file(self) -> Path | None:
        """The file of the potential's parameters, likewise."""
        file = self.tables.potential.file
        return None if file is None else self.path.parent / file


def load(path: str | Path, overrides: Sequence[str] = ()) -> Spec:
    """Read and check a RUN.toml; `overrides` are "table.key=value" items that replace its values.

    Raises:
        InputError: "FILE: where: what; what to do".
    """
    path = Path(path)
    text = _text(path)
    try:
        raw = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{path}: {_syntax(error)}; correct the TOML") from None
    for item in overrides:
        _override(raw, item)
    try:
        tables = RunTables.model_validate(raw)
        _check_names(tables)
    except ValidationError as error:
        raise InputError(f"{path}: {_sentence(error.errors(include_url=False))}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return Spec(path, text, tuple(overrides), tables)


def _text(path: Path) -> str:
    if check_regular_file(path, "run file") > LARGEST_FILE:
        raise InputError(f"{path}: run file: larger than 10 MB; name a RUN.toml")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: run file: is not text in UTF-8; name a RUN.toml") from None


def _syntax(error: Exception) -> str:
    """ "line 3, column 5: what" from tomllib's "what (at line 3, column 5)"."""
    what, _, place = str(error).partition(" (at ")
    return f"{place.rstrip(')')}: {what}" if place else f"syntax: {what}"


def _override(raw: dict[str, Any], item: str) -> None:
    """Apply one `--set table.key=value`; a value that is no TOML but one bare word is a string."""
    key, equals, value = item.partition("=")
    try:
        keys = _only_path(tomllib.loads(f"{key} = 0"))
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        keys = []
    if not equals or not keys:
        raise InputError(f"--set: {item}: not of the form table.key=value; write it so")
    table = raw
    for name in keys[:-1]:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise InputError(f"--set: {key.strip()}: {name} is not a table; name a key in a table")
    table[keys[-1]] = _literal(key.strip(), value.strip())


def _only_path(tree: dict[str, Any]) -> list[str]:
    """The keys down a tree without branches."""
    keys: list[str] = []
    node: Any = tree
    while isinstance(node, dict):
        ((name, node),) = node.items()
        keys.append(name)
    return keys


def _literal(key: str, value: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {value}")
        if parsed.keys() == {"value"}:
            return parsed["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        if re.fullmatch(r"[\w./+-]+", value):
            return value
    raise InputError(f"--set: {key}: {_shown(value)} is neither a TOML value nor a word; quote it")


def _check_names(tables: RunTables) -> None:
    system, potential, relax = tables.system, tables.potential, tables.relax
    sensitivity = tables.sensitivity
    if system.units is not None:
        _check_name("system.units", system.units, SYSTEMS)
    if system.dimension is not None:
        _check_name("system.dimension", system.dimension, (2, 3))
    _check_name("potential.kind", potential.kind, POTENTIALS)
    _check_options(potential)
    _check_name("relax.minimizer", relax.minimizer, MINIMIZERS)
    _check_name("relax.cell", relax.cell, CELL_MODES)
    if relax.cell == "fixed" and relax.pressure != 0.0:
        raise InputError(
            f"relax.pressure: {relax.pressure:g} has no effect while the cell is fixed; "
            'set relax.cell to "isotropic" or "full", or leave the pressure out'
        )
    _check_list("sensitivity.observables", sensitivity.observables, OBSERVABLES)
    names = [p.name for p in active_parameters(potential.entry, potential.options)]
    _check_list("sensitivity.wrt", sensitivity.wrt, names)
    _check_name("sensitivity.solver", sensitivity.solver, SOLVERS)
    if sensitivity.positions and not sensitivity.wrt:
        raise InputError(
            "sensitivity.positions: true, but wrt is empty; name the parameters to differentiate by"
        )


def _check_options(potential: PotentialTable) -> None:
    if potential.file is not None and potential.entry.file is None:
        raise InputError(
            f"potential.file: {potential.kind} reads no file; give its parameters one by one"
        )
    allowed = dict(potential.entry.options)
    for name, value in potential.options.items():
        if name not in allowed:
            keys = ("kind", "parameters", *(("file",) if potential.entry.file else ()), *allowed)
            raise InputError(f"potential.{name}: unknown key; {_allowed(name, keys)}")
        _check_name(f"potential.{name}", value, allowed[name])


def _check_list(where: str, names: Sequence[str], allowed: Iterable[str]) -> None:
    for k, name in enumerate(names):
        _check_name(where, name, allowed)
        if name in names[:k]:
            raise InputError(f"{where}: {_shown(name)} is there twice; name it once")


def _check_name(where: str, name: Any, allowed: Iterable[Any]) -> None:
    if name not in tuple(allowed):
        raise InputError(f"{where}: {_shown(name)} is not known; {_allowed(str(name), allowed)}")


def _allowed(name: str, allowed: Iterable[Any]) -> str:
    names = list(map(str, allowed))
    near = difflib.get_close_matches(name, names, n=1)
    return f"allowed: {', '.join(names)}" + (f"; did you mean {near[0]}?" if near else "")


def _sentence(errors: Sequence[ErrorDetails]) -> str:
    """The most telling of pydantic's complaints; a mistyped key also makes another one missing."""
    first = min(errors, key=lambda e: e["type"] != "extra_forbidden")
    loc, kind, given = first["loc"], first["type"], first["input"]
    *tables, name = loc
    where = ".".join(map(str, loc))
    if loc[:2] == ("potential", "parameters") and len(loc) > 2:
        return _parameter_sentence(str(loc[2]), given, kind)
    if kind == "extra_forbidden":
        return f"{where}: unknown key; {_allowed(str(name), _fields(tables))}"
    if kind == "missing":
        return f"{where}: missing; {_fields(tables)[name].description}"
    bound = _BOUNDS.get(kind)
    if bound:
        limit = next(iter(first.get("ctx", {}).values()))
        return f"{where}: {_shown(given)} is out of range; must be {bound} {limit}"
    return f"{where}: {_shown(given)} is not {_KINDS.get(kind, 'allowed')}; correct the value"


def _parameter_sentence(name: str, given: Any, kind: str) -> str:
    what = "finite" if kind == "finite_number" else "a parameter"
    return (
        f"potential.parameters.{name}: {_shown(given)} is not {what}; give a number, a table of "
        "numbers per species or pair, or the name of a column"
    )


def _fields(loc: Iterable[int | str]) -> Mapping[Any, Any]:
    """The fields of the table at `loc`."""
    model: Any = RunTables
    for name in loc:
        model = model.model_fields[name].annotation
    return model.model_fields


def _shown(value: Any) -> str:
    text = str(value) if isinstance(value, float) else json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


_BOUNDS = {
    "greater_than": ">",
    "greater_than_equal": ">=",
    "less_than": "<",
    "less_than_equal": "<=",
}
_KINDS = {
    "float_type": "a number",
    "int_type": "an integer",
    "bool_type": "true or false",
    "string_type": "a string",
    "list_type": "a list",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "dict_type": "a table",
    "finite_number": "finite",
}
