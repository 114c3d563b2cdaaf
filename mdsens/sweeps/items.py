"""The items of a plan as jobs. No JAX."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from mdsens.errors import InputError
from mdsens.io import spec
from mdsens.io.structures import Frames, is_extxyz
from mdsens.io.toml import assign
from mdsens.sweeps.plan import Plan, file_hash
from mdsens.system import System
from mdsens.workflow import Job, examine, read_structure

Values = Mapping[tuple[str, ...], Any]


class Items:
    """Makes jobs of items; files are checked against the plan when they are first used."""

    def __init__(self, plan: Plan, folder: Path):
        """`folder`: where the plan lies."""
        self._plan = plan
        self._base = folder.resolve() / plan.base
        self.folder = self._base.parent
        self._raw = tomllib.loads(plan.base_text)
        self._hashes = {file.name: file.sha256 for file in plan.files}
        self._checked: set[str] = set()
        self._last: tuple[Any, System] | None = None
        self._frames: dict[str, Frames] = {}

    @property
    def one_by_one(self) -> bool:
        """Whether the plan wants every item computed alone."""
        return self._plan.batch == 1

    def job(self, item: int) -> Job:
        """The job of an item.

        Raises:
            InputError: the item cannot be computed; says why.
            StaleFile: a file is not what it was when the plan was made.
        """
        values = self._plan.values(item)
        checked = item_spec(self._base, self._plan.base_text, self._raw, values)
        for name in files_of(checked):
            self._check_file(name)
        digest = self._hashes[checked.tables.system.structure]
        return examine(checked, self._system(checked), f"sha256:{digest}")

    def _system(self, checked: spec.Spec) -> System:
        table = checked.tables.system
        # Neighbouring items mostly share a structure.
        if self._last is None or self._last[0] != table:
            self._last = (table, self._read(checked))
        return self._last[1]

    def _read(self, checked: spec.Spec) -> System:
        table = checked.tables.system
        if not is_extxyz(checked.structure, table.format):
            return read_structure(checked)
        if table.structure not in self._frames:
            # Of one file at a time: there may be very many.
            self._frames = {table.structure: Frames(checked.structure)}
        frames = self._frames[table.structure]
        return frames.read(table.index, table.dimension, table.units)

    def _check_file(self, name: str) -> None:
        if name in self._checked:
            return
        path = self.folder / name
        try:
            found = file_hash(path)
        except OSError as error:
            raise StaleFile(f"{path}: {error.strerror}; restore it, or plan again") from None
        if found != self._hashes[name]:
            raise StaleFile(f"{path}: changed since the plan was made; restore it, or plan again")
        self._checked.add(name)


class StaleFile(InputError):
    """A plan's file has changed or gone: nothing computed from it would be the plan's."""


def item_spec(base: Path, text: str, raw: Mapping[str, Any], values: Values) -> spec.Spec:
    """The checked RUN.toml of an item.

    Raises:
        InputError: "FILE: where: what; what to do".
    """
    changed = deepcopy(dict(raw))
    for path, value in values.items():
        assign(changed, path, value)
    told = [f"{'.'.join(path)}={json.dumps(value)}" for path, value in values.items()]
    checked = spec.checked(base, text, changed, told)
    if checked.tables.ensemble is not None:
        raise InputError(f"{base}: ensemble: a sweep relaxes; run ensembles one by one")
    return checked


def files_of(checked: spec.Spec) -> list[str]:
    """The files a RUN.toml names, the structure first, as it names them."""
    more = checked.tables.potential.file
    return [checked.tables.system.structure, *([] if more is None else [more])]
