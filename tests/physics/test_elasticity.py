"""Elastic constants that mdsens did not make, and identities they obey."""

from __future__ import annotations

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import bulk

import mdsens as ms
from mdsens._jaxmd import space
from tests.equilibrium.test_functional import packing as packing_of_12
from tests.examples import make

# LJ fcc truncated and energy-shifted at 2.5 sigma, two independent codes; infinite sums.
A0, C11, C12 = 1.549603424, 97.712060, 55.626630
A0_INFINITE, B_INFINITE, C11_INFINITE, C12_INFINITE = 1.54173738, 75.185, 105.19, 60.19


def fcc(cubic: bool, a: float, cutoff: float):
    atoms = bulk("Ar", "fcc", a=a, cubic=cubic)
    system = make(atoms.positions, atoms.cell[:], (True,) * 3)
    potential = ms.potentials.LennardJones()
    return potential, potential.parameters(system, epsilon=1.0, sigma=1.0, cutoff=cutoff), system


def cubic_constants(c) -> np.ndarray:
    """C11, C12, C44 of a tensor that must have cubic symmetry."""
    c = np.asarray(c)
    c11, c12, c44 = c[0, 0], c[0, 1], c[3, 3]
    expected = np.zeros((6, 6))
    expected[:3, :3] = c12
    expected[range(6), range(6)] = [c11] * 3 + [c44] * 3
    np.testing.assert_allclose(c, expected, atol=1e-9 * c11)
    return np.array([c11, c12, c44])


@pytest.mark.parametrize(
    "cubic",
    [pytest.param(False, id="primitive"), pytest.param(True, id="cubic", marks=pytest.mark.slow)],
)
def test_lennard_jones_fcc(cubic: bool):
    """Cells of one and of four atoms, both smaller than the cutoff; every atom is a centre of
    symmetry, so that nothing relaxes. C12 = C44 is Cauchy's relation for central forces."""
    known = fcc(cubic, A0, 2.5)
    found = cubic_constants(ms.elastic_tensor(*known))
    np.testing.assert_allclose(found, [C11, C12, C12], rtol=1e-7)
    np.testing.assert_allclose(cubic_constants(ms.elastic_tensor_clamped(*known)), found, rtol=1e-9)
    assert float(ms.bulk_modulus(*known)) == pytest.approx((C11 + 2 * C12) / 3, rel=1e-7)
    # (C11 - C12 + 3 C44)/5
    assert float(ms.shear_modulus(*known)) == pytest.approx((C11 + 2 * C12) / 5, rel=1e-7)


@pytest.mark.slow
def test_lennard_jones_fcc_without_a_cutoff():
    """Against sums over the lattice; and without a cutoff, since the tails of the attraction left out
    fall off with the cube of it."""
    near, far = (
        cubic_constants(ms.elastic_tensor_clamped(*fcc(False, A0_INFINITE, rc)))
        for rc in (15.0, 30.0)
    )
    np.testing.assert_allclose(near, lattice_sums(A0_INFINITE, 15.0), rtol=1e-10)
    np.testing.assert_allclose(far, lattice_sums(A0_INFINITE, 30.0), rtol=1e-10)
    c11, c12, c44 = far + (far - near) / 7.0
    # The references are given to 0.01.
    assert c11 == pytest.approx(C11_INFINITE, abs=0.01)
    assert c12 == pytest.approx(C12_INFINITE, abs=0.01)
    assert c44 == pytest.approx(C12_INFINITE, abs=0.01)
    assert (c11 + 2 * c12) / 3 == pytest.approx(B_INFINITE, abs=1e-3)


def lattice_sums(a: float, cutoff: float) -> np.ndarray:
    """Birch's C11, C12, C44 of Lennard-Jones fcc, e'' and e' summed over all neighbours of an atom."""
    cells = np.arange(-int(cutoff / a) - 2, int(cutoff / a) + 3)
    corners = np.stack(np.meshgrid(cells, cells, cells, indexing="ij"), -1).reshape(-1, 3)
    r = a * np.concatenate(
        [corners + b for b in ([0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0])]
    )
    d = np.linalg.norm(r, axis=1)
    r, d = r[(d > 0) & (d < cutoff)], d[(d > 0) & (d < cutoff)]
    slope, bend = 4 * (-12 * d**-13 + 6 * d**-7), 4 * (156 * d**-14 - 42 * d**-8)
    x, y = r[:, 0] ** 2 / d**2, r[:, 1] ** 2 / d**2
    stiffness = bend * d**2 - slope * d
    c11, c12, stress = np.array([stiffness @ (x * x), stiffness @ (x * y), slope * d @ x]) / (
        0.5 * a**3
    )
    return np.array([c11 + stress, c12 - stress, c12 + stress])


def packing(shared_data, pressure: str, k: int):
    """A stored packing, its six moduli xxxx yyyy xyxy xxyy xxxy yyxy, and its stress."""
    path = shared_data(f"jax_md_packings/2d_polyuniform_N64_Lp{pressure}.nc")
    with h5py.File(path) as file:
        box = file["box"][k].reshape(2, 2).T
        positions = file["pos"][k].reshape(64, 2) @ box
        diameters, moduli = 2.0 * file["rad"][k], file["Cijkl"][k]
    system = make(positions, box, (True, True), diameter=diameters)
    potential = ms.potentials.SoftSphere()
    return potential, potential.parameters(system, diameter="diameter"), system, moduli


@pytest.mark.parametrize("pressure", ["-1.0", "-4.0"])
@pytest.mark.parametrize(
    "records", [range(1), pytest.param(range(1, 10), marks=pytest.mark.slow)], ids=["one", "rest"]
)
def test_stored_packings(shared_data, pressure: str, records: range):
    """The stored moduli are second derivatives of the relaxed energy by linear strain."""
    for k in records:
        *known, moduli = packing(shared_data, pressure, k)
        c = np.asarray(ms.elastic_tensor_energy(*known))
        found = c[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
        np.testing.assert_allclose(found, moduli, atol=1e-6 * np.abs(moduli).max(), rtol=0)
        assert float(ms.bulk_modulus(*known)) > 0.0
        if pressure == "-1.0":
            # Barely jammed small packings may yield to shear: only compression is guaranteed.
            assert float(ms.shear_modulus(*known)) > 0.0


def test_turning_a_packing_turns_its_tensor():
    system, params = packing_of_12()
    potential = ms.potentials.SoftSphere()
    angle = 0.3
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turned = system.with_positions(system.positions @ turn).with_cell(system.cell @ turn)
    one, two = (np.asarray(ms.elastic_tensor(potential, params, s)) for s in (system, turned))
    place = np.array([[0, 2], [2, 1]])
    full = one[place[:, :, None, None], place]
    expected = np.einsum("ia,jb,kc,ld,ijkl->abcd", turn, turn, turn, turn, full)
    np.testing.assert_allclose(two[place[:, :, None, None], place], expected, atol=1e-11)
    for modulus in (ms.bulk_modulus, ms.shear_modulus):
        one, two = (float(modulus(potential, params, s)) for s in (system, turned))
        assert one == pytest.approx(two, rel=1e-11)


@pytest.mark.slow
def test_moduli_do_not_depend_on_the_choice_of_cell():
    """The same packing in one cell and in a 2 x 1 copy of it: nonaffine displacements repeat."""
    system, params = packing_of_12()
    potential = ms.potentials.SoftSphere()
    x, h = system.positions, system.cell
    doubled = make(
        np.vstack([x, x + h[0]]), h * [[2.0], [1.0]], (True, True),
        diameter=np.tile(system.columns["diameter"], 2),
    )  # fmt: skip
    twice = potential.parameters(doubled, diameter="diameter")
    np.testing.assert_allclose(
        ms.elastic_tensor(potential, twice, doubled),
        ms.elastic_tensor(potential, params, system),
        atol=1e-10,
    )


@pytest.mark.slow
def test_an_adopted_energy_has_the_same_constants():
    """jax-md's own energy, which knows no local terms: the same tensor by a dense Hessian."""
    system, params = packing_of_12()
    displacement, _ = space.periodic_general(
        jnp.asarray(system.cell.T), fractional_coordinates=False
    )
    i, j = np.triu_indices(12, 1)

    def energy(r, sigma, **more):
        d2 = jnp.sum(jax.vmap(lambda a, b: displacement(a, b, **more))(r[i], r[j]) ** 2, axis=1)
        overlap = 1.0 - jnp.sqrt(d2) / (0.5 * (sigma[i] + sigma[j]))
        return 0.5 * jnp.sum(jnp.where(overlap > 0.0, overlap, 0.0) ** 2)

    adopted = ms.potentials.from_jax_md(energy, system)
    sigma = {"sigma": params["diameter"]}
    with jax.numpy_rank_promotion("allow"):
        for constant in (ms.elastic_tensor, ms.elastic_tensor_clamped):
            found = constant(adopted, sigma, system)
            expected = constant(ms.potentials.SoftSphere(), params, system)
            np.testing.assert_allclose(found, expected, atol=1e-11)
