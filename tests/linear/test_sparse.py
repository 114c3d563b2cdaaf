"""The sparse factorisation: grounding, inertia, breakdown."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

from mdsens.errors import InputError
from mdsens.linear import Outcome, Projector, SparseDirect
from mdsens.linear.ground import on_host
from tests.linear.systems import network, relative_error


@pytest.fixture(params=["few", "many"])
def size(request, monkeypatch) -> None:
    """Few unknowns, or what counts as many."""
    if request.param == "many":
        monkeypatch.setattr("mdsens.linear.sparse._LARGE", 0)


@pytest.mark.usefixtures("size")
def test_one_factor_serves_many(rng: np.random.Generator):
    case = network(8, 9)
    factor = SparseDirect().factorize(sp.csr_array(case.matrix), case.projector)
    for b in (rng.normal(size=144), rng.normal(size=(144, 5))):
        x, info = factor.solve(b)
        assert relative_error(x, case.inverse @ b) < 1e-10
        assert info.residual < 1e-12


@pytest.mark.usefixtures("size")
@pytest.mark.parametrize("stress", [0.0, 0.1, 0.5])
def test_inertia_counts_negative_eigenvalues(stress: float):
    case = network(6, 7, stress)
    factor = SparseDirect().factorize(case.matrix, case.projector)
    assert factor.inertia == np.sum(np.linalg.eigvalsh(case.matrix) < -1e-10)


@pytest.mark.usefixtures("size")
def test_a_rotation_is_grounded_where_it_can_be_told_from_translations():
    # A free square with both diagonals: two translations and a rotation.
    points = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    matrix = np.zeros((8, 8))
    for i in range(4):
        for j in range(i):
            row = np.zeros((4, 2))
            row[i] = (points[i] - points[j]) / np.linalg.norm(points[i] - points[j])
            row[j] = -row[i]
            matrix += np.outer(row, row)
    spin = (points - 0.5) @ np.array([[0.0, 1.0], [-1.0, 0.0]])
    modes = np.column_stack([np.tile(np.eye(2), (4, 1)), spin.ravel()])
    projector = Projector(jnp.ones(8), jnp.asarray(np.linalg.qr(modes)[0]))
    assert np.linalg.cond(on_host(projector).basis[:3, :]) > 0
    factor = SparseDirect().factorize(matrix, projector)
    b = np.arange(8.0) ** 2
    assert factor.inertia == 0
    assert relative_error(factor.solve(b)[0], np.linalg.pinv(matrix) @ b) < 1e-12


def test_too_little_memory_is_said(monkeypatch):
    def full(_):
        raise MemoryError

    monkeypatch.setattr("mdsens.linear.sparse.symmetric", full)
    with pytest.raises(InputError, match=r'unknowns does not fit into memory.*solver = "cg"'):
        SparseDirect().factorize(network(8, 9).matrix, Projector.identity(144))


@pytest.mark.parametrize("tiny", [0.0, 1e-18])
def test_zero_pivots_fall_back_to_pivoting(tiny: float):
    matrix = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 2.0], [0.0, 2.0, 1.0]]) + tiny * np.eye(3)
    factor = SparseDirect().factorize(matrix, Projector.identity(3))
    x, info = factor.solve(np.ones(3))
    info.raise_if_failed()
    np.testing.assert_allclose(matrix @ x, 1.0)
    assert factor.inertia in (-1, 1)


@pytest.mark.parametrize(
    "kind", ["an isolated particle", "a free translation", "a soft mode", "not finite"]
)
def test_breakdown_has_a_name(kind: str):
    case = network(4, 5)
    matrix, projector = case.matrix.copy(), case.projector
    if kind == "an isolated particle":
        matrix[6:8], matrix[:, 6:8] = 0.0, 0.0
    elif kind == "a free translation":
        projector = Projector(projector.mask, projector.basis[:, :1])
    elif kind == "a soft mode":
        matrix = np.diag(np.where(np.arange(40) == 7, 1e-13, 1.0))
        projector = Projector.identity(40)
    else:
        matrix[0, 0] = np.nan
    factor = SparseDirect().factorize(matrix, projector)
    expected = Outcome.NOT_FINITE if kind == "not finite" else Outcome.SINGULAR
    assert factor.outcome is expected
    x, info = factor.solve(np.ones(40))
    assert np.all(np.isnan(x)) and int(info.outcome) == expected


def _nearby(change: float) -> tuple:
    case = network(8, 9)
    bond = np.zeros(len(case.matrix))
    bond[[2, 18]] = 1.0, -1.0
    return case, case.matrix + change * np.outer(bond, bond)


def test_a_factor_serves_a_matrix_nearby(rng: np.random.Generator):
    case, matrix = _nearby(1e-6)
    old, fresh = (SparseDirect().factorize(m, case.projector) for m in (case.matrix, matrix))
    renewed = old.renewed(matrix, case.projector, 1e-12)
    b = rng.normal(size=(144, 3))
    assert renewed is not None and renewed.inertia == fresh.inertia
    assert relative_error(renewed.solve(b)[0], fresh.solve(b)[0]) < 1e-12
    # The difference matters at this accuracy, and the old factor still answers for its own matrix.
    assert relative_error(old.solve(b)[0], fresh.solve(b)[0]) > 1e-9


@pytest.mark.parametrize("kind", ["a contact more", "a contact less", "other modes", "a rattler"])
def test_a_stale_factor_is_not_used(kind: str):
    case, matrix = _nearby(1e-2 if kind == "a contact more" else 0.0)
    projector = case.projector
    if kind == "a contact less":
        # Of a network that has it: its stiffness is what the change takes away.
        case, matrix = case._replace(matrix=_nearby(0.3)[1]), case.matrix
    elif kind == "other modes":
        projector = Projector(projector.mask, projector.basis[:, :1])
    elif kind == "a rattler":
        projector = Projector(projector.mask.at[:2].set(0.0), projector.basis.at[:2].set(0.0))
    old = SparseDirect().factorize(case.matrix, case.projector)
    assert old.renewed(matrix, projector, 1e-10) is None
    assert (kind in ("other modes", "a rattler")) or old.renewed(case.matrix, projector, 1e-10)
