"""What can be measured."""

from __future__ import annotations

from mdsens.catalogue.entries import Abscissa, ObservableEntry

# Of a state at rest.
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

# Of an ensemble, see [ensemble].
AVERAGES: dict[str, ObservableEntry] = {
    e.name: e
    for e in (
        ObservableEntry("energy", "mean potential energy", 1, 0),
        ObservableEntry("pressure", "mean pressure, kinetic part included", 1, 0, -1, needs_volume=True),
        ObservableEntry(
            "stress", "mean stress, kinetic part included, positive in tension", 1, 0, -1,
            shape="(d, d)", needs_volume=True,
        ),
        ObservableEntry("volume", "mean volume of the cell (area in 2D)", 0, 0, 1, needs_volume=True),
        ObservableEntry("density", "mean number of particles per volume", 0, 0, -1, needs_volume=True),
        ObservableEntry(
            "mean_square_displacement",
            "of each particle from its place in the structure file; for crystals",
            0, 2, shape="(N,)",
        ),
        ObservableEntry(
            "pair_correlation",
            "g(r) of all particles, smooth bins, 100 distances (attribute `distances`)",
            0, 0, shape="(100,)", needs_volume=True,
            along=Abscissa("g(r)", "r", "distances", "length", (0, 1)),
        ),
        ObservableEntry(
            "structure_factor",
            "S(k) of all particles in every direction alike, 100 `wavenumbers`; for liquids and glasses",
            0, 0, shape="(100,)", needs_volume=True,
            along=Abscissa("S(k)", "k", "wavenumbers", "wavenumber", (0, -1)),
        ),
        ObservableEntry("heat_capacity", "C_V, or C_P at constant pressure, in k_B", 0, 0),
        ObservableEntry(
            "compressibility", "-(dV/dP)/V at constant temperature; npt only", -1, 0, 1,
            needs_volume=True,
        ),
        ObservableEntry(
            "elastic_tensor",
            "isothermal d(stress)/d(strain) (Birch coefficients), v = d(d+1)/2; nvt only",
            1, 0, -1, "(v, v)", needs_volume=True,
        ),
    )
}  # fmt: skip

# Those that are functions, and of what.
CURVES: dict[str, Abscissa] = {name: e.along for name, e in AVERAGES.items() if e.along is not None}
