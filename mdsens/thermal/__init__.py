"""Thermal equilibrium: ensembles by molecular dynamics, and derivatives of their averages."""

from mdsens.thermal.average import average, effective_share
from mdsens.thermal.bennett import FreeEnergies, free_energies
from mdsens.thermal.checks import Checked, checked, examined
from mdsens.thermal.chunks import Chunk
from mdsens.thermal.diffusion import self_diffusion
from mdsens.thermal.ensemble import NPT, NVE, NVT, Ensemble
from mdsens.thermal.estimates import Estimate
from mdsens.thermal.observables import POINTS_OF, Fluctuation, mean_square_displacement
from mdsens.thermal.reweighting import energy_slope, trajectory_for
from mdsens.thermal.sensitivity import ThermalSensitivity, thermal_sensitivity
from mdsens.thermal.simulate import simulate
from mdsens.thermal.trajectory import Sample, Trajectory

__all__ = [
    "NPT",
    "NVE",
    "NVT",
    "POINTS_OF",
    "Checked",
    "Chunk",
    "Ensemble",
    "Estimate",
    "Fluctuation",
    "FreeEnergies",
    "Sample",
    "ThermalSensitivity",
    "Trajectory",
    "average",
    "checked",
    "effective_share",
    "energy_slope",
    "examined",
    "free_energies",
    "mean_square_displacement",
    "self_diffusion",
    "simulate",
    "thermal_sensitivity",
    "trajectory_for",
]
