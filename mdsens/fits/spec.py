"""FIT.toml: a potential, what is free in it, and what it should meet, as checked data. No JAX."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from mdsens.catalogue import CELL_MODES, CURVES, FIT_STEPS, POTENTIALS
from mdsens.errors import InputError
from mdsens.io.spec import EnsembleTable, PotentialTable, check_dynamics, check_options
from mdsens.io.toml import (
    TomlInput,
    TomlTable,
    check_name,
    override,
    read_toml,
    shown,
    validated,
    what_is_allowed,
)
from mdsens.parameters import active_parameters
from mdsens.units import UNITS, units_of


class FreeTable(TomlTable):
    """A free parameter: bounds, transform, prior [mean, deviation]; or tied to another."""

    lower: float | None = None
    upper: float | None = None
    transform: Literal["linear", "log"] = "linear"
    prior: list[float] | None = None
    tied: str | None = None
    factor: float | None = None


def _without_rules(value: Any) -> Any:
    if value is False:
        raise ValueError
    return {} if value is True else value


# `true` is a table without rules.
Rule = Annotated[FreeTable, BeforeValidator(_without_rules)]


class FitTable(TomlTable):
    """[fit]: how to go down; see mdsens.fit."""

    optimizer: str = "levenberg_marquardt"
    loss: str = "linear"
    max_iterations: int = Field(default=100, ge=1)
    tolerance: float = Field(default=1e-10, gt=0, lt=1)
    learning_rate: float = Field(default=1e-2, gt=0)
    starts: int = Field(default=1, ge=1)
    spread: float = Field(default=0.2, gt=0)
    seed: int = Field(default=0, ge=0)
    patience: int = Field(default=10, ge=1)
    validation: float = Field(default=0.0, ge=0, lt=1)
    energy_shift: bool = False
    ensemble: int = Field(default=0, ge=0)
    max_steps: int = Field(default=FIT_STEPS, ge=1)


class WantTable(TomlTable):
    """A number to meet."""

    value: float = Field(description="give the value to meet")
    sigma: float = Field(gt=0, description="give a standard deviation, in the same unit")
    units: str | None = None


class MeanTable(WantTable):
    """An average to meet."""

    property: str = Field(description="name the property, such as pressure")


class PropertyTable(WantTable):
    """A property of a crystal to meet."""

    property: str = Field(description="name the property, such as a or C11")
    q: list[float] | None = None
    branch: int | None = None
    atoms: list[int] | None = None


class CurveTable(TomlTable):
    """A function of distance or wavenumber to meet: a file of two columns, or three with deviations."""

    property: str = Field(description="name the curve, such as pair_correlation")
    file: str = Field(description="name the file of the curve")
    sigma: float | None = Field(default=None, gt=0)
    units: str | None = None
    width: float | None = Field(default=None, gt=0)
    pair: list[str] | None = Field(default=None, min_length=2, max_length=2)


class DataTable(TomlTable):
    """[[data]]: labelled structures; deviations of energy per atom, forces, stress."""

    name: str | None = None
    file: str = Field(description="name the file of labelled structures")
    energy: float | None = Field(default=None, gt=0)
    forces: float | None = Field(default=None, gt=0)
    stress: float | None = Field(default=None, gt=0)


class CrystalTable(TomlTable):
    """[[crystal]]: properties of one relaxed structure."""

    name: str | None = None
    structure: str = Field(description="name the structure file")
    index: int = -1
    cell: str = "full"
    pressure: float = 0.0
    want: list[PropertyTable] = Field(description="say what it should meet")


class DefectTable(TomlTable):
    """[[defect]]: formation energy and volume against a bulk crystal."""

    name: str | None = None
    structure: str = Field(description="name the structure with the defect")
    bulk: str = Field(description="name the structure of the perfect crystal")
    cell: str = "fixed"
    energy: WantTable | None = None
    volume: WantTable | None = None


class SurfaceTable(TomlTable):
    """[[surface]]: energy per area of a slab against a bulk crystal."""

    name: str | None = None
    structure: str = Field(description="name the structure of the slab")
    bulk: str = Field(description="name the structure of the perfect crystal")
    axis: int = Field(default=2, ge=0, le=2)
    energy: WantTable = Field(description="say what it should be")


class BarrierTable(TomlTable):
    """[[barrier]]: energy of a saddle above a minimum."""

    name: str | None = None
    minimum: str = Field(description="name the structure of the minimum")
    saddle: str = Field(description="name a structure near the saddle")
    energy: WantTable = Field(description="say what it should be")


class AverageTable(TomlTable):
    """[[average]]: averages of one structure at a temperature; `ensemble` as in a RUN.toml."""

    name: str | None = None
    structure: str = Field(description="name the structure file")
    index: int = -1
    ensemble: EnsembleTable = Field(description='say ensemble = {kind = "nvt", ...}')
    want: list[MeanTable] = Field(default=[])
    curves: list[CurveTable] = Field(default=[])


class FitTables(TomlTable):
    """All of a FIT.toml."""

    potential: PotentialTable = Field(description='add [potential] with kind = "..."')
    free: dict[str, Rule] = Field(description="add [free] with what may change")
    fit: FitTable = FitTable()
    data: list[DataTable] = Field(default=[])
    crystal: list[CrystalTable] = Field(default=[])
    defect: list[DefectTable] = Field(default=[])
    surface: list[SurfaceTable] = Field(default=[])
    barrier: list[BarrierTable] = Field(default=[])
    average: list[AverageTable] = Field(default=[])


@dataclass(frozen=True)
class FitSpec(TomlInput):
    """A checked FIT.toml; `tables` are its values."""

    tables: FitTables


def load(path: str | Path, overrides: Sequence[str] = ()) -> FitSpec:
    """Read and check a FIT.toml; `overrides` as for a RUN.toml.

    Raises:
        InputError: "FILE: where: what; what to do".
    """
    path = Path(path)
    text, raw = read_toml(path, "fit file", "FIT.toml")
    for item in overrides:
        override(raw, item)
    try:
        tables = validated(FitTables, raw)
        _check(tables)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return FitSpec(path, text, tuple(overrides), tables)


def unit_of(
    where: str, kind: str, want: WantTable | CurveTable, units: str, dimension: int
) -> tuple[str, float]:
    """The unit of a number, and what one is in eV, angstrom, THz, degrees.

    Args:
        units, dimension: of the system that the number is of.

    Raises:
        InputError: no unit where one is needed, or one of another quantity.
    """
    if units == "reduced" and want.units in (None, "reduced"):
        return "reduced", 1.0
    # Of all quantities only angles have units that take no energy and no length.
    if units == "reduced" and kind != "angle":
        raise InputError(
            f"{where}.units: {shown(want.units)} means nothing in reduced units; leave it out"
        )
    allowed = units_of(kind, dimension)
    called = f"{kind} in 2D" if allowed is not UNITS[kind] else kind
    if want.units is None:
        raise InputError(f"{where}.units: missing; allowed for a {called}: {', '.join(allowed)}")
    if want.units not in allowed:
        raise InputError(
            f"{where}.units: {shown(want.units)} is no unit of a {called}; "
            f"{what_is_allowed(want.units, allowed)}"
        )
    return want.units, allowed[want.units]


def _check(tables: FitTables) -> None:
    check_name("potential.kind", tables.potential.kind, POTENTIALS)
    check_options(tables.potential)
    if not tables.free:
        raise InputError("free: empty; name the parameters that may change")
    for key, value in tables.potential.parameters.items():
        if isinstance(value, str):
            raise InputError(
                f"potential.parameters.{key}: {shown(value)} would be a column of one structure, but a fit "
                "is to many; give a number or a table per species"
            )
    names = [p.name for p in active_parameters(tables.potential.entry, tables.potential.options)]
    for key, how in tables.free.items():
        check_name("free", key.partition("[")[0], names)
        _check_rule(f"free.{key}", how)
    for where, cell in (
        *((f"crystal.{k}", t.cell) for k, t in enumerate(tables.crystal)),
        *((f"defect.{k}", t.cell) for k, t in enumerate(tables.defect)),
    ):
        check_name(f"{where}.cell", cell, CELL_MODES)
    for k, table in enumerate(tables.average):
        check_dynamics(f"average.{k}.ensemble", table.ensemble)
        for i, curve in enumerate(table.curves):
            check_name(f"average.{k}.curves.{i}.property", curve.property, CURVES)
    for k, data in enumerate(tables.data):
        if data.energy is None and data.forces is None and data.stress is None:
            raise InputError(
                f"data.{k}: no deviation of energy, forces or stress, so nothing counts; give one"
            )
    for k, defect in enumerate(tables.defect):
        if defect.energy is None and defect.volume is None:
            raise InputError(f"defect.{k}: neither energy nor volume; say what it should meet")
    if not any(rows for _, _, rows in _lists(tables)):
        raise InputError(
            f"no targets; add one of {', '.join(f'[[{kind}]]' for kind, _, _ in _lists(tables))}"
        )
    if tables.fit.validation and not tables.data:
        raise InputError(
            "fit.validation: a share of the data, but there are no [[data]]; leave it out"
        )
    _check_unique(tables)


def _check_rule(where: str, how: FreeTable) -> None:
    if how.prior is not None and len(how.prior) != 2:
        raise InputError(f"{where}.prior: has to be [mean, deviation]")
    if how.tied is None:
        if how.factor is not None:
            raise InputError(f"{where}.factor: of nothing; say what it is tied to, or leave it out")
        return
    more = sorted(how.model_fields_set - {"tied", "factor"})
    if more:
        raise InputError(
            f"{where}.{more[0]}: a tied parameter has no rule of its own; give it to {how.tied}"
        )


def _check_unique(tables: FitTables) -> None:
    seen: set[str] = set()
    for where, name in names_of(tables):
        if name in seen:
            raise InputError(
                f"{where}: another target is called {shown(name)}; give it a name of its own"
            )
        seen.add(name)


def names_of(tables: FitTables) -> Iterator[tuple[str, str]]:
    """(place, name) of every target: its own, or that of its file."""
    for kind, file, rows in _lists(tables):
        for k, row in enumerate(rows):
            yield f"{kind}.{k}", row.name or Path(getattr(row, file)).stem


def _lists(tables: FitTables) -> Sequence[tuple[str, str, Sequence[Any]]]:
    """Of each kind of target: its name, the file that it is called after, the tables."""
    return (
        ("data", "file", tables.data), ("crystal", "structure", tables.crystal),
        ("defect", "structure", tables.defect), ("surface", "structure", tables.surface),
        ("barrier", "saddle", tables.barrier), ("average", "structure", tables.average),
    )  # fmt: skip
