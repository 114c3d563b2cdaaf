"""Potentials with angles: Stillinger-Weber, Tersoff, EDIP."""

from __future__ import annotations

from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mdsens as ms
from mdsens.equilibrium.assembly import dense, diagonal, sparse
from mdsens.errors import InputError
from mdsens.neighbors import pair_list, tabulated
from mdsens.parameter_files import write_triples
from tests.potentials import naive
from tests.potentials.by_lammps import by_lammps, needs_lammps
from tests.potentials.crystals import SW_SILICON, crystals, cubic

everywhere = pytest.mark.parametrize("name", crystals())


class Evaluated(NamedTuple):
    energy: jax.Array
    gradient: jax.Array
    by_parameters: Any
    by_strain: jax.Array
    hessian: jax.Array
    local: Any


@partial(jax.jit, static_argnums=0)
def _evaluate(potential, params, x, h, pairs) -> Evaluated:
    energy, (by_parameters, gradient) = jax.value_and_grad(potential.energy, (0, 1))(
        params, x, h, pairs
    )
    by_strain = jax.grad(potential.strained_energy, 4)(params, x, h, pairs, jnp.zeros((3, 3)))
    hessian = jax.jacfwd(jax.grad(potential.energy, 1), 1)(params, x, h, pairs)
    local = potential.local_hessian(params, x, h, pairs)
    return Evaluated(energy, gradient, by_parameters, by_strain, hessian, local)


@cache
def evaluated(name: str) -> Evaluated:
    c = crystals()[name]
    x, h = jnp.asarray(c.system.positions), jnp.asarray(c.system.cell)
    pairs = pair_list(c.system, 1.2 * float(c.potential.cutoff(c.params)))
    pairs = c.potential.tabled(c.params, jax.tree.map(jnp.asarray, pairs), x, h)
    return _evaluate(c.potential, c.params, x, h, pairs)


@everywhere
def test_energy_is_the_sum_over_atoms_one_by_one(name: str):
    c = crystals()[name]
    expected = naive.energy(c.style, c.given, c.system)
    np.testing.assert_allclose(evaluated(name).energy, expected, rtol=1e-12)


@needs_lammps
@everywhere
def test_energy_forces_and_pressure_are_those_of_lammps(name: str, tmp_path):
    c, found = crystals()[name], evaluated(name)
    file = tmp_path / "parameters"
    names = [p.name for p in c.potential.entry.parameters]
    values = {n: c.given.get(n, 0.0) for n in names}
    write_triples(file, values, c.system.type_names, "a test")
    answer = by_lammps(c.system, c.style, f"* * {file} {{elements}}")
    size = np.abs(answer.forces).max()
    assert size > 0.1
    np.testing.assert_allclose(found.energy, answer.energy, rtol=1e-12)
    np.testing.assert_allclose(-found.gradient, answer.forces, atol=1e-11 * size)
    pressure = -jnp.trace(found.by_strain) / 3 / abs(np.linalg.det(c.system.cell))
    np.testing.assert_allclose(pressure, answer.pressure, rtol=1e-9, atol=1e-12)


@everywhere
def test_gradient_and_derivatives_by_parameters(name: str):
    c, found = crystals()[name], evaluated(name)
    rng = np.random.default_rng(5)
    x = np.asarray(c.system.positions)
    direction = rng.standard_normal(x.shape)

    def moved(t: float) -> float:
        return naive.energy(c.style, c.given, c.system.with_positions(x + t * direction))

    np.testing.assert_allclose(np.sum(found.gradient * direction), slope(moved, 1e-4), rtol=1e-7)
    for parameter in c.potential.entry.parameters:
        value = c.given.get(parameter.name)
        if not parameter.differentiable or value is None:
            continue
        for key in list(value)[::3] if isinstance(value, dict) else [None]:
            derivative = found.by_parameters[parameter.name]
            derivative = derivative if key is None else derivative[key]
            number = value if key is None else value[key]
            # Both by the logarithm of the parameter.
            expected = slope(partial(_changed, c, parameter.name, key), 1e-4)
            got = derivative * (number or 1.0)
            np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-8 * abs(found.energy))


def _changed(c, name: str, key: str | None, change: float) -> float:
    value = c.given[name]

    def new(number: float) -> float:
        return number * (1.0 + change) if number else change

    changed = new(value) if key is None else {**value, key: new(value[key])}
    return naive.energy(c.style, {**c.given, name: changed}, c.system)


def slope(f, step: float) -> float:
    """f'(0), fourth order."""
    near, far = f(step) - f(-step), f(2 * step) - f(-2 * step)
    return (8 * near - far) / (12 * step)


@everywhere
def test_hessian_by_sites_is_that_of_the_whole(name: str):
    found = evaluated(name)
    n, d = crystals()[name].system.positions.shape
    whole = np.asarray(found.hessian).reshape(n * d, n * d)
    size = np.abs(whole).max()
    np.testing.assert_allclose(sparse(found.local, n, d).toarray(), whole, atol=1e-12 * size)
    np.testing.assert_allclose(dense(found.local, n, d), whole, atol=1e-12 * size)
    blocks = whole.reshape(n, d, n, d)[np.arange(n), :, np.arange(n), :]
    np.testing.assert_allclose(diagonal(found.local, n, d), blocks, atol=1e-12 * size)


def test_file_and_numbers_give_the_same(tmp_path):
    system, potential = cubic(5.43), ms.potentials.StillingerWeber()
    file = tmp_path / "Si.sw"
    write_triples(file, {**SW_SILICON, "tol": 0.0}, ("Si",), "a test")
    read = potential.parameters(system, file=file)
    given = potential.parameters(system, **SW_SILICON)
    assert {k: float(v) for k, v in read.items()} == {k: float(v) for k, v in given.items()}
    other = potential.parameters(system, file=file, A=7.0)
    assert float(other["A"]) == 7.0 and float(other["B"]) == SW_SILICON["B"]


HEAD = "# UNITS: metal\n"
ENTRY = """Si Si Si 2.1683 2.0951 1.80 21.0 1.20 -0.333333333333
         7.049556277 0.6022245584 4.0 0.0 0.0
"""
BAD_FILES = {
    "no number": (HEAD + ENTRY.replace("21.0", "21,0"), "line 2: '21,0' is not a number"),
    "too short": (HEAD + ENTRY.replace(" 0.0 0.0", " 0.0"), "line 2: the last entry has 13 words"),
    "too long": (HEAD + ENTRY.replace(" 0.0 0.0", " 0.0 0.0 0.0"), "line 3: an entry of 14 words"),
    "other element": (HEAD + ENTRY.replace("Si Si Si", "Ge Ge Ge"), "element Si of the structure"),
    "no triple": (HEAD + ENTRY.replace("Si Si Si", "Si Si Ge"), "no entry for Si-Si-Si"),
    "twice": (HEAD + ENTRY + ENTRY, "line 4: Si-Si-Si is there twice"),
    "real units": ("# UNITS: real\n" + ENTRY, "line 1: units real"),
    "empty": ("", "the file is empty"),
    "only comments": (HEAD, "which has none"),
    "out of bounds": (HEAD + ENTRY.replace("2.0951", "-2.0951"), "sigma: value -2.0951"),
}


@pytest.mark.parametrize("text, telling", BAD_FILES.values(), ids=BAD_FILES)
def test_bad_files(text: str, telling: str, tmp_path):
    file = tmp_path / "bad.sw"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        ms.potentials.StillingerWeber().parameters(cubic(5.43), file=file)
    assert telling in str(caught.value)


def test_too_narrow_a_table_is_told():
    system = cubic(5.43)
    x, h = jnp.asarray(system.positions), jnp.asarray(system.cell)
    pairs = jax.tree.map(jnp.asarray, pair_list(system, 4.0))
    assert not tabulated(pairs, x, h, 2.6, 4).overflow
    narrow = tabulated(pairs, x, h, 2.6, 3)
    assert narrow.overflow and not narrow.holds_for(x, h, 2.5)


def test_no_parameters_per_particle():
    with pytest.raises(InputError, match="no parameters per particle"):
        ms.potentials.StillingerWeber().parameters(cubic(5.43), **{**SW_SILICON, "A": np.ones(8)})
    with pytest.raises(InputError, match='"Si-Si" names no triple'):
        ms.potentials.StillingerWeber().parameters(cubic(5.43), **{**SW_SILICON, "A": {"Si-Si": 7}})
