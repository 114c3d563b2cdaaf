"""Targets with atoms: labelled structures and relaxed properties of Lennard-Jones argon and krypton."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import mdsens as ms
from mdsens.errors import DerivativeUndefined, InputError, NotConverged
from mdsens.fitting import (
    ENERGY_SHIFT,
    Free,
    Labelled,
    Labels,
    Wanted,
    crystal,
    defect,
    fit,
    reading,
    space,
)
from mdsens.parameters import Table
from tests.examples import make
from tests.potentials.crystals import FCC

POTENTIAL = ms.potentials.LennardJones()
A0, GPA = 5.3, 1 / 160.2176634


def fcc(cells=1, species=("Ar",), seed=None, vacancy=False):
    corners = np.array(list(np.ndindex(cells, cells, cells)))
    positions = A0 * (corners[:, None, :] + FCC).reshape(-1, 3)
    positions = positions[1:] if vacancy else positions
    if seed is not None:
        positions = positions + 0.15 * np.random.default_rng(seed).uniform(-1, 1, positions.shape)
    names = [species[k % len(species)] for k in range(len(positions))]
    return make(positions, cells * A0 * np.eye(3), (True,) * 3, names, units="metal")


PURE = POTENTIAL.parameters(fcc(), epsilon=0.0104, sigma=3.4, cutoff=6.0)
MIXED = POTENTIAL.parameters(
    fcc(species=("Ar", "Kr")),
    epsilon={"Ar-Ar": 0.0104, "Ar-Kr": 0.012, "Kr-Kr": 0.014},
    sigma={"Ar-Ar": 3.4, "Ar-Kr": 3.5, "Kr-Kr": 3.6},
    cutoff=6.0,
)
FREE = {"epsilon": Free(), "sigma": Free(transform="log")}


def labels(params, systems):
    """What the potential itself says, by way of ASE."""
    for system in systems:
        atoms = ms.to_atoms(system)
        names = system.type_names
        kept = {k: ms.parameters.restricted({k: v}, names)[k] for k, v in params.items()}
        atoms.calc = ms.Calculator(POTENTIAL, kept)
        yield Labels(
            atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(voigt=False)
        )


@pytest.fixture(scope="module")
def alloy():
    """Structures of two sizes and one or two species, which share padded groups."""
    systems = [
        fcc(2, ("Ar", "Kr"), 0), fcc(2, ("Kr",), 1), fcc(2, ("Ar", "Kr"), 2, vacancy=True),
    ]  # fmt: skip
    return Labelled("alloy", systems, list(labels(MIXED, systems)), stress=1e-3)


def slope(target, s, u, h=1e-5):
    """Differences of values by u, (m, k)."""
    columns = [
        (target.evaluate(POTENTIAL, s, u + e).values - target.evaluate(POTENTIAL, s, u - e).values)
        / (2 * h)
        for e in h * np.eye(s.size)
    ]
    return np.stack(columns, axis=1)


def test_labelled_structures(alloy):
    s = space(MIXED, FREE)
    assert s.size == 6
    found = alloy.evaluate(POTENTIAL, s, np.zeros(6))
    np.testing.assert_allclose(found.values, alloy.wanted, atol=1e-14)
    assert np.bincount(alloy.kinds).tolist() == [3, 3 * (32 + 32 + 31), 18]
    u = np.linspace(-0.02, 0.03, 6)
    found = alloy.evaluate(POTENTIAL, s, u)
    np.testing.assert_allclose(found.jacobian, slope(alloy, s, u), atol=1e-8, rtol=1e-7)
    # Pairs of krypton do not move what has none; the structure of krypton alone no others.
    assert not np.any(found.jacobian[alloy.labels.index("energy of alloy[1]"), [0, 1, 3, 4]])


def test_energy_shift(alloy):
    shift = Table(np.array([1.0, -2.0]), ("Ar", "Kr"))
    s = space({**MIXED, ENERGY_SHIFT: shift}, {ENERGY_SHIFT: Free(), "epsilon[Ar-Ar]": Free()})
    found = alloy.evaluate(POTENTIAL, s, np.zeros(3))
    energies = np.flatnonzero(alloy.kinds == 0)
    gap = (found.values - alloy.wanted)[energies]
    share = np.array([0.5, 0.0, 16 / 31])
    np.testing.assert_allclose(gap, share * 1.0 - 2.0 * (1.0 - share), atol=1e-12)
    by_shift = found.jacobian[energies][
        :, [s.labels.index(f"energy_shift[{n}]") for n in ("Ar", "Kr")]
    ]
    np.testing.assert_allclose(by_shift, np.stack([share, 2.0 * (1.0 - share)], axis=1), atol=1e-12)


def test_recovery_of_six_parameters(alloy):
    start = jax.tree.map(lambda x: x, MIXED)
    start["epsilon"] = start["epsilon"] * np.array([1.2, 0.8, 1.15])
    start["sigma"] = start["sigma"] * np.array([0.97, 1.04, 1.03])
    found = fit(POTENTIAL, start, [alloy], FREE, tolerance=1e-14)
    for name in ("epsilon", "sigma"):
        np.testing.assert_allclose(found.params[name].values, MIXED[name].values, rtol=1e-7)


@pytest.fixture(scope="module")
def argon():
    system = fcc()
    names = ("a", "cohesive_energy", "C11", "C12", "C44", "C44_clamped", "bulk_modulus")
    readings = [(reading(name, system), Wanted(name, 1.0, 1.0)) for name in names]
    # The last one in another unit.
    readings[-1] = readings[-1][0], Wanted("bulk_modulus", 1.0, 1.0, "GPa", GPA)
    return crystal("argon", system, readings, cell="isotropic")


def test_scaling_of_relaxed_properties(argon):
    """Lengths go with sigma, energies with epsilon, moduli with epsilon/sigma^3: exactly."""
    params = {**PURE, "cutoff": np.asarray(PURE["cutoff"])}
    s = space(params, {"epsilon": Free(), "sigma": Free(), "cutoff": Free()})
    found = argon.evaluate(POTENTIAL, s, np.zeros(3))
    by_epsilon = found.jacobian[:, 0] / found.values
    by_length = (found.jacobian[:, 1] + found.jacobian[:, 2]) / found.values
    np.testing.assert_allclose(by_epsilon, [0, 1, 1, 1, 1, 1, 1], atol=1e-10)
    np.testing.assert_allclose(by_length, [1, 0, -3, -3, -3, -3, -3], atol=1e-9)
    # C11 + 2 C12 = 3 B without stress.
    np.testing.assert_allclose(
        found.values[2] + 2 * found.values[3], 3 * GPA * found.values[6], rtol=1e-10
    )


def test_relaxed_properties_against_differences(argon):
    s, u = space(PURE, FREE), np.array([0.03, -0.02])
    found = argon.evaluate(POTENTIAL, s, u)
    np.testing.assert_allclose(found.jacobian, slope(argon, s, u, 1e-4), rtol=1e-5, atol=1e-6)
    again = argon.evaluate(POTENTIAL, s, u, found.memory)
    np.testing.assert_allclose(again.values, found.values, rtol=1e-11)


def test_recovery_from_relaxed_properties_alone(argon):
    s = space(PURE, FREE)
    true = argon.evaluate(POTENTIAL, s, np.zeros(2)).values
    names = ("a", "cohesive_energy", "C11")
    wanted = [Wanted(n, v, 1e-3 * v) for n, v in zip(names, true, strict=False)]
    readings = [(reading(w.label, fcc()), w) for w in wanted]
    target = crystal("argon", fcc(), readings, cell="isotropic")
    start = {**PURE, "epsilon": 1.2 * PURE["epsilon"], "sigma": 0.95 * PURE["sigma"]}
    found = fit(POTENTIAL, start, [target], FREE, tolerance=1e-14)
    np.testing.assert_allclose(found.params["epsilon"], PURE["epsilon"], rtol=1e-7)
    np.testing.assert_allclose(found.params["sigma"], PURE["sigma"], rtol=1e-7)


@pytest.mark.slow
def test_vacancy():
    target = defect(
        "vacancy", fcc(2, vacancy=True), fcc(), energy=Wanted("energy", 0.1, 0.01),
        volume=Wanted("volume", 1.0, 1.0),
    )  # fmt: skip
    s = space({**PURE, "cutoff": np.asarray(PURE["cutoff"])}, {**FREE, "cutoff": Free()})
    found = target.evaluate(POTENTIAL, s, np.zeros(3))
    np.testing.assert_allclose(found.jacobian[:, 0] / found.values, [1.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(
        found.jacobian[:, 1:].sum(axis=1) / found.values, [0.0, 3.0], atol=1e-8
    )


def cluster(positions):
    return make(positions, 30 * np.eye(3), (False,) * 3, ["Ar"] * len(positions), units="metal")


@pytest.mark.parametrize("cell", ["isotropic", "full"])
def test_a_vacancy_in_a_free_cell_goes_on_from_where_it_was(cell):
    """The relaxed lattice is 3 % larger than the given one: neither cell stays as it was."""
    target = defect(
        "vacancy", fcc(2, vacancy=True), fcc(), energy=Wanted("E", 0.08, 0.001),
        volume=Wanted("V", 0.0, 1.0), cell=cell,
    )  # fmt: skip
    s = space({**PURE, "sigma": np.asarray(3.6)}, FREE)
    first = target.evaluate(POTENTIAL, s, np.zeros(2))
    u = np.array([0.01, 0.02])
    again = target.evaluate(POTENTIAL, s, u, first.memory)
    np.testing.assert_allclose(again.values, target.evaluate(POTENTIAL, s, u).values, rtol=1e-8)


def test_a_lost_basin_is_told():
    """A strand of atoms that rolls up: relaxed, it is no longer what was meant."""
    system = cluster([[0, 0, 0], [0, 0, 4.0], [1.0, 0, 8.0]])
    read = reading("distance", system, atoms=(0, 1))
    target = crystal("strand", system, [(read, Wanted("d", 3.8, 0.1))], cell="fixed")
    s = space({**PURE, "cutoff": np.asarray(12.0)}, FREE)
    with pytest.raises(NotConverged, match="left its basin: particle"):
        target.evaluate(POTENTIAL, s, np.zeros(2))


@pytest.mark.parametrize(
    "positions, pbc",
    [
        ([[0, 0, 0], [4.0, 0, 0]], (False,) * 3),
        ([[0, 0, 0], [4.0, 0, 0], [2.0, 3.4, 0]], (False,) * 3),
        ([[0, 0, 0], [4.0, 0, 0]], (True, False, False)),
    ],
)
def test_flat_structures_have_a_basin(positions, pbc):
    """Dimers and wires along an axis, a plane: their extent is nothing in some directions."""
    system = make(positions, np.diag([7.8, 30, 30]), pbc, ["Ar"] * len(positions), units="metal")
    target = crystal(
        "flat", system, [(reading("energy_per_atom", system), Wanted("E", 0, 1))], cell="fixed"
    )
    s = space({**PURE, "cutoff": np.asarray(5.0)}, FREE)
    assert target.evaluate(POTENTIAL, s, np.zeros(2)).values[0] < 0.0


def test_a_crystal_may_grow_but_not_vanish():
    """A lattice constant off by 30 % is a matter of parameters, one off by half another structure."""
    system = fcc()
    target = crystal(
        "fcc", system, [(reading("a", system), Wanted("a", 5.3, 0.1))], cell="isotropic"
    )
    s = space({**PURE, "cutoff": np.asarray(9.0)}, {"sigma": Free()})
    grown = target.evaluate(POTENTIAL, s, np.array([0.3])).values[0]
    assert 1.25 * A0 < grown < 1.35 * A0
    with pytest.raises(NotConverged, match="left its basin: its volume is 3"):
        target.evaluate(POTENTIAL, s, np.array([0.5]))
    # Far beyond that it is told on the way, before thousands of neighbours are listed.
    with pytest.raises(NotConverged, match="the cell runs away"):
        target.evaluate(POTENTIAL, s, np.array([-0.5]))


def test_what_is_no_minimum_is_told_as_such():
    """Simple cubic argon stays where it is, by symmetry, and is unstable."""
    corners = 3.7 * np.array(list(np.ndindex(2, 2, 2)), float)
    system = make(corners, 7.4 * np.eye(3), (True,) * 3, ["Ar"] * 8, units="metal")
    read = (reading("volume_per_atom", system), Wanted("V", 50.0, 1.0))
    target = crystal("cubic", system, [read], cell="isotropic")
    with pytest.raises(DerivativeUndefined, match=r"cubic: .* negative modes"):
        target.evaluate(POTENTIAL, space(PURE, FREE), np.zeros(2))


def test_a_relaxation_has_a_bound():
    system, far = fcc(seed=0), np.array([0.0, -0.25])
    want = [(reading("a", system), Wanted("a", 5.3, 0.1))]
    s = space(PURE, FREE)
    with pytest.raises(NotConverged, match="after 2 steps; raise max_steps"):
        crystal("fcc", system, want, max_steps=2).evaluate(POTENTIAL, s, far)
    crystal("fcc", system, want).evaluate(POTENTIAL, s, far)


def test_distances_and_angles():
    """An equilateral trimer: r = 2^(1/6) sigma, all angles 60 degrees, whatever the parameters."""
    side = 2 ** (1 / 6) * 3.4
    corners = side * np.array([[0, 0, 0], [1, 0, 0], [0.5, 0.75**0.5, 0]]) + 0.01
    system = make(corners, 30 * np.eye(3), (False,) * 3, ["Ar"] * 3, units="metal")
    readings = [
        (reading("distance", system, atoms=(0, 2)), Wanted("d", side, 0.1)),
        (reading("angle", system, atoms=(0, 1, 2)), Wanted("angle", 60.0, 1.0)),
    ]
    s = space({**PURE, "cutoff": np.asarray(100.0)}, {"sigma": Free()})
    found = crystal("trimer", system, readings, cell="fixed").evaluate(POTENTIAL, s, np.zeros(1))
    np.testing.assert_allclose(found.values, [side, 60.0], rtol=1e-6)
    np.testing.assert_allclose(found.jacobian[:, 0], [side, 0.0], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("atoms", [(0, 1, 2), (3, 0, 1), (2, 1, 3)])
@pytest.mark.parametrize("noise", [0.0, 1e-8])
def test_of_equally_near_images_those_of_the_coordinates_count(atoms, noise):
    """Neighbours in the cube of an fcc crystal are half a cell apart: several images are as near."""
    rounded = A0 * FCC + noise * np.random.default_rng(0).uniform(-1, 1, (4, 3))
    system = make(rounded, A0 * np.eye(3), (True,) * 3, ["Ar"] * 4, units="metal")
    angle = reading("angle", system, atoms=atoms).quantity
    np.testing.assert_allclose(angle(POTENTIAL, PURE, system), 60.0, atol=1e-5)


def test_nearer_images_come_before_those_of_the_coordinates():
    system = make([[0.1, 0, 0], [5.1, 0, 0]], A0 * np.eye(3), (True,) * 3, ["Ar"] * 2)
    distance = reading("distance", system, atoms=(0, 1)).quantity
    np.testing.assert_allclose(distance(POTENTIAL, PURE, system), A0 - 5.0, rtol=1e-12)


@pytest.mark.parametrize(
    "name, arguments, sentence",
    [
        ("C17", {}, "is no property"),
        ("hardness", {}, "is no property"),
        ("phonon", {"q": (0, 0, 0)}, "takes branch, q"),
        ("phonon", {"q": (0, 0), "branch": 1}, "3 finite numbers"),
        ("phonon", {"q": (0, 0, 0), "branch": 12}, "none of 0 to 11"),
        ("distance", {"atoms": (0, 9)}, "2 of 0 to 3"),
        ("angle", {"atoms": (0, 1)}, "3 of 0 to 3"),
        ("a", {"atoms": (0, 1)}, "takes neither"),
    ],
)
def test_unreadable(name, arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        reading(name, fcc(), **arguments)


@pytest.mark.parametrize("pbc", [(False, False, False), (True, True, False)])
def test_stresses_of_what_is_not_periodic_are_refused(pbc):
    system = make(A0 * FCC, 9 * np.eye(3), pbc, ["Ar"] * 4, units="metal")
    label = Labels(0.0, stress=np.zeros((3, 3)))
    assert len(Labelled("x", [system], [label]).wanted) == 1
    with pytest.raises(InputError, match="x: structure 1: stress: has no meaning"):
        Labelled("x", [fcc(), system], [label, label], stress=0.1)


def test_bad_labels():
    with pytest.raises(InputError, match="shape"):
        Labelled("x", [fcc()], [Labels(forces=np.zeros((3, 3)))]).wanted  # noqa: B018
    forces = np.zeros((4, 3))
    for kind, bad in (
        ("energy", Labels(energy=np.nan, forces=forces)),
        ("energy", Labels(energy=np.inf)),
        ("force", Labels(0.0, forces + np.nan)),
        ("stress", Labels(0.0, stress=np.full((3, 3), np.inf))),
    ):
        good = Labels(0.0, forces, np.zeros((3, 3)))
        with pytest.raises(InputError, match=f"x: structure 1: {kind}: not finite"):
            Labelled("x", [fcc(), fcc()], [good, bad], stress=1.0)
    # What does not count may be missing.
    Labelled("x", [fcc()], [Labels(np.nan, forces, np.full((3, 3), np.nan))], energy=np.inf)
    with pytest.raises(InputError, match="to compare with"):
        Labelled("x", [fcc()], [Labels(stress=np.zeros((3, 3)))])
    with pytest.raises(InputError, match="1 structures and 0 sets"):
        Labelled("x", [fcc()], [])
    with pytest.raises(InputError, match="sigma positive"):
        crystal("x", fcc(), [(reading("a", fcc()), Wanted("a", 1.0, 0.0))])
