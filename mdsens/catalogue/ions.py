"""Potentials of ions."""

from __future__ import annotations

from mdsens.catalogue.entries import CUTOFF, ONSET, SMOOTHING, Parameter, PotentialEntry
from mdsens.units import ENERGY, LENGTH, NUMBER

IONS = (
    PotentialEntry(
        "buckingham",
        "Buckingham",
        "A exp(-r/rho) - C/r^6, cut at `cutoff`, by default shifted to 0 there",
        (
            Parameter("A", ENERGY, "strength of repulsion", lower=0.0, strict=False),
            Parameter("rho", LENGTH, "range of repulsion", lower=0.0),
            Parameter("C", (1, 6), "strength of attraction", lower=0.0, strict=False),
            CUTOFF,
            ONSET,
        ),
        "Buckingham, doi:10.1098/rspa.1938.0173; LAMMPS pair_style buck",
        options=(SMOOTHING,),
    ),
    PotentialEntry(
        "bks",
        "BKS",
        "A exp(-r/rho) - C/r^6, cut at `cutoff`, by default shifted to 0 there, and charges as "
        "q_i q_j e^2/(4 pi epsilon_0) erfc(alpha r)/r with force and energy shifted to 0 at "
        "`cutoff_coulomb`, and their self-energy; eV and angstrom",
        (
            Parameter("A", ENERGY, "strength of repulsion", lower=0.0, strict=False),
            Parameter("rho", LENGTH, "range of repulsion", lower=0.0),
            Parameter("C", (1, 6), "strength of attraction", lower=0.0, strict=False),
            Parameter("charge", NUMBER, "in elementary charges, per species"),
            Parameter(
                "alpha",
                (0, -1),
                "damping of charges",
                0.2,
                lower=0.0,
                strict=False,
                single=True,
            ),
            CUTOFF,
            Parameter(
                "cutoff_coulomb",
                LENGTH,
                "distance beyond which charges do not interact",
                10.0,
                lower=0.0,
                single=True,
            ),
            ONSET,
        ),
        "van Beest, Kramer, van Santen, doi:10.1103/PhysRevLett.64.1955; Fennell, Gezelter, "
        "doi:10.1063/1.2206581; LAMMPS pair_style buck, coul/dsf",
        options=(SMOOTHING,),
    ),
)
