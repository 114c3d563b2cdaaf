"""What exists, in words: potentials, observables, minimizers, solvers. No JAX here.

The command line lists and validates from this without importing JAX; the classes that compute
(mdsens.potentials, mdsens.observables, mdsens.equilibrium) are built from the same entries.
"""

from __future__ import annotations

from dataclasses import dataclass

from mdsens.units import ENERGY, LENGTH, NUMBER, Dimension


@dataclass(frozen=True)
class Parameter:
    """A potential parameter: what it is called, measured in, and allowed to be.

    `lower` is a bound on every value, excluded if `strict`. `default` None means required, unless
    `default_rule` says in words where the value comes from. Not `differentiable` are those that
    choose between formulas. `single`: one number for all.
    `optional`: without it the potential does without. `knots`: it is a function, a row of values at
    knots for each of these (see mdsens.knots).
    """

    name: str
    dimension: Dimension
    meaning: str
    default: float | None = None
    lower: float | None = None
    strict: bool = True
    default_rule: str | None = None
    differentiable: bool = True
    single: bool = False
    optional: bool = False
    knots: tuple[str, ...] = ()


@dataclass(frozen=True)
class PotentialEntry:
    """A potential: its equation, parameters, options (name -> allowed values, default first).

    Attributes:
        per_triple: tables are keyed by ordered triples of species, and nothing is per particle.
        file: the kind of LAMMPS file its parameters may come from, in the order of `parameters`.
    """

    kind: str
    class_name: str
    equation: str
    parameters: tuple[Parameter, ...]
    source: str
    options: tuple[tuple[str, tuple[str, ...]], ...] = ()
    knows_contacts: bool = False
    per_triple: bool = False
    file: str | None = None


@dataclass(frozen=True)
class ObservableEntry:
    """An observable: its unit as powers of energy and length (the latter per dimension d).

    `needs_volume`: defined where the cell is periodic in every direction. `needs_contacts`: defined
    for potentials that know what touches.
    """

    name: str
    meaning: str
    energy_power: int
    length_power: int
    length_power_per_dimension: int = 0
    shape: str = "()"
    differentiable: bool = True
    needs_volume: bool = False
    needs_contacts: bool = False

    def dimension(self, d: int) -> Dimension:
        return self.energy_power, self.length_power + d * self.length_power_per_dimension


@dataclass(frozen=True)
class MinimizerEntry:
    name: str
    meaning: str
    source: str


SMOOTHING = ("smoothing", ("energy_shift", "force_shift", "xplor", "none"))
_CUTOFF = Parameter("cutoff", LENGTH, "distance beyond which a pair does not interact", lower=0.0)
_ONSET = Parameter(
    "onset",
    LENGTH,
    'where switching begins; only with smoothing = "xplor"',
    lower=0.0,
    default_rule="0.8 cutoff",
)

POTENTIALS: dict[str, PotentialEntry] = {
    e.kind: e
    for e in (
        PotentialEntry(
            "soft_sphere",
            "SoftSphere",
            "(epsilon/alpha) (1 - r/sigma_ij)^alpha for r < sigma_ij, else 0; "
            "sigma_ij = (D_i + D_j)/2",
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
                _CUTOFF,
                _ONSET,
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
                _CUTOFF,
                _ONSET,
            ),
            "Morse, doi:10.1103/PhysRev.34.57; LAMMPS pair_style morse",
            options=(SMOOTHING,),
        ),
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
        PotentialEntry(
            "buckingham",
            "Buckingham",
            "A exp(-r/rho) - C/r^6, cut at `cutoff`, by default shifted to 0 there",
            (
                Parameter("A", ENERGY, "strength of repulsion", lower=0.0, strict=False),
                Parameter("rho", LENGTH, "range of repulsion", lower=0.0),
                Parameter("C", (1, 6), "strength of attraction", lower=0.0, strict=False),
                _CUTOFF,
                _ONSET,
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
                _CUTOFF,
                Parameter(
                    "cutoff_coulomb",
                    LENGTH,
                    "distance beyond which charges do not interact",
                    10.0,
                    lower=0.0,
                    single=True,
                ),
                _ONSET,
            ),
            "van Beest, Kramer, van Santen, doi:10.1103/PhysRevLett.64.1955; Fennell, Gezelter, "
            "doi:10.1063/1.2206581; LAMMPS pair_style buck, coul/dsf",
            options=(SMOOTHING,),
        ),
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
                _CUTOFF,
                _ONSET,
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
}

OBSERVABLES: dict[str, ObservableEntry] = {
    e.name: e
    for e in (
        ObservableEntry("energy", "total potential energy", 1, 0),
        ObservableEntry(
            "pressure", "-trace(stress)/d, positive in compression", 1, 0, -1, needs_volume=True
        ),
        ObservableEntry(
            "stress",
            "Cauchy stress, positive in tension",
            1,
            0,
            -1,
            shape="(d, d)",
            needs_volume=True,
        ),
        ObservableEntry("volume", "volume of the cell (area in 2D)", 0, 0, 1, needs_volume=True),
        ObservableEntry("cell", "lattice vectors as rows", 0, 1, shape="(d, d)"),
        ObservableEntry(
            "positions", "relaxed coordinates, mean displacement zero", 0, 1, shape="(N, d)"
        ),
        ObservableEntry(
            "coordination",
            "mean contacts per particle: 2 contacts / non-rattlers, among non-rattlers",
            0,
            0,
            differentiable=False,
            needs_contacts=True,
        ),
        *(
            ObservableEntry(name, meaning, 1, 0, -1, shape, needs_volume=True)
            for name, meaning, shape in (
                (
                    "elastic_tensor",
                    "d(stress)/d(strain), particles relaxed (Birch coefficients); "
                    "Voigt xx yy zz yz xz xy, v = d(d+1)/2",
                    "(v, v)",
                ),
                (
                    "elastic_tensor_clamped",
                    "the same with particles that follow the strain",
                    "(v, v)",
                ),
                (
                    "elastic_tensor_energy",
                    "d2(energy)/d(strain)2 / volume, particles relaxed; differs under stress",
                    "(v, v)",
                ),
                ("bulk_modulus", "-V dp/dV at fixed shape of the cell, particles relaxed", "()"),
                (
                    "shear_modulus",
                    "shear stiffness of elastic_tensor, averaged over directions",
                    "()",
                ),
            )
        ),
        ObservableEntry(
            "poisson_ratio",
            "(d B - 2 G)/(d (d - 1) B + 2 G) of bulk_modulus B and shear_modulus G",
            0,
            0,
            needs_volume=True,
        ),
    )
}

MINIMIZERS: dict[str, MinimizerEntry] = {
    e.name: e
    for e in (
        MinimizerEntry("auto", "lbfgs, then Newton's method; fire where that stalls", ""),
        MinimizerEntry(
            "fire",
            "fast inertial relaxation engine of jax-md, time step from the largest curvature",
            "Bitzek et al., doi:10.1103/PhysRevLett.97.170201",
        ),
        MinimizerEntry(
            "precon_fire",
            "jax-md's FIRE in the metric of a graph preconditioner",
            "Packwood et al., doi:10.1063/1.4947024",
        ),
        MinimizerEntry(
            "gradient_descent", "steepest descent of jax-md, step from the largest curvature", ""
        ),
        MinimizerEntry(
            "lbfgs",
            "limited-memory BFGS, steps judged by the slope along them, one gradient each",
            "Liu, Nocedal, doi:10.1007/BF01589116",
        ),
    )
}

SOLVERS = ("auto", "dense", "sparse", "cg", "minres")
CELL_MODES = ("fixed", "isotropic", "full")
