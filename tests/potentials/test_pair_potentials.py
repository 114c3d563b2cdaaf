"""Each pair potential against its equation written a second time, on every kind of cell."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdsens.equilibrium.assembly import sparse
from mdsens.errors import InputError
from mdsens.neighbors import pair_list
from mdsens.parameters import Table
from mdsens.potentials import WCA, LennardJones, Morse, SoftSphere
from tests.examples import make
from tests.potentials import pairwise
from tests.potentials.cases import GRID, KINDS, case, evaluate

everywhere = pytest.mark.parametrize(("kind", "place"), GRID, ids=[f"{k}-{p}" for k, p in GRID])


def numpy_energy(c, given=None) -> complex:
    return pairwise.energy_and_forces(c.kind.equation, given or c.given, c.system, c.kind.reach)[0]


@everywhere
def test_energy_and_forces(kind: str, place: str):
    c = case(kind, place)
    energy, forces, virial = pairwise.energy_and_forces(
        c.kind.equation, c.given, c.system, c.kind.reach
    )
    assert abs(energy) > 1e-3
    scale = np.abs(forces).max()
    np.testing.assert_allclose(c.found.energy, energy.real, rtol=1e-12)
    for gradient in (c.found.by_positions, c.found.gradient):
        np.testing.assert_allclose(gradient, -forces, atol=1e-11 * scale)
    # The virial: dE/d(strain) = sum over pairs of r (x) dE/dr.
    np.testing.assert_allclose(c.found.by_strain, virial, atol=1e-11 * np.abs(virial).max())


@everywhere
def test_cell_derivative_is_that_of_the_images(kind: str, place: str):
    # dE/dh at fixed Cartesian positions, from dE/d(strain) = x^T dE/dx + h^T dE/dh.
    c = case(kind, place)
    x, h = c.system.positions, c.system.cell
    together = x.T @ c.found.by_positions + h.T @ c.found.by_cell
    scale = np.abs(c.found.by_strain).max() + np.abs(x.T @ c.found.by_positions).max()
    np.testing.assert_allclose(together, c.found.by_strain, atol=1e-11 * scale)


@everywhere
def test_assembled_hessian_is_the_dense_one(kind: str, place: str):
    c = case(kind, place)
    n, d = c.system.positions.shape
    dense = np.asarray(c.found.hessian).reshape(n * d, n * d)
    assembled = sparse(c.found.local, n, d)
    np.testing.assert_allclose(assembled.toarray(), dense, atol=1e-11 * np.abs(dense).max())
    assert np.abs(dense).max() > 1e-3


@everywhere
def test_derivative_by_every_parameter(kind: str, place: str):
    c, step = case(kind, place), 1e-100
    assert set(c.found.by_parameters) == set(c.given)
    for name, value in c.given.items():
        found = c.found.by_parameters[name]
        if isinstance(value, dict):
            keys, varied = list(value), [{**value, k: v + 1j * step} for k, v in value.items()]
            assert found.keys == tuple(keys)
        elif np.ndim(value):
            varied = list(value + 1j * step * np.eye(len(value)))
        else:
            varied = [value + 1j * step]
        expected = [numpy_energy(c, {**c.given, name: v}).imag / step for v in varied]
        found = np.atleast_1d(np.asarray(found))
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize(("kind", "place"), GRID[-4:])
def test_strained_energy_by_finite_differences(kind: str, place: str, rng: np.random.Generator):
    # Listed anew in the strained cell: what leaves or enters the cutoff counts.
    c, step = case(kind, place), 1e-6
    d = c.system.dimension
    direction = rng.normal(size=(d, d))

    def energy(sign: float) -> float:
        stretch = np.eye(d) + sign * step * direction
        there = replace(
            c.system, positions=c.system.positions @ stretch, cell=c.system.cell @ stretch
        )
        return pairwise.energy_and_forces(c.kind.equation, c.given, there, c.kind.reach)[0].real

    expected = (energy(1.0) - energy(-1.0)) / (2 * step)
    np.testing.assert_allclose(np.sum(c.found.by_strain * direction), expected, rtol=1e-6)


@pytest.mark.parametrize(("kind", "place"), [row for row in GRID[-4:] if row[1] != "wire"])
def test_images_and_wrapping_do_not_matter(kind: str, place: str, rng: np.random.Generator):
    c = case(kind, place)
    whole = rng.integers(-3, 4, c.system.positions.shape)
    elsewhere = c.system.with_positions(c.system.positions + whole @ c.system.cell + 0.3)
    np.testing.assert_allclose(c.again(elsewhere), c.found.energy, rtol=1e-10)


@pytest.mark.parametrize("kind", ["harmonic", "lennard_jones, energy_shift", "morse, xplor"])
def test_longer_lists_and_more_room_do_not_matter(kind: str):
    c = case(kind, "oblique")
    np.testing.assert_allclose(c.again(c.system, 1.5 * c.kind.reach), c.found.energy, rtol=1e-13)


def dimer(potential, r, **given):
    """Energy, slope and curvature of one pair at distances r, padded places included."""
    system = make(np.zeros((2, 3)), np.eye(3), (False,) * 3, ["A", "B"])
    params = potential.parameters(system, **given)
    start = system.with_positions(np.array([[0, 0, 0], [0.1, 0, 0]]))
    pairs = jax.tree.map(jnp.asarray, pair_list(start, 1.0))

    def energy(x, p):
        positions = jnp.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]) * x
        return potential.energy(p, positions, jnp.eye(3), pairs)

    def all_of(x):
        slope = jax.grad(energy)
        return (
            energy(x, params),
            slope(x, params),
            jax.grad(slope)(x, params),
            jax.grad(energy, 1)(x, params),
        )

    return jax.jit(jax.vmap(all_of))(jnp.asarray(r))


LJ = {"epsilon": 1.3, "sigma": 0.9, "cutoff": 2.0}
MORSE = {"D0": 0.8, "alpha": 2.0, "r0": 1.1, "cutoff": 2.0}
CUT = [(LennardJones, LJ), (Morse, MORSE)]


@pytest.mark.parametrize(("potential", "given"), CUT, ids=["lennard_jones", "morse"])
@pytest.mark.parametrize(
    ("smoothing", "order"), [("none", -1), ("energy_shift", 0), ("force_shift", 1), ("xplor", 1)]
)
def test_smoothness_at_the_cutoff(potential, given, smoothing: str, order: int):
    eps = 1e-9
    found = dimer(potential(smoothing=smoothing), [2.0 - eps, 2.0, 2.0 + eps], **given)
    for k, values in enumerate(found[:3]):
        assert np.all(values[1:] == 0.0)
        assert (abs(values[0]) < 1e-7) == (k <= order)


@pytest.mark.parametrize(("potential", "given"), CUT, ids=["lennard_jones", "morse"])
def test_smoothness_at_the_onset(potential, given):
    found = dimer(potential(smoothing="xplor"), [1.6 - 1e-9, 1.6 + 1e-9], **given)[:2]
    low, high = np.array(found).T
    np.testing.assert_allclose(low, high, atol=1e-7)
    bare = dimer(potential(smoothing="none"), [1.0, 1.6 - 1e-9], **given)[0]
    switched = dimer(potential(smoothing="xplor"), [1.0, 1.6 - 1e-9], **given)[0]
    np.testing.assert_allclose(bare, switched, rtol=1e-14)


@pytest.mark.parametrize(
    ("potential", "given", "contact", "order"),
    [
        (SoftSphere(), {"diameter": 1.2, "alpha": 2.0}, 1.2, 1),
        (SoftSphere(), {"diameter": 1.2, "alpha": 2.5}, 1.2, 2),
        (WCA(), {"epsilon": 1.0, "sigma": 1.0}, 2 ** (1 / 6), 1),
    ],
    ids=["harmonic", "Hertzian", "wca"],
)
def test_smoothness_at_contact(potential, given, contact: float, order: int):
    eps = 1e-12
    found = dimer(potential, [contact - eps, contact, contact + eps], **given)
    for k, values in enumerate(found[:3]):
        assert np.all(np.abs(values[2:]) == 0.0)
        assert (abs(values[0]) < 1e-4) == (k <= order)


ALL = [
    (SoftSphere(), {"diameter": 1.2, "alpha": 2.5}, 1.2),
    (SoftSphere(), {"diameter": 1.2, "alpha": 3.0}, 1.2),
    (SoftSphere(), {"diameter": 1.2, "alpha": 1.5}, 1.2),
    (WCA(), {"epsilon": 1.0, "sigma": 1.0}, 2 ** (1 / 6)),
    *[
        (LennardJones(smoothing=s), LJ, 2.0)
        for s in ("none", "energy_shift", "force_shift", "xplor")
    ],
    *[(Morse(smoothing=s), MORSE, 2.0) for s in ("none", "energy_shift", "force_shift", "xplor")],
]


@pytest.mark.parametrize(("potential", "given", "edge"), ALL)
def test_everything_is_finite_on_both_sides_of_the_edge(potential, given, edge: float):
    r = [1e-3, 0.5, np.nextafter(edge, 0.0), edge, np.nextafter(edge, 9.0), 1e3, 1e8]
    for leaf in jax.tree.leaves(dimer(potential, r, **given)):
        assert np.all(np.isfinite(leaf)), leaf


def test_untouched_particles_leave_alpha_without_slope():
    by = dimer(SoftSphere(), [0.6, 1.2, 1.3], diameter=1.2, alpha=2.0)[3]
    assert np.all(by["alpha"][1:] == 0.0)
    expected = 0.5 * 0.5**2 * np.log(0.5) - 0.25 * 0.5**2
    np.testing.assert_allclose(by["alpha"][0], expected)


FORMS = [
    (SoftSphere(), {"epsilon": 1.2, "alpha": 2.5, "diameter": 1.4}),
    (WCA(), {"epsilon": 1.2, "sigma": 1.2}),
    (LennardJones(), {"epsilon": 1.2, "sigma": 0.9, "cutoff": 1.9}),
    (Morse(), {"D0": 1.2, "alpha": 3.0, "r0": 0.9, "cutoff": 1.8}),
]


@pytest.mark.parametrize(("potential", "given"), FORMS, ids=[p.kind for p, _ in FORMS])
def test_forms_of_equal_value_agree(potential, given):
    system = case("harmonic", "oblique").system
    x, h = jnp.asarray(system.positions), jnp.asarray(system.cell)
    pairs = jax.tree.map(jnp.asarray, pair_list(system, 1.9))
    forms = {
        "number": lambda v: v,
        "species": lambda v: {"B": v, "A": v},
        "pairs": lambda v: {"B-B": v, "B-A": v, "A-A": v},
        "particles": lambda v: np.full(system.n_particles, v),
    }
    found = {}
    for name, form in forms.items():
        params = potential.parameters(system, **{k: form(v) for k, v in given.items()})
        energy, slope = jax.value_and_grad(potential.energy)(params, x, h, pairs)
        # All entries together move what the one number moves.
        found[name] = [energy, *(np.sum(np.asarray(slope[k])) for k in given)]
        assert potential.cutoff(params) == potential.cutoff(potential.parameters(system, **given))
    for name in forms:
        np.testing.assert_allclose(found[name], found["number"], rtol=1e-11, atol=1e-12)


def test_a_pair_goes_by_both_orders():
    c = case("harmonic", "oblique")
    swapped = {"A-B" if k == "B-A" else k: v for k, v in c.given["epsilon"].items()}
    assert c.again(c.system, epsilon=swapped) == c.again(c.system)


def test_the_cutoff_is_the_largest():
    system = case("harmonic", "oblique").system
    params = SoftSphere().parameters(system, diameter=np.linspace(0.5, 1.5, 10))
    assert SoftSphere().cutoff(params) == 1.5
    params = WCA().parameters(system, epsilon=1.0, sigma={"A": 1.0, "B": 1.2})
    np.testing.assert_allclose(WCA().cutoff(params), 1.2 * 2 ** (1 / 6))
    params = LennardJones().parameters(
        system, epsilon=1.0, sigma=1.0, cutoff={"A-A": 2.0, "A-B": 3.0, "B-B": 2.5}
    )
    assert LennardJones().cutoff(params) == 3.0


def energy_with(potential, params):
    system = case("harmonic", "oblique").system
    pairs = pair_list(system, 1.5)
    return potential.energy(params, jnp.asarray(system.positions), jnp.asarray(system.cell), pairs)


def test_what_parameters_lack_is_named():
    with pytest.raises(InputError, match=r"lennard_jones: parameters lack cutoff, sigma"):
        energy_with(LennardJones(), {"epsilon": jnp.asarray(1.0)})
    params = {k: jnp.asarray(v) for k, v in LJ.items()}
    with pytest.raises(InputError, match="lack onset"):
        energy_with(LennardJones(smoothing="xplor"), params)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Table(jnp.ones(2), ("A-A", "B-B")), "diameter: no entry for A-B"),
        (Table(jnp.ones(1), ("A",)), "diameter: no entry for B"),
        (Table(jnp.ones(2), ("A", "C")), '"C" names no species'),
        (jnp.ones(3), r"diameter: shape \(3,\).*\(10,\)"),
    ],
)
def test_hand_made_parameters_that_do_not_fit_are_refused(value, words: str):
    params = {"epsilon": jnp.asarray(1.0), "alpha": jnp.asarray(2.0), "diameter": value}
    with pytest.raises(InputError, match=words):
        energy_with(SoftSphere(), params)


def test_unknown_smoothing_is_refused():
    with pytest.raises(InputError, match=r'lennard_jones: smoothing "sharp".*energy_shift.*xplor'):
        LennardJones(smoothing="sharp")


@pytest.mark.parametrize("kind", KINDS)
def test_contacts_are_known_to_purely_repulsive_kinds(kind: str):
    c = case(kind, "oblique")
    x, h = jnp.asarray(c.system.positions), jnp.asarray(c.system.cell)
    touching = c.kind.potential.contacts(c.params, x, h, c.pairs)
    if not c.kind.potential.entry.knows_contacts:
        assert touching is None
        return
    mixed = c.given.get("diameter", c.given.get("sigma"))
    factor = 2 ** (1 / 6) if kind == "wca" else 1.0
    expected = sum(
        np.linalg.norm(r) < factor * pairwise.of_pair(mixed, i, j, c.system.species)
        for i, j, r in pairwise.vectors(c.system, c.kind.reach)
    )
    assert 0 < np.sum(touching) == expected < np.sum(c.pairs.valid)


def test_a_sum_is_the_sum(rng: np.random.Generator):
    soft, bond = case("Hertzian", "oblique"), case("morse, xplor", "oblique")
    system = soft.system
    potential = soft.kind.potential + bond.kind.potential
    params = potential.parameters(system, soft_sphere=soft.given, morse=bond.given)
    assert potential.cutoff(params) == 1.8
    pairs = jax.tree.map(jnp.asarray, pair_list(system, 2.1))
    x, h = jnp.asarray(system.positions), jnp.asarray(system.cell)
    strain = 0.01 * rng.normal(size=(2, 2))
    found = evaluate(potential, params, x, h, pairs, strain)
    np.testing.assert_allclose(found.energy, soft.found.energy + bond.found.energy, rtol=1e-13)
    for name, one in (("soft_sphere", soft), ("morse", bond)):
        for a, b in zip(
            jax.tree.leaves(found.by_parameters[name]),
            jax.tree.leaves(one.found.by_parameters),
            strict=True,
        ):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)
    dense = np.asarray(soft.found.hessian + bond.found.hessian).reshape(20, 20)
    local = found.local
    matrix = sparse(local, 10, 2).toarray()
    np.testing.assert_allclose(matrix, dense, atol=1e-11 * np.abs(dense).max())
    there = system.with_positions(x @ (np.eye(2) + strain)).with_cell(h @ (np.eye(2) + strain))
    parts = [
        pairwise.energy_and_forces(c.kind.equation, c.given, there, c.kind.reach)[0].real
        for c in (soft, bond)
    ]
    np.testing.assert_allclose(found.strained, sum(parts), rtol=1e-11)
    # A Morse bond holds particles without touching them.
    assert potential.contacts(params, x, h, pairs) is None


def test_a_sum_of_one_kind_has_two_names():
    system = case("harmonic", "oblique").system
    potential = SoftSphere() + SoftSphere()
    assert potential.names == ("soft_sphere", "soft_sphere_2")
    params = potential.parameters(
        system, soft_sphere={"diameter": 1.0}, soft_sphere_2={"diameter": 1.3}
    )
    x, h = jnp.asarray(system.positions), jnp.asarray(system.cell)
    pairs = jax.tree.map(jnp.asarray, pair_list(system, 1.3))
    touching = potential.contacts(params, x, h, pairs)
    assert np.array_equal(touching, SoftSphere().contacts(params["soft_sphere_2"], x, h, pairs))
    with pytest.raises(InputError, match=r"morse: not an addend; the addends are soft_sphere and"):
        potential.parameters(system, morse={})


@pytest.mark.parametrize("kind", ["harmonic", "lennard_jones, energy_shift", "wca"])
def test_pairs_beyond_their_reach_do_not_interact(kind: str):
    c = case(kind, "oblique")
    x, h = jnp.asarray(c.system.positions), jnp.asarray(c.system.cell)
    reach = c.kind.potential.reach(c.params, c.pairs)
    assert np.max(reach) <= float(c.kind.potential.cutoff(c.params)) * (1 + 1e-12)
    for factor, same in ((1.0, True), (0.9, False)):
        near = c.pairs.valid & (c.pairs.distances(x, h) < factor * reach)
        assert np.sum(near) < np.sum(c.pairs.valid)
        energy = c.kind.potential.energy(c.params, x, h, replace(c.pairs, valid=near))
        assert (float(energy) == pytest.approx(float(c.found.energy), rel=1e-13)) == same


def test_a_sum_reaches_as_far_as_either():
    system = case("harmonic", "oblique").system
    potential = SoftSphere() + LennardJones()
    diameter = np.linspace(0.8, 2.4, system.n_particles)
    params = potential.parameters(
        system,
        soft_sphere={"diameter": diameter},
        lennard_jones={"epsilon": 1.0, "sigma": 1.0, "cutoff": 1.6},
    )
    pairs = jax.tree.map(jnp.asarray, pair_list(system, 2.4))
    expected = np.maximum(0.5 * (diameter[pairs.i] + diameter[pairs.j]), 1.6)
    np.testing.assert_allclose(potential.reach(params, pairs), expected)
