"""Sweeps over handmade inputs; `fake` stands in for what takes long, the computing."""

from __future__ import annotations

from pathlib import Path

import pytest

from mdsens.sweeps import worker
from mdsens.sweeps.items import Items
from mdsens.sweeps.plan import Plan
from mdsens.sweeps.planning import make_plan
from mdsens.sweeps.shards import Shards
from mdsens.sweeps.spec import load
from tests.io.handmade import write_inputs
from tests.sweeps.fake import fake_compute

SWEEP_TOML = """\
base = "run.toml"
[axes]
potential.parameters.epsilon = { linspace = [1.0, 2.0, 5] }
potential.parameters.alpha = [2.0, 2.5]
[plan]
batch = 3
"""


@pytest.fixture
def planned(tmp_path):
    """`planned(text)`: the plan of a SWEEP.toml beside handmade inputs."""

    def plan(text: str = SWEEP_TOML) -> Plan:
        if not (tmp_path / "run.toml").exists():
            write_inputs(tmp_path)
        (tmp_path / "sweep.toml").write_text(text)
        return make_plan(load(tmp_path / "sweep.toml"), tmp_path)

    return plan


@pytest.fixture
def shards(planned, tmp_path) -> Shards:
    return Shards(planned(), tmp_path / "shards")


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(worker, "compute", fake_compute)


@pytest.fixture
def work(tmp_path):
    """`work(shards, task, ntasks, **options)` does a share."""

    def do(shards: Shards, task: int = 0, ntasks: int = 1, **options) -> worker.Done:
        shards.adopt()
        items = Items(shards.plan, Path(tmp_path))
        return worker.work(shards, items, worker.Share(task, ntasks), **options)

    return do
