"""Workers: every batch once, whatever happens to whom."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from mdsens.errors import InputError, Interrupted, OutputError
from mdsens.sweeps import worker
from mdsens.sweeps.claims import LEASE_SECONDS, claimed, owner
from mdsens.sweeps.shards import Shards
from mdsens.sweeps.status import status
from tests.io.handmade import extxyz
from tests.sweeps.fake import fake_compute

pytestmark = pytest.mark.usefixtures("fake")


def images(shards: Shards) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(shards.folder.iterdir())}


def data(shards: Shards, batch: int) -> dict[str, bytes]:
    """What a shard says, but for where it comes from."""
    with shards.opened(batch) as file:
        return {
            name: rows[name].tobytes()
            for _, rows in file.blocks()
            for name in rows.dtype.names
            if not name.startswith("provenance")
        }


def test_a_worker_does_everything_once(shards, work):
    done = work(shards)
    assert (done.batches, done.items, done.failed) == (4, 10, 1)
    names = {"000000.h5", "000001.h5", "000002.h5", "000003.h5", "plan"}
    assert images(shards).keys() == names
    before = images(shards)
    assert work(shards).batches == 0
    assert images(shards) == before


def test_a_task_does_its_own_share_first(shards, work, monkeypatch):
    begun = []

    def compute(items, batch):
        begun.append(int(batch[0]))
        return fake_compute(items, batch)

    monkeypatch.setattr(worker, "compute", compute)
    work(shards, task=1, ntasks=2)
    first = [int(batch[0]) for batch in shards.plan.batches]
    assert begun == [first[1], first[3], first[0], first[2]]


def test_how_it_was_divided_is_not_to_be_seen(planned, tmp_path, work):
    whole, halves = Shards(planned(), tmp_path / "a"), Shards(planned(), tmp_path / "b")
    work(whole)
    work(halves, task=1, ntasks=2)
    work(halves, task=0, ntasks=2)
    for batch in range(4):
        assert data(whole, batch) == data(halves, batch)


def test_status_tells(shards, work):
    before = status(shards)
    assert (before.done, before.items, before.batches_done, before.failed) == (0, 10, 0, {})
    work(shards)
    found = status(shards)
    assert (found.done, found.batches_done, found.claimed) == (9, 4, 0)
    assert found.failed == {"not converged": 1}


def test_what_is_damaged_is_computed_again(shards, work):
    work(shards)
    whole = images(shards)
    path = shards.path(2)
    for image in (whole[path.name][:-100], whole[path.name][:1000], b""):
        path.write_bytes(image)
        assert work(shards).batches == 1
        assert data(shards, 2)
    flipped = bytearray(path.read_bytes())
    flipped[500] ^= 1
    path.write_bytes(flipped)
    assert work(shards).batches == 1


def test_another_plan_is_refused(planned, shards, work, tmp_path):
    work(shards)
    other = Shards(planned('base = "run.toml"\naxes.relax.fmax = [1e-9]\n'), shards.folder)
    for act in (work, status):
        with pytest.raises(InputError, match="of another plan"):
            act(other)
    (shards.folder / "plan").unlink()
    with pytest.raises(InputError, match="of another plan"):
        work(other)


def test_what_the_killed_left_is_swept_out(shards):
    shards.adopt()
    old, new = (shards.folder / f".00000{k}.h5.abcd.tmp" for k in range(2))
    for path in (old, new):
        path.touch()
    os.utime(old, (0, 0))
    shards.adopt()
    assert new.exists() and not old.exists()


def test_a_folder_belongs_to_the_plan_that_came_first(planned, shards):
    shards.adopt()
    other = Shards(planned('base = "run.toml"\naxes.relax.fmax = [1e-9]\n'), shards.folder)
    for act in (other.adopt, other.check):
        with pytest.raises(InputError, match="of another plan"):
            act()


@pytest.mark.parametrize("change", ["write", "remove"])
def test_a_changed_structure_is_refused(shards, work, tmp_path, monkeypatch, change):
    monkeypatch.undo()  # the computing begins with the files
    if change == "write":
        (tmp_path / "discs.extxyz").write_text(extxyz().replace("1.05", "1.06"))
    else:
        (tmp_path / "discs.extxyz").unlink()
    with pytest.raises(InputError, match="plan again"):
        work(shards)
    assert images(shards).keys() == {"plan"}


def test_failed_batches_are_done_again(shards, work):
    work(shards)
    assert shards.failed_batches(only_internal=False) == {1}  # the batch of item 3
    assert shards.failed_batches(only_internal=True) == set()
    before = [shards.path(batch).stat().st_ino for batch in range(4)]
    assert work(shards, redo=frozenset({2})).batches == 1
    after = [shards.path(batch).stat().st_ino for batch in range(4)]
    assert [a != b for a, b in zip(before, after, strict=True)] == [False, False, True, False]


# Claims


def test_two_processes_have_no_claim_at_once(tmp_path):
    with claimed(tmp_path / "c") as first, claimed(tmp_path / "c") as second:
        assert first and not second
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("words", ["", "elsewhere 1 -", "host 1 job_1 more"])
def test_a_claim_of_others_stands_while_they_show_themselves(tmp_path, words):
    path = tmp_path / "c"
    path.write_text(words)
    with claimed(path) as ours:
        assert not ours
    assert path.read_text() == words
    old = time.time() - 2 * LEASE_SECONDS
    os.utime(path, (old, old))
    with claimed(path) as ours:
        assert ours


def test_a_claim_of_the_dead_is_taken_over(tmp_path, monkeypatch):
    path = tmp_path / "c"
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    path.write_text(owner().replace(str(os.getpid()), str(child.pid)))
    with claimed(path) as ours:
        assert ours
    # The same task of Slurm, started again elsewhere.
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    for task, expected in (("7_3", True), ("7_4", False)):
        path.write_text(f"elsewhere 1 {task}")
        with claimed(path) as ours:
            assert ours is expected
        path.unlink(missing_ok=True)


def test_a_claim_is_kept_alive(tmp_path, monkeypatch):
    monkeypatch.setattr("mdsens.sweeps.claims.LEASE_SECONDS", 0.06)
    path = tmp_path / "c"
    with claimed(path):
        os.utime(path, (0, 0))
        limit = time.monotonic() + 5
        while path.stat().st_mtime < 1 and time.monotonic() < limit:
            time.sleep(0.01)
        assert path.stat().st_mtime > 1


def test_batches_of_others_are_left_and_own_ones_waited_for(shards, work, monkeypatch):
    shards.adopt()
    for batch in (0, 1):
        shards.claim(batch).write_text("elsewhere 1 -")
    waited = []

    def sleep(seconds):
        waited.append(seconds)
        shards.claim(1).unlink(missing_ok=True)

    monkeypatch.setattr(worker.time, "sleep", sleep)
    work(shards, task=1, ntasks=2)
    assert [k for k in range(4) if shards.is_done(k)] == [1, 2, 3]
    assert any(waited)


# Leaving early


def test_the_time_is_up(shards, work):
    with pytest.raises(Interrupted, match="the time is up"):
        work(shards, time_limit=0.0)
    assert images(shards).keys() == {"plan"}


def test_the_time_may_be_up_when_all_is_done(shards, work):
    work(shards)
    assert work(shards, time_limit=0.0).batches == 0


def test_asked_to_stop(shards, work, monkeypatch):
    def compute(items, batch):
        os.kill(os.getpid(), signal.SIGUSR1)
        return fake_compute(items, batch)

    monkeypatch.setattr(worker, "compute", compute)
    before = signal.getsignal(signal.SIGUSR1)
    with pytest.raises(Interrupted, match="asked to stop"):
        work(shards)
    assert signal.getsignal(signal.SIGUSR1) == before
    assert images(shards).keys() == {"000000.h5", "plan"}  # what was begun is finished


def test_full_disk(shards, work, monkeypatch):
    write, calls = os.write, []

    def full(descriptor, content):
        calls.append(descriptor)
        if len(calls) > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, content)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OutputError, match="No space left"):
        work(shards)
    monkeypatch.setattr(os, "write", write)
    left = images(shards).keys()
    assert not [name for name in left if name.endswith((".tmp", ".claim"))]
    assert "000000.h5" in left and "000003.h5" not in left
    work(shards)
    assert np.all([shards.is_done(k) for k in range(4)])
