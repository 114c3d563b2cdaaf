"""Potentials of pairs."""

from __future__ import annotations

from mdsens.catalogue.entries import CUTOFF, ONSET, SMOOTHING, Parameter, PotentialEntry
from mdsens.units import ENERGY, LENGTH, NUMBER

PAIRS = (
    PotentialEntry(
        "soft_sphere",
        "SoftSphere",
        "(epsilon/alpha) (1 - r/sigma_ij)^alpha for r < sigma_ij, else 0; sigma_ij = (D_i + D_j)/2",
        (
            Parameter("epsilon", ENERGY, "stiffness", 1.0, lower=0.0, strict=False),
            Parameter("alpha", NUMBER, "2 harmonic, 5/2 Hertzian", 2.0, lower=1.0),
            Parameter("diameter", LENGTH, "diameter D of a particle", lower=0.0),
        ),
        "O'Hern et al., doi:10.1103/PhysRevE.68.011306",
        knows_contacts=True,
    ),
    PotentialEntry(
        "lennard_jones",
        "LennardJones",
        "4 epsilon [(sigma/r)^12 - (sigma/r)^6], cut at `cutoff`, by default shifted to 0 there",
        (
            Parameter("epsilon", ENERGY, "well depth", lower=0.0, strict=False),
            Parameter("sigma", LENGTH, "where the energy crosses zero", lower=0.0),
            CUTOFF,
            ONSET,
        ),
        "Jones, doi:10.1098/rspa.1924.0082; LAMMPS pair_style lj/cut",
        options=(SMOOTHING,),
    ),
    PotentialEntry(
        "wca",
        "WCA",
        "4 epsilon [(sigma/r)^12 - (sigma/r)^6] + epsilon for r < 2^(1/6) sigma, else 0",
        (
            Parameter("epsilon", ENERGY, "strength", lower=0.0, strict=False),
            Parameter("sigma", LENGTH, "size", lower=0.0),
        ),
        "Weeks, Chandler, Andersen, doi:10.1063/1.1674820",
        knows_contacts=True,
    ),
    PotentialEntry(
        "morse",
        "Morse",
        "D0 [exp(-2 alpha (r - r0)) - 2 exp(-alpha (r - r0))], cut at `cutoff`, "
        "by default shifted to 0 there",
        (
            Parameter("D0", ENERGY, "well depth", lower=0.0, strict=False),
            Parameter("alpha", (0, -1), "inverse width of the well", lower=0.0),
            Parameter("r0", LENGTH, "distance of the minimum", lower=0.0),
            CUTOFF,
            ONSET,
        ),
        "Morse, doi:10.1103/PhysRev.34.57; LAMMPS pair_style morse",
        options=(SMOOTHING,),
    ),
)
