"""`mdsens sweep`: what it computes is what `mdsens run` computes."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from mdsens.io.results import read_result
from tests.io.handmade import RUN_TOML, extxyz, write_inputs

SWEEP_TOML = """\
base = "run.toml"
[axes]
potential.parameters.epsilon = [1.0, 2.0]
system.structure = ["discs.extxyz", "bad.extxyz"]
[plan]
batch = 1
"""


@pytest.fixture
def sweep_toml(tmp_path, shaken_rows):
    write_inputs(tmp_path, RUN_TOML, extxyz(shaken_rows))
    (tmp_path / "bad.extxyz").write_text(extxyz([shaken_rows[0]] * 2 + shaken_rows[2:]))
    (tmp_path / "sweep.toml").write_text(SWEEP_TOML)
    return "sweep.toml"


def test_the_same_as_one_by_one(mdsens, sweep_toml, tmp_path):
    for command in (("plan", sweep_toml), ("run", "sweep.plan")):
        told = mdsens("sweep", *command)
        assert (told.code, told.err) == (0, ""), told
    assert "4 items, 2 of them failed" in told.out
    status = json.loads(mdsens("sweep", "status", "sweep.plan", "--json").out)
    assert (status["done"], status["failed"]) == (2, {"bad input": 2})
    assert "2 bad input" in mdsens("sweep", "status", "sweep.plan").out
    assert mdsens("sweep", "merge", "sweep.plan").code == 0
    assert mdsens("run", "run.toml", "--set", "potential.parameters.epsilon=2.0").code == 0
    alone = read_result(tmp_path / "run.h5")
    with h5py.File(tmp_path / "sweep.h5") as file:
        assert "coincide" in file["items/outcome"].asstr()[0, 1]
        assert str(tmp_path) not in file["items/outcome"].asstr()[0, 1]
        assert np.array_equal(file["state/positions"][1, 0], alone.positions)
        for observable, derivatives in alone.sensitivity.items():
            assert file[f"observables/{observable}"][1, 0] == alone.observables[observable]
            for name, derivative in derivatives.items():
                of = f"{observable}/{name}"
                assert np.array_equal(file[f"sensitivity/{of}"][1, 0], derivative.value)
                assert file[f"derivative_error/{of}"][1, 0] == derivative.derivative_error
                assert file[f"sensitivity/{of}"].attrs["units"] == derivative.units
        assert file["certificate/lambda_min"][1, 0] == alone.certificate.lambda_min
        assert np.isnan(file["certificate/lambda_min"][1, 1])


def test_in_batches_the_same_to_rounding(mdsens, sweep_toml, tmp_path):
    (tmp_path / "sweep.toml").write_text(SWEEP_TOML.replace("batch = 1", "batch = 4"))
    for command in (("plan", sweep_toml), ("run", "sweep.plan"), ("merge", "sweep.plan")):
        assert mdsens("sweep", *command).code == 0
    assert mdsens("run", "run.toml", "--set", "potential.parameters.epsilon=2.0").code == 0
    alone = read_result(tmp_path / "run.h5")
    with h5py.File(tmp_path / "sweep.h5") as file:
        assert file["items/exit_code"][()].tolist() == [[0, 2], [0, 2]]
        for observable, derivatives in alone.sensitivity.items():
            for name, derivative in derivatives.items():
                found = file[f"sensitivity/{observable}/{name}"][1, 0]
                assert np.allclose(found, derivative.value, rtol=1e-9, atol=1e-12)
                assert 0 < file[f"derivative_error/{observable}/{name}"][1, 0] < 1e-9
        assert file["certificate/lambda_min"][1, 0] == pytest.approx(alone.certificate.lambda_min)
        assert file["certificate/outcome"].asstr()[1, 0] == alone.certificate.outcome


def test_what_is_refused(refused, mdsens, sweep_toml):

    assert "no such file" in refused(2, "sweep", "run", "sweep.plan")
    mdsens("sweep", "plan", sweep_toml)
    assert "tasks count from 0" in refused(2, "sweep", "run", "sweep.plan", "--task", "1")
    assert "4 items missing" in refused(5, "sweep", "merge", "sweep.plan")
    assert "the time is up" in refused(143, "sweep", "run", "sweep.plan", "--time-limit", "0")
