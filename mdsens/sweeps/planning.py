"""From SWEEP.toml to a plan: everything is checked that can be without computing. No JAX."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mdsens.errors import InputError
from mdsens.io.spec import Spec
from mdsens.io.structures import particle_counts
from mdsens.io.toml import shown
from mdsens.sweeps.axes import MOST_ITEMS, STRUCTURE, Axis
from mdsens.sweeps.items import files_of, item_spec
from mdsens.sweeps.plan import File, Plan, file_hash, relative
from mdsens.sweeps.spec import Sweep
from mdsens.system import System
from mdsens.workflow import examine, read_structure

_STRUCTURE = tuple(STRUCTURE.split("."))
_INDEX = ("system", "index")


def make_plan(sweep: Sweep, folder: Path) -> Plan:
    """The plan of a sweep; `folder` is where it will lie.

    RUN.toml is checked with every value that could be wrong on its own (of numbers the smallest and
    the largest), not with every combination; an item that is wrong all the same says so when it is
    computed.

    Raises:
        InputError: "FILE: where: what; what to do".
    """
    shape = tuple(len(d[0].values) for d in sweep.dimensions)
    if np.prod(shape, dtype=float) > MOST_ITEMS:
        raise InputError(
            f"{sweep.path}: {np.prod(shape, dtype=float):.3g} items; at most {MOST_ITEMS}"
        )
    first = _checked(sweep)
    structures, places = _along(sweep, shape, _STRUCTURE, first.tables.system.structure)
    indices, frames = _along(sweep, shape, _INDEX, first.tables.system.index)
    files = [_structure_file(sweep, name, first.tables.system.format) for name in structures]
    others = {*_axis(sweep, ("potential", "file")), *files_of(first)[1:]}
    files += [File(n, file_hash(sweep.base.parent / n)) for n in sorted(others)]
    particles = _particles(sweep, files, places, np.array(indices)[frames])
    return Plan(
        relative(sweep.base, folder),
        sweep.base_text,
        sweep.dimensions,
        sweep.batch,
        tuple(files),
        particles,
    )


def _checked(sweep: Sweep) -> Spec:
    """The spec of the first item, after one look at every probe."""
    systems: dict[Any, System] = {}
    specs: list[Spec] = []
    for where, values in _probes(sweep):
        try:
            checked = item_spec(sweep.base, sweep.base_text, sweep.base_raw, values)
            key = tuple(checked.tables.system.model_dump().values())
            if key not in systems:
                systems[key] = read_structure(checked)
            examine(checked, systems[key], "")
        except InputError as error:
            raise InputError(f"{sweep.path}: {where}{error}") from None
        specs.append(checked)
    return specs[0]


def _probes(sweep: Sweep) -> Iterator[tuple[str, dict[tuple[str, ...], Any]]]:
    """Where we are in words, and the values of an item, for the items worth checking."""
    start = {a.path: a.values[0] for axes in sweep.dimensions for a in axes}
    yield "", start
    for axes in sweep.dimensions:
        for axis in axes:
            for k in sorted(_telling(axis)):
                row = {a.path: a.values[k] for a in axes}
                yield f"axes.{axis.key} = {shown(axis.values[k])}: ", {**start, **row}


def _telling(axis: Axis) -> set[int]:
    """Where the values are that could be wrong on their own; the first is checked anyway."""
    if axis.path == _STRUCTURE:
        return set()
    if isinstance(axis.values[0], float | int):
        return {int(np.argmin(axis.values)), int(np.argmax(axis.values))} - {0}
    new = {str(value): k for k, value in reversed(list(enumerate(axis.values)))}
    return set(new.values()) - {0}


def _axis(sweep: Sweep, path: tuple[str, ...]) -> tuple[Any, ...]:
    return next((a.values for axes in sweep.dimensions for a in axes if a.path == path), ())


def _along(
    sweep: Sweep, shape: tuple[int, ...], path: tuple[str, ...], base: Any
) -> tuple[list[Any], np.ndarray]:
    """The distinct values of a key, and which of them each item has, (items,)."""
    for k, axes in enumerate(sweep.dimensions):
        for axis in axes:
            if axis.path == path:
                distinct = {value: n for n, value in enumerate(dict.fromkeys(axis.values))}
                numbers = np.array([distinct[v] for v in axis.values])
                places = np.indices(shape, sparse=True)[k]
                return list(distinct), np.broadcast_to(numbers[places], shape).ravel()
    return [base], np.zeros(int(np.prod(shape)), dtype=int)


def _structure_file(sweep: Sweep, name: str, format: str | None) -> File:
    path = sweep.base.parent / name
    try:
        return File(name, file_hash(path), tuple(particle_counts(path, format)))
    except OSError as error:
        raise InputError(f"{sweep.path}: {path}: {error.strerror}; check the axes") from None
    except InputError as error:
        raise InputError(f"{sweep.path}: {error}") from None


def _particles(
    sweep: Sweep, files: list[File], places: np.ndarray, indices: np.ndarray
) -> np.ndarray:
    """(items,) particle numbers.

    Raises:
        InputError: an item asks for a frame that is not there.
    """
    frames = np.array([len(f.particles) for f in files])
    chosen = np.where(indices < 0, indices + frames[places], indices)
    bad = np.flatnonzero((chosen < 0) | (chosen >= frames[places]))
    if bad.size:
        k = bad[0]
        raise InputError(
            f"{sweep.path}: item {k}: no frame {indices[k]} in {files[places[k]].name}, which has "
            f"{frames[places[k]]}; correct system.index"
        )
    flat = np.concatenate([np.array(f.particles, dtype=int) for f in files])
    return flat[(np.cumsum(frames) - frames)[places] + chosen]
