"""Tables of a FIT.toml as targets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from mdsens.catalogue import CURVES
from mdsens.errors import InputError
from mdsens.fits.spec import CurveTable, FitSpec, WantTable, names_of, unit_of
from mdsens.fitting import (
    Averaged,
    Labelled,
    Measured,
    Reading,
    Target,
    Wanted,
    averages,
    barrier,
    crystal,
    defect,
    mean_curve,
    mean_reading,
    reading,
    surface,
)
from mdsens.io.curves import Curve, read_curve
from mdsens.io.labelled import read_labelled
from mdsens.io.structures import read
from mdsens.sampling import ensemble_of
from mdsens.system import System


@dataclass(eq=False)
class Files:
    """The files that a FIT.toml names, each read once."""

    spec: FitSpec
    names: set[str] = field(default_factory=set)
    systems: list[System] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.spec.tables.potential.file is not None:
            self.names.add(self.spec.tables.potential.file)

    def structure(self, name: str, index: int = -1) -> System:
        self.names.add(name)
        self.systems.append(read(self.spec.file(name), index))
        return self.systems[-1]

    def curve(self, name: str) -> Curve:
        self.names.add(name)
        return read_curve(self.spec.file(name))

    def labelled(self, name: str) -> tuple[list[System], list]:
        self.names.add(name)
        systems, data = read_labelled(self.spec.file(name))
        self.systems += systems
        return systems, data


def targets_of(spec: FitSpec, files: Files) -> list[Target]:
    """All targets, in the order of `names_of`."""
    names = (name for _, name in names_of(spec.tables))
    return [
        *_data(spec, files, names),
        *_crystals(spec, files, names),
        *_others(spec, files, names),
        *_averages(spec, files, names),
    ]


def _data(spec: FitSpec, files: Files, names: Iterator[str]) -> Iterator[Labelled]:
    for table in spec.tables.data:
        energy, forces, stress = (
            np.inf if s is None else s for s in (table.energy, table.forces, table.stress)
        )
        yield Labelled(next(names), *files.labelled(table.file), energy, forces, stress)


def _crystals(spec: FitSpec, files: Files, names: Iterator[str]) -> Iterator[Measured]:
    steps = spec.tables.fit.max_steps
    for k, table in enumerate(spec.tables.crystal):
        system = files.structure(table.structure, table.index)
        rows = []
        for i, want in enumerate(table.want):
            read_off = reading(
                want.property, system, q=want.q, branch=want.branch, atoms=want.atoms
            )
            where = f"crystal.{k}.want.{i}"
            rows.append((read_off, _wanted(where, read_off.kind, read_off.label, want, system)))
        yield crystal(
            next(names), system, rows, cell=table.cell, pressure=table.pressure, max_steps=steps
        )


def _others(spec: FitSpec, files: Files, names: Iterator[str]) -> Iterator[Measured]:
    steps = spec.tables.fit.max_steps
    for k, table in enumerate(spec.tables.defect):
        system, bulk = files.structure(table.structure), files.structure(table.bulk)
        energy, volume = (
            want and _wanted(f"defect.{k}.{kind}", kind, f"formation {kind}", want, system)
            for kind, want in (("energy", table.energy), ("volume", table.volume))
        )
        yield defect(
            next(names),
            system,
            bulk,
            energy=energy,
            volume=volume,
            cell=table.cell,
            max_steps=steps,
        )
    for k, table in enumerate(spec.tables.surface):
        slab, bulk = files.structure(table.structure), files.structure(table.bulk)
        wanted = _wanted(f"surface.{k}.energy", "surface", "surface energy", table.energy, slab)
        yield surface(next(names), slab, bulk, wanted, axis=table.axis, max_steps=steps)
    for k, table in enumerate(spec.tables.barrier):
        low, high = files.structure(table.minimum), files.structure(table.saddle)
        wanted = _wanted(f"barrier.{k}.energy", "energy", "barrier", table.energy, low)
        yield barrier(next(names), low, high, wanted, max_steps=steps)


def _averages(spec: FitSpec, files: Files, names: Iterator[str]) -> Iterator[Averaged]:
    for k, table in enumerate(spec.tables.average):
        system = files.structure(table.structure, table.index)
        rows = []
        for i, want in enumerate(table.want):
            read_off, where = mean_reading(want.property, system), f"average.{k}.want.{i}"
            rows.append((read_off, _wanted(where, read_off.kind, read_off.label, want, system)))
        for i, curve in enumerate(table.curves):
            rows += _points(f"average.{k}.curves.{i}", curve, files, system)
        yield averages(next(names), system, ensemble_of(table.ensemble), rows)


def _points(
    where: str, table: CurveTable, files: Files, system: System
) -> list[tuple[Reading, Wanted]]:
    """The points of a curve, each a number that is wanted."""
    at, values, known = files.curve(table.file)
    if (table.sigma is None) == (known is None):
        raise InputError(
            f"{where}.sigma: "
            + ("missing; give one, or a third column in the file" if known is None else
               "the file has deviations in its third column; leave one of the two out")
        )  # fmt: skip
    sigma = np.full(len(at), table.sigma) if known is None else known
    along = CURVES[table.property]
    units, scale = unit_of(where, along.kind, table, system.units, system.dimension)
    width = None if table.width is None else scale * table.width
    pair = None if table.pair is None else (table.pair[0], table.pair[1])
    readings = mean_curve(table.property, system, scale * at, width=width, pair=pair)
    return [
        (r, Wanted(f"{r.label}, {along.symbol} in {units}", float(v), float(s), "1", 1.0, float(x)))
        for r, v, s, x in zip(readings, values, sigma, at, strict=True)
    ]


def _wanted(where: str, kind: str, label: str, want: WantTable, system: System) -> Wanted:
    units, scale = unit_of(where, kind, want, system.units, system.dimension)
    return Wanted(label, want.value, want.sigma, units, scale)
