"""Several workers on one machine: a process each, with a GPU or some cores of its own. No JAX."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


def run_all(commands: Sequence[Sequence[str]]) -> int:
    """Run commands side by side; the exit code of the first that failed, else 0.

    Signals to stop are passed on. What is killed leaves the others at work.
    """
    gpus, count = visible_gpus(), len(commands)
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    children: list[subprocess.Popen[bytes]] = []
    with _forwarding(children):
        for k, command in enumerate(commands):
            child = subprocess.Popen(command, env=_environment(gpus, k, count))
            children.append(child)
            if not gpus and len(cores) >= count:
                # Programs for a processor otherwise take all cores each, and hinder one another.
                with suppress(ProcessLookupError):
                    os.sched_setaffinity(child.pid, cores[k::count])
        codes = [child.wait() for child in children]
    code = next((code for code in codes if code), 0)
    return code if code >= 0 else 128 - code


def visible_gpus() -> list[str]:
    """NVIDIA's devices that programs may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name not in ("", "-1", "NoDevFiles")]
    devices = (re.fullmatch(r"nvidia(\d+)", path.name) for path in Path("/dev").glob("nvidia*"))
    return sorted((found[1] for found in devices if found), key=int)


def _environment(gpus: list[str], k: int, count: int) -> dict[str, str]:
    environment = dict(os.environ)
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = gpus[k % len(gpus)]
    if count > len(gpus) > 0:
        # JAX takes most of a GPU's memory for itself unless told otherwise.
        environment.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    return environment


@contextmanager
def _forwarding(children: list[subprocess.Popen[bytes]]) -> Iterator[None]:
    def forward(number: int, frame: FrameType | None) -> None:
        for child in children:
            child.send_signal(number)

    before = {number: signal.signal(number, forward) for number in _FORWARDED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
