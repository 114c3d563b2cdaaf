"""On a real Slurm: whatever happens to tasks and nodes, the same numbers come out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from mdsens.sweeps import slurm
from tests.sweeps.cluster import cluster, why_not

PACKINGS, PARTICLES = 100, 10
RUN_TOML = """\
[system]
structure = "packings.extxyz"
[potential]
kind = "soft_sphere"
[potential.parameters]
diameter = "diameter"
[sensitivity]
observables = ["energy", "pressure", "coordination"]
wrt = ["diameter"]
"""
SWEEP_TOML = """\
base = "run.toml"
[axes]
system.index = {{ range = [0, {packings}] }}
potential.parameters.epsilon = {{ linspace = [1.0, 2.0, {epsilons}] }}
[plan]
batch = 20
"""


def write_packings(path: Path, count: int) -> None:
    rng = np.random.default_rng(7)
    frames = []
    for _ in range(count):
        sizes = np.where(np.arange(PARTICLES) % 2, 1.0, 1.4)
        side = np.sqrt(np.pi / 4 * np.sum(sizes**2) / 1.1)
        places = (rng.random((PARTICLES, 2)) * side).tolist()
        rows = [f"X {x!r} {y!r} 0.0 {d}" for (x, y), d in zip(places, sizes, strict=True)]
        head = (
            f'Lattice="{side} 0 0 0 {side} 0 0 0 1" pbc="T T F" '
            "Properties=species:S:1:pos:R:3:diameter:R:1"
        )
        frames += [str(PARTICLES), head, *rows]
    path.write_text("\n".join(frames) + "\n")


@pytest.fixture
def inputs(tmp_path):
    def write(packings: int, epsilons: int) -> None:
        write_packings(tmp_path / "packings.extxyz", packings)
        (tmp_path / "run.toml").write_text(RUN_TOML)
        text = SWEEP_TOML.format(packings=packings, epsilons=epsilons)
        (tmp_path / "sweep.toml").write_text(text)

    return write


def command(folder: Path, *arguments: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mdsens", "sweep", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def data(path: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}

    def look(name, node):
        if isinstance(node, h5py.Dataset) and not name.startswith("provenance"):
            found[name] = node[()].tobytes()

    with h5py.File(path) as file:
        file.visititems(look)
    return found


def test_the_shipped_script_is_what_submit_writes(repository):
    options = ["--output=slurm-%A_%a.out", "--gres=gpu:1", "--cpus-per-task=4", "--time=240"]
    text = slurm.script(["mdsens", "sweep", "run", "sweep.plan"], "mdsens-sweep", 8, options)
    assert (repository / "scripts" / "slurm" / "sweep.sbatch").read_text() == text


def test_without_slurm(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert slurm.jobs("mdsens-x") is None
    with pytest.raises(ValueError, match="sbatch: not found"):
        slurm.submit("")


@pytest.mark.slow
def test_an_array_that_is_disturbed(inputs, tmp_path, repository, monkeypatch):
    reason = why_not()
    if reason:
        pytest.skip(reason)
    monkeypatch.setenv("PYTHONPATH", str(repository))
    monkeypatch.setenv("SLURM_TMPDIR", os.environ["MDSENS_CACHE_DIR"])
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    inputs(PACKINGS, 20)
    assert "2000 items in 100 batches" in command(tmp_path, "plan", "sweep.toml")
    command(tmp_path, "run", "sweep.plan", "-d", "calm", "--jobs", "2")
    command(tmp_path, "merge", "sweep.plan", "-d", "calm", "-o", "calm.h5")
    with cluster(tmp_path / "slurm"):
        told = command(tmp_path, "submit", "sweep.plan", "--tasks", "8", "--gpus", "1")
        _disturb(tmp_path, told.split()[-1])
    told = json.loads(command(tmp_path, "status", "sweep.plan", "--json"))
    assert told["batches_done"] == 100
    command(tmp_path, "merge", "sweep.plan", "-o", "wild.h5")
    wild, calm = data(tmp_path / "wild.h5"), data(tmp_path / "calm.h5")
    assert wild.keys() == calm.keys()
    assert [name for name in wild if wild[name] != calm[name]] == []
    with h5py.File(tmp_path / "wild.h5") as file:
        hosts = {json.loads(w)["task"] for w in file["provenance/workers"].asstr()[:]}
        assert len(hosts) >= 3  # many had a part in it
        assert np.mean(file["items/exit_code"][()] == 0) > 0.5


def _disturb(folder: Path, job: str) -> None:
    """Two tasks are killed, one is sent back into the queue, one node is drained."""
    shards, killed = folder / "sweep.shards", []

    def control(*arguments: str) -> None:
        subprocess.run(["scontrol", *arguments], check=True, capture_output=True)

    def finished() -> int:
        return len(list(shards.glob("*.h5")))

    def more(count: int) -> None:
        wanted = finished() + count
        _until(lambda: finished() >= wanted)

    def at_work() -> dict[str, int]:
        """Process by task of Slurm."""
        claims = [p.read_text().split() for p in shards.glob("*.claim")]
        return {words[2]: int(words[1]) for words in claims if len(words) == 3}

    _until(lambda: finished() >= 5)
    while len(killed) < 2:
        _until(lambda: any(task not in killed for task in at_work()))
        task, process = next((t, p) for t, p in at_work().items() if t not in killed)
        os.kill(process, signal.SIGKILL)
        killed.append(task)
        more(3)
    _until(lambda: any(task not in killed for task in at_work()))
    control("requeue", next(task for task in at_work() if task not in killed))
    more(6)
    control("update", "nodename=west", "state=drain", "reason=test")
    waiting = ["squeue", "--noheader", "--job", job]
    _until(lambda: not subprocess.run(waiting, capture_output=True, text=True).stdout.strip())


def _until(condition, seconds: float = 900.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.05)
