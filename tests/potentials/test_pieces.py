"""Long lists worked on in pieces give what they give as a whole, derivatives too."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdsens.neighbors import folded, mapped
from mdsens.observables.configuration import as_configuration
from mdsens.potentials import EAMZhou, LennardJones, embedded, pair, site
from tests.potentials.crystals import crystals, cubic, disordered, mixed


def sines(x, y):
    return jnp.sin(x[0]) * jnp.cosh(x[1]) + y


def test_pieces_are_put_together():
    x, y = np.random.default_rng(0).normal(size=(7, 2)), np.arange(7.0)
    expected = np.sin(x[:, 0]) * np.cosh(x[:, 1]) + y
    for size in (1, 2, 3, 7, 20):
        np.testing.assert_allclose(mapped(sines, (x, y), size), expected, rtol=1e-15)
    end, left = folded(lambda total, a: (total + jnp.sum(a), -a), 1.0, jnp.asarray(y), 3)
    assert float(end) == 22.0
    np.testing.assert_array_equal(left, -y)


def of_metals(potential, **given):
    system = disordered(mixed(cubic(4.9), ("Cu", "Ni")), 0.1, 3)
    return potential, potential.parameters(system, **given), system


CASES = {
    "angles": lambda: (lambda c: (c.potential, c.params, c.system))(crystals()["sw, two species"]),
    "embedded": lambda: of_metals(EAMZhou()),
    "pairs": lambda: of_metals(LennardJones(), epsilon=0.1, sigma=2.4, cutoff=4.0),
}


@pytest.mark.parametrize("case", CASES)
def test_forces_in_pieces(case, monkeypatch):
    potential, params, system = CASES[case]()
    state = as_configuration(potential, params, system)
    x, h, pairs = jnp.asarray(system.positions), jnp.asarray(system.cell), state.neighbors
    v = jnp.asarray(np.random.default_rng(1).normal(size=x.shape))

    def answers():
        def slope(x):
            return jax.grad(potential.energy, 1)(params, x, h, pairs)

        def force(x):
            return potential.gradient(params, x, h, pairs)

        return [*jax.jvp(slope, (x,), (v,)), *jax.jvp(force, (x,), (v,))]

    whole = jax.jit(answers)()
    for module in (embedded, pair):
        monkeypatch.setattr(module, "PIECE", 50)
    monkeypatch.setattr(site, "_ANGLES", 3 * pairs.table.shape[1] ** 2 if case == "angles" else 1)
    pieces = jax.jit(lambda: answers())()
    for some, a, b in zip(pieces, whole, whole[2:] + whole[:2], strict=True):
        size = float(jnp.abs(a).max())
        np.testing.assert_allclose(some, a, rtol=0, atol=1e-12 * size)
        np.testing.assert_allclose(some, b, rtol=0, atol=1e-12 * size)
