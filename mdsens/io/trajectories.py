"""Trajectories in HDF5: one file for each chunk of a simulation, whole or not there.

    /                attrs format = "mdsens trajectory", format_version, identity, number, lists
    /samples         positions (W, S, N, d), cells, energies, temperatures, conserved
    /state           0, 1, ...: all that the simulation needs to go on

`identity` tells what was simulated; chunks of another simulation are refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from mdsens.errors import InputError, OutputError
from mdsens.io.hdf5 import Refused, opened, write_array, write_hdf5
from mdsens.thermal import Chunk
from mdsens.units import ENERGY, LENGTH, label

FORMAT, VERSION = "mdsens trajectory", 1
_DIMENSIONS = {"positions": LENGTH, "cells": LENGTH}


class TrajectoryFolder:
    """The chunks of one simulation in a folder.

    Args:
        folder: made when there is something to keep.
        identity: of what is simulated.
        units: "metal" or "reduced".
    """

    def __init__(self, folder: Path, identity: str, units: str):
        self._folder, self._identity, self._units = folder, identity, units
        self._count = 0

    def history(self) -> list[Chunk]:
        """The chunks that are there, up to the first that is missing or damaged.

        Raises:
            InputError: they belong to another simulation.
            OutputError: a file stands where the folder should.
        """
        if self._folder.exists() and not self._folder.is_dir():
            raise OutputError(
                f"{self._folder}: trajectory: is no folder; remove it, or choose another output"
            )
        found = list(self.chunks())
        self._count = len(found)
        return found

    def chunks(self) -> Iterator[Chunk]:
        """The same, one by one."""
        for number in count():
            chunk = self._read(number)
            if chunk is None:
                return
            yield chunk

    def record(self, chunk: Chunk) -> None:
        """Keep the next chunk.

        Raises:
            OutputError: missing or unwritable folder, full disk.
        """
        try:
            self._folder.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"{self._folder}: trajectory: {error.strerror}; choose another"
            ) from error
        arrays = [*chunk.samples.values(), *chunk.state]

        def fill(file: Any) -> None:
            file.attrs.update({"format": FORMAT, "format_version": VERSION})
            file.attrs.update({"identity": self._identity, "number": self._count})
            file.attrs["lists"] = list(chunk.lists)
            samples, state = file.create_group("samples"), file.create_group("state")
            for name, values in chunk.samples.items():
                unit = label(self._units, _DIMENSIONS.get(name, ENERGY))
                write_array(samples, name, values, unit)
            for k, leaf in enumerate(chunk.state):
                write_array(state, str(k), leaf, "own")

        note = json.dumps({"identity": self._identity, "number": self._count})
        write_hdf5(self._path(self._count), fill, sum(a.nbytes for a in arrays), note)
        self._count += 1

    def _read(self, number: int) -> Chunk | None:
        path = self._path(number)
        if not path.exists():
            return None
        try:
            with opened(path, "trajectory", sealed=True) as r:
                facts = r.attributes()
                if facts.get("identity") != self._identity:
                    raise InputError(
                        f"{self._folder}: trajectory: of another simulation, or of this one before its "
                        "input changed; remove the folder, or choose another output"
                    )
                if (facts.get("format"), facts.get("number")) != (FORMAT, number):
                    raise Refused("trajectory: not a chunk of it; remove it")
                state = tuple(
                    np.asarray(r.dataset(f"state/{k}")[()]) for k in range(len(r.names("state")))
                )
                a, b, c, d = (int(x) for x in facts["lists"])
                return Chunk(r.arrays("samples"), state, (a, b, c, d))
        except OutputError:
            return None  # damaged: done again

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06}.h5"
