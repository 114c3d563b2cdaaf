"""The command in processes of its own, killed whenever chance has it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import pytest

from mdsens.sweeps.merge import merge
from mdsens.sweeps.plan import Plan, write_plan
from mdsens.sweeps.shards import Shards

MANY = """\
base = "run.toml"
[axes]
potential.parameters.epsilon = { linspace = [1.0, 2.0, 60] }
[plan]
batch = 2
"""
# As a user's command, but for what takes long.
COMMAND = """
import sys
from mdsens.sweeps import worker
from mdsens.cli import environment, main
from tests.sweeps.fake import fake_compute
worker.compute = fake_compute
environment.configure_jax = lambda: print("ready", flush=True)
sys.exit(main())
"""


@pytest.fixture
def start(repository):
    """`start(plan, folder, ...)`: a worker; `before` is Python that it does first."""

    def begin(plan: Path, folder: Path, *more: str, before: str = "") -> subprocess.Popen:
        command = [sys.executable, "-c", before + COMMAND, "sweep", "run", str(plan)]
        command += ["--shards", str(folder), *more]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=repository, stdout=pipe, stderr=pipe, text=True)

    return begin


def finished(worker: subprocess.Popen) -> str:
    """What a worker says that ends well."""
    told, error = worker.communicate()
    assert worker.returncode == 0, error
    return told.removeprefix("ready\n")


def wait_until_ready(worker: subprocess.Popen) -> None:
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"


def data(plan: Plan, folder: Path) -> dict[str, bytes]:
    """All of the merged file but what tells where it comes from."""
    found: dict[str, bytes] = {}

    def look(name, node):
        if isinstance(node, h5py.Dataset) and not name.startswith("provenance"):
            found[name] = node[()].tobytes()

    merge(Shards(plan, folder), folder / "out.h5")
    with h5py.File(folder / "out.h5") as file:
        file.visititems(look)
    return found


def killed(start, plan: Plan, path: Path, folder: Path, kills: int, rng) -> int:
    """Workers begun two at a time, and ended at random; how many there were in fact."""
    shards, acknowledged, count = Shards(plan, folder), set(), 0
    while count < kills:
        workers = [start(path, folder, "--task", str(k), "--ntasks", "2") for k in range(2)]
        for worker in workers:
            wait_until_ready(worker)
            time.sleep(rng.uniform(0.0, 0.08))
            ended = worker.poll() is not None
            worker.send_signal(rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]))
            worker.communicate()
            count += not ended
        present = {int(p.stem) for p in folder.glob("[0-9]*.h5")}
        assert acknowledged <= present
        assert all(shards.is_done(batch) for batch in present), "an unreadable shard"
        acknowledged = present
        if len(present) == len(plan.batches):
            return count
    return count


def test_kill(start, planned, tmp_path, rng, fake, work):
    plan = planned(MANY)
    write_plan(plan, tmp_path / "x.plan")
    killed(start, plan, tmp_path / "x.plan", tmp_path / "wild", 2, rng)
    assert work(Shards(plan, tmp_path / "wild")).batches > 0
    work(Shards(plan, tmp_path / "calm"))
    assert data(plan, tmp_path / "wild") == data(plan, tmp_path / "calm")


@pytest.mark.slow
def test_three_hundred_kills(start, planned, tmp_path, rng, fake, work):
    plan, count, rounds = planned(MANY), 0, 0
    write_plan(plan, tmp_path / "x.plan")
    work(Shards(plan, tmp_path / "calm"))
    calm = data(plan, tmp_path / "calm")
    while count < 300:
        folder = tmp_path / f"wild{rounds}"
        count += killed(start, plan, tmp_path / "x.plan", folder, 300 - count, rng)
        finished(start(tmp_path / "x.plan", folder))
        assert data(plan, folder) == calm
        rounds += 1
    assert rounds > 3


@pytest.mark.parametrize("sent, code", [(signal.SIGTERM, 143), (signal.SIGUSR1, 143)])
def test_asked_to_leave(start, planned, tmp_path, sent, code):
    write_plan(planned(MANY), tmp_path / "x.plan")
    worker = start(tmp_path / "x.plan", tmp_path / "s")
    while not list((tmp_path / "s").glob("*.h5")):
        time.sleep(0.001)
    worker.send_signal(sent)
    told = worker.communicate()[1]
    assert worker.returncode == code
    assert told.startswith("mdsens: error: ") and told.count("\n") == 1
    assert not [p for p in (tmp_path / "s").iterdir() if p.suffix in (".claim", ".tmp")]


def test_full_disk(start, planned, tmp_path, fake, work):
    """The kernel refuses in the middle of a shard: exit 5, and later it goes on."""
    plan = planned(MANY)
    write_plan(plan, tmp_path / "x.plan")
    limit = "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (10_000, r.RLIM_INFINITY))"
    worker = start(tmp_path / "x.plan", tmp_path / "s", before=limit)
    told = worker.communicate()[1]
    assert worker.returncode == 5
    assert "make room" in told and told.count("\n") == 1
    assert [p.name for p in (tmp_path / "s").iterdir()] == ["plan"]
    assert work(Shards(plan, tmp_path / "s")).batches == len(plan.batches)


def test_processes_side_by_side(planned, tmp_path, repository):
    """--jobs: every process its own share, GPU and exit code."""
    from mdsens.sweeps.processes import run_all

    show = "import os, sys; open(sys.argv[1], 'w').write(os.environ['CUDA_VISIBLE_DEVICES'])"
    commands = [[sys.executable, "-c", show, str(tmp_path / f"{k}")] for k in range(3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
        assert run_all(commands) == 0
    assert [(tmp_path / f"{k}").read_text() for k in range(3)] == ["4", "7", "4"]
    failing = [[sys.executable, "-c", f"import sys; sys.exit({k})"] for k in (0, 5, 0)]
    assert run_all(failing) == 5
    suicidal = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    assert run_all([suicidal, failing[0]]) == 137


def test_a_signal_reaches_all_processes(tmp_path):
    waiting = "import time; time.sleep(60)"
    text = (
        "import sys; from mdsens.sweeps.processes import run_all; print('ready', flush=True)\n"
        f"sys.exit(run_all([[sys.executable, '-c', {waiting!r}]] * 2))"
    )
    parent = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None and parent.stdout.readline() == "ready\n"
    time.sleep(0.3)
    parent.send_signal(signal.SIGTERM)
    parent.communicate(timeout=20)
    assert parent.returncode == 128 + signal.SIGTERM
