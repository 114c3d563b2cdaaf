"""Harmonic vibrations of a relaxed state: modes of the cell as it is, and phonons of the crystal."""

from mdsens.vibrations.bloch import dynamical_matrix
from mdsens.vibrations.degenerate import degenerate_slopes
from mdsens.vibrations.density import DensityOfStates
from mdsens.vibrations.modes import Modes, density_of_states, modes
from mdsens.vibrations.phonons import (
    PhononModes,
    group_velocities,
    phonon_frequencies,
    phonon_modes,
    squared_frequencies,
)
from mdsens.vibrations.zone import monkhorst_pack, phonon_dos

__all__ = [
    "DensityOfStates",
    "Modes",
    "PhononModes",
    "degenerate_slopes",
    "density_of_states",
    "dynamical_matrix",
    "group_velocities",
    "modes",
    "monkhorst_pack",
    "phonon_dos",
    "phonon_frequencies",
    "phonon_modes",
    "squared_frequencies",
]
