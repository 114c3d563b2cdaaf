"""Adopted jax-md energies against mdsens' own, and what an adopted one refuses."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mdsens as ms
from mdsens._jaxmd import partition, space
from mdsens.errors import Float32Error, InputError
from mdsens.neighbors import NoPairs, pair_list
from mdsens.potentials import LennardJones, Morse, SoftSphere, StillingerWeber, from_jax_md
from tests.examples import make
from tests.potentials.crystals import SW_SILICON, cubic, disordered


@pytest.fixture(autouse=True)
def jax_md_ranks():
    """jax-md leans on the broadcasting that the tests otherwise forbid."""
    with jax.numpy_rank_promotion("allow"):
        yield


def packing(n: int = 30, outside: bool = True):
    rng = np.random.default_rng(2)
    cell = np.array([[6.0, 0.7], [1.5, 5.0]])
    whole = rng.integers(-2, 3, (n, 2)) if outside else 0
    return make((rng.random((n, 2)) + whole) @ cell, cell, (True, True))


def harmonic(displacement):
    """jax-md's conventions, written out: all pairs, or those of a sparse ordered list."""

    def energy(r, neighbor=None, sigma=1.0, **more):
        def apart(a, b):
            return displacement(a, b, **more)

        i, j = np.triu_indices(len(r), 1) if neighbor is None else neighbor.idx
        d2 = jnp.sum(jax.vmap(apart)(r[i], r[j]) ** 2, axis=1)
        # The list's empty places name the particle after the last one.
        d2 = jnp.where((d2 > 0) & (i < len(r)), d2, 4.0 * sigma**2)
        overlap = jnp.maximum(1.0 - jnp.sqrt(d2) / sigma, 0.0)
        return 0.5 * jnp.sum(overlap**2)

    return energy


def lists(displacement, box, fractional: bool, **more):
    return partition.neighbor_list(
        displacement, box, 1.0, fractional_coordinates=fractional,
        format=partition.NeighborListFormat.OrderedSparse, **more,
    )  # fmt: skip


def adopted(system, fractional: bool, listed: bool, **more):
    box = jnp.asarray(system.cell.T)
    displacement, _ = space.periodic_general(box, fractional_coordinates=fractional)
    neighbor_fn = lists(displacement, box, fractional, **more) if listed else None
    energy = harmonic(displacement)
    return from_jax_md(energy, system, neighbor_fn, fractional_coordinates=fractional)


MODES = [(f, n) for f in (False, True) for n in (False, True)]
modes = pytest.mark.parametrize(
    ("fractional", "listed"),
    MODES,
    ids=[f"{'fractional' if f else 'real'}{', list' if n else ''}" for f, n in MODES],
)


def ours(system):
    params = SoftSphere().parameters(system, diameter=1.0)
    pairs = jax.tree.map(jnp.asarray, pair_list(system, 1.2))
    return lambda x, h, e: SoftSphere().strained_energy(params, x, h, pairs, e)


def theirs(potential, system):
    params = potential.parameters(system, sigma=1.0)
    nobody = NoPairs().build(system)
    return lambda x, h, e: potential.strained_energy(params, x, h, nobody, e)


@modes
def test_energy_forces_and_all_second_derivatives(fractional: bool, listed: bool, rng):
    system = packing()
    x, h = jnp.asarray(system.positions), jnp.asarray(system.cell)
    # Positions, strain and cell, pairwise mixed, along random directions.
    directions = [tuple(jnp.asarray(rng.normal(size=a.shape)) for a in (x, h, h)) for _ in range(2)]
    at = (x, h, jnp.zeros((2, 2)))

    def all_of(f):
        def slope(*z):
            return jax.jvp(f, z, directions[0])[1]

        # Reverse over forward, and forward over forward.
        def evaluate(*z):
            second = jax.grad(slope, (0, 1, 2))(*z), jax.jvp(slope, z, directions[1])[1]
            return f(*z), jax.grad(f, (0, 1, 2))(*z), second

        return jax.jit(evaluate)(*at)

    found = all_of(theirs(adopted(system, fractional, listed), system))
    expected = all_of(ours(system))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10 * np.abs(b).max())
        assert np.abs(b).max() > 1e-3


@modes
def test_the_interface(fractional: bool, listed: bool):
    system = packing(outside=False)
    potential = adopted(system, fractional, listed)
    params = potential.parameters(system, sigma=1.0)
    own = SoftSphere().parameters(system, diameter=1.0)
    found, expected = ms.pressure(potential, params, system), ms.pressure(SoftSphere(), own, system)
    np.testing.assert_allclose(found, expected, rtol=1e-11)
    assert potential.kind == "jax_md" and not potential.uses_pairs
    assert potential.cutoff(params) == 0.0
    assert potential.local_hessian(params, None, None, None) is None
    assert potential.contacts(params, None, None, None) is None


@modes
@pytest.mark.parametrize("strain", [0.04, -0.04])
def test_another_cell_is_right_or_not_a_number(fractional: bool, listed: bool, strain: float):
    # With a skin, jax-md renews a list only when particles have moved, not when the box has.
    system = packing(80, outside=False)
    more = {"dr_threshold": 0.02} if listed else {}
    potential = adopted(system, fractional, listed, **more)
    stretch = np.eye(2) + strain * np.array([[1.0, 0.3], [0.3, 1.0]])
    there = replace(system, positions=system.positions @ stretch, cell=system.cell @ stretch)
    none = jnp.zeros((2, 2))
    x, h = jnp.asarray(there.positions), jnp.asarray(there.cell)
    found, expected = theirs(potential, there)(x, h, none), ours(there)(x, h, none)
    if listed and not fractional:
        assert np.isnan(found)
    else:
        assert np.isnan(found) or np.isclose(found, expected, rtol=1e-11)
        assert np.isfinite(found) or (listed and strain < 0)


@pytest.mark.parametrize("fractional", [False, True])
def test_overflow_is_not_a_number(fractional: bool):
    system = packing(80, outside=False)
    potential = adopted(system, fractional, listed=True)
    f, h = theirs(potential, system), jnp.asarray(system.cell)
    assert np.isfinite(f(jnp.asarray(system.positions), h, jnp.zeros((2, 2))))
    assert np.isnan(f(0.2 * jnp.asarray(system.positions), h, jnp.zeros((2, 2))))


def test_small_cells_are_refused_with_both_numbers():
    system = packing()
    with pytest.raises(InputError, match=r"smallest height 4\.7\d* .*cutoff 2\.5"):
        from_jax_md(lambda r: 0.0, system, cutoff=2.5)
    from_jax_md(lambda r: 0.0, system, cutoff=2.3)


def test_single_precision_is_refused():
    with jax.enable_x64(False), pytest.raises(Float32Error):
        from_jax_md(lambda r: 0.0, packing())


def test_parameters_first():
    system = packing(outside=False)
    potential = from_jax_md(lambda w, r, **_: w["k"] * jnp.sum(r**2), system, parameters_first=True)
    params = potential.parameters(system, k=2)
    assert params["k"].dtype == jnp.float64
    expected = 2 * np.sum(system.positions**2)
    np.testing.assert_allclose(ms.energy(potential, params, system), expected, rtol=1e-12)


def test_an_energy_that_cannot_be_deformed_says_so():
    system = packing(outside=False)
    potential = from_jax_md(lambda r: jnp.sum(r**2), system)
    assert np.isfinite(ms.energy(potential, {}, system))
    with pytest.raises(InputError, match="perturbation"):
        ms.stress(potential, {}, system)
    # In another cell it would not notice.
    assert np.isnan(ms.energy(potential, {}, system.with_cell(1.1 * system.cell)))


def test_a_sum_strains_each_addend_its_own_way():
    system = packing(outside=False)
    adoptee = adopted(system, fractional=False, listed=False)
    potential = SoftSphere() + adoptee
    params = potential.parameters(system, soft_sphere={"diameter": 1.0}, jax_md={"sigma": 1.0})
    once = ms.stress(SoftSphere(), params["soft_sphere"], system)
    np.testing.assert_allclose(ms.stress(potential, params, system), 2 * once, rtol=1e-10)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fractional", [False, True])
@pytest.mark.parametrize("name", ["soft_sphere", "lennard_jones", "morse"])
def test_jax_mds_own_energies(name: str, fractional: bool):
    from jax_md import energy as oracle

    rng = np.random.default_rng(4)
    grid = np.stack(np.meshgrid(*2 * [np.arange(6.0)], indexing="ij"), -1).reshape(-1, 2)
    cell = np.array([[6.6, 0.0], [0.9, 6.6]])
    system = make((grid + 0.25 * rng.random(grid.shape)) / 6 @ cell, cell, (True, True))
    box = jnp.asarray(cell.T)
    displacement, _ = space.periodic_general(box, fractional_coordinates=fractional)
    # jax-md cuts Lennard-Jones by XPLOR in units of sigma, Morse in lengths, and computes with
    # its parameters in 32 bits; hence the tolerances.
    potential, given, build, params = {
        "soft_sphere": (
            SoftSphere(), {"epsilon": 1.75, "alpha": 2.5, "diameter": 1.25},
            oracle.soft_sphere_neighbor_list, {"sigma": 1.25, "epsilon": 1.75, "alpha": 2.5},
        ),
        "lennard_jones": (
            LennardJones(smoothing="xplor"),
            {"epsilon": 1.25, "sigma": 0.875, "cutoff": 2.1875, "onset": 1.75},
            oracle.lennard_jones_neighbor_list,
            {"sigma": 0.875, "epsilon": 1.25, "r_onset": 2.0, "r_cutoff": 2.5},
        ),
        "morse": (
            Morse(smoothing="xplor"),
            {"D0": 1.25, "alpha": 4.0, "r0": 1.125, "cutoff": 2.5, "onset": 2.0},
            oracle.morse_neighbor_list,
            {"sigma": 1.125, "epsilon": 1.25, "alpha": 4.0, "r_onset": 2.0, "r_cutoff": 2.5},
        ),
    }[name]  # fmt: skip
    neighbor_fn, energy_fn = build(displacement, box, fractional_coordinates=fractional, **params)
    adoptee = from_jax_md(energy_fn, system, neighbor_fn, fractional_coordinates=fractional)
    own = potential.parameters(system, **given)
    for observable in (ms.energy, ms.stress):
        value = np.asarray(observable(potential, own, system))
        found = observable(adoptee, {}, system)
        np.testing.assert_allclose(found, value, atol=1e-6 * np.abs(value).max())
    nobody = NoPairs().build(system)
    h = jnp.asarray(cell)
    force = jax.grad(adoptee.energy, 1)({}, jnp.asarray(system.positions), h, nobody)
    pairs = jax.tree.map(jnp.asarray, pair_list(system, 2.6))
    expected = jax.grad(potential.energy, 1)(own, jnp.asarray(system.positions), h, pairs)
    np.testing.assert_allclose(force, expected, atol=1e-6 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_weights_of_a_network_move_a_relaxed_crystal():
    from flax import nnx
    from jax_md import energy as oracle

    system = disordered(cubic(5.43), 0.05, 1)
    box = jnp.asarray(system.cell.T)
    displacement, _ = space.periodic_general(box, fractional_coordinates=False)
    neighbor_fn, energy_fn = oracle.behler_parrinello_neighbor_list(
        displacement, box, key=jax.random.PRNGKey(0), mlp_sizes=(8, 8), dr_threshold=0.2,
        sym_kwargs={"cutoff_distance": 2.5},
    )  # fmt: skip
    graph, weights, rest = nnx.split(energy_fn.model, nnx.Param, ...)

    def network(weights, r, neighbor=None, **more):
        return nnx.merge(graph, weights, rest)(r, neighbor, **more)

    adoptee = from_jax_md((neighbor_fn, network), system, parameters_first=True)
    # Without a potential to stand on, weights at random have no crystal.
    potential, stand = StillingerWeber() + adoptee, StillingerWeber()
    weights = jax.tree.map(lambda w: w.astype(jnp.float64), weights)
    params = {"stillinger_weber": stand.parameters(system, **SW_SILICON), "jax_md": weights}
    leaves, tree = jax.tree.flatten(weights)

    def feature(params):
        # Not invariant under translation: state and derivative have to be in the same gauge.
        x = ms.relax(potential, params, system).positions
        return jnp.sum(jnp.cos(jnp.arange(24.0).reshape(8, 3)) * x)

    def changed(k: int, by: float):
        more = [w.at[(0,) * w.ndim].add(by) if j == k else w for j, w in enumerate(leaves)]
        return {**params, "jax_md": jax.tree.unflatten(tree, more)}

    drift = jnp.mean(ms.relax(potential, params, system).positions - system.positions, axis=0)
    assert jnp.abs(drift).max() < 1e-13
    slopes = jax.tree.leaves(jax.grad(feature)(params)["jax_md"])
    # Differences of states that rest where rounding lets them.
    noise = 1e-6 * max(float(jnp.abs(slope).max()) for slope in slopes)
    for k in (0, 1, 3):
        difference = (feature(changed(k, 1e-2)) - feature(changed(k, -1e-2))) / 2e-2
        assert abs(difference) > 100 * noise or k == 0
        np.testing.assert_allclose(jnp.ravel(slopes[k])[0], difference, rtol=1e-5, atol=noise)


@pytest.mark.slow
# What jax-md's network calls in e3nn_jax and jraph is deprecated there.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_weights_of_a_message_passing_network_move_a_relaxed_crystal():
    """NequIP: sites see neighbours of neighbours, so the Hessian is known by its products only."""
    from jax_md import energy as oracle
    from jax_md._nn import nequip

    system = disordered(cubic(5.43), 0.05, 1)
    box = jnp.asarray(system.cell.T)
    displacement, _ = space.periodic_general(box, fractional_coordinates=False)
    config = nequip.default_config()
    config.update({
        "graph_net_steps": 2, "hidden_irreps": "4x0e+2x1o", "sh_irreps": "1x0e+1x1o",
        "n_elements": 1, "radial_net_n_hidden": 8, "num_basis": 4, "r_max": 2.6, "n_neighbors": 4.0,
        "scale": 0.1, "shift": 0.0,
    })  # fmt: skip
    neighbor_fn, init_fn, energy_fn = oracle.nequip_neighbor_list(
        displacement, box, config, jnp.ones((8, 1)), dr_threshold=0.2
    )
    x = jnp.asarray(system.positions)
    weights = init_fn(jax.random.PRNGKey(0), x, neighbor_fn.allocate(x))
    leaves, tree = jax.tree.flatten(jax.tree.map(lambda w: w.astype(jnp.float64), weights))
    # Without a potential to stand on, weights at random have no crystal.
    adoptee = from_jax_md((neighbor_fn, energy_fn), system, parameters_first=True)
    potential, stand = StillingerWeber() + adoptee, StillingerWeber()
    known = {"stillinger_weber": stand.parameters(system, **SW_SILICON)}

    def feature(leaves):
        params = {**known, "jax_md": jax.tree.unflatten(tree, leaves)}
        x = ms.relax(potential, params, system).positions
        return jnp.sum(jnp.cos(jnp.arange(24.0).reshape(8, 3)) * x)

    def changed(k: int, by: float):
        return [w.at[(0,) * w.ndim].add(by) if j == k else w for j, w in enumerate(leaves)]

    slopes = jax.grad(feature)(leaves)
    for k in (0, 3, 9, 12, 21):
        difference = (feature(changed(k, 1e-3)) - feature(changed(k, -1e-3))) / 2e-3
        assert abs(difference) > 1e-6
        np.testing.assert_allclose(jnp.ravel(slopes[k])[0], difference, rtol=1e-5)
