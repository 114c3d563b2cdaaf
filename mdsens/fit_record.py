"""The answer of a fit as data. No JAX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mdsens.parameters import Table

KINDS = ("energy", "force", "stress")
KIND_UNITS = ("eV/atom", "eV/angstrom", "eV/angstrom^3")


@dataclass(frozen=True, eq=False)
class TargetRecord:
    """What one target wanted and got.

    Attributes:
        name: of the target.
        labels: of its m numbers; of labelled structures their kinds.
        units: of each.
        wanted, sigma, start, value, predicted_sigma: (m,).
    """

    name: str
    labels: tuple[str, ...]
    units: tuple[str, ...]
    wanted: np.ndarray
    sigma: np.ndarray
    start: np.ndarray
    value: np.ndarray
    predicted_sigma: np.ndarray

    @property
    def labelled(self) -> bool:
        return set(self.labels) <= set(KINDS)


@dataclass(frozen=True, eq=False)
class FitRecord:
    """All that is told of a fit; names as in the file."""

    potential: str
    parameters: Mapping[str, np.ndarray | Table]
    labels: tuple[str, ...]
    free: Mapping[str, np.ndarray]
    facts: Mapping[str, Any]
    targets: tuple[TargetRecord, ...]
    history: tuple[Mapping[str, np.ndarray], ...]
    provenance: Mapping[str, Any]
