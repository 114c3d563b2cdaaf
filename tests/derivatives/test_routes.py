"""Forward = adjoint = dense pseudo-inverse = re-relaxed finite differences, on every kind of system."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mdsens as ms
from mdsens.derivatives import total
from mdsens.derivatives.linearization import Linearization, linearize, newton_correction
from mdsens.derivatives.named import named, select
from mdsens.equilibrium import Found, linearized, search
from mdsens.potentials import Potential
from mdsens.state import Configuration
from tests.derivatives.routes import close, dense_response, off_centre, partials
from tests.examples import EXAMPLES, Example

FIXED_CELL = [name for name in EXAMPLES if name != "free_cell"]


class Solved:
    """One example, relaxed and linearised once for all tests."""

    cache: ClassVar[dict[str, Solved]] = {}

    def __init__(self, name: str):
        self.example: Example = EXAMPLES[name]()
        self.found: Found = self.example.found()
        assert not self.found.why
        self.line: Linearization = linearize(self.found.problem, self.found.setting, "auto", 1e-10)
        self.theta = {k: jnp.asarray(v) for k, v in select(self.example.params, self.names).items()}
        self.correction = newton_correction(self.line)

    @property
    def names(self) -> list[str]:
        return list(named(self.example.params))


@pytest.fixture
def solved(request: pytest.FixtureRequest) -> Solved:
    if request.param not in Solved.cache:
        Solved.cache[request.param] = Solved(request.param)
    return Solved.cache[request.param]


def forward_of(solved: Solved, observable, name: str) -> np.ndarray:
    response = total.response(solved.line, name, solved.theta, solved.correction, lambda *_: None)
    return total.forward(
        solved.line, observable, name, solved.theta, solved.correction, response
    ).value


@pytest.mark.parametrize("solved", FIXED_CELL, indirect=True)
def test_forward_adjoint_and_dense_agree(solved: Solved):
    adjoint = total.adjoint(solved.line, off_centre, solved.theta, solved.correction)
    for name in solved.names:
        response = dense_response(solved.found, solved.theta, name, solved.line.rattlers)
        by_x, by_theta = partials(
            solved.found, solved.theta, name, off_centre, solved.line.rattlers
        )
        dense = (by_theta + by_x @ response).reshape(-1, *solved.theta[name].shape)
        scale = np.abs(by_x) @ np.abs(response)
        if np.linalg.norm(dense) < 1e-9 * np.linalg.norm(scale) or np.linalg.norm(dense) < 1e-9:
            # A derivative that vanishes by scaling: all routes must say so.
            assert np.linalg.norm(adjoint[name].value) < 1e-9
            continue
        close(adjoint[name].value, dense, 1e-9)
        close(forward_of(solved, off_centre, name), dense, 1e-9)


@pytest.mark.parametrize("solved", FIXED_CELL, indirect=True)
def test_response_is_the_dense_one_and_keeps_the_gauge(solved: Solved):
    name = solved.names[-1] if solved.names[-1] not in ("alpha", "onset") else solved.names[0]
    response = total.response(solved.line, name, solved.theta, solved.correction, lambda *_: None)
    dense = dense_response(solved.found, solved.theta, name, solved.line.rattlers)
    if np.linalg.norm(dense) > 1e-9:
        close(response.z, dense, 1e-9)
    still = np.asarray(solved.found.setting.fixed) | solved.line.rattlers
    n, d = solved.found.setting.positions.shape
    moves = response.z.reshape(n, d, -1)
    assert np.all(moves[still] == 0.0)
    if not np.asarray(solved.found.setting.fixed).any():
        np.testing.assert_allclose(moves.sum(axis=0), 0.0, atol=1e-11 * max(1, np.abs(moves).max()))


def differences(solved: Solved, observable, name: str, k: int, h: float) -> np.ndarray:
    """Central difference of a re-relaxed observable, with the gauge of the implicit derivative."""

    def at(step: float) -> np.ndarray:
        value = np.array(solved.theta[name])
        value.reshape(-1)[k] += step
        from mdsens.derivatives.named import replaced

        params = replaced(solved.example.params, {name: jnp.asarray(value)})
        s = solved.found.setting
        start = solved.example.system.with_positions(np.asarray(s.positions)).with_cell(
            np.asarray(s.cell)
        )
        found = search(solved.example.potential, params, start, **solved.example.options)
        assert not found.why
        return np.asarray(
            observable(
                solved.example.potential,
                params,
                ms.state.Configuration(
                    jnp.asarray(found.setting.positions),
                    jnp.asarray(found.setting.cell),
                    found.setting.neighbors,
                    found.problem.pbc,
                ),
            )
        )

    return (at(h) - at(-h)) / (2 * h)


@pytest.mark.parametrize("solved", list(EXAMPLES), indirect=True)
def test_against_relaxed_finite_differences(solved: Solved):
    periodic = all(solved.example.system.pbc)
    observable = ms.stress if periodic else probe
    adjoint = total.adjoint(solved.line, observable, solved.theta, solved.correction)
    for name in solved.names:
        size = solved.theta[name].size
        k = size // 2
        scale = abs(float(np.ravel(solved.theta[name])[k]))
        found = differences(solved, observable, name, k, 1e-5 * scale)
        implicit = adjoint[name].value.reshape(-1, size)[:, k].reshape(found.shape)
        # Central differences: truncation (1e-5)^2 relative, noise 1e-14 cond / 1e-5 relative.
        tolerance = (
            1e-5 * max(np.abs(implicit).max(), np.abs(found).max())
            + 1e-8 * np.abs(np.asarray(observed(solved, observable))).max() / scale
        )
        np.testing.assert_allclose(implicit, found, atol=tolerance, rtol=0)


def observed(solved: Solved, observable):
    s = solved.found.setting
    state = ms.state.Configuration(
        jnp.asarray(s.positions), jnp.asarray(s.cell), s.neighbors, solved.found.problem.pbc
    )
    return observable(solved.example.potential, solved.example.params, state)


def probe(potential, params, state):
    """Sums of smooth functions of all pair distances: invariant under rigid motions."""
    pairs = state.neighbors
    r2 = jnp.sum(pairs.vectors(state.positions, state.cell) ** 2, axis=1)
    return jnp.stack(
        [jnp.sum(jnp.where(pairs.valid, jnp.exp(-r2 / w), 0.0)) for w in (0.7, 1.1, 1.9)]
    )


@pytest.mark.parametrize(
    "solved",
    [
        "cluster",
        pytest.param("discs", marks=pytest.mark.slow),
        pytest.param("free_cell", marks=pytest.mark.slow),
    ],
    indirect=True,
)
@pytest.mark.parametrize("solver", ["dense", "sparse", "cg", "minres"])
def test_every_solver_gives_the_same(solved: Solved, solver: str):
    line = linearize(solved.found.problem, solved.found.setting, solver, 1e-11)
    here = total.adjoint(line, probe, solved.theta, newton_correction(line))
    there = total.adjoint(solved.line, probe, solved.theta, solved.correction)
    for name in solved.names:
        np.testing.assert_allclose(
            here[name].value,
            there[name].value,
            atol=1e-8 * np.abs(there[name].value).max() + 1e-12,
            rtol=0,
        )
    assert line.lowest[0] == pytest.approx(solved.line.lowest[0], rel=1e-3)
    assert line.negative == 0


@pytest.mark.parametrize("solved", ["discs_with_rattlers"], indirect=True)
def test_pairs_that_do_not_interact_change_nothing(solved: Solved, monkeypatch: pytest.MonkeyPatch):
    """Of large systems the potential's derivatives are those of a list without them; an observable
    that may read the list is given all of it."""
    full = solved.line
    monkeypatch.setattr(linearized, "FEW", 0)
    line = linearize(solved.found.problem, solved.found.setting, "auto", 1e-10)
    assert line.near.neighbors.valid.sum() < 0.8 * full.near.neighbors.valid.sum()
    theta = {"diameter": solved.theta["diameter"]}
    for observable in (ms.shear_modulus, listed):
        a, b = (
            total.adjoint(x, observable, theta, solved.correction)["diameter"] for x in (line, full)
        )
        close(a.value, b.value, 1e-9)
        assert b.error / 1.5 <= a.error <= 1.5 * b.error


def listed(potential: Potential, params: dict, state: Configuration) -> jax.Array:
    """Of all listed pairs, whether they interact or not."""
    r = state.neighbors.distances(state.positions, state.cell)
    return jnp.sum(jnp.where(state.neighbors.valid, r**2, 0.0))
