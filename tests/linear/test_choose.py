"""The choice of a solver, and its reason."""

import pytest

from mdsens.errors import InputError
from mdsens.linear import CG, MINRES, AssembledCG, Dense, SparseDirect, choose, named


@pytest.mark.parametrize(
    ("n", "dimension", "definite", "local", "traced", "expected"),
    [
        (256, 2, True, True, True, Dense),
        (256, 2, False, True, True, Dense),
        (2000, 2, True, True, True, CG),
        (2000, 2, False, True, True, MINRES),
        (20_000, 2, True, True, False, SparseDirect),
        (20_000, 2, False, True, False, SparseDirect),
        (20_000, 2, True, False, False, CG),
        (3_000, 3, True, True, False, SparseDirect),
        (30_000, 3, True, True, False, AssembledCG),  # a factor of these takes a minute
        (30_000, 3, False, True, False, MINRES),
    ],
)
def test_rule(n, dimension, definite, local, traced, expected):
    solver, reason = choose(n, dimension, definite, local, "cpu", traced, rtol=1e-9)
    assert isinstance(solver, expected)
    assert solver.rtol == 1e-9
    assert "because" in reason


@pytest.mark.parametrize(
    ("name", "kind"), [("dense", Dense), ("sparse", SparseDirect), ("cg", CG), ("minres", MINRES)]
)
def test_by_name(name, kind):
    assert isinstance(named(name), kind)


def test_unknown_name():
    with pytest.raises(InputError, match="cg"):
        named("gauss")
