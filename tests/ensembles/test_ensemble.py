"""Many relaxations at once against one after the other."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mdsens as ms
from mdsens.ensembles.buckets import buckets
from mdsens.packings import random_spheres
from tests.derivatives.routes import close

POTENTIAL = ms.potentials.SoftSphere()
SIZES = (14, 16, 15, 16, 13, 16, 20)


def sizes(n):
    return np.where(np.arange(n) % 2, 1.0, 1.4)


@pytest.fixture(scope="module")
def members():
    systems = [random_spheres(sizes(n), 2, 1.0, seed=k) for k, n in enumerate(SIZES)]
    params = [POTENTIAL.parameters(s, diameter="diameter") for s in systems]
    # Another stiffness for each: no unit of one member enters another.
    return [p | {"epsilon": np.array(10.0**k)} for k, p in enumerate(params, -3)], systems


@pytest.fixture(scope="module")
def ensemble(members):
    """Seven members in two slots: most of them enter a slot that another has left."""
    return ms.relax_ensemble(POTENTIAL, *members, batch=2, fmax=1e-7)


def alone(params, system):
    """The minimum next to where a member of an ensemble stands, and its gradient of the pressure."""

    def value(params):
        return ms.pressure(POTENTIAL, params, ms.relax(POTENTIAL, params, system, fmax=1e-7))

    return jax.value_and_grad(value)(params)


def test_members_share_buckets_by_size(members):
    found = buckets(POTENTIAL, *members, cell="fixed")
    assert [sorted(m.place for m in bucket.members) for bucket in found] == [
        [0, 1, 2, 3, 4, 5],
        [6],
    ]
    assert {m.system.n_particles for m in found[0].members} == {16}


def test_every_member_is_at_a_minimum(ensemble, members):
    assert ensemble.outcomes == ("",) * len(SIZES)
    for report, params in zip(ensemble.reports, members[0], strict=True):
        assert report.residual <= 1e-12 * params["epsilon"]
    # One that is padded, one that took the slot of another.
    for k in (0, 5):
        params, system = members[0][k], ensemble.systems[k]
        again = ms.relax(POTENTIAL, params, system, fmax=1e-7)
        assert int(again.report.steps) == 0
        close(system.positions, again.positions, 1e-10)


def test_values_and_gradients_are_those_of_each_alone(ensemble, members):
    values, gradients = ensemble.measure(ms.pressure), ensemble.gradient(ms.pressure)
    for k in (0, 5):
        value, gradient = alone(members[0][k], ensemble.systems[k])
        assert float(values[k]) == pytest.approx(float(value), rel=1e-10)
        assert gradients[k]["diameter"].shape == (SIZES[k],)
        for name in ("diameter", "epsilon"):
            close(gradients[k][name], gradient[name], 1e-9)


def test_one_that_fails_spoils_nobody(ensemble, members):
    params, systems = members
    systems = [systems[1], replace(systems[3], positions=np.full((16, 2), 0.5)), systems[5]]
    params = [params[k] for k in (1, 3, 5)]
    found = ms.relax_ensemble(POTENTIAL, params, systems, batch=2, fmax=1e-7)
    assert [bool(outcome) for outcome in found.outcomes] == [False, True, False]
    gradients = found.gradient(ms.pressure)
    assert np.isnan(gradients[1]["diameter"]).all() and np.isnan(found.measure(ms.pressure)[1])
    before = ensemble.gradient(ms.pressure)
    close(gradients[0]["diameter"], before[1]["diameter"], 1e-9)
    close(gradients[2]["diameter"], before[5]["diameter"], 1e-9)


def test_too_few_steps(members):
    found = ms.relax_ensemble(POTENTIAL, *members, batch=2, fmax=1e-7, max_steps=3)
    assert all("not converged" in outcome for outcome in found.outcomes)


@pytest.mark.slow
def test_a_free_cell(members):
    params, systems = (x[:3] for x in members)
    pressure = 1e-3
    options = {"cell": "isotropic", "pressure": pressure}
    params = [p | {"epsilon": np.array(1.0)} for p in params]
    found = ms.relax_ensemble(POTENTIAL, params, systems, batch=3, **options)
    assert found.outcomes == ("",) * 3
    np.testing.assert_allclose(found.measure(ms.pressure), pressure, rtol=1e-9)
    gradient = found.gradient(ms.volume)[1]

    def volume(params):
        return ms.volume(
            POTENTIAL, params, ms.relax(POTENTIAL, params, found.systems[1], **options)
        )

    close(gradient["diameter"], jax.grad(volume)(params[1])["diameter"], 1e-9)


@pytest.mark.slow
def test_atoms_without_contacts_share_only_their_own_size():
    potential = ms.potentials.LennardJones()
    rng = np.random.default_rng(5)
    cluster = np.array([[x, y, z] for x in range(2) for y in range(2) for z in range(2)]) * 1.1
    systems = [
        ms.System(
            cluster[:n] + 0.05 * rng.normal(size=(n, 3)), np.eye(3), (False,) * 3, ("X",) * n,
            (False,) * n,
        )
        for n in (7, 8, 8)
    ]  # fmt: skip
    params = [potential.parameters(s, epsilon=1.0, sigma=1.0, cutoff=3.0) for s in systems]
    assert len(buckets(potential, params, systems, "fixed")) == 2
    found = ms.relax_ensemble(potential, params, systems)
    assert found.outcomes == ("",) * 3
    energies = [float(ms.energy(potential, p, ms.relax(potential, p, s)))
                for p, s in zip(params, found.systems, strict=True)]  # fmt: skip
    np.testing.assert_allclose(found.measure(ms.energy), energies, rtol=1e-12)


def test_refusals(members):
    with pytest.raises(ms.InputError, match="7 sets of parameters for 1 systems"):
        ms.relax_ensemble(POTENTIAL, members[0], members[1][:1])
    with pytest.raises(ms.InputError, match='minimizer "newton" is unknown'):
        ms.relax_ensemble(POTENTIAL, *members, minimizer="newton")
    assert ms.relax_ensemble(POTENTIAL, [], []).outcomes == ()


def test_an_observable_of_ones_own(ensemble, members):
    def mean_square_force(potential, params, minimum):
        forces = potential.pair_forces(params, minimum.positions, minimum.cell, minimum.neighbors)
        return jnp.sum(forces**2)

    values = ensemble.measure(mean_square_force)
    assert np.isfinite(values).all()
