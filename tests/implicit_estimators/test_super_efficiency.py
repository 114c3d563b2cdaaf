"""The orders of error of the estimators; for a packing see `tests/equilibrium/test_estimators.py`.

`scripts/bench/super_efficiency.py` makes the full study and its figure.
"""

from __future__ import annotations

import numpy as np
import pytest

from scripts.bench.super_efficiency import logistic, order
from tests.implicit_estimators.orders import check_orders


def test_orders():
    """Automatic: k rho^2k, short of two by a logarithm."""
    check_orders(logistic(samples=60, features=5), 100, automatic=(1.5, 1.97))


def test_the_order_of_a_known_power():
    distance = np.geomspace(1.0, 1e-9, 30)
    noisy = distance**1.7 * np.exp(0.1 * np.cos(np.arange(30)))
    assert order(distance, np.maximum(noisy, 1e-15)) == pytest.approx(1.7, abs=0.02)
