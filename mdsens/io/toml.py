"""From a TOML file to a checked model: syntax, types, ranges, unknown keys, each fault one sentence.

No JAX, no NumPy arrays.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from mdsens.errors import InputError
from mdsens.files.inspection import check_regular_file

LARGEST_FILE = 10 * 2**20


class TomlTable(BaseModel):
    """A table of known keys with values of the right type."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


@dataclass(frozen=True)
class TomlInput:
    """Base of checked input files.

    Attributes:
        path: the file, as the user named it.
        text: its content.
        overrides: the `--set` items applied to it.
    """

    path: Path
    text: str
    overrides: tuple[str, ...]

    def file(self, name: str) -> Path:
        """A file that is named in it, relative to its folder."""
        return self.path.parent / name


Model = TypeVar("Model", bound=TomlTable)


def read_toml(path: Path, what: str, example: str) -> tuple[str, dict[str, Any]]:
    """The text of a file ("run file") and what it says; `example` ("RUN.toml") is its kind.

    Raises:
        InputError: "FILE: where: what; what to do".
    """
    text = _text(path, what, example)
    try:
        return text, tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{path}: {_syntax(error)}; correct the TOML") from None


def validated(model: type[Model], raw: Mapping[str, Any]) -> Model:
    """The model with these values.

    Raises:
        InputError: "where: what; what to do".
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise InputError(_sentence(model, error.errors(include_url=False))) from None


def override(raw: dict[str, Any], item: str) -> None:
    """Apply one `--set table.key=value`; a value that is no TOML but one bare word is a string."""
    key, equals, value = item.partition("=")
    keys = key_path(key)
    if not equals or not keys:
        raise InputError(f"--set: {item}: not of the form table.key=value; write it so")
    try:
        assign(raw, keys, _literal(key.strip(), value.strip()))
    except InputError as error:
        raise InputError(f"--set: {error}") from None


def key_path(key: str) -> list[str]:
    """The names in a dotted key as TOML has them; empty if it is none."""
    try:
        return _only_path(tomllib.loads(f"{key} = 0"))
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        return []


def assign(raw: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    """raw[keys[0]][keys[1]]... = value; tables on the way are made.

    Raises:
        InputError: one on the way is not a table.
    """
    table = raw
    for name in keys[:-1]:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise InputError(f"{'.'.join(keys)}: {name} is not a table; name a key in a table")
    table[keys[-1]] = value


def check_list(where: str, names: Sequence[str], allowed: Iterable[str]) -> None:
    """Raise InputError unless the names are all allowed and there once."""
    for k, name in enumerate(names):
        check_name(where, name, allowed)
        if name in names[:k]:
            raise InputError(f"{where}: {shown(name)} is there twice; name it once")


def check_name(where: str, name: Any, allowed: Iterable[Any]) -> None:
    """Raise InputError, with what is allowed, unless the name is."""
    if name not in tuple(allowed):
        raise InputError(f"{where}: {shown(name)} is not known; {what_is_allowed(name, allowed)}")


def what_is_allowed(name: Any, allowed: Iterable[Any]) -> str:
    """ "allowed: a, b, c; did you mean b?" """
    names = list(map(str, allowed))
    near = difflib.get_close_matches(str(name), names, n=1)
    return f"allowed: {', '.join(names)}" + (f"; did you mean {near[0]}?" if near else "")


def shown(value: Any) -> str:
    """A value as it may stand in a sentence."""
    text = str(value) if isinstance(value, float) else json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _text(path: Path, what: str, example: str) -> str:
    if check_regular_file(path, what) > LARGEST_FILE:
        raise InputError(f"{path}: {what}: larger than 10 MB; name a {example}")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: {what}: is not text in UTF-8; name a {example}") from None


def _syntax(error: Exception) -> str:
    """ "line 3, column 5: what" from tomllib's "what (at line 3, column 5)"."""
    what, _, place = str(error).partition(" (at ")
    return f"{place.rstrip(')')}: {what}" if place else f"syntax: {what}"


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
    raise InputError(f"{key}: {shown(value)} is neither a TOML value nor a word; quote it")


def _sentence(model: type[TomlTable], errors: Sequence[ErrorDetails]) -> str:
    """The most telling of pydantic's complaints; a mistyped key also makes another one missing."""
    first = min(errors, key=lambda e: e["type"] != "extra_forbidden")
    loc, kind, given = first["loc"], first["type"], first["input"]
    *tables, name = loc
    where = ".".join(map(str, loc))
    if loc[:2] == ("potential", "parameters") and len(loc) > 2:
        return _parameter_sentence(str(loc[2]), given, kind)
    if kind == "extra_forbidden":
        return f"{where}: unknown key; {what_is_allowed(name, _fields(model, tables))}"
    if kind == "missing":
        return f"{where}: missing; {_fields(model, tables)[name].description}"
    bound = _BOUNDS.get(kind)
    if bound:
        limit = next(iter(first.get("ctx", {}).values()))
        return f"{where}: {shown(given)} is out of range; must be {bound} {limit}"
    return f"{where}: {shown(given)} is not {_KINDS.get(kind, 'allowed')}; correct the value"


def _parameter_sentence(name: str, given: Any, kind: str) -> str:
    what = "finite" if kind == "finite_number" else "a parameter"
    return (
        f"potential.parameters.{name}: {shown(given)} is not {what}; give a number, a table of "
        "numbers per species or pair, or the name of a column"
    )


def _fields(model: Any, loc: Iterable[int | str]) -> Mapping[Any, Any]:
    """The fields of the table at `loc`, which may lead through lists and tables of tables."""
    for name in loc:
        inside = getattr(model, "model_fields", {}).get(name)
        # A place in a list, or a key of the user's: what is there is of the type inside.
        model = _table_in(model if inside is None else inside.annotation)
    return getattr(model, "model_fields", {})


def _table_in(annotation: Any) -> Any:
    """The table among list[Table], dict[str, bool | Table], Table | None; or the annotation."""
    if hasattr(annotation, "model_fields"):
        return annotation
    found = [_table_in(inner) for inner in get_args(annotation)]
    return next((t for t in found if hasattr(t, "model_fields")), annotation)


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
