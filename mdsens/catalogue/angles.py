"""Potentials with angles."""

from __future__ import annotations

from mdsens.catalogue.entries import Parameter, PotentialEntry
from mdsens.units import ENERGY, LENGTH, NUMBER

ANGLES = (
    PotentialEntry(
        "stillinger_weber",
        "StillingerWeber",
        "pairs A epsilon [B (sigma/r)^p - (sigma/r)^q] exp(sigma/(r - a sigma)) and angles "
        "lambda epsilon (cos theta - costheta0)^2 times exp(gamma sigma/(r - a sigma)) of both "
        "sides, up to a sigma",
        (
            Parameter("epsilon", ENERGY, "strength", lower=0.0, strict=False),
            Parameter("sigma", LENGTH, "size", lower=0.0),
            Parameter("a", NUMBER, "range in units of sigma", lower=0.0),
            Parameter("lambda", NUMBER, "strength of angles", lower=0.0, strict=False),
            Parameter("gamma", NUMBER, "how angles fade", lower=0.0, strict=False),
            Parameter("costheta0", NUMBER, "cosine of the preferred angle"),
            Parameter("A", NUMBER, "strength of pairs", lower=0.0, strict=False),
            Parameter("B", NUMBER, "repulsion against attraction"),
            Parameter("p", NUMBER, "exponent of repulsion"),
            Parameter("q", NUMBER, "exponent of attraction"),
            Parameter(
                "tol",
                NUMBER,
                "where the range is cut",
                0.0,
                lower=0.0,
                strict=False,
                differentiable=False,
            ),
        ),
        "Stillinger, Weber, doi:10.1103/PhysRevB.31.5262; LAMMPS pair_style sw",
        per_triple=True,
        file="sw",
    ),
    PotentialEntry(
        "tersoff",
        "Tersoff",
        "f(r) [A exp(-lambda1 r) - b B exp(-lambda2 r)] with the bond order "
        "b = (1 + (beta zeta)^n)^(-1/(2n)), zeta a sum over other bonds and their angles",
        (
            Parameter(
                "m", NUMBER, "exponent of differences of distance, 3 or 1", differentiable=False
            ),
            Parameter("gamma", NUMBER, "weight of other bonds"),
            Parameter("lambda3", (0, -1), "how longer bonds lose weight"),
            Parameter("c", NUMBER, "strength of angles"),
            Parameter("d", NUMBER, "sharpness of angles", lower=0.0),
            Parameter("costheta0", NUMBER, "cosine of the preferred angle"),
            Parameter("n", NUMBER, "exponent of the bond order", lower=0.0),
            Parameter("beta", NUMBER, "strength of the bond order", lower=0.0, strict=False),
            Parameter("lambda2", (0, -1), "decay of attraction"),
            Parameter("B", ENERGY, "strength of attraction", lower=0.0, strict=False),
            Parameter("R", LENGTH, "middle of the cutoff", lower=0.0),
            Parameter("D", LENGTH, "half width of the cutoff", lower=0.0),
            Parameter("lambda1", (0, -1), "decay of repulsion"),
            Parameter("A", ENERGY, "strength of repulsion", lower=0.0, strict=False),
        ),
        "Tersoff, doi:10.1103/PhysRevB.37.6991; LAMMPS pair_style tersoff",
        per_triple=True,
        file="tersoff",
    ),
    PotentialEntry(
        "edip",
        "EDIP",
        "pairs A [(B/r)^rho - exp(-beta Z^2)] exp(sigma/(r - a)) and angles that depend on the "
        "coordination Z",
        (
            Parameter("A", ENERGY, "strength of pairs", lower=0.0, strict=False),
            Parameter("B", LENGTH, "range of repulsion", lower=0.0),
            Parameter("cutoffA", LENGTH, "beyond it nothing interacts", lower=0.0),
            Parameter("cutoffC", LENGTH, "below it a neighbour counts as one", lower=0.0),
            Parameter("alpha", NUMBER, "how the coordination falls in between"),
            Parameter("beta", NUMBER, "how attraction falls with coordination"),
            Parameter("eta", NUMBER, "harmonic part of angles"),
            Parameter("gamma", LENGTH, "how angles fade", lower=0.0, strict=False),
            Parameter("lambda", ENERGY, "strength of angles", lower=0.0, strict=False),
            Parameter("mu", NUMBER, "how angles soften with coordination"),
            Parameter("rho", NUMBER, "exponent of repulsion"),
            Parameter("sigma", LENGTH, "how pairs fade", lower=0.0, strict=False),
            Parameter("Q0", NUMBER, "stiffness of angles"),
            *(
                Parameter(f"u{k}", NUMBER, "of the preferred angle against coordination")
                for k in range(1, 5)
            ),
        ),
        "Justo et al., doi:10.1103/PhysRevB.58.2539; LAMMPS pair_style edip",
        per_triple=True,
        file="edip",
    ),
)
