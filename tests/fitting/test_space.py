"""Free parameters and how they are counted."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from mdsens.errors import InputError
from mdsens.fitting import Free, Tied, space
from mdsens.parameters import Table, restricted

PARAMS = {
    "epsilon": Table(np.array([1.0, 2.0, 4.0]), ("Ar-Ar", "Ar-Kr", "Kr-Kr")),
    "sigma": np.array(3.0),
    "shift": np.array(0.0),
    "net": {"w": np.arange(4.0).reshape(2, 2)},
}


def test_labels_and_values():
    s = space(PARAMS, {"epsilon": Free(), "sigma": Free(transform="log"), "shift": Free()})
    assert s.labels == ("epsilon[Ar-Ar]", "epsilon[Ar-Kr]", "epsilon[Kr-Kr]", "sigma", "shift")
    np.testing.assert_array_equal(s.theta(np.zeros(5)), [1, 2, 4, 3, 0])
    u = np.array([0.1, -0.5, 0.0, 0.2, 0.3])
    np.testing.assert_allclose(s.theta(u), [1.1, 1.0, 4.0, 3 * np.exp(0.2), 0.3], rtol=1e-15)
    np.testing.assert_allclose(s.u(np.asarray(s.theta(u))), u, atol=1e-15)
    params = s.params(u)
    assert params["epsilon"].keys == PARAMS["epsilon"].keys
    np.testing.assert_allclose(params["epsilon"].values, [1.1, 1.0, 4.0])
    np.testing.assert_array_equal(params["net"]["w"], PARAMS["net"]["w"])
    np.testing.assert_allclose(jax.jacfwd(s.theta)(u), np.diag(s.slope(u)), rtol=1e-14)


def test_single_entries_and_nested_names():
    s = space(PARAMS, {"epsilon[Kr-Kr]": Free(), "net.w[1,0]": Free()})
    assert s.labels == ("epsilon[Kr-Kr]", "net.w[1,0]")
    params = s.params(np.array([0.5, 1.0]))
    np.testing.assert_allclose(params["epsilon"].values, [1.0, 2.0, 6.0])
    # Weights of one array move by its root mean square, that of 0, 1, 2, 3.
    np.testing.assert_allclose(params["net"]["w"], [[0, 1], [2 + np.sqrt(3.5), 3]])
    assert space(PARAMS, {"net": Free()}).size == 4


@pytest.mark.parametrize("first", ["epsilon", "epsilon[Kr-Kr]"])
def test_the_rule_of_an_entry_counts_more_than_that_of_all(first):
    free = {"epsilon": Free(), "epsilon[Kr-Kr]": Free(upper=5.0)}
    s = space(PARAMS, {first: free.pop(first), **free})
    upper = dict(zip(s.labels, s.upper, strict=True))
    assert upper == {"epsilon[Ar-Ar]": np.inf, "epsilon[Ar-Kr]": np.inf, "epsilon[Kr-Kr]": 5.0}


def test_ties_follow():
    s = space(PARAMS, {"epsilon[Ar-Ar]": Free(), "epsilon[Ar-Kr]": Tied("epsilon[Ar-Ar]", 1.5)})
    found = s.params(np.array([1.0]))["epsilon"].values
    np.testing.assert_allclose(found, [2.0, 3.0, 4.0])
    slope = jax.jacfwd(lambda u: s.params(u)["epsilon"].values)(np.zeros(1))
    np.testing.assert_allclose(slope[:, 0], [1.0, 1.5, 0.0])


def test_without_one():
    s = space(PARAMS, {"epsilon": Free(), "sigma": Free(lower=1.0, upper=5.0)})
    less = s.without(1, np.array([1.5, 7.0, 4.0, 3.5]))
    assert less.labels == ("epsilon[Ar-Ar]", "epsilon[Kr-Kr]", "sigma")
    np.testing.assert_allclose(less.params(np.zeros(3))["epsilon"].values, [1.5, 7.0, 4.0])
    np.testing.assert_allclose(less.theta(np.zeros(3)), [1.5, 4.0, 3.5])


@pytest.mark.parametrize(
    "free, sentence",
    [
        ({}, "no parameter is free"),
        ({"nu": Free()}, 'no parameter "nu"'),
        ({"epsilon[Xe-Xe]": Free()}, "no parameter"),
        ({"shift": Free(transform="log")}, "has no logarithm"),
        ({"sigma": Free(transform="cube")}, "unknown"),
        ({"sigma": Free(lower=4.0)}, "not between its bounds"),
        ({"sigma": Free(lower=4.0, upper=1.0)}, "not below"),
        ({"sigma": Free(prior=(1.0, 0.0))}, "positive standard deviation"),
        ({"sigma": Free(), "shift": Tied("net")}, "tie entry by entry"),
        ({"sigma": Free(), "shift": Tied("sigma"), "epsilon[Ar-Ar]": Tied("shift")}, "itself tied"),
        ({"sigma": Tied("shift"), "sigma[]": Free()}, "no parameter"),
    ],
)
def test_refused(free, sentence):
    with pytest.raises(InputError, match=sentence):
        space(PARAMS, free)


def test_tables_without_absent_species():
    params = {
        "epsilon": PARAMS["epsilon"],
        "mass": Table(np.array([1.0, 2.0]), ("Ar", "Kr")),
        "c": 2.0,
    }
    part = restricted(params, ("Kr",))
    assert part["epsilon"].keys == ("Kr-Kr",) and part["mass"].keys == ("Kr",)
    np.testing.assert_array_equal(part["epsilon"].values, [4.0])
    assert restricted(params, ("Ar", "Kr"))["epsilon"] is params["epsilon"]
