"""What a simulation leaves: samples, and what is needed to measure at them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.potentials import Potential
from mdsens.state import Configuration
from mdsens.system import System
from mdsens.thermal.ensemble import NPT, NVE, Ensemble
from mdsens.thermal.lists import Lister
from mdsens.thermal.statistics import equilibrated


@dataclass(frozen=True, eq=False)
class Sample(Configuration):
    """A configuration of an ensemble.

    Attributes:
        kt: k_B T; at constant energy the kinetic one of this sample, whose average is the temperature.
        pressure: the ensemble's; zero at constant volume.
    """

    kt: Any = field(kw_only=True)
    pressure: Any = field(kw_only=True)


jax.tree_util.register_dataclass(
    Sample,
    data_fields=["positions", "cell", "neighbors", "fixed", "kt", "pressure"],
    meta_fields=["pbc"],
)


@dataclass(frozen=True, eq=False)
class Surroundings:
    """All that a sample is measured with besides its own place; a pytree, so that one program serves
    every trajectory of the same size.

    Attributes:
        params: of the potential, by which samples are distributed.
        lister: makes their neighbour lists.
        fixed: (N,) particles that do not move.
        kt, pressure: of the ensemble.
        pbc: which cell vectors repeat.
    """

    params: Any
    lister: Lister
    fixed: jax.Array
    kt: jax.Array
    pressure: jax.Array
    pbc: tuple[bool, ...]

    def sample(self, potential: Potential, positions: jax.Array, cell: jax.Array) -> Sample:
        """A configuration to measure at, with its list."""
        pairs = self.lister.listed(potential, self.params, positions, cell)
        return Sample(
            positions, cell, pairs, self.pbc, fixed=self.fixed, kt=self.kt, pressure=self.pressure
        )


jax.tree_util.register_dataclass(
    Surroundings,
    data_fields=["params", "lister", "fixed", "kt", "pressure"],
    meta_fields=["pbc"],
)


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Samples of W walkers, S each, in the order they came.

    Attributes:
        ensemble, system: what was simulated; `system` is the start, or that of the trajectory this one
            goes on from, and displacements are measured from it.
        params: of the potential, by which the samples are distributed.
        positions: (W, S, N, d), not wrapped into the cell.
        cells: (W, S, d, d).
        energies: (W, S) potential energy.
        temperatures: (W, S) 2 K / degrees of freedom, as k_B T.
        conserved: (W, S) what the dynamics keeps but for the error of the time step.
        lister: makes the neighbour lists of samples.
    """

    ensemble: Ensemble
    system: System
    params: Any
    positions: np.ndarray
    cells: np.ndarray
    energies: np.ndarray
    temperatures: np.ndarray
    conserved: np.ndarray
    lister: Lister

    @property
    def kt(self) -> float:
        """k_B T in the system's unit of energy."""
        return self.ensemble.kt(self.system)

    @property
    def pressure(self) -> float:
        """The ensemble's; zero at constant volume."""
        return self.ensemble.pressure if isinstance(self.ensemble, NPT) else 0.0

    @cached_property
    def volumes(self) -> np.ndarray:
        """(W, S)."""
        return np.abs(np.linalg.det(self.cells))

    @cached_property
    def start(self) -> int:
        """Samples of each walker before equilibrium, by energy and volume."""
        series = [self.energies]
        if isinstance(self.ensemble, NPT):
            series.append(self.volumes)
        return max(equilibrated(s) for s in series)

    @property
    def kept(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions (M, N, d) and cells (M, d, d) in equilibrium, walker by walker."""
        x, h = self.positions[:, self.start :], self.cells[:, self.start :]
        return x.reshape(-1, *x.shape[2:]), h.reshape(-1, *h.shape[2:])

    @property
    def sampled_kt(self) -> np.ndarray:
        """(M,) `kt` of the samples kept."""
        if isinstance(self.ensemble, NVE):
            return self.temperatures[:, self.start :].reshape(-1)
        return np.full(self.shape[0] * self.shape[1], self.kt)

    @property
    def shape(self) -> tuple[int, int]:
        """Walkers, and samples of each in equilibrium."""
        return self.positions.shape[0], self.positions.shape[1] - self.start

    @property
    def surroundings(self) -> Surroundings:
        """What samples are measured with."""
        params = jax.tree.map(jnp.asarray, self.params)
        held = jnp.asarray(self.system.fixed)
        kt, pressure = jnp.asarray(self.kt), jnp.asarray(self.pressure)
        return Surroundings(params, self.lister, held, kt, pressure, self.system.pbc)
