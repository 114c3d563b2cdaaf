"""What a merged sweep says of its runs as data. No JAX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Column:
    """One number for every run.

    Attributes:
        values: (n,), NaN where there is none.
        units: of the values.
    """

    values: np.ndarray
    units: str


@dataclass(frozen=True, eq=False)
class SweepRecord:
    """All runs of a merged file, in the order of their items.

    Attributes:
        axes: what varies, by key, in the order of the grid's dimensions; keys that vary together stand in
            one mapping: (values along that dimension).
        shape: of the grid.
        observables, derivatives: scalars by name; of arrays the Euclidean norm, named |...|.
        exit_codes: (n,), -1 where a run is missing.
        outcomes: n sentences.
        provenance: run_toml, digests of files, the plan's digest.
    """

    axes: tuple[Mapping[str, np.ndarray], ...]
    shape: tuple[int, ...]
    observables: Mapping[str, Column]
    derivatives: Mapping[str, Column]
    exit_codes: np.ndarray
    outcomes: tuple[str, ...]
    provenance: Mapping[str, Any]

    def along(self, dimension: int, key: str) -> np.ndarray:
        """(n,) the value of an axis for every run."""
        values = np.asarray(self.axes[dimension][key])
        place = np.unravel_index(np.arange(len(self.exit_codes)), self.shape)[dimension]
        return values[place]
