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
    AVERAGES,
    CELL_MODES,
    ENSEMBLES,
    MINIMIZERS,
    OBSERVABLES,
    POTENTIALS,
    SOLVERS,
    THERMOSTATS,
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


class EnsembleTable(TomlTable):
    """[ensemble]: what to sample instead of a minimum; see mdsens.thermal.ensemble."""

    kind: str = Field(description="name the ensemble: nve, nvt or npt")
    temperature: float = Field(gt=0, description="give it, in kelvin (reduced: as k_B T)")
    time_step: float = Field(gt=0, description="give it, in fs (reduced: in sqrt(m/energy) length)")
    steps: int = Field(ge=1, lt=2**40, description="say how many, of every walker")
    equilibration: int = Field(default=0, ge=0, lt=2**40)
    stride: int = Field(default=50, ge=1, lt=2**31)
    walkers: int = Field(default=1, ge=1, lt=2**20)
    thermostat: str | None = None
    relaxation: float | None = Field(default=None, gt=0)
    pressure: float | None = None
    barostat_relaxation: float | None = Field(default=None, gt=0)
    seed: int = Field(default=0, ge=0, lt=2**31)


class RunTables(TomlTable):
    """All of a RUN.toml."""

    system: SystemTable = Field(description='add [system] with structure = "FILE"')
    potential: PotentialTable = Field(description='add [potential] with kind = "..."')
    relax: RelaxTable = RelaxTable()
    ensemble: EnsembleTable | None = None
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
    known = OBSERVABLES if tables.ensemble is None else AVERAGES
    check_list("sensitivity.observables", sensitivity.observables, known)
    names = [p.name for p in active_parameters(potential.entry, potential.options)]
    check_list("sensitivity.wrt", sensitivity.wrt, names)
    check_name("sensitivity.solver", sensitivity.solver, SOLVERS)
    if sensitivity.positions and not sensitivity.wrt:
        raise InputError(
            "sensitivity.positions: true, but wrt is empty; name the parameters to differentiate by"
        )

    if tables.ensemble is not None:
        _check_ensemble(tables, tables.ensemble)


def _check_ensemble(tables: RunTables, ensemble: EnsembleTable) -> None:
    """What the tables say of an ensemble against its kind."""
    check_dynamics("ensemble", ensemble)
    if "relax" in tables.model_fields_set:
        raise InputError(
            "relax: an ensemble is sampled from the structure as it is; leave out [relax] or [ensemble]"
        )
    for key in {"positions", "solver", "rtol"} & tables.sensitivity.model_fields_set:
        raise InputError(f"sensitivity.{key}: has no meaning in an ensemble; leave it out")
    if ensemble.kind == "nve" and tables.sensitivity.wrt:
        raise InputError(
            "sensitivity.wrt: averages at constant energy have no derivatives; use nvt or npt, or wrt = []"
        )
    only = {"compressibility": "npt", "elastic_tensor": "nvt"}
    for name, kind in only.items():
        if name in tables.sensitivity.observables and ensemble.kind != kind:
            raise InputError(
                f"sensitivity.observables: {name} is measured in {kind} only; leave it out"
            )
    if ensemble.kind == "nve" and "heat_capacity" in tables.sensitivity.observables:
        raise InputError(
            "sensitivity.observables: heat_capacity is not measured in nve; leave it out"
        )


def check_dynamics(where: str, ensemble: EnsembleTable) -> None:
    """An ensemble against its kind, whatever is measured in it."""
    check_name(f"{where}.kind", ensemble.kind, ENSEMBLES)
    if ensemble.thermostat is not None:
        check_name(f"{where}.thermostat", ensemble.thermostat, THERMOSTATS)
    own = {"thermostat": "nvt", "pressure": "npt", "barostat_relaxation": "npt"}
    for key, kind in own.items():
        if getattr(ensemble, key) is not None and ensemble.kind != kind:
            raise InputError(f"{where}.{key}: has no effect in {ensemble.kind}; leave it out")
    if ensemble.kind == "npt" and ensemble.pressure is None:
        raise InputError(f"{where}.pressure: missing; give the pressure of npt")
    if ensemble.steps < ensemble.stride:
        raise InputError(
            f"{where}.stride: {ensemble.stride} is more than the {ensemble.steps} steps, which leaves "
            "no sample; lower it"
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
