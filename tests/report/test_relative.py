"""Relative sensitivities: closed forms, and what is left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mdsens.parameters import Table
from mdsens.report.relative import Effect, component, effects
from mdsens.result import Derivative
from tests.io import handmade

THETA, DIAMETERS = 3.0, np.linspace(1.0, 2.0, handmade.N)
KEYS = ("A-A", "A-B")


def result(observables, sensitivity):
    return replace(
        handmade.result(),
        parameters={
            "alpha": np.array(THETA),
            "epsilon": Table(np.array([2.0, 5.0]), KEYS),
            "diameter": DIAMETERS,
        },
        observables={k: np.asarray(v) for k, v in observables.items()},
        sensitivity=sensitivity,
    )


def test_powers():
    """o = alpha^2 (eps_1 + eps_2) sum D^3: the effects are the exponents."""
    cubes = np.sum(DIAMETERS**3)
    o = THETA**2 * 7.0 * cubes
    by = {
        "alpha": Derivative(np.array(2 * o / THETA), "forward", "1", error=np.array(0.1 * o)),
        "epsilon": Derivative(np.full(2, o / 7.0), "forward", "1", KEYS),
        "diameter": Derivative(3 * DIAMETERS**2 * o / cubes, "adjoint", "1"),
    }
    told, without = effects(result({"energy": o}, {"energy": by}))
    values = {e.parameter: e.value for e in told}
    expected = {
        "alpha": 2.0, "epsilon[A-A]": 2 / 7, "epsilon[A-B]": 5 / 7, "diameter, all alike": 3.0,
    }  # fmt: skip
    assert values.keys() == expected.keys()
    assert all(np.isclose(values[k], expected[k]) for k in expected)
    assert np.isclose(told[0].error, 0.1 * THETA) and told[1].error is None
    assert without == []


def cubic(c11, c12, c44):
    tensor = np.diag([c11 - c12] * 3 + [c44] * 3)
    tensor[:3, :3] += c12
    return tensor


def test_equal_components_are_told_once():
    tensor, slope = cubic(151.4, 76.4, 56.4), cubic(3.0, 2.0, 1.0)
    by = {"alpha": Derivative(slope, "forward", "1")}
    told, _ = effects(result({"elastic_tensor": tensor}, {"elastic_tensor": by}))
    assert [e.observable for e in told] == ["C11", "C12", "C44"]
    assert np.allclose([e.value for e in told], THETA * np.array([3 / 151.4, 2 / 76.4, 1 / 56.4]))


def test_equal_by_chance_only():
    tensor, slope = cubic(150.0, 60.0, 60.0), cubic(3.0, 2.0, 1.0)
    by = {"alpha": Derivative(slope, "forward", "1")}
    told, _ = effects(result({"elastic_tensor": tensor}, {"elastic_tensor": by}))
    assert [e.observable for e in told] == ["C11", "C12", "C44"]


def test_what_is_zero_has_none():
    by = {"alpha": Derivative(np.array(0.5), "forward", "1")}
    told, without = effects(result({"pressure": 1e-15}, {"pressure": by}))
    assert told == [] and without == ["pressure"]


def test_no_effect_is_not_told():
    by = {"alpha": Derivative(np.array(1e-16), "forward", "1")}
    assert effects(result({"energy": 2.0}, {"energy": by})) == ([], [])


def test_names():
    assert component("elastic_tensor_clamped", (3, 3), (6, 6)) == "C44 clamped"
    assert component("stress", (0, 1), (2, 2)) == "stress xy"
    assert component("cell", (1, 2), (3, 3)) == "cell b_z"
    assert component("other", (1,), (3,)) == "other[1]"


def test_handmade():
    told, _ = effects(handmade.result())
    assert Effect("pressure", "alpha", 2.0 * -0.2 / 0.1, None) in told
    assert {e.observable for e in told} == {"pressure", "stress xx", "stress yy"}
