"""Potentials of metals."""

from __future__ import annotations

from mdsens.catalogue.entries import CUTOFF, ONSET, Parameter, PotentialEntry
from mdsens.units import ENERGY, LENGTH, NUMBER

METALS = (
    PotentialEntry(
        "finnis_sinclair",
        "FinnisSinclair",
        "pairs (r - c)^2 (c0 + c1 r + c2 r^2) for r < c, and -sqrt(rho_i), rho_i = sum_j A^2 "
        "[(r - d)^2 + beta (r - d)^3/d] for r < d",
        (
            Parameter("A", (1, -1), "strength of cohesion", lower=0.0, strict=False),
            Parameter("d", LENGTH, "range of cohesion", lower=0.0),
            Parameter("beta", NUMBER, "cubic part of the density", 0.0),
            Parameter("c", LENGTH, "range of pairs", lower=0.0),
            Parameter("c0", (1, -2), "pairs, constant"),
            Parameter("c1", (1, -3), "pairs, by r"),
            Parameter("c2", (1, -4), "pairs, by r^2"),
        ),
        "Finnis, Sinclair, doi:10.1080/01418618408244210",
    ),
    PotentialEntry(
        "gupta",
        "Gupta",
        "sum_j A exp(-p (r/r0 - 1)) - sqrt(sum_j xi^2 exp(-2 q (r/r0 - 1))) of each atom, "
        "cut at `cutoff`",
        (
            Parameter("A", ENERGY, "strength of repulsion", lower=0.0, strict=False),
            Parameter("xi", ENERGY, "strength of cohesion", lower=0.0, strict=False),
            Parameter("p", NUMBER, "decay of repulsion", lower=0.0),
            Parameter("q", NUMBER, "decay of cohesion", lower=0.0),
            Parameter("r0", LENGTH, "nearest distance in the crystal", lower=0.0),
            CUTOFF,
            ONSET,
        ),
        "Cleri, Rosato, doi:10.1103/PhysRevB.48.22; Gupta, doi:10.1103/PhysRevB.23.6265",
        options=(("smoothing", ("none", "xplor")),),
    ),
    PotentialEntry(
        "eam_zhou",
        "EAMZhou",
        "pairs A exp(-alpha (r/r_e - 1))/(1 + (r/r_e - kappa)^20) - B exp(-beta (r/r_e - 1))"
        "/(1 + (r/r_e - lambda)^20); f with f_e, beta, lambda; F in three branches; "
        "phi_ab = (f_b/f_a phi_aa + f_a/f_b phi_bb)/2",
        (
            *(
                Parameter(name, dimension, meaning, default_rule="published")
                for name, dimension, meaning in (
                    ("r_e", LENGTH, "nearest distance in the crystal"),
                    ("f_e", NUMBER, "strength of the density"),
                    ("rho_e", NUMBER, "density in the crystal"),
                    ("rho_s", NUMBER, "unit of the density in the last branch of F"),
                    ("alpha", NUMBER, "decay of repulsion"),
                    ("beta", NUMBER, "decay of attraction and of the density"),
                    ("A", ENERGY, "strength of repulsion"),
                    ("B", ENERGY, "strength of attraction"),
                    ("kappa", NUMBER, "where repulsion is cut off"),
                    ("lambda", NUMBER, "where attraction and density are cut off"),
                    *(
                        (f"F_n{k}", ENERGY, f"F below rho_n, by (rho/rho_n - 1)^{k}")
                        for k in range(4)
                    ),
                    *(
                        (f"F_{k}", ENERGY, f"F from rho_n to rho_0, by (rho/rho_e - 1)^{k}")
                        for k in range(4)
                    ),
                    ("eta", NUMBER, "exponent of F above rho_0"),
                    ("F_e", ENERGY, "strength of F above rho_0"),
                    ("rho_n_ratio", NUMBER, "rho_n / rho_e"),
                    ("rho_0_ratio", NUMBER, "rho_0 / rho_e"),
                )
            ),
            Parameter(
                "F_3_above",
                ENERGY,
                "F_3 where rho > rho_e",
                default_rule="as F_3",
                optional=True,
            ),
            Parameter(
                "cutoff",
                LENGTH,
                "distance beyond which a pair does not interact",
                lower=0.0,
                default_rule="2.9 times the largest r_e",
                single=True,
            ),
        ),
        "Zhou, Johnson, Wadley, doi:10.1103/PhysRevB.69.144113; published values of "
        "Cu Ag Au Ni Pd Pt Al Pb Fe Mo Ta W Mg Co Ti Zr",
    ),
    PotentialEntry(
        "eam",
        "EAM",
        "sum over pairs phi_ab(r) + sum_i F_a(rho_i), rho_i = sum_j f_b(r_ij), interpolated between "
        "knots as in LAMMPS",
        (
            Parameter("embedding", ENERGY, "F at rho = 0, drho, ...", knots=("species",)),
            Parameter(
                "density",
                NUMBER,
                "f at r = 0, dr, ...; A-B: what A gives to B",
                knots=("species", "ordered pairs"),
            ),
            Parameter("pair", (1, 1), "r phi at r = 0, dr, ...", knots=("pairs",)),
            Parameter("drho", NUMBER, "distance of knots of F", lower=0.0, single=True),
            Parameter("dr", LENGTH, "distance of knots of f and phi", lower=0.0, single=True),
            Parameter(
                "cutoff",
                LENGTH,
                "distance beyond which a pair does not interact",
                lower=0.0,
                single=True,
            ),
        ),
        "Daw, Baskes, doi:10.1103/PhysRevB.29.6443; Finnis, Sinclair, "
        "doi:10.1080/01418618408244210; LAMMPS pair_style eam/alloy, eam/fs",
        file="setfl",
    ),
)
