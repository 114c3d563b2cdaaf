"""RUN.toml: what to compute, as checked data. No JAX, no NumPy arrays.

Types, ranges and unknown keys are checked by the models below; names (potentials, observables,
minimizers, ...) against the catalogue. Every fault is one sentence that lists what is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field

from mdsens.catalogue import (
    CELL_MODES,
    MINIMIZERS,
    OBSERVABLES,
    POTENTIALS,
    SOLVERS,
    PotentialEntry,
)
from mdsens.errors import InputError
from mdsens.io.toml import (
    TomlInput,
    TomlTable,
    check_list,
    check_name,
    override,
    read_toml,
    validated,
    what_is_allowed,
)
from mdsens.parameters import active_parameters
from mdsens.units import SYSTEMS


class SystemTable(TomlTable):
    """[system]: where the particles come from; see mdsens.io.structures.read."""

    structure: str = Field(description="name the structure file")
    index: int = -1
    dimension: int | None = None
    units: str | None = None
    format: str | None = None


class PotentialTable(TomlTable):
    """[potential]: its kind, parameters, the file they come from, and options (all other keys)."""

    model_config = ConfigDict(extra="allow")

    kind: str = Field(description="name the potential, see `mdsens list potentials`")
    file: str | None = None
    parameters: dict[str, float | str | dict[str, float]] = Field(default={})

    @property
    def entry(self) -> PotentialEntry:
        return POTENTIALS[self.kind]

    @property
    def options(self) -> dict[str, str]:
        return dict(self.model_extra or {})


class RelaxTable(TomlTable):
    """[relax]: how to find the minimum."""

    minimizer: str = "auto"
    fmax: float = Field(default=1e-10, gt=0)
    max_steps: int = Field(default=100_000, ge=1, lt=2**31)
    cell: str = "fixed"
    pressure: float = 0.0
    polish: bool = True


class SensitivityTable(TomlTable):
    """[sensitivity]: what to measure, with respect to what to differentiate it, and how."""

    observables: list[str] = Field(default=["energy"])
    wrt: list[str] = Field(default=[])
    positions: bool = False
    solver: str = "auto"
    rtol: float = Field(default=1e-10, gt=0, lt=1)


class RunTables(TomlTable):
    """All of a RUN.toml."""

    system: SystemTable = Field(description='add [system] with structure = "FILE"')
    potential: PotentialTable = Field(description='add [potential] with kind = "..."')
    relax: RelaxTable = RelaxTable()
    sensitivity: SensitivityTable = SensitivityTable()


@dataclass(frozen=True)
class Spec(TomlInput):
    """A checked RUN.toml; `tables` are its values."""

    tables: RunTables

    @property
    def structure(self) -> Path:
        """The structure file."""
        return self.file(self.tables.system.structure)

    @property
    def potential_file(self) -> Path | None:
        """The file of the potential's parameters."""
        file = self.tables.potential.file
        return None if file is None else self.file(file)


def load(path: str | Path, overrides: Sequence[str] = ()) -> Spec:
    """Read and check a RUN.toml; `overrides` are "table.key=value" items that replace its values.

    Raises:
        InputError: "FILE: where: what; what to do".
    """
    path = Path(path)
    text, raw = read_toml(path, "run file", "RUN.toml")
    for item in overrides:
        override(raw, item)
    return checked(path, text, raw, overrides)


def checked(path: Path, text: str, raw: Mapping[str, Any], overrides: Sequence[str] = ()) -> Spec:
    """The Spec of a RUN.toml that says `raw`.

    Raises:
        InputError: "FILE: where: what; what to do".
    """
    try:
        tables = validated(RunTables, raw)
        _check_names(tables)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return Spec(path, text, tuple(overrides), tables)


def _check_names(tables: RunTables) -> None:
    system, potential, relax = tables.system, tables.potential, tables.relax
    sensitivity = tables.sensitivity
    if system.units is not None:
        check_name("system.units", system.units, SYSTEMS)
    if system.dimension is not None:
        check_name("system.dimension", system.dimension, (2, 3))
    check_name("potential.kind", potential.kind, POTENTIALS)
    check_options(potential)
    check_name("relax.minimizer", relax.minimizer, MINIMIZERS)
    check_name("relax.cell", relax.cell, CELL_MODES)
    if relax.cell == "fixed" and relax.pressure != 0.0:
        raise InputError(
            f"relax.pressure: {relax.pressure:g} has no effect while the cell is fixed; "
            'set relax.cell to "isotropic" or "full", or leave the pressure out'
        )
    check_list("sensitivity.observables", sensitivity.observables, OBSERVABLES)
    names = [p.name for p in active_parameters(potential.entry, potential.options)]
    check_list("sensitivity.wrt", sensitivity.wrt, names)
    check_name("sensitivity.solver", sensitivity.solver, SOLVERS)
    if sensitivity.positions and not sensitivity.wrt:
        raise InputError(
            "sensitivity.positions: true, but wrt is empty; name the parameters to differentiate by"
        )


def check_options(potential: PotentialTable) -> None:
    if potential.file is not None and potential.entry.file is None:
        raise InputError(
            f"potential.file: {potential.kind} reads no file; give its parameters one by one"
        )
    allowed = dict(potential.entry.options)
    for name, value in potential.options.items():
        if name not in allowed:
            keys = ("kind", "parameters", *(("file",) if potential.entry.file else ()), *allowed)
            raise InputError(f"potential.{name}: unknown key; {what_is_allowed(name, keys)}")
        check_name(f"potential.{name}", value, allowed[name])
