"""What a computation returns and a result file holds: plain arrays, no JAX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mdsens.parameters import Table
from mdsens.system import System

# Components of elastic tensors, by how many there are.
VOIGT = {3: ("xx", "yy", "xy"), 6: ("xx", "yy", "zz", "yz", "xz", "xy")}


@dataclass(frozen=True, eq=False)
class Derivative:
    """d(observable)/d(parameter), total, at the relaxed state.

    Attributes:
        value: observable shape + parameter shape; for positions (parameter shape) + (N, d).
        mode: "forward", "adjoint" or "envelope"; "covariance" in an ensemble.
        units: of the value.
        keys: the keys of a table parameter, else None.
        solve_residual: true relative residual of the linear solve behind it (0 for envelope).
        derivative_error: estimated error relative to the value; to the scale max(|o|, |do/dx| times a
            particle spacing) / |parameter| where the value is zero but for round-off.
        error: of an average, one standard deviation, in the shape of the value; else None.
    """

    value: np.ndarray
    mode: str
    units: str
    keys: tuple[str, ...] | None = None
    solve_residual: float = 0.0
    derivative_error: float = 0.0
    error: np.ndarray | None = None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The value, so that np.asarray(result.sensitivity[observable][parameter]) is the array."""
        return np.array(self.value, dtype=dtype, copy=copy)


@dataclass(frozen=True, eq=False)
class Certificate:
    """Why the derivatives can be trusted, or why there are none.

    Attributes:
        converged: the force criterion was met.
        fmax: largest force component at the state.
        lambda_min: smallest Hessian eigenvalue on the complement of the removed modes (NaN unknown).
        zero_modes: rigid zero modes removed.
        rattler_indices: particles removed for having too few contacts.
        negative_modes: eigenvalues below zero on that complement.
        solve_residual, derivative_error: the worst of the file.
        neighbors_valid: the neighbour list holds at the state.
        dtype: of all arithmetic.
        solver: which linear solver was used and why.
        outcome: a sentence.
    """

    converged: bool
    fmax: float
    lambda_min: float
    zero_modes: int
    rattler_indices: np.ndarray
    negative_modes: int
    solve_residual: float
    derivative_error: float
    neighbors_valid: bool
    dtype: str
    solver: str
    outcome: str

    @property
    def rattlers(self) -> int:
        return len(self.rattler_indices)


@dataclass(frozen=True, eq=False)
class EnsembleCertificate:
    """Why averages and their errors can be trusted.

    Attributes:
        converged: equilibrium, temperature and time step are as they should be.
        samples: of all walkers, in equilibrium.
        discarded: samples of each walker before that.
        effective_samples: independent ones, of the estimate that has the fewest.
        temperature, temperature_error: kinetic, over the target.
        drift: of the conserved quantity per step and degree of freedom, in k_B T.
        dtype: of all arithmetic.
        outcome: a sentence.
    """

    converged: bool
    samples: int
    discarded: int
    effective_samples: float
    temperature: float
    temperature_error: float
    drift: float
    dtype: str
    outcome: str


@dataclass(frozen=True, eq=False)
class Result:
    """State, parameters, observables, derivatives and certificate of one computation.

    Attributes:
        system: the relaxed configuration (NumPy positions and cell); of an ensemble, the last sample of
            the first walker.
        potential: its kind.
        parameters: the values used, by name.
        observables: values by name.
        observable_units: by name.
        parameter_units: by name.
        sensitivity: sensitivity[observable][parameter]; empty where undefined.
        certificate: see Certificate; of an ensemble an EnsembleCertificate.
        provenance: versions, device, minimizer, steps, wall times (wall_relax_s, ...).
        observable_errors: of averages, one standard deviation, by name; else empty.
        observable_along: of averages that are functions, of distance or wavenumber, where they are known.
    """

    system: System
    potential: str
    parameters: Mapping[str, np.ndarray | Table]
    observables: Mapping[str, np.ndarray]
    observable_units: Mapping[str, str]
    parameter_units: Mapping[str, str]
    sensitivity: Mapping[str, Mapping[str, Derivative]]
    certificate: Certificate | EnsembleCertificate
    provenance: Mapping[str, Any] = field(default_factory=dict)
    observable_errors: Mapping[str, np.ndarray] = field(default_factory=dict)
    observable_along: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def positions(self) -> np.ndarray:
        """(N, d) relaxed coordinates."""
        return np.asarray(self.system.positions)

    @property
    def cell(self) -> np.ndarray:
        """(d, d) relaxed cell, rows are lattice vectors."""
        return np.asarray(self.system.cell)
