"""Sweeps on Slurm: an array of workers, and how many of them are there. No JAX."""

from __future__ import annotations

import shlex
import subprocess
from collections import Counter
from collections.abc import Sequence
from string import Template

from mdsens.errors import InputError

_SECONDS = 20

# The shell stays in front of the worker: Slurm tells it of the end, and it asks to come again.
# SLURM_JOB_ID will not do for that: the last task of an array shares it with the whole array.
_SCRIPT = Template("""\
#!/bin/bash
#SBATCH --job-name=$name
#SBATCH --array=0-$last
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@120
$options
# Compiled code is kept on the node: many tasks write it at once.
export MDSENS_CACHE_DIR="$${SLURM_TMPDIR:-$${TMPDIR:-/tmp}}/mdsens-$$(id -u)"

$command --task "$$SLURM_ARRAY_TASK_ID" --ntasks $tasks &
worker=$$!
again=
trap 'again=yes; kill -USR1 "$$worker"' USR1
trap 'kill -TERM "$$worker"' TERM
wait "$$worker"
code=$$?
while kill -0 "$$worker" 2>/dev/null; do # a signal ended the waiting, not the worker
    wait "$$worker"
    code=$$?
done
if [ -n "$$again" ] && [ "$$code" -ne 0 ]; then
    scontrol requeue "$${SLURM_ARRAY_JOB_ID}_$${SLURM_ARRAY_TASK_ID}"
fi
exit "$$code"
""")


def job_name(plan_hash: str) -> str:
    """By which the jobs of a plan are known to Slurm."""
    return f"mdsens-{plan_hash[:12]}"


def script(command: Sequence[str], name: str, tasks: int, options: Sequence[str]) -> str:
    """An sbatch script: an array of `tasks` tasks, each of which runs `command` for its share.

    Args:
        options: of sbatch, such as "--gres=gpu:1".
    """
    lines = "".join(f"#SBATCH {option}\n" for option in options)
    return _SCRIPT.substitute(
        name=name, last=tasks - 1, tasks=tasks, options=lines, command=shlex.join(command)
    )


def submit(text: str) -> str:
    """Hand a script to sbatch; the number of the job.

    Raises:
        InputError: there is no sbatch, or it refuses.
    """
    try:
        done = subprocess.run(
            ["sbatch", "--parsable"], input=text, capture_output=True, text=True, timeout=_SECONDS
        )
    except FileNotFoundError:
        raise InputError("submit: sbatch: not found; run this where Slurm is") from None
    except subprocess.TimeoutExpired:
        raise InputError("submit: sbatch: does not answer; try again") from None
    if done.returncode:
        told = " ".join(done.stderr.split())
        raise InputError(f"submit: sbatch: {told}; correct the options")
    return done.stdout.strip().partition(";")[0]


def jobs(name: str) -> dict[str, int] | None:
    """Tasks of that name by their state ("RUNNING"); None where Slurm is not to be asked."""
    query = ["squeue", "--noheader", "--array", "--name", name, "--format", "%T"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=_SECONDS)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return dict(Counter(done.stdout.split())) if done.returncode == 0 else None
