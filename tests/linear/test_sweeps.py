"""Gauss-Seidel sweeps around a matrix are that matrix, and save iterations."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from mdsens.linear.assembled import _conjugate_gradients
from mdsens.linear.preconditioner import scaling
from mdsens.linear.sweeps import sweeps
from tests.linear.systems import network


def scaled(matrix: np.ndarray, mask: np.ndarray) -> sp.csr_array:
    a = sp.csr_array(matrix)
    s = scaling(a, mask, 2)
    return sp.csr_array(s @ a @ s)


@pytest.mark.parametrize("stress", [0.0, 0.5], ids=["minimum", "indefinite"])
def test_sweeps_undo_each_other(stress):
    """Also with blocks that are no units, rows that are empty, and a last block of one unknown."""
    matrix = network(7, 6, stress).matrix[:-1, :-1]
    mask = np.ones(len(matrix))
    mask[[2, 3, 17]] = 0.0
    a = scaled(matrix, mask)
    between = sweeps(a, 2)
    y = between.enter(mask * np.random.default_rng(0).normal(size=len(mask)))
    long_way = between.enter(a @ between.leave(y))
    atol = 1e-13 * np.abs(long_way).max()
    np.testing.assert_allclose(between(y), long_way, rtol=0.0, atol=atol)
    assert len(between.lower) <= 6


def test_no_neighbours_have_the_same_colour():
    """Or their coupling would be in excess of the units on the diagonal, which cost no product."""
    a = scaled(network(7, 6).matrix, np.ones(84))
    assert sweeps(a, 2).excess.nnz == 0


def test_half_the_iterations():
    a = scaled(network(30, 30).matrix, np.ones(1800))
    between, b = sweeps(a, 2), a @ np.random.default_rng(0).normal(size=1800)
    local = _conjugate_gradients(lambda x: a @ x, b, 1e-10, 9999)[1]
    swept = _conjugate_gradients(between, between.enter(b), 1e-10, 9999)[1]
    assert swept < 0.6 * local
