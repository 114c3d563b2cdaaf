"""Every solver against the pseudo-inverse, on every kind of matrix it claims."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdsens.errors import DerivativeUndefined, Float32Error, InputError
from mdsens.linear import (
    CG,
    MINRES,
    AssembledCG,
    Dense,
    Operator,
    Outcome,
    Projector,
    SparseDirect,
)
from tests.linear.systems import Case, blocks, network, relative_error, solve, with_spectrum

DEFINITE = {
    "condition 1e2": with_spectrum(np.logspace(-2, 0, 38)),
    "condition 1e6": with_spectrum(np.logspace(-6, 0, 38)),
    "network": network(4, 5),
}
INDEFINITE = {
    "saddle": with_spectrum(np.concatenate([[-0.3, -0.01], np.logspace(-3, 0, 36)])),
    "buckled network": network(4, 5, stress=0.2),
}
SOLVERS = {
    "dense": Dense(),
    "sparse": SparseDirect(),
    "cg": CG(),
    "assembled cg": AssembledCG(block=2),
    "minres": MINRES(),
}
TABLE = [(s, m, c) for s in SOLVERS for m, c in (DEFINITE | INDEFINITE).items()]
TABLE = [row for row in TABLE if not (row[0].endswith("cg") and row[1] in INDEFINITE)]


@pytest.mark.parametrize(("name", "kind", "case"), TABLE, ids=[f"{s}-{m}" for s, m, _ in TABLE])
def test_minimum_norm_solution(name: str, kind: str, case: Case, rng: np.random.Generator):
    # A random right-hand side reaches into the null space.
    b = jnp.asarray(rng.normal(size=(len(case.matrix), 2)))
    x, info = solve(SOLVERS[name], case.matrix, b, case.projector)
    expected = case.inverse @ np.asarray(case.projector(b))
    assert relative_error(x, expected) < (1e-8 if "1e6" in kind else 1e-9)
    assert np.allclose(case.projector.basis.T @ x, 0.0, atol=1e-12 * np.abs(expected).max())
    assert info.residual < 1e-8
    info.raise_if_failed()


@pytest.mark.parametrize("name", SOLVERS)
def test_one_right_hand_side(name: str, rng: np.random.Generator):
    case = DEFINITE["network"]
    b = jnp.asarray(rng.normal(size=len(case.matrix)))
    x, _ = solve(SOLVERS[name], case.matrix, b, case.projector)
    assert x.shape == b.shape
    assert relative_error(x, case.inverse @ np.asarray(b)) < 1e-9


@pytest.mark.parametrize("name", SOLVERS)
def test_the_residual_reported_is_the_true_one(name: str, rng: np.random.Generator):
    case = DEFINITE["condition 1e6"]
    b = case.projector(jnp.asarray(rng.normal(size=len(case.matrix))))
    x, info = solve(SOLVERS[name], case.matrix, b, case.projector)
    true = np.linalg.norm(case.matrix @ x - b) / np.linalg.norm(b)
    assert np.isclose(info.residual, true, rtol=1.0, atol=1e-12)


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("scale", [0.0, 1e-200, 1e150])
def test_any_size_of_right_hand_side(name: str, scale: float):
    case = DEFINITE["network"]
    b = scale * jnp.arange(len(case.matrix), dtype=float)
    x, info = solve(SOLVERS[name], case.matrix, b, case.projector)
    np.testing.assert_allclose(x, case.inverse @ b, rtol=1e-7, atol=1e-8 * scale)
    assert int(info.outcome) == Outcome.CONVERGED


@pytest.mark.parametrize("name", SOLVERS)
def test_masked_unknowns_stay_put(name: str, rng: np.random.Generator):
    case = DEFINITE["network"]
    mask = np.ones(len(case.matrix))
    mask[:4] = 0.0
    projector = Projector(jnp.asarray(mask), jnp.zeros((len(mask), 2)))
    b = rng.normal(size=len(mask))
    x, _ = solve(SOLVERS[name], case.matrix, b, projector)
    assert np.all(x[:4] == 0.0)
    assert relative_error(x[4:], np.linalg.solve(case.matrix[4:, 4:], b[4:])) < 1e-9


def test_eager():
    case = DEFINITE["network"]
    b = jnp.arange(40.0) ** 2
    x, info = CG().solve(case.operator, b, case.projector)
    assert relative_error(x, case.inverse @ b) < 1e-9
    assert int(info.outcome) == Outcome.CONVERGED


@pytest.mark.parametrize("name", ["dense", "cg", "minres"])
def test_a_bad_member_does_not_poison_its_batch(name: str):
    definite, zero = np.diag([1.0, 2.0, 3.0]), np.diag([1.0, 2.0, 0.0])
    b = jnp.ones(3)

    def member(a: jax.Array) -> jax.Array:
        return SOLVERS[name].solve(Operator(lambda x: a @ x, 3), b, Projector.identity(3))[0]

    x = jax.jit(jax.vmap(member))(jnp.stack([definite, zero, 2 * definite]))
    np.testing.assert_allclose(x[0], [1, 1 / 2, 1 / 3], rtol=1e-10)
    np.testing.assert_allclose(x[2], [1 / 2, 1 / 4, 1 / 6], rtol=1e-10)
    assert np.all(np.isnan(x[1]))


@pytest.mark.parametrize("name", SOLVERS)
def test_an_unexplained_zero_mode_is_not_hidden(name: str, rng: np.random.Generator):
    case = with_spectrum(np.concatenate([[0.0], np.logspace(-2, 0, 37)]))
    b = jnp.asarray(rng.normal(size=len(case.matrix)))
    x, info = solve(SOLVERS[name], case.matrix, b, case.projector)
    assert np.all(np.isnan(x))
    assert int(info.outcome) == Outcome.SINGULAR
    with pytest.raises(DerivativeUndefined, match="zero mode"):
        info.raise_if_failed()


def test_cg_notices_negative_curvature(rng: np.random.Generator):
    case = INDEFINITE["saddle"]
    x, info = solve(CG(), case.matrix, jnp.asarray(rng.normal(size=40)), case.projector)
    assert np.all(np.isnan(x))
    with pytest.raises(DerivativeUndefined, match="saddle"):
        info.raise_if_failed()


@pytest.mark.parametrize("name", SOLVERS)
def test_only_the_bad_column_is_nan(name: str):
    case = DEFINITE["network"]
    b = jnp.ones((len(case.matrix), 2)).at[0].set(jnp.array([2.0, jnp.nan]))
    x, info = solve(SOLVERS[name], case.matrix, b, case.projector)
    assert np.all(np.isfinite(x[:, 0])) and np.all(np.isnan(x[:, 1]))
    assert int(info.outcome) == Outcome.NOT_FINITE


def test_a_missed_tolerance_is_nan(rng: np.random.Generator):
    case = DEFINITE["condition 1e6"]
    b = jnp.asarray(rng.normal(size=len(case.matrix)))
    x, info = solve(CG(max_iterations=3, rounds=2), case.matrix, b, case.projector)
    assert np.all(np.isnan(x))
    with pytest.raises(DerivativeUndefined, match="missed its tolerance"):
        info.raise_if_failed()


def test_dense_and_sparse_count_negative_modes(rng: np.random.Generator):
    case = INDEFINITE["buckled network"]
    b = jnp.asarray(rng.normal(size=len(case.matrix)))
    expected = np.sum(np.linalg.eigvalsh(case.matrix) < -1e-10)
    assert expected > 0
    for name in ("dense", "sparse"):
        _, info = solve(SOLVERS[name], case.matrix, b, case.projector)
        assert int(info.negative) == expected
    lowest = solve(Dense(), case.matrix, b, case.projector)[1].lowest
    assert np.isclose(lowest, np.linalg.eigvalsh(case.matrix)[0])


def test_preconditioning_saves_iterations(rng: np.random.Generator):
    # Blocks of very different stiffness, as between hard and soft particles.
    scales = np.repeat(np.logspace(0, 2, 20), 2)
    case = network(4, 5)
    matrix = jnp.asarray(case.matrix * np.sqrt(np.outer(scales, scales)) + np.eye(40))
    b = jnp.asarray(rng.normal(size=40))
    iterations = [
        int(
            CG()
            .solve(Operator(lambda x: matrix @ x, 40, d), b, Projector.identity(40))[1]
            .iterations
        )
        for d in (None, blocks(matrix))
    ]
    assert iterations[1] < 0.7 * iterations[0]


@pytest.mark.parametrize("name", SOLVERS)
def test_single_precision_is_refused(name: str):
    case = DEFINITE["network"]
    with pytest.raises(Float32Error, match="jax_enable_x64"):
        solve(SOLVERS[name], case.matrix, jnp.ones(40, jnp.float32), case.projector)


def test_sparse_needs_a_matrix():
    with pytest.raises(InputError, match="assembled"):
        SparseDirect().solve(Operator(lambda x: x, 3), jnp.ones(3), Projector.identity(3))
