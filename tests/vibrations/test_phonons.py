"""Phonons against supercells, closed forms, references and elasticity."""

from __future__ import annotations

from functools import cache
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mdsens as ms
from mdsens.neighbors import pair_list
from mdsens.observables.configuration import as_configuration
from mdsens.potentials import EAMZhou, Gupta, Morse
from mdsens.system import System
from mdsens.units import THZ
from mdsens.vibrations import (
    degenerate_slopes,
    monkhorst_pack,
    phonon_modes,
    squared_frequencies,
)
from mdsens.vibrations.degenerate import eigenvalues
from tests.examples import Example, make
from tests.potentials.crystals import crystals, disordered
from tests.vibrations.crystals import SILICON, argon, silicon

# In fractions of the reciprocal vectors of the primitive fcc cell.
GAMMA, X, L = [0.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.5, 0.5, 0.5]


@cache
def two_atoms(name: str) -> Example:
    """Crystals without symmetry or equilibrium, two atoms in cells smaller than the cutoff."""
    if name in crystals():
        found = crystals()[name]
        return Example(found.potential, found.params, found.system)
    system = disordered(make([[0.0] * 3, [1.9] * 3], 3.4 * np.eye(3), (True,) * 3, ["Cu", "Ni"],
                             units="metal"), 0.1, 4)  # fmt: skip
    if name == "eam_zhou":
        zhou = EAMZhou()
        return Example(zhou, zhou.parameters(system, cutoff=4.5), system)
    potential = Gupta() + Morse()
    gupta = {"A": 0.09, "xi": 1.2, "p": 10.9, "q": 2.3, "r0": 2.5, "cutoff": 4.6}
    morse = {"D0": 0.1, "alpha": 1.3, "r0": 2.6, "cutoff": 5.0}
    return Example(potential, potential.parameters(system, gupta=gupta, morse=morse), system)


def repeated(system: System, times: tuple[int, ...]) -> System:
    corners = np.array(list(product(*map(range, times))))
    positions = (system.positions[None] + (corners @ system.cell)[:, None]).reshape(-1, 3)
    cell = np.array(times)[:, None] * system.cell
    return make(positions, cell, system.pbc, system.species * len(corners), units=system.units)


def commensurate(times: tuple[int, ...]) -> np.ndarray:
    """The wave vectors that a supercell folds to zero."""
    return np.array(list(product(*(np.arange(n) / n for n in times))))


def folded(example: Example, times: tuple[int, ...], masses: dict[str, float]) -> np.ndarray:
    """All omega^2 of a supercell at q = 0, by differentiating its energy twice; ascending."""
    big = repeated(example.system, times)
    pairs = jax.tree.map(
        jnp.asarray, pair_list(big, float(example.potential.cutoff(example.params)))
    )
    pairs = example.potential.tabled(example.params, pairs, big.positions, big.cell)

    @jax.jit
    def hessian(flat):
        def energy(x):
            x = x.reshape(big.positions.shape)
            return example.potential.energy(example.params, x, jnp.asarray(big.cell), pairs)

        return jax.hessian(energy)(flat)

    light = np.repeat([masses[s] ** -0.5 for s in big.species], 3)
    h = np.asarray(hessian(jnp.asarray(big.positions).ravel()))
    return np.linalg.eigvalsh(h * light[:, None] * light[None])


def check_folded(name: str) -> None:
    example, times = two_atoms(name), (1, 2, 3)
    masses = {s: 20.0 + 7.0 * k for k, s in enumerate(example.system.type_names)}
    want = folded(example, times, masses)
    found = squared_frequencies(
        example.potential, example.params, example.system, commensurate(times), masses,
        units="reduced",
    )  # fmt: skip
    np.testing.assert_allclose(np.sort(np.ravel(found)), want, rtol=1e-9, atol=1e-11 * want[-1])


def test_a_supercell_has_the_same_frequencies():
    check_folded("eam_zhou")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["sw, two atoms", "tersoff, m = 1", "edip, two atoms", "gupta+morse"]
)
def test_supercells_of_more_potentials(name):
    check_folded(name)


def test_silicon_by_finite_displacements():
    """phonopy 2x2x2 cubic, displacements of 0.01 angstrom, hence 3e-5; acoustic ones vanish."""
    e = silicon()
    found = ms.phonon_frequencies(e.potential, e.params, e.system, [GAMMA, X], 28.0855)
    optical, acoustic = [17.83251] * 3, [0.0] * 3
    at_x = np.repeat([6.65176, 12.99354, 15.62862], 2)
    np.testing.assert_allclose(found, [acoustic + optical, at_x], rtol=3e-5)
    # Standard weights are the default, and what a state does not say of units is guessed.
    state = as_configuration(e.potential, e.params, e.system)
    standard = ms.phonon_frequencies(e.potential, e.params, state, GAMMA)
    ratio = np.sqrt(28.0855 / 28.085)
    np.testing.assert_allclose(standard[3:], ratio * found[0, 3:], rtol=1e-9)


def chain() -> Example:
    """Atoms one apart along x, bound to the nearest ones by springs 2 D0 alpha^2 = 5.6 at rest."""
    system = make(
        [[0.0, 0, 0], [1.0, 0, 0]], np.diag([2.0, 1, 1]), (True, False, False), ["A", "B"]
    )
    potential = Morse(smoothing="none")
    params = potential.parameters(system, D0=0.7, alpha=2.0, r0=1.0, cutoff=1.5)
    return Example(potential, params, system)


def test_diatomic_chain():
    """omega^2 = K (s -+ sqrt(s^2 - 4 sin^2(pi q)/(m M))), s = 1/m + 1/M, and its slope."""
    e, q, k, (m, big) = chain(), np.linspace(0.05, 0.45, 5), 5.6, (1.5, 4.0)
    s = 1 / m + 1 / big
    root = np.sqrt(s**2 - 4 * np.sin(np.pi * q) ** 2 / (m * big))
    omega = np.sqrt(k * (s + np.array([-1.0, 1.0])[:, None] * root))
    along = np.stack([q, 0 * q, 0 * q], axis=1)
    here = (e.potential, e.params, e.system, along, {"A": m, "B": big})
    found = ms.phonon_frequencies(*here)
    np.testing.assert_allclose(found[:, :4], 0.0, atol=1e-12)
    np.testing.assert_allclose(found[:, 4:].T, omega, rtol=1e-10)
    # d(root)/dk with k = 2 pi q / 2.
    slope = -np.sin(2 * np.pi * q) * 2 / (m * big) / root
    want = k * np.array([[-1.0], [1.0]]) * slope / (2 * omega)
    velocity = ms.group_velocities(*here)
    np.testing.assert_allclose(velocity[:, 4:, 0].T, want, rtol=1e-9)
    np.testing.assert_allclose(velocity[:, :, 1:], 0.0, atol=1e-12)


def test_eigenvectors_solve_the_equation_of_motion():
    e = two_atoms("eam_zhou")
    q, masses = np.array([0.21, -0.13, 0.4]), np.array([3.0, 7.0])
    here = (e.potential, e.params, e.system, q, masses)
    modes = phonon_modes(*here, units="reduced")
    flat = modes.vectors.reshape(6, 6)
    np.testing.assert_allclose(flat.conj() @ flat.T, np.eye(6), atol=1e-12)
    squares = np.sign(modes.frequencies) * modes.frequencies**2
    matrix = np.asarray(ms.dynamical_matrix(*here))
    np.testing.assert_allclose(matrix @ flat.T, flat.T * squares, atol=1e-10 * np.abs(matrix).max())


def test_neither_images_nor_rotations_matter():
    e, q = two_atoms("eam_zhou"), np.array([0.21, -0.13, 0.4])
    before = ms.dynamical_matrix(e.potential, e.params, e.system, q)
    shifted = e.system.positions + np.array([[0, 0, 0], [1, -2, 1]]) @ e.system.cell
    other = ms.dynamical_matrix(e.potential, e.params, e.system.with_positions(shifted), q)
    np.testing.assert_allclose(other, before, atol=1e-11 * np.abs(before).max())
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    turned = e.system.with_positions(e.system.positions @ turn).with_cell(e.system.cell @ turn)
    after = ms.dynamical_matrix(e.potential, e.params, turned, q).reshape(2, 3, 2, 3)
    back = np.einsum("ab,ibjc,dc->iajd", turn, after, turn).reshape(6, 6)
    np.testing.assert_allclose(back, before, atol=1e-11 * np.abs(before).max())


@pytest.mark.slow
def test_speed_of_sound():
    """Christoffel: rho v^2 are the eigenvalues of C_ijkl n_j n_l, here with relaxed ions."""
    e = silicon()
    c = np.asarray(ms.elastic_tensor(e.potential, e.params, e.system))
    place = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])
    n = np.array([0.48, 0.6, 0.64])
    christoffel = np.einsum("ijkl,j,l->ik", c[place][:, :, place], n, n)
    volume = np.linalg.det(SILICON.cell)
    want = np.sqrt(np.linalg.eigvalsh(christoffel) / (2 * 28.0 / volume)) * 2 * np.pi * THZ
    q = [1e-4 * n @ SILICON.cell.T, 2e-4 * n @ SILICON.cell.T]
    v = ms.group_velocities(e.potential, e.params, SILICON, q, 28.0)
    np.testing.assert_allclose(v[0, :3] @ n, want, rtol=1e-6)
    phase = ms.phonon_frequencies(e.potential, e.params, SILICON, q, 28.0)[0, :3] / 1e-4
    np.testing.assert_allclose(phase, want, rtol=1e-6)


def relaxed_squares(example: Example):
    q = [GAMMA, X, [0.17, 0.31, -0.2]]

    def squares(params):
        state = ms.relax(example.potential, params, example.system, cell="isotropic")
        return squared_frequencies(example.potential, params, state, q)

    return squares


def test_derivatives_of_a_relaxed_crystal():
    """With the cell that answers to the parameters; at Gamma three are equal, at X two."""
    e = argon()
    squares = relaxed_squares(e)
    rates = jax.jacfwd(squares)(e.params)
    values = np.asarray(squares(e.params))
    stiff = values.max()
    # Energies scale with epsilon, lengths with sigma and the cutoff.
    np.testing.assert_allclose(1.3 * rates["epsilon"], values, rtol=1e-9, atol=1e-11 * stiff)
    scaled = rates["sigma"] + 1.9 * rates["cutoff"]
    np.testing.assert_allclose(scaled, -2 * values, rtol=1e-8, atol=1e-10 * stiff)
    h = 1e-5
    ends = [squares({**e.params, "sigma": e.params["sigma"] + s * h}) for s in (1.0, -1.0)]
    want = (ends[0] - ends[1]) / (2 * h)
    np.testing.assert_allclose(rates["sigma"], want, rtol=1e-7, atol=1e-8 * stiff)


def test_compiled_and_in_batches():
    """Energies scale."""
    e = argon()

    def frequencies(epsilon):
        params = {**e.params, "epsilon": epsilon}
        return ms.phonon_frequencies(e.potential, params, e.system, L)

    found = jax.jit(jax.vmap(frequencies))(jnp.array([1.3, 5.2]))
    want = frequencies(1.3)
    np.testing.assert_allclose(found, np.array([[1.0], [2.0]]) * want[None], rtol=1e-10)


@pytest.mark.slow
def test_reverse_mode_through_a_relaxation():
    """Silicon under isotropic relaxation: the adjoint is the forward derivative, degenerate or not."""
    e = silicon()
    squares = relaxed_squares(e)
    weights = jnp.cos(jnp.arange(18.0)).reshape(3, 6)
    reverse = jax.grad(lambda p: jnp.sum(weights * squares(p)))(e.params)
    for name in ("lambda", "A", "sigma"):
        along = {**jax.tree.map(jnp.zeros_like, e.params), name: jnp.ones(())}
        rates = jax.jvp(squares, (e.params,), (along,))[1]
        assert float(jnp.sum(weights * rates)) == pytest.approx(float(reverse[name]), rel=1e-9)
        h = 1e-4 * e.params[name]
        ends = [squares({**e.params, name: e.params[name] + s * h}) for s in (1.0, -1.0)]
        want = (ends[0] - ends[1]) / (2 * h)
        np.testing.assert_allclose(rates, want, rtol=1e-6, atol=1e-7 * float(jnp.abs(want).max()))


def test_zero_point_energy():
    """Half the sum of frequencies, those that vanish included, by everything in reverse mode."""
    e = argon()

    def energy(params, cell, mass):
        system = e.system.with_cell(cell)
        found = ms.phonon_frequencies(e.potential, params, system, [GAMMA, X], mass)
        return 0.5 * jnp.sum(found)

    here = (e.params, jnp.asarray(e.system.cell), jnp.asarray(2.0))
    value, (by_params, by_cell, by_mass) = jax.value_and_grad(energy, (0, 1, 2))(*here)
    assert float(by_mass) == pytest.approx(-0.25 * float(value), rel=1e-10)
    assert 2.6 * float(by_params["epsilon"]) == pytest.approx(float(value), rel=1e-10)
    # All lengths: sigma, the cutoff, the cell.
    scaled = by_params["sigma"] + 1.9 * by_params["cutoff"] + jnp.sum(by_cell * here[1])
    assert float(scaled) == pytest.approx(-float(value), rel=1e-9)


@pytest.mark.slow
def test_a_strain_that_splits_three_equal_frequencies():
    e = silicon()
    strain = np.array([[0.3, 0.1, 0.0], [0.1, -0.2, 0.25], [0.0, 0.25, 0.05]])
    x, h = jnp.asarray(SILICON.positions), jnp.asarray(SILICON.cell)

    def strained(t):
        stretch = jnp.eye(3) + t * strain
        return SILICON.with_positions(x @ stretch).with_cell(h @ stretch)

    def matrix(t):
        return ms.dynamical_matrix(e.potential, e.params, strained(t), jnp.zeros(3))

    def squares(t):
        return squared_frequencies(
            e.potential, e.params, strained(t), jnp.zeros(3), units="reduced"
        )

    slopes = degenerate_slopes(*jax.jvp(matrix, (0.0,), (1.0,)))
    step, here = 1e-5, squares(0.0)
    forwards = (4 * squares(step) - squares(2 * step) - 3 * here) / (2 * step)
    np.testing.assert_allclose(slopes, forwards, atol=1e-5 * np.abs(slopes).max())
    assert np.ptp(slopes[3:]) > 0.1 * np.abs(slopes).max()
    # Their sum has a derivative to both sides, and each is given a third of it.
    mean = jax.jvp(squares, (0.0,), (1.0,))[1][3:]
    np.testing.assert_allclose(mean, np.mean(slopes[3:]), rtol=1e-10)


def test_means_of_sets_to_second_order():
    """A matrix with three equal eigenvalues that split at first order, and a pair that never does."""
    rng = np.random.default_rng(6)
    a, b, c = (x + x.conj().T for x in rng.normal(size=(3, 6, 6)) + 1j * rng.normal(size=(3, 6, 6)))
    turn = np.linalg.eigh(c)[1]
    start = turn @ np.diag([1.0, 2.0, 2.0, 2.0, 3.0, 4.5]) @ turn.conj().T
    twice = np.eye(2)

    def means(t):
        matrix = jnp.kron(start + t * a + t**2 * b, twice)
        values = eigenvalues(matrix, jnp.asarray(5.0))
        return jnp.stack([jnp.mean(values[k]) for k in (slice(0, 2), slice(2, 8), slice(8, 10))])

    h = 1e-4
    below, here, above = (means(t) for t in (-h, 0.0, h))
    np.testing.assert_allclose(jax.jacfwd(means)(0.0), (above - below) / (2 * h), rtol=1e-5)
    second = (above - 2 * here + below) / h**2
    np.testing.assert_allclose(jax.hessian(means)(0.0), second, rtol=1e-4)
    slopes = np.asarray(degenerate_slopes(jnp.asarray(start), jnp.asarray(a)))
    right, left = (np.linalg.eigvalsh(start + t * a) for t in (1e-7, -1e-7))
    mean = np.linalg.eigvalsh(start)
    np.testing.assert_allclose(slopes, (right - mean) / 1e-7, atol=1e-5)
    np.testing.assert_allclose(slopes[[0, 3, 2, 1, 4, 5]], (mean - left) / 1e-7, atol=1e-5)


def test_held_atoms_do_not_vibrate():
    e = silicon()
    held = make(SILICON.positions, SILICON.cell, SILICON.pbc, ["Si"] * 2, [True, False], "metal")
    found = ms.phonon_frequencies(e.potential, e.params, held, [[0.1, 0.2, 0.3]])[0]
    np.testing.assert_array_equal(found[:3], 0.0)
    # The other one rattles in a cage of tetrahedral symmetry: a mass on three equal springs.
    free = ms.phonon_frequencies(e.potential, e.params, SILICON, GAMMA)
    assert found[3] > 0.5 * free[-1]


def test_density_of_states():
    e = argon()
    found = ms.phonon_dos(e.potential, e.params, e.system, (5, 4, 3), points=2000)
    step = found.frequencies[1] - found.frequencies[0]
    assert np.sum(found.density) * step == pytest.approx(1.0, rel=1e-6)
    q = monkhorst_pack((5, 4, 3))
    assert len(q) == 60 and not np.any(np.all(q == 0.0, axis=1))
    np.testing.assert_allclose(q[0], [-0.4, -0.375, -1 / 3])
    every = ms.phonon_frequencies(e.potential, e.params, e.system, q)
    mean = np.sum(found.density * found.frequencies) * step
    assert mean == pytest.approx(float(jnp.mean(every)), rel=1e-6)
    spread = np.sum(found.density * (found.frequencies - mean) ** 2) * step
    assert spread == pytest.approx(float(jnp.var(every)) + found.resolution**2, rel=1e-6)


def test_refuses():
    e = argon()
    here = (e.potential, e.params, e.system)
    with pytest.raises(ms.InputError, match="last axis must be 3"):
        ms.phonon_frequencies(*here, [0.1, 0.2])
    with pytest.raises(ms.InputError, match="masses of shape"):
        ms.phonon_frequencies(*here, GAMMA, np.ones(2))
    with pytest.raises(ms.InputError, match="no mass for X"):
        ms.phonon_frequencies(*here, GAMMA, {"Ar": 40.0})
    with pytest.raises(ms.InputError, match="units"):
        ms.phonon_frequencies(*here, GAMMA, units="SI")
    with pytest.raises(ms.InputError, match="must be positive"):
        ms.phonon_dos(*here, (2, 0, 2))
    adopted = ms.potentials.from_jax_md(lambda r: jnp.sum(r), e.system)
    with pytest.raises(ms.InputError, match="term by term"):
        ms.dynamical_matrix(adopted, {}, e.system, GAMMA)
