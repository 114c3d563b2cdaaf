"""Whatever a person writes is an array that fits, or one sentence that says what would."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from mdsens.catalogue import POTENTIALS
from mdsens.errors import InputError
from mdsens.parameters import Table, active_parameters, resolve
from tests.examples import make

SYSTEM = make(
    np.arange(8.0).reshape(4, 2), 9 * np.eye(2), (True, True), ["Ar", "Kr", "Ar", "Kr"],
    size=np.array([1.0, 2.0, 1.5, 1.0]), count=np.arange(1, 5), velocity=np.ones((4, 2)),
)  # fmt: skip
SOFT, LJ = POTENTIALS["soft_sphere"], POTENTIALS["lennard_jones"]
SHIFT, XPLOR = {"smoothing": "energy_shift"}, {"smoothing": "xplor"}


def soft(**given):
    return resolve(SOFT, {}, SYSTEM, {"diameter": 1.0, **given})


def lj(options=SHIFT, **given):
    return resolve(LJ, options, SYSTEM, {"epsilon": 1.0, "sigma": 1.0, "cutoff": 2.5, **given})


@pytest.mark.parametrize("raw", [2, 2.0, np.float32(2.0), np.array(2), jnp.asarray(2.0)])
def test_numbers(raw):
    value = soft(diameter=raw)["diameter"]
    assert value.shape == () and value.dtype == np.float64 and value == 2.0


@pytest.mark.parametrize(
    "raw", ["size", [1, 2, 1.5, 1], SYSTEM.columns["size"], jnp.asarray([1, 2, 1.5, 1])]
)
def test_per_particle(raw):
    value = soft(diameter=raw)["diameter"]
    assert value.dtype == np.float64 and value.tolist() == [1.0, 2.0, 1.5, 1.0]


def test_columns_of_integers():
    assert soft(diameter="count")["diameter"].tolist() == [1.0, 2.0, 3.0, 4.0]


def test_what_is_resolved_is_a_copy():
    raw = SYSTEM.columns["size"]
    assert not np.shares_memory(soft(diameter="size")["diameter"], raw)
    assert not np.shares_memory(soft(diameter=raw)["diameter"], raw)


@pytest.mark.parametrize(
    "raw",
    [
        {"Kr-Kr": 3, "Kr-Ar": 2.0, "Ar-Ar": np.float64(1.0)},
        Table(jnp.asarray([3.0, 2.0, 1.0]), ("Kr-Kr", "Kr-Ar", "Ar-Ar")),
        {"Kr-Kr": jnp.asarray(3.0), "Kr-Ar": 2.0, "Ar-Ar": 1.0},
    ],
)
def test_tables_stay_in_the_order_written(raw):
    value = soft(epsilon=raw)["epsilon"]
    assert value.keys == ("Kr-Kr", "Kr-Ar", "Ar-Ar")
    assert value.values.dtype == np.float64 and value.values.tolist() == [3.0, 2.0, 1.0]


def test_tables_of_species():
    assert soft(diameter={"Kr": 2, "Ar": 1})["diameter"].keys == ("Kr", "Ar")


def test_defaults():
    assert set(soft()) == {"epsilon", "alpha", "diameter"}
    assert soft()["epsilon"] == 1.0 and soft()["alpha"] == 2.0
    with pytest.raises(InputError, match=r"parameters\.diameter: missing and has no default"):
        resolve(SOFT, {}, SYSTEM, {})


def test_onset():
    assert "onset" not in lj()
    assert lj(XPLOR)["onset"] == 2.0
    assert lj(XPLOR, onset=1.7)["onset"] == 1.7
    table = lj(XPLOR, cutoff={"Ar": 2.0, "Kr": 3.0})["onset"]
    assert isinstance(table, Table) and np.allclose(table, [1.6, 2.4])
    assert [p.name for p in active_parameters(LJ, SHIFT)] == ["epsilon", "sigma", "cutoff"]
    with pytest.raises(
        InputError, match=r"onset: not a parameter .*allowed: epsilon, sigma, cutoff$"
    ):
        lj(onset=1.7)


@pytest.mark.parametrize(
    "given",
    [
        {"onset": 2.5},
        {"onset": 3.0},
        {"onset": [1, 1, 2.6, 1]},
        {"onset": 2.1, "cutoff": {"Ar": 2.0, "Kr": 3.0}},
        {"onset": {"Ar": 1.0, "Kr": 2.6}, "cutoff": {"Ar": 3.0, "Kr": 2.6}},
    ],
)
def test_switching_begins_before_it_ends(given):
    with pytest.raises(
        InputError, match=r"parameters\.onset: .* must be smaller than the cutoff, "
    ):
        lj(XPLOR, **given)


def test_switching_per_species_is_compared_per_species():
    value = lj(XPLOR, onset={"Ar": 1.9, "Kr": 2.6}, cutoff={"Ar": 2.0, "Kr": 3.0})
    assert value["onset"]["Kr"] == 2.6


FAULTS = [
    (
        {"radius": 1.0},
        r"parameters\.radius: not a parameter of soft_sphere; allowed: epsilon, alpha, diam",
    ),
    ({"diameter": None}, r"parameters\.diameter: missing .*number, a table or a column"),
    (
        {"diameter": "width"},
        r'parameters\.diameter: no .*column "width" in system; its columns: count, si',
    ),
    (
        {"diameter": "velocity"},
        r'parameters\.diameter: column "velocity" is not one number per part',
    ),
    (
        {"diameter": [1.0, 2.0]},
        r"parameters\.diameter: shape \(2,\); one number or one per .*\(4,\)",
    ),
    ({"diameter": np.ones((4, 2))}, r"parameters\.diameter: shape \(4, 2\)"),
    (
        {"diameter": [[1], [1, 2]]},
        r"parameters\.diameter: not a number, table or per-particle array",
    ),
    ({"diameter": True}, r"parameters\.diameter: True is not a number"),
    ({"diameter": 1j}, r"parameters\.diameter: 1j is not a number"),
    ({"diameter": ["a", "b", "c", "d"]}, r"parameters\.diameter: .* is not a number"),
    ({"diameter": 0.0}, r"parameters\.diameter: value 0 must be finite and > 0"),
    ({"diameter": [1, 1, -1, 1]}, r"parameters\.diameter: value -1 of particle 2 must be .*> 0"),
    ({"diameter": float("nan")}, r"parameters\.diameter: value nan must be finite"),
    ({"diameter": float("inf")}, r"parameters\.diameter: value inf must be finite"),
    ({"alpha": 1.0}, r"parameters\.alpha: value 1 must be finite and > 1"),
    ({"epsilon": -1.0}, r"parameters\.epsilon: value -1 must be finite and >= 0"),
    ({"epsilon": {"Ar": 1.0, "Kr": -2.0}}, r"parameters\.epsilon: value -2\[Kr\] must be .*>= 0"),
    ({"epsilon": {}}, r"parameters\.epsilon: empty table; its species are Ar, Kr"),
    ({"epsilon": {"Ar": "1.0", "Kr": 2}}, r"parameters\.epsilon\.Ar: '1\.0' is not a number"),
    ({"epsilon": {"Ar": True, "Kr": 2}}, r"parameters\.epsilon\.Ar: True is not a number"),
    ({"epsilon": {"Ar": [1, 2], "Kr": 2}}, r"parameters\.epsilon\.Ar: \[1, 2\] is not a number"),
    ({"epsilon": {"Ar": 1.0}}, r"parameters\.epsilon: no entry for Kr; every species present"),
    (
        {"epsilon": {"Ar-Ar": 1.0, "Kr-Ar": 1}},
        r"parameters\.epsilon: no entry for Kr-Kr; every pair",
    ),
    ({"epsilon": {"Ar": 1.0, "Kr-Kr": 1}}, r"parameters\.epsilon: mixes species and pairs"),
    ({"epsilon": {"Ar": 1.0, "Xe": 1}}, r'parameters\.epsilon: "Xe" names no .*species are Ar, Kr'),
    ({"epsilon": {"Ar-Xe": 1.0}}, r'parameters\.epsilon: "Ar-Xe" names no species or pair'),
    (
        {"epsilon": {"Ar-Ar": 1, "Ar-Kr": 1, "Kr-Ar": 2, "Kr-Kr": 1}},
        r"parameters\.epsilon: names a pair twice",
    ),
]


@pytest.mark.parametrize(("given", "words"), FAULTS)
def test_faults_are_named(given, words: str):
    with pytest.raises(InputError, match=words) as caught:
        soft(**given)
    assert "\n" not in str(caught.value)


def test_no_stiffness_is_allowed():
    assert soft(epsilon=0.0)["epsilon"] == 0.0


def _some(p):
    if not p.knots:
        return 1.5
    keys = ("Ar-Ar", "Ar-Kr", "Kr-Kr") if p.knots == ("pairs",) else ("Ar", "Kr")
    return {key: np.ones(5) for key in keys}


@pytest.mark.parametrize("kind", POTENTIALS)
def test_every_potential_says_what_it_lacks(kind: str):
    entry = POTENTIALS[kind]
    options = {name: values[0] for name, values in entry.options}
    open_ = [p for p in active_parameters(entry, options) if p.default is None]
    given = {p.name: _some(p) for p in open_}
    assert set(resolve(entry, options, SYSTEM, given)) >= set(given)
    for p in (p for p in open_ if p.default_rule is None):
        with pytest.raises(InputError, match=rf"parameters\.{p.name}: missing"):
            resolve(entry, options, SYSTEM, {k: v for k, v in given.items() if k != p.name})
