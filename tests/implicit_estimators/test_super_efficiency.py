"""The orders of error of Ablin, Peyre, Moreau 2020, arXiv:2002.03722, on small problems.

`scripts/bench/super_efficiency.py` makes the full study and its figure.
"""

from __future__ import annotations

import numpy as np
import pytest

from scripts.bench.super_efficiency import ladder, logistic, order, packing, study
from tests.examples import EXAMPLES

PROBLEMS = {
    "logistic": (lambda: logistic(samples=60, features=5), 100),
    "packing": (lambda: packing(EXAMPLES["discs"]().found()), 110),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_orders(name):
    make, most = PROBLEMS[name]
    curves = study(make(), ladder(most, 9))
    value = {name: curve.orders[0] for name, curve in curves.items()}
    observable = {name: curve.orders[1] for name, curve in curves.items()}
    assert value["analytic"] == pytest.approx(1.0, abs=0.1)
    assert value["implicit"] == pytest.approx(2.0, abs=0.1)
    # k rho^2k: short of two by a logarithm, which a start as near as that of the packing hides.
    assert 1.5 < value["automatic"] < (1.97 if name == "logistic" else 2.05)
    assert observable["analytic"] == pytest.approx(0.0, abs=0.01)
    assert observable["implicit"] == pytest.approx(1.0, abs=0.1)
    assert 0.5 < observable["automatic"] < 1.05
    late = slice(len(curves["implicit"].value) // 2, None)
    ratio = np.divide(curves["automatic"].observable, curves["implicit"].observable)[late]
    assert (ratio > 1.0).all(), "at one x_k the implicit estimator is the better one"


def test_the_order_of_a_known_power():
    distance = np.geomspace(1.0, 1e-9, 30)
    noisy = distance**1.7 * np.exp(0.1 * np.cos(np.arange(30)))
    assert order(distance, np.maximum(noisy, 1e-15)) == pytest.approx(1.7, abs=0.02)
