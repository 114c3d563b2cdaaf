"""Derivatives and certificates of many systems at once against one after the other."""

from __future__ import annotations

import numpy as np
import pytest

import mdsens as ms
from mdsens.ensembles import can_be_batched
from mdsens.errors import DerivativeUndefined, NotConverged
from mdsens.packings import random_spheres
from tests.derivatives.routes import close
from tests.examples import make

POTENTIAL = ms.potentials.SoftSphere()
SIZES = (16, 14, 15, 16)
ASKED = {
    "observables": ["pressure", "energy", "stress", "coordination"],
    "wrt": ["diameter", "alpha"],
}


def packing(n, seed, pressure=1.0):
    return random_spheres(np.where(np.arange(n) % 2, 1.0, 1.4), 2, pressure, seed=seed)


@pytest.fixture(scope="module")
def members():
    """Packings of unequal size; a chain, which is a saddle; and particles that do not touch."""
    systems = [packing(n, k) for k, n in enumerate(SIZES)]
    chain = np.column_stack([np.arange(16.0), np.full(16, 0.5)])
    systems.append(make(chain, np.diag([16.0, 9.0]), (True, True), diameter=np.full(16, 1.1)))
    return [POTENTIAL.parameters(s, diameter="diameter") for s in systems], systems


@pytest.fixture(scope="module")
def found(members):
    return ms.ensemble_sensitivity(POTENTIAL, *members, batch=2, **ASKED)


def test_each_is_what_it_is_alone(found, members):
    for k in (0, 1):  # one is padded
        (params, system), one = (m[k] for m in members), found[k]
        alone = ms.sensitivity(POTENTIAL, params, one.system, **ASKED)
        assert list(one.sensitivity) == list(alone.sensitivity)
        for observable, derivatives in alone.sensitivity.items():
            close(one.observables[observable], alone.observables[observable], 1e-10)
            for name, expected in derivatives.items():
                here = one.sensitivity[observable][name]
                assert (here.units, here.keys) == (expected.units, expected.keys)
                assert here.value.shape == expected.value.shape
                close(here.value, expected.value, 1e-9)
                assert 0.0 < here.derivative_error < 1e-9 and here.solve_residual < 1e-10
        a, b = one.certificate, alone.certificate
        for name in ("converged", "zero_modes", "negative_modes", "outcome", "neighbors_valid"):
            assert getattr(a, name) == getattr(b, name), name
        assert a.lambda_min == pytest.approx(b.lambda_min, rel=1e-3)
        assert a.rattler_indices.tolist() == b.rattler_indices.tolist()
        assert one.parameters["diameter"].shape == (system.n_particles,)


def test_what_has_no_derivative_says_so(found, members):
    params, system = (m[-1] for m in members)
    with pytest.raises(DerivativeUndefined) as alone:
        ms.sensitivity(POTENTIAL, params, system, **ASKED)
    told = found[-1]
    assert isinstance(told, DerivativeUndefined)
    assert str(told).split(":")[0] == str(alone.value).split(":")[0] == "certificate"
    assert told.result.sensitivity == {}
    assert told.result.certificate.outcome == str(told)


@pytest.mark.slow
def test_what_does_not_converge_says_so(members):
    params, systems = members
    rng = np.random.default_rng(1)
    shaken = systems[0].with_positions(systems[0].positions + 0.2 * rng.normal(size=(16, 2)))
    (told,) = ms.ensemble_sensitivity(POTENTIAL, params[:1], [shaken], max_steps=1, **ASKED)
    assert isinstance(told, NotConverged) and "not converged" in str(told)
    assert not told.result.certificate.converged
    assert told.result.observables == {}


@pytest.mark.slow
def test_measuring_only(members):
    params, systems = members
    (one,) = ms.ensemble_sensitivity(POTENTIAL, params[:1], systems[:1], observables=["pressure"])
    assert one.sensitivity == {} and one.certificate.converged
    assert one.observables["pressure"] > 0


def test_what_can_be_batched(members):
    system = members[1][0]
    assert can_be_batched(POTENTIAL, system, ["energy", "pressure", "stress"])
    for name in ("bulk_modulus", "elastic_tensor", "positions"):
        assert not can_be_batched(POTENTIAL, system, ["energy", name])
    large = make(np.zeros((300, 2)), np.eye(2), (True, True))
    assert not can_be_batched(POTENTIAL, large, ["energy"])
    assert not can_be_batched(ms.potentials.StillingerWeber(), system, ["energy"])
