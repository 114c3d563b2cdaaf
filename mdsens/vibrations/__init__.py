"""Harmonic vibrations of a relaxed state: modes of the cell as it is, phonons of the crystal, and the
thermodynamics of either."""

from mdsens.vibrations.bloch import dynamical_matrix
from mdsens.vibrations.degenerate import degenerate_slopes
from mdsens.vibrations.density import DensityOfStates
from mdsens.vibrations.grueneisen import grueneisen_parameters
from mdsens.vibrations.harmonic import Harmonic, harmonic
from mdsens.vibrations.modes import Modes, density_of_states, modes
from mdsens.vibrations.phonons import (
    PhononModes,
    group_velocities,
    phonon_frequencies,
    phonon_modes,
    squared_frequencies,
)
from mdsens.vibrations.quasi_harmonic import QuasiHarmonic, quasi_harmonic
from mdsens.vibrations.zone import monkhorst_pack, phonon_dos

__all__ = [
    "DensityOfStates",
    "Harmonic",
    "Modes",
    "PhononModes",
    "QuasiHarmonic",
    "degenerate_slopes",
    "density_of_states",
    "dynamical_matrix",
    "group_velocities",
    "grueneisen_parameters",
    "harmonic",
    "modes",
    "monkhorst_pack",
    "phonon_dos",
    "phonon_frequencies",
    "phonon_modes",
    "quasi_harmonic",
    "squared_frequencies",
]
