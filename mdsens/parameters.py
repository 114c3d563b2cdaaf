"""From what a person writes (number, table, column name) to checked parameter arrays. No JAX.

A parameter takes one of three forms:
    a number                       -> array of shape ()
    a table per species or pair    -> Table of n values with their keys, in the order written
    a per-particle array or column -> array of shape (N,)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from mdsens.catalogue import Parameter, PotentialEntry
from mdsens.errors import InputError
from mdsens.knots import rows
from mdsens.parameter_files import read_setfl, read_triples
from mdsens.published import PUBLISHED
from mdsens.system import System


@dataclass(frozen=True, eq=False)
class Table:
    """n values, one per key; a key is a species ("Ar") or an unordered pair of them ("Ar-Kr").

    Behaves as its (n,) array of values in arithmetic and in np.asarray; the keys stay with it
    through jax.grad, jax.tree.map and `+`, `-`, `*`, `/`, `**`. Two tables combine only if their
    keys agree.
    """

    values: Any
    keys: tuple[str, ...]

    # NumPy's scalars and arrays on the left leave arithmetic to the table.
    __array_priority__ = 1000

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(self.values)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self.values, dtype=dtype)

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self):
        return (self.values[k] for k in range(len(self)))

    def __getitem__(self, key):
        return self.values[self.keys.index(key) if isinstance(key, str) else key]

    def _with(self, operation: Callable[[Any, Any], Any], other: Any) -> Table:
        if isinstance(other, Table):
            if other.keys != self.keys:
                raise InputError(f"tables of {', '.join(self.keys)} and {', '.join(other.keys)}")
            other = other.values
        return Table(operation(self.values, other), self.keys)

    def __neg__(self):
        return Table(-self.values, self.keys)

    def __add__(self, other):
        return self._with(lambda a, b: a + b, other)

    def __sub__(self, other):
        return self._with(lambda a, b: a - b, other)

    def __rsub__(self, other):
        return self._with(lambda a, b: b - a, other)

    def __mul__(self, other):
        return self._with(lambda a, b: a * b, other)

    def __truediv__(self, other):
        return self._with(lambda a, b: a / b, other)

    def __rtruediv__(self, other):
        return self._with(lambda a, b: b / a, other)

    def __pow__(self, other):
        return self._with(lambda a, b: a**b, other)

    __radd__ = __add__
    __rmul__ = __mul__


def index_matrix(keys: tuple[str, ...], type_names: tuple[str, ...]) -> np.ndarray | None:
    """(T, T) symmetric integers: which entry of a pair table serves types a, b; -1 where none does.

    None if the keys are single species, not pairs.
    """
    if all(key in type_names for key in keys):
        return None
    place = {frozenset(split_pair(key, type_names)): k for k, key in enumerate(keys)}
    pairs = [[place.get(frozenset((a, b)), -1) for b in type_names] for a in type_names]
    return np.array(pairs, dtype=np.int32)


def restricted(params: Any, present: Sequence[str]) -> Any:
    """A dict of parameters without the entries of tables that name a species not `present`."""
    if not isinstance(params, dict):
        return params
    name = "|".join(re.escape(n) for n in present)
    about = re.compile(f"(?:{name})(?:-(?:{name}))*")

    def part(value: Any) -> Any:
        if not isinstance(value, Table):
            return restricted(value, present)
        kept = [k for k, key in enumerate(value.keys) if about.fullmatch(key)]
        if len(kept) == len(value.keys):
            return value
        return Table(value.values[np.array(kept, int)], tuple(value.keys[k] for k in kept))

    return {name: part(value) for name, value in params.items()}


def split_pair(key: str, type_names: tuple[str, ...]) -> tuple[str, str]:
    """The two species of a pair key; species names may themselves contain hyphens."""
    for k, character in enumerate(key):
        if character == "-" and key[:k] in type_names and key[k + 1 :] in type_names:
            return key[:k], key[k + 1 :]
    raise InputError(
        f'"{key}" names no species or pair of this structure; its species are '
        f'{", ".join(type_names)}: write "{type_names[0]}" or "{type_names[0]}-{type_names[-1]}"'
    )


def resolve(
    entry: PotentialEntry,
    options: Mapping[str, str],
    system: System,
    given: Mapping[str, Any],
    file: str | Path | None = None,
) -> dict[str, np.ndarray | Table]:
    """Every parameter of the potential as a checked float64 array or Table; what is given goes
    before what the file says.

    Raises InputError (unknown, missing or ill-typed parameter; value out of bounds; unknown column;
    table that misses a pair present in the structure; a file that is none of the potential's).
    """
    known = {p.name: p for p in active_parameters(entry, options)}
    for name in given:
        if name not in known:
            raise InputError(
                f"potential.parameters.{name}: not a parameter of {entry.kind}; "
                f"allowed: {', '.join(known)}"
            )
    if file is not None:
        given = {**_from_file(entry, Path(file), system), **given}
    given = _with_published(entry, system, given)
    resolved = {
        name: _resolve_one(entry, parameter, system, given.get(name, parameter.default))
        for name, parameter in known.items()
        if name in given or parameter.default_rule is None
    }
    if "cutoff" in known and "cutoff" not in resolved:
        resolved["cutoff"] = 2.9 * np.max(np.asarray(resolved["r_e"]))
    if "onset" in known and "onset" not in resolved:
        resolved["onset"] = 0.8 * resolved["cutoff"]
    if "onset" in resolved:
        _check_onset(resolved["onset"], resolved["cutoff"])
    return resolved


def _with_published(
    entry: PotentialEntry, system: System, given: Mapping[str, Any]
) -> dict[str, Any]:
    """What is given, and the published value of each element it does not name."""
    completed = dict(given)
    for name, values in PUBLISHED.get(entry.kind, {}).items():
        table = given.get(name, {})
        if not isinstance(table, Mapping | Table):
            continue
        keys = table.keys if isinstance(table, Table) else tuple(table)
        lacking = [s for s in system.type_names if s not in keys]
        unknown = [s for s in lacking if s not in values]
        if unknown:
            raise InputError(
                f"potential.parameters.{name}: {entry.kind} has no published value for {unknown[0]}, "
                f"only for {', '.join(values)}; give one for {unknown[0]}"
            )
        if lacking:
            completed[name] = {**{k: table[k] for k in keys}, **{s: values[s] for s in lacking}}
    return completed


def active_parameters(entry: PotentialEntry, options: Mapping[str, str]) -> tuple[Parameter, ...]:
    """The parameters the potential has under these options."""
    switching = options.get("smoothing") == "xplor"
    return tuple(p for p in entry.parameters if p.name != "onset" or switching)


def _from_file(entry: PotentialEntry, file: Path, system: System) -> dict[str, Any]:
    if entry.file is None:
        raise InputError(
            f"potential.file: {entry.kind} reads no file; give its parameters one by one"
        )
    if entry.file == "setfl":
        return read_setfl(file).parameters(system.type_names, str(file))
    return read_triples(file, [p.name for p in entry.parameters], system.type_names)


def _resolve_one(
    entry: PotentialEntry, parameter: Parameter, system: System, raw: Any
) -> np.ndarray | Table:
    where = f"potential.parameters.{parameter.name}"
    if raw is None and parameter.knots:
        raise InputError(f"{where}: missing; name a file that has it ({parameter.meaning})")
    if raw is None:
        raise InputError(
            f"{where}: missing and has no default; give a number, a table or a column ({parameter.meaning})"
        )
    if parameter.single and (isinstance(raw, str | Mapping | Table) or np.ndim(raw)):
        raise InputError(f"{where}: is one number for all; give a number")
    if isinstance(raw, Table):
        raw = dict(zip(raw.keys, np.asarray(raw.values), strict=True))
    if parameter.knots:
        return Table(*rows(where, raw, parameter.knots, system.type_names))
    if entry.per_triple and not isinstance(raw, Mapping) and (isinstance(raw, str) or np.ndim(raw)):
        raise InputError(
            f"{where}: {entry.kind} has no parameters per particle; give a number, or a table per "
            "triple of species"
        )
    if isinstance(raw, Mapping):
        value: np.ndarray | Table = _table(where, raw, system, entry.per_triple)
    elif isinstance(raw, str):
        value = _column(where, raw, system)
    else:
        value = _array(where, raw, system)
    _check_bounds(where, parameter, value)
    return value


def _array(where: str, raw: Any, system: System) -> np.ndarray:
    try:
        value = np.asarray(raw)
    except ValueError as error:
        raise InputError(f"{where}: not a number, table or per-particle array: {error}") from error
    if value.dtype.kind not in "iuf":
        raise InputError(
            f"{where}: {raw!r} is not a number, a table per species, "
            "or the name of a per-particle column"
        )
    if value.shape not in ((), (system.n_particles,)):
        raise InputError(
            f"{where}: shape {value.shape}; one number or one per particle ({system.n_particles},)"
        )
    return value.astype(np.float64)


def _column(where: str, name: str, system: System) -> np.ndarray:
    if name not in system.columns:
        allowed = ", ".join(sorted(system.columns)) or "none"
        raise InputError(
            f'{where}: no per-particle column "{name}" in {system.source}; its columns: {allowed}'
        )
    column = np.asarray(system.columns[name])
    if column.shape != (system.n_particles,) or column.dtype.kind not in "iuf":
        raise InputError(f'{where}: column "{name}" is not one number per particle')
    return column.astype(np.float64)


def _table(where: str, raw: Mapping[str, Any], system: System, per_triple: bool) -> Table:
    names = system.type_names
    keys = tuple(str(k) for k in raw)
    for key, value in raw.items():
        if np.ndim(value) or np.asarray(value).dtype.kind not in "iuf":
            raise InputError(f"{where}.{key}: {value!r} is not a number")
    (check_triples if per_triple else check_keys)(where, keys, names)
    return Table(np.array([float(raw[k]) for k in raw], dtype=np.float64), keys)


def check_keys(where: str, keys: tuple[str, ...], names: tuple[str, ...]) -> None:
    """Raise InputError unless the keys cover all species `names`, or all pairs of them, once."""
    if not keys:
        raise InputError(f"{where}: empty table; its species are {', '.join(names)}")
    singles = [k for k in keys if k in names]
    try:
        pairs = [tuple(sorted(split_pair(k, names))) for k in keys if k not in names]
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    if singles and pairs:
        raise InputError(f"{where}: mixes species and pairs of species; use one kind of key")
    if len(set(pairs)) != len(pairs):
        raise InputError(f"{where}: names a pair twice (A-B and B-A are the same)")
    if singles:
        missing = [n for n in names if n not in singles]
    else:
        every = [(a, b) for i, a in enumerate(names) for b in names[i:]]
        missing = [f"{a}-{b}" for a, b in every if tuple(sorted((a, b))) not in pairs]
    if missing:
        kind = "species" if singles else "pair"
        raise InputError(
            f"{where}: no entry for {', '.join(missing)}; every {kind} present needs one"
        )


def check_triples(where: str, keys: tuple[str, ...], names: tuple[str, ...]) -> None:
    """Raise InputError unless the keys cover all ordered triples of the species, once."""
    wanted = ["-".join(t) for t in product(names, repeat=3)]
    unknown = [k for k in keys if k not in wanted]
    if unknown:
        raise InputError(
            f'{where}: "{unknown[0]}" names no triple of species of this structure, which are '
            f'{", ".join(names)}: write "{wanted[0]}"'
        )
    missing = [k for k in wanted if k not in keys]
    if missing:
        raise InputError(
            f"{where}: no entry for {', '.join(missing)}; every triple present needs one"
        )


def triple_index(name: str, keys: tuple[str, ...], type_names: tuple[str, ...]) -> np.ndarray:
    """(T, T, T) integers: which entry of a triple table serves types a, b, c."""
    check_triples(name, keys, type_names)
    places = [keys.index("-".join(t)) for t in product(type_names, repeat=3)]
    return np.array(places, dtype=np.int32).reshape(3 * (len(type_names),))


def _check_onset(onset: np.ndarray | Table, cutoff: np.ndarray | Table) -> None:
    alike = np.shape(onset) == np.shape(cutoff) and (
        getattr(onset, "keys", None) == getattr(cutoff, "keys", None)
    )
    low, high = np.atleast_1d(np.asarray(onset)), np.atleast_1d(np.asarray(cutoff))
    if not alike:
        low, high = low.max(keepdims=True), high.min(keepdims=True)
    bad = np.flatnonzero(low >= high)
    if bad.size:
        raise InputError(
            f"potential.parameters.onset: {low[bad[0]]:g} must be smaller than the cutoff, "
            f"{high[bad[0]]:g}"
        )


def _check_bounds(where: str, parameter: Parameter, value: np.ndarray | Table) -> None:
    numbers = np.atleast_1d(np.asarray(value))
    labels = value.keys if isinstance(value, Table) else None
    allowed = np.isfinite(numbers)
    if parameter.lower is not None:
        above = numbers > parameter.lower if parameter.strict else numbers >= parameter.lower
        allowed &= above | _unused(numbers, labels)
    if allowed.all():
        return
    k = int(np.flatnonzero(~allowed)[0])
    place = f"[{labels[k]}]" if labels else (f" of particle {k}" if np.ndim(value) else "")
    sign = ">" if parameter.strict else ">="
    bound = "" if parameter.lower is None else f" and {sign} {parameter.lower:g}"
    raise InputError(f"{where}: value {numbers[k]:g}{place} must be finite{bound}; correct it")


def _unused(numbers: np.ndarray, labels: tuple[str, ...] | None) -> np.ndarray:
    """True for the zeros that files write where a value belongs to pairs and the triple is none."""
    parts = [label.split("-") for label in labels or ()]
    if not parts or any(len(p) != 3 for p in parts):
        return np.zeros(len(numbers), bool)
    return (numbers == 0.0) & np.array([p[1] != p[2] for p in parts])
