"""States and trajectories as H5MD 1.1, doi:10.1016/j.cpc.2014.01.018. No JAX.

    /h5md                      version, author, creator; units (of systems in metal units)
    /particles/trajectory      position, box, species, mass; of further walkers trajectory_2, ...
    /observables/<the same>    potential_energy, temperature, conserved_energy; of an ensemble

Two dimensions are written as three, with z = 0 and an open direction of length one: readers take
nothing else. Reduced systems carry no units.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mdsens.errors import InputError
from mdsens.io.pieces import hdf5_in_pieces
from mdsens.io.trajectories import TrajectoryFolder
from mdsens.masses import standard_masses
from mdsens.result import EnsembleCertificate, Result
from mdsens.system import System
from mdsens.units import BOLTZMANN

Samples = dict[str, np.ndarray]
# By name here: by name there, unit.
_SERIES = {
    "energies": ("potential_energy", "eV"),
    "temperatures": ("temperature", "K"),
    "conserved": ("conserved_energy", "eV"),
}


def write_h5md(result: Result, source: Path, path: Path) -> None:
    """Write the trajectory of a result's ensemble, or its relaxed state as a trajectory of one frame.

    Args:
        source: the result file, beside which the trajectory lies.

    Raises:
        InputError: the trajectory is not there, not whole, or of another simulation.
        OutputError: the file cannot be written.
    """
    system = result.system
    walkers, frames = 1, 1
    steps, times = np.zeros(1, int), np.zeros(1)
    chunks: Iterator[Samples] = iter([_state(system)])
    if isinstance(result.certificate, EnsembleCertificate):
        walkers, frames, chunks = _sampled(result, result.certificate, source)
        told = result.provenance
        steps = int(told["equilibration"]) + int(told["stride"]) * np.arange(1, frames + 1)
        times = float(told["time_step"]) * steps
    bytes_ = 2**20 * (1 + walkers) + walkers * frames * 8 * (3 * system.n_particles + 64)
    with hdf5_in_pieces(path, bytes_ + 64 * walkers * system.n_particles) as file:
        _write_root(file, system)
        groups = [_Group(file, system, k, frames, steps, times) for k in range(walkers)]
        first = 0
        for samples in chunks:
            count = min(samples["positions"].shape[1], frames - first)
            for k, group in enumerate(groups):
                group.put(first, {name: values[k, :count] for name, values in samples.items()})
            first += count


def _state(system: System) -> Samples:
    return {
        "positions": np.asarray(system.positions)[None, None],
        "cells": np.asarray(system.cell)[None, None],
    }


def _sampled(
    result: Result, certificate: EnsembleCertificate, source: Path
) -> tuple[int, int, Iterator[Samples]]:
    """Walkers, samples of each, and these in pieces."""
    folder = source.with_name(f"{source.stem}.trajectory")
    if "trajectory" not in result.provenance:
        raise InputError(
            f"{source}: export: does not say which trajectory is its own; run it again, which simulates "
            "nothing while the trajectory is there"
        )
    if not certificate.samples:
        raise InputError(
            f"{source}: export: holds no samples, since the simulation came to none; use extxyz"
        )
    kept = TrajectoryFolder(folder, result.provenance["trajectory"], result.system.units)
    shapes = [c.samples["energies"].shape for c in kept.chunks() if c.samples]
    walkers, found = shapes[0][0] if shapes else 1, sum(shape[1] for shape in shapes)
    frames = int(certificate.samples) // walkers + int(certificate.discarded)
    if found < frames:
        raise InputError(
            f"{folder}: export: holds {found} of {frames} samples; put the folder beside the result, or "
            "run it again"
        )
    return walkers, frames, (c.samples for c in kept.chunks() if c.samples)


def _write_root(file: h5py.File, system: System) -> None:
    root = file.create_group("h5md")
    root.attrs["version"] = np.array([1, 1])
    # The standard wants somebody; who that is nobody has told.
    root.create_group("author").attrs["name"] = "unknown"
    creator = root.create_group("creator")
    creator.attrs.update({"name": "mdsens", "version": version("mdsens")})
    if system.units == "metal":
        root.create_group("modules/units").attrs.update(
            {"version": np.array([1, 0]), "system": "SI"}
        )


class _Group:
    """The particles of one walker on their way into the file."""

    def __init__(
        self,
        file: h5py.File,
        system: System,
        walker: int,
        frames: int,
        steps: np.ndarray,
        times: np.ndarray,
    ):
        self._file, self._system = file, system
        self._name = "trajectory" + (f"_{walker + 1}" if walker else "")
        self._frames, n = frames, system.n_particles
        group = file.create_group(f"particles/{self._name}")
        position = group.create_group("position")
        position.create_dataset("step", data=steps)
        self._clock = position
        self._unit(position.create_dataset("time", data=times), "fs")
        self._position = self._series(position, (n, 3), "Angstrom")
        self._write_kinds(group)
        box = group.create_group("box")
        pbc = (*system.pbc, *(False,) * (3 - system.dimension))
        box.attrs["dimension"] = 3
        box.attrs["boundary"] = np.array(["periodic" if p else "none" for p in pbc], dtype="S8")
        self._edges = None
        if any(pbc):
            self._edges = self._timed(box, "edges", (3, 3), "Angstrom")
        self._values: dict[str, h5py.Dataset] = {}

    def put(self, first: int, samples: Samples) -> None:
        """Frames from `first` on, (S, ...) by name."""
        count, d = len(samples["positions"]), self._system.dimension
        rows = slice(first, first + count)
        positions = np.zeros((count, self._system.n_particles, 3))
        positions[..., :d] = samples["positions"]
        self._position[rows] = positions
        if self._edges is not None:
            cells = np.broadcast_to(np.eye(3), (count, 3, 3)).copy()
            cells[:, :d, :d] = samples["cells"]
            self._edges[rows] = cells
        for name, (title, unit) in _SERIES.items():
            if name in samples:
                if name not in self._values:
                    group = self._file.require_group(f"observables/{self._name}")
                    self._values[name] = self._timed(group, title, (), unit)
                kelvin = name == "temperatures" and self._system.units == "metal"
                self._values[name][rows] = samples[name] / (BOLTZMANN if kelvin else 1.0)

    def _timed(self, group: h5py.Group, name: str, shape: tuple[int, ...], unit: str) -> Any:
        """An element whose steps and times are those of the positions."""
        element = group.create_group(name)
        element["step"], element["time"] = self._clock["step"], self._clock["time"]
        return self._series(element, shape, unit)

    def _series(self, element: h5py.Group, shape: tuple[int, ...], unit: str) -> h5py.Dataset:
        frame = (1, *shape) if shape else (min(self._frames, 4096),)
        dataset = element.create_dataset("value", (self._frames, *shape), "f8", chunks=frame)
        return self._unit(dataset, unit)

    def _unit(self, dataset: h5py.Dataset, unit: str) -> h5py.Dataset:
        if self._system.units == "metal":
            dataset.attrs["unit"] = unit
        return dataset

    def _write_kinds(self, group: h5py.Group) -> None:
        names, types = self._system.type_names, self._system.types
        kinds = h5py.enum_dtype({name: k for k, name in enumerate(names)}, basetype="i4")
        group.create_dataset("species", data=types.astype("i4"), dtype=kinds)
        masses = standard_masses(names)
        if masses is not None and self._system.units == "metal":
            self._unit(group.create_dataset("mass", data=masses[types]), "u")
