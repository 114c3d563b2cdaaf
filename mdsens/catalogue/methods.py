"""How minima are found, linear systems solved, cells relaxed, and ensembles sampled."""

from __future__ import annotations

from mdsens.catalogue.entries import MinimizerEntry

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
ENSEMBLES = ("nve", "nvt", "npt")
THERMOSTATS = ("langevin", "csvr", "nose_hoover")

# Steps of a relaxation within a fit, after which it has failed.
FIT_STEPS = 10_000
