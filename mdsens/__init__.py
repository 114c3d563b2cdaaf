"""Differentiable molecular-dynamics sensitivities by the implicit function theorem.

Public names load on first use, so that `import mdsens` costs milliseconds.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version as _version
from typing import Any

_MODULES = (
    "implicit",
    "linear",
    "potentials",
    "observables",
    "vibrations",
    "packings",
    "thermal",
    "fitting",
    "report",
    "errors",
)
_NAMES = {
    "System": "mdsens.system",
    "Table": "mdsens.parameters",
    "read": "mdsens.io.structures",
    "to_atoms": "mdsens.io.structures",
    "Calculator": "mdsens.io.calculator",
    "read_result": "mdsens.io.results",
    "write_result": "mdsens.io.results",
    "read_sweep": "mdsens.io.sweeps",
    "to_pandas": "mdsens.io.tidy",
    "to_xarray": "mdsens.io.labelled_arrays",
    "write_parameters": "mdsens.io.parameters",
    "neighbor_list": "mdsens.equilibrium",
    "relax": "mdsens.equilibrium",
    "saddle": "mdsens.equilibrium",
    "relax_ensemble": "mdsens.ensembles",
    "ensemble_sensitivity": "mdsens.ensembles",
    "energy": "mdsens.observables",
    "pressure": "mdsens.observables",
    "stress": "mdsens.observables",
    "volume": "mdsens.observables",
    "coordination": "mdsens.observables",
    "elastic_tensor": "mdsens.observables",
    "elastic_tensor_clamped": "mdsens.observables",
    "elastic_tensor_energy": "mdsens.observables",
    "bulk_modulus": "mdsens.observables",
    "shear_modulus": "mdsens.observables",
    "poisson_ratio": "mdsens.observables",
    "contact_network": "mdsens.observables",
    "aggregate_moduli": "mdsens.crystals",
    "born_stability": "mdsens.crystals",
    "formation": "mdsens.crystals",
    "surface_energy": "mdsens.crystals",
    "dynamical_matrix": "mdsens.vibrations",
    "phonon_frequencies": "mdsens.vibrations",
    "harmonic": "mdsens.vibrations",
    "quasi_harmonic": "mdsens.vibrations",
    "grueneisen_parameters": "mdsens.vibrations",
    "phonon_modes": "mdsens.vibrations",
    "phonon_dos": "mdsens.vibrations",
    "group_velocities": "mdsens.vibrations",
    "fit": "mdsens.fitting",
    "sensitivity": "mdsens.derivatives",
    "predict": "mdsens.derivatives",
    "verify": "mdsens.derivatives",
    "MdsensError": "mdsens.errors",
    "InputError": "mdsens.errors",
    "NotConverged": "mdsens.errors",
    "DerivativeUndefined": "mdsens.errors",
    "OutputError": "mdsens.errors",
    "Float32Error": "mdsens.errors",
}
__all__ = ["__version__", *_MODULES, *_NAMES]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = _version("mdsens")
    elif name in _MODULES:
        value = import_module(f"mdsens.{name}")
    elif name in _NAMES:
        value = getattr(import_module(_NAMES[name]), name)
    else:
        raise AttributeError(f"module 'mdsens' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
