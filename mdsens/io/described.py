"""A result as one structure: what it says of each particle as columns, of the whole as facts. No JAX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mdsens.result import EnsembleCertificate, Result
from mdsens.system import System


def with_responses(result: Result) -> System:
    """The state with a column for every derivative that has a number or a vector per particle.

    A scalar by a per-particle parameter is `d_<observable>_d_<parameter>`, (N,); positions by a single
    number `d_positions_d_<parameter>`, (N, d).
    """
    n, d = result.system.n_particles, result.system.dimension
    columns = dict(result.system.columns)
    for observable, derivatives in result.sensitivity.items():
        for parameter, derivative in derivatives.items():
            vectors = observable == "positions" and derivative.value.shape == (n, d)
            if derivative.keys is None and (vectors or derivative.value.shape == (n,)):
                columns[f"d_{observable}_d_{parameter}"] = np.asarray(derivative.value)
    return replace(result.system, columns=columns)


def facts(result: Result) -> dict[str, Any]:
    """Scalar observables by name, and the stress in 3D; of an ensemble `mean_<name>` and its error.

    Averages carry another name, so that nobody takes them for the energy of the structure that stands
    beside them.
    """
    sampled = isinstance(result.certificate, EnsembleCertificate)
    told = {name: float(value) for name, value in result.observables.items() if np.ndim(value) == 0}
    if not sampled:
        stress = result.observables.get("stress")
        return told if stress is None or stress.shape != (3, 3) else told | {"stress": stress}
    errors: Mapping[str, Any] = result.observable_errors
    return {
        key: number
        for name, value in told.items()
        for key, number in ((f"mean_{name}", value), (f"mean_{name}_error", float(errors[name])))
    }
