"""What exists, in words: potentials, observables, minimizers, solvers. No JAX here.

The command line lists and validates from this without importing JAX; the classes that compute
(mdsens.potentials, mdsens.observables, mdsens.equilibrium) are built from the same entries.
"""

from mdsens.catalogue.angles import ANGLES
from mdsens.catalogue.entries import (
    SMOOTHING,
    MinimizerEntry,
    ObservableEntry,
    Parameter,
    PotentialEntry,
)
from mdsens.catalogue.ions import IONS
from mdsens.catalogue.metals import METALS
from mdsens.catalogue.methods import (
    CELL_MODES,
    ENSEMBLES,
    FIT_STEPS,
    MINIMIZERS,
    SOLVERS,
    THERMOSTATS,
)
from mdsens.catalogue.observables import AVERAGES, CURVES, OBSERVABLES
from mdsens.catalogue.pairs import PAIRS

POTENTIALS: dict[str, PotentialEntry] = {e.kind: e for e in (*PAIRS, *ANGLES, *IONS, *METALS)}

__all__ = [
    "AVERAGES",
    "CELL_MODES",
    "CURVES",
    "ENSEMBLES",
    "FIT_STEPS",
    "MINIMIZERS",
    "OBSERVABLES",
    "POTENTIALS",
    "SMOOTHING",
    "SOLVERS",
    "THERMOSTATS",
    "MinimizerEntry",
    "ObservableEntry",
    "Parameter",
    "PotentialEntry",
]
