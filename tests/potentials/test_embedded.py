"""Embedded atoms against their equations written a second time, in a cell smaller than the range."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdsens.equilibrium.assembly import sparse
from mdsens.errors import InputError
from mdsens.neighbors import pair_list
from mdsens.parameter_files import Setfl, write_setfl
from mdsens.parameters import Table
from mdsens.potentials import EAM, EAMZhou, FinnisSinclair, Gupta, Potential
from mdsens.published import PUBLISHED
from tests.examples import make
from tests.neighbors.cells import FCC
from tests.potentials import embedded, pairwise
from tests.potentials.cases import Evaluated, evaluate

RADIUS = 5.0


def alloy(stretch: float = 1.0):
    """Four atoms of two elements, no two bonds alike."""
    cell = stretch * np.array([[3.5, 0.1, -0.2], [0.3, 3.6, 0.1], [-0.1, 0.2, 3.7]])
    places = np.vstack([np.zeros(3), FCC]) + 0.06 * np.random.default_rng(1).normal(size=(4, 3))
    return make(places @ cell, cell, (True,) * 3, ["Cu", "Ni", "Ni", "Cu"], units="metal")


SYSTEM = alloy()
# Dense and thin: each branch of F, and beyond the last knot of rho.
STRETCHES = (0.99, 0.94, 1.1)


def published() -> dict[str, Any]:
    species = {n: {a: v[a] for a in ("Cu", "Ni")} for n, v in PUBLISHED["eam_zhou"].items()}
    return {**species, "F_3_above": {"Cu": -2.0, "Ni": -0.2}, "cutoff": 4.3}


def functions_of_two() -> Setfl:
    """A file with everything different, of few knots; the last rho is too small for some atoms."""
    r, rho = np.arange(31) * 0.15, np.arange(12) * 0.4
    fade = (1 - np.minimum(r / 4.4, 1.0)) ** 2
    strengths = np.array([[1.0, 1.4], [0.8, 1.2]])
    density = strengths[:, :, None] * (3 * np.exp(-0.3 * r) * fade)
    pair = np.array([[2.0], [1.5], [1.1]]) * r * np.exp(-r) * fade
    embedding = np.array([-np.sqrt(rho), -1.2 * np.sqrt(rho) + 0.01 * rho**2])
    return Setfl(
        ("made for a test", "", ""), ("Ni", "Cu"), ("28 58.7 3.52 fcc", "29 63.5 3.61 fcc"),
        0.4, 0.15, 4.3, embedding, density, pair,
    )  # fmt: skip


PAIRS = ("Cu-Cu", "Cu-Ni", "Ni-Ni")
FINNIS = {
    "A": dict(zip(PAIRS, (1.5, 1.6, 1.8), strict=True)),
    "d": dict(zip(PAIRS, (4.1, 4.2, 4.0), strict=True)),
    "beta": {"Cu": 0.3, "Ni": 0.5},
    "c": dict(zip(PAIRS, (3.2, 3.4, 3.3), strict=True)),
    **{"c0": 30.0, "c1": -20.0, "c2": 4.0},
}
GUPTA = {
    "A": dict(zip(PAIRS, (0.0855, 0.06, 0.0376), strict=True)),
    "xi": dict(zip(PAIRS, (1.224, 1.2, 1.07), strict=True)),
    "p": 11.0,
    "q": np.array([2.2, 1.9, 2.0, 2.3]),
    "r0": {"Cu": 2.556, "Ni": 2.49},
    **{"cutoff": 4.3, "onset": 3.4},
}


@dataclass(frozen=True, eq=False)
class Kind:
    potential: Potential
    given: dict[str, Any]
    functions: Callable
    ends: Callable[[str, str], float]

    @property
    def params(self):
        return self.potential.parameters(SYSTEM, **self.given)


def tabulated(setfl: Setfl) -> Kind:
    given = setfl.parameters(("Cu", "Ni"), "file")
    return Kind(EAM(), given, embedded.tables, lambda a, b: 4.3)


KINDS = {
    "eam_zhou": Kind(EAMZhou(), published(), embedded.zhou, lambda a, b: 4.3),
    "finnis_sinclair": Kind(
        FinnisSinclair(), FINNIS, embedded.finnis_sinclair, lambda a, b: 4.2
    ),
    "gupta": Kind(
        Gupta(smoothing="xplor"), {**GUPTA, "q": {"Cu": 2.2, "Ni": 1.9}}, embedded.gupta,
        lambda a, b: 4.3,
    ),
    "eam, fs": tabulated(functions_of_two()),
}  # fmt: skip
everywhere = pytest.mark.parametrize("name", KINDS)


@cache
def found(name: str, stretch: float) -> Evaluated:
    system, kind = alloy(stretch), KINDS[name]
    pairs = jax.tree.map(jnp.asarray, pair_list(system, RADIUS, capacity=256))
    x, h = jnp.asarray(system.positions), jnp.asarray(system.cell)
    return evaluate(kind.potential, kind.params, x, h, pairs, jnp.zeros((3, 3)))


@cache
def reference(name: str, stretch: float) -> embedded.Reference:
    return embedded.Reference(alloy(stretch), RADIUS, KINDS[name].ends)


@pytest.mark.parametrize("stretch", STRETCHES)
@everywhere
def test_energy_forces_and_virial(name: str, stretch: float):
    kind, it = KINDS[name], found(name, stretch)
    functions, twin = kind.functions(kind.given), reference(name, stretch)
    np.testing.assert_allclose(it.energy, twin.energy(functions).real, rtol=1e-12)
    directions = np.eye(12).reshape(12, 4, 3)
    forces = np.reshape([twin.derivative(functions, moved=u) for u in directions], (4, 3))
    scale = np.abs(forces).max()
    for gradient in (it.by_positions, it.gradient):
        np.testing.assert_allclose(gradient, forces, atol=1e-11 * scale)
    strains = np.eye(9).reshape(9, 3, 3)
    virial = np.reshape([twin.derivative(functions, strain=e) for e in strains], (3, 3))
    np.testing.assert_allclose(it.by_strain, virial, atol=1e-11 * np.abs(virial).max())


def test_all_branches_of_the_embedding_are_visited():
    given = published()
    density = embedded.zhou(given)[1]
    visited = set()
    for stretch in STRETCHES:
        twin, total = reference("eam_zhou", stretch), np.zeros(4)
        lengths = np.linalg.norm(twin.vectors, axis=1)
        for i, j, r in zip(twin.i, twin.j, lengths, strict=True):
            a, b = twin.species[i], twin.species[j]
            total[i] += density(b, a, r)
            total[j] += density(a, b, r)
        ratio = total / [given["rho_e"][a] for a in twin.species]
        visited |= set(np.digitize(ratio, [0.85, 1.0, 1.15]).tolist())
    assert visited == {0, 1, 2, 3}


@everywhere
def test_assembled_hessian_is_the_dense_one(name: str):
    it = found(name, STRETCHES[0])
    dense = np.asarray(it.hessian).reshape(12, 12)
    pairs, squares = it.local
    assembled = sparse((pairs, squares), 4, 3).toarray()
    scale = np.abs(dense).max()
    np.testing.assert_allclose(assembled, dense, atol=1e-11 * scale)
    # Neither kind of term is there for nothing.
    assert all(np.abs(sparse((t,), 4, 3).toarray()).max() > 1e-5 * scale for t in (pairs, squares))


@pytest.mark.parametrize("stretch", STRETCHES)
@everywhere
def test_derivative_by_every_parameter(name: str, stretch: float):
    kind, twin = KINDS[name], reference(name, stretch)
    by = found(name, stretch).by_parameters
    assert set(by) == set(kind.given)
    for parameter, value in kind.given.items():
        rows = value if isinstance(value, dict) else {"": value}
        if isinstance(value, dict):
            assert by[parameter].keys == tuple(value)
        slopes = np.atleast_1d(np.asarray(by[parameter])).reshape(len(rows), -1)
        for key, slope in zip(rows, slopes, strict=True):
            knots = np.atleast_1d(rows[key])
            expected = []
            for k in range(len(knots)):
                moved = knots + 1e-100j * (np.arange(len(knots)) == k)
                moved = moved if np.ndim(rows[key]) else moved[0]
                varied = {**value, key: moved} if isinstance(value, dict) else moved
                functions = kind.functions({**kind.given, parameter: varied})
                expected.append(twin.energy(functions).imag / 1e-100)
            scale = max(np.abs(expected).max(), 1e-3)
            np.testing.assert_allclose(slope, expected, atol=1e-10 * scale)


def energy_of(potential, system, **given) -> float:
    params = potential.parameters(system, **given)
    pairs = jax.tree.map(jnp.asarray, pair_list(system, RADIUS, capacity=256))
    x, h = jnp.asarray(system.positions), jnp.asarray(system.cell)
    return float(potential.energy(params, x, h, pairs))


def test_values_may_be_per_particle():
    system, q = SYSTEM, GUPTA["q"]
    got = energy_of(Gupta(smoothing="xplor"), system, **GUPTA)
    one_by_one = make(system.positions, system.cell, system.pbc, ["a", "b", "c", "d"])
    species = dict(zip("abcd", system.species, strict=True))
    by_letter = {
        name: {
            f"{a}-{b}": pairwise.of_pair(value, "abcd".index(a), "abcd".index(b), system.species)
            for k, a in enumerate("abcd")
            for b in "abcd"[k:]
        }
        for name, value in GUPTA.items()
    }
    assert set(species.values()) == {"Cu", "Ni"} and len(set(q)) == 4
    np.testing.assert_allclose(
        got, energy_of(Gupta(smoothing="xplor"), one_by_one, **by_letter), rtol=1e-13
    )


def test_one_element_in_two_names_is_one_element():
    # The rule for mixtures gives back the pure element.
    system = make(SYSTEM.positions, SYSTEM.cell, SYSTEM.pbc, ["Cu"] * 4)
    copper = {n: {"Cu": v["Cu"], "Ni": v["Cu"]} for n, v in PUBLISHED["eam_zhou"].items()}
    one = energy_of(EAMZhou(), system, cutoff=4.3)
    np.testing.assert_allclose(one, energy_of(EAMZhou(), SYSTEM, cutoff=4.3, **copper), rtol=1e-13)
    numbers = {n: v["Cu"] for n, v in copper.items()}
    np.testing.assert_allclose(one, energy_of(EAMZhou(), system, cutoff=4.3, **numbers), rtol=1e-13)


def test_published_values_fill_in():
    params = EAMZhou().parameters(SYSTEM, kappa={"Cu": 0.4})
    assert params["kappa"].keys == ("Cu", "Ni")
    np.testing.assert_array_equal(params["kappa"].values, [0.4, 0.443599])
    np.testing.assert_array_equal(params["r_e"].values, [2.556162, 2.488746])
    assert "F_3_above" not in params
    assert float(params["cutoff"]) == pytest.approx(2.9 * 2.556162)
    strangers = make(SYSTEM.positions, SYSTEM.cell, SYSTEM.pbc, ["Cu", "Si", "Si", "Cu"])
    with pytest.raises(
        InputError, match=r"r_e: eam_zhou has no published value for Si, only for Cu"
    ):
        EAMZhou().parameters(strangers)
    with pytest.raises(InputError, match=r"cutoff: is one number for all"):
        EAMZhou().parameters(SYSTEM, cutoff={"Cu": 5.0, "Ni": 5.0})


def test_branches_of_the_published_embedding_meet():
    for element in PUBLISHED["eam_zhou"]["r_e"]:
        given = {name: {element: v[element]} for name, v in PUBLISHED["eam_zhou"].items()}
        embedding = embedded.zhou(given)[2]
        rho_e = given["rho_e"][element]
        for ratio in (given["rho_n_ratio"][element], given["rho_0_ratio"][element]):
            below, above = (
                embedding(element, rho_e * ratio * (1 + s) + 1e-30j) for s in (-1e-12, 1e-12)
            )
            assert abs((above - below).real) < 5e-7
            assert abs((above - below).imag * rho_e) < 1e-4 * 1e-30


@pytest.mark.parametrize(
    ("potential", "given"),
    [
        (EAMZhou(), {}),
        (FinnisSinclair(), FINNIS),
        (Gupta(), {k: v for k, v in GUPTA.items() if k not in ("onset", "q")} | {"q": 2.0}),
        (EAM(), KINDS["eam, fs"].given),
    ],
    ids=["eam_zhou", "finnis_sinclair", "gupta", "eam"],
)
def test_everything_is_finite_for_every_distance(potential, given):
    system = make(np.zeros((2, 3)), np.eye(3), (False,) * 3, ["Cu", "Ni"])
    params = potential.parameters(system, **given)
    pairs = pair_list(system.with_positions(np.array([[0, 0, 0], [0.1, 0, 0]])), 1.0)
    pairs = jax.tree.map(jnp.asarray, pairs)

    def energy(r, p):
        return potential.energy(p, r * jnp.array([[0.0, 0, 0], [1.0, 0, 0]]), jnp.eye(3), pairs)

    edge = float(potential.cutoff(params))
    r = jnp.array([1e-2, 1.0, np.nextafter(edge, 0.0), edge, np.nextafter(edge, 99.0), 1e3, 1e8])

    def all_of(x):
        slope = jax.grad(energy)
        return slope(x, params), jax.grad(slope)(x, params), jax.grad(energy, 1)(x, params)

    every = jax.jit(jax.vmap(all_of))(r)
    for values in jax.tree.leaves(every):
        assert np.all(np.isfinite(values))
    # An atom alone has no forces.
    assert np.all(np.asarray(every[0])[4:] == 0.0)


def test_files_of_one_density_per_element(tmp_path: Path):
    both = functions_of_two()
    same = np.repeat(both.density[:, :1], 2, axis=1)
    one, two = tmp_path / "a.eam.alloy", tmp_path / "a.eam.fs"
    write_setfl(one, Setfl(**{**vars(both), "density": same[:, 0]}))
    write_setfl(two, Setfl(**{**vars(both), "density": same}))
    first, second = (energy_of(EAM(), SYSTEM, file=path) for path in (one, two))
    np.testing.assert_allclose(first, second, rtol=1e-14)
    assert abs(first - float(found("eam, fs", 1.0).energy)) > 1e-3
    # Only what is there: a file of two elements serves a crystal of one.
    pure = make(SYSTEM.positions, SYSTEM.cell, SYSTEM.pbc, ["Ni"] * 4)
    params = EAM().parameters(pure, file=two)
    assert params["density"].keys == ("Ni-Ni",) and params["pair"].values.shape == (1, 31)


def test_tables_that_do_not_fit_are_refused():
    params = KINDS["eam, fs"].params
    pair = Table(params["pair"].values[:2], params["pair"].keys[:2])
    pairs = pair_list(SYSTEM, RADIUS)
    with pytest.raises(InputError, match=r"pair: no entry for Ni-Ni"):
        EAM().energy(
            {**params, "pair": pair}, jnp.asarray(SYSTEM.positions), jnp.asarray(SYSTEM.cell), pairs
        )
    with pytest.raises(InputError, match=r"parameters lack dr; make them"):
        EAM().energy(
            {k: v for k, v in params.items() if k != "dr"},
            jnp.asarray(SYSTEM.positions), jnp.asarray(SYSTEM.cell), pairs,
        )  # fmt: skip
    with pytest.raises(InputError, match=r"potential.file: gupta reads no file"):
        Gupta().parameters(SYSTEM, file="Cu.eam.alloy")
