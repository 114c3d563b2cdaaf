"""Slurm on this machine: two nodes with a pretended GPU each, on loopback, started by the test itself.

Needs root, and Debian's slurmctld, slurmd, slurm-client and munge.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROGRAMS = ("munged", "munge", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
NODES = ("east", "west")

CONF = """\
ClusterName=pretended
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
ReturnToService=2
KillWait=5
GresTypes=gpu
{nodes}
PartitionName=all Nodes={names} Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


def why_not() -> str | None:
    """Why there can be no cluster here; None if there can."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed (apt-get install slurmctld slurmd munge)"
    return None if os.geteuid() == 0 else "only root can start Slurm's daemons"


@contextmanager
def cluster(folder: Path, port: int = 27817) -> Iterator[None]:
    """A cluster that Slurm's commands find through the environment; gone at the end."""
    folder.mkdir(mode=0o755)
    _configure(folder, port)
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    try:
        _start_munge(folder)
        _call("slurmctld", "-f", folder / "slurm.conf")
        for name in NODES:
            _call("slurmd", "-f", folder / "slurm.conf", "-N", name)
        _wait(lambda: _call("sinfo", "-h", "-N", "-o", "%T").split() == ["idle"] * len(NODES))
        yield
    finally:
        for name in (*NODES, "slurmctld", "munged"):
            _stop(folder / f"{name}.pid")
        if before is None:
            os.environ.pop("SLURM_CONF", None)
        else:
            os.environ["SLURM_CONF"] = before


def _configure(folder: Path, port: int) -> None:
    for name in ("state", "munge", *(f"spool.{n}" for n in NODES)):
        (folder / name).mkdir(mode=0o700)
    nodes, gpus = [], []
    host = socket.gethostname()
    for k, name in enumerate(NODES):
        # Slurm takes nothing but devices for devices; these swallow what is written.
        os.mknod(folder / f"gpu.{name}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        nodes.append(
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port + 1 + k} "
            "CPUs=1 RealMemory=1000 Gres=gpu:1 State=UNKNOWN"
        )
        gpus.append(f"NodeName={name} Name=gpu File={folder}/gpu.{name}")
    (folder / "gres.conf").write_text("\n".join(["AutoDetect=off", *gpus]) + "\n")
    (folder / "slurm.conf").write_text(
        CONF.format(
            host=host, port=port, folder=folder, nodes="\n".join(nodes), names=",".join(NODES)
        )
    )


def _start_munge(folder: Path) -> None:
    key = folder / "munge" / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    files = {"key": key, "socket": folder / "munge.socket", "pid": folder / "munged.pid"}
    files |= {"log": folder / "munge" / "log", "seed": folder / "munge" / "seed"}
    options = [
        f"--{name}{'' if name == 'socket' else '-file'}={path}" for name, path in files.items()
    ]
    _call("munged", "--force", *options)
    _wait(lambda: bool(_call("munge", "-S", folder / "munge.socket", "-n")))


def _call(*command: str | Path) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""


def _wait(condition, seconds: float = 30.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "Slurm does not start"
        time.sleep(0.1)


def _stop(pid_file: Path) -> None:
    with suppress(OSError, ValueError):
        process = int(pid_file.read_text())
        os.kill(process, 15)
        for _ in range(100):
            os.kill(process, 0)
            time.sleep(0.1)
        os.kill(process, 9)
