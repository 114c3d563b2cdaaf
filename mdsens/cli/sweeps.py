"""`mdsens sweep`: many runs. Each command imports what it needs when it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mdsens.sweeps.shards import Shards

app = typer.Typer(
    name="sweep",
    help="Many runs: plan, run (here or on Slurm), status, retry, merge.",
    rich_markup_mode=None,
)

PlanFile = Annotated[Path, typer.Argument(metavar="PLAN", help="What `sweep plan` wrote.")]
Folder = Annotated[
    Path | None,
    typer.Option(
        "-d", "--shards", metavar="FOLDER", help="Default: <stem>.shards, beside the plan."
    ),
]

Task = Annotated[int, typer.Option("--task", min=0, help="Which share is ours.")]
Tasks = Annotated[int, typer.Option("--ntasks", min=1, help="How many shares there are.")]
Jobs = Annotated[
    int, typer.Option("--jobs", min=1, help="Processes, each with a GPU or cores of its own.")
]
TimeLimit = Annotated[
    float | None,
    typer.Option(
        "--time-limit", metavar="MINUTES", min=0, help="Begin nothing that would exceed it."
    ),
]


@app.command()
def plan(
    sweep_toml: Annotated[Path, typer.Argument(metavar="SWEEP.toml", help="What to vary.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="PLAN", help="Default: <stem>.plan, here."),
    ] = None,
) -> None:
    """Check everything and write the plan.

    A plan never changes; what it names (structures, parameter files) must not either.
    """
    from mdsens.sweeps.plan import write_plan
    from mdsens.sweeps.planning import make_plan
    from mdsens.sweeps.spec import load

    target = output or Path(f"{sweep_toml.stem}.plan")
    made = make_plan(load(sweep_toml), target.parent)
    write_plan(made, target)
    typer.echo(f"{made.items} items in {len(made.batches)} batches; written to {target}")


@app.command()
def run(
    plan: PlanFile,
    folder: Folder = None,
    task: Task = 0,
    ntasks: Tasks = 1,
    jobs: Jobs = 1,
    time_limit: TimeLimit = None,
) -> None:
    """Compute what is not there yet.

    Any number of these may work on a plan at once, and be killed at any time.

    Exit codes: 0 the share is done (whatever became of its items), 2 bad input, 5 input/output,
    143 stopped before it was done.
    """
    _work("run", plan, folder, task, ntasks, jobs, time_limit)


@app.command()
def retry(
    plan: PlanFile,
    folder: Folder = None,
    task: Task = 0,
    ntasks: Tasks = 1,
    jobs: Jobs = 1,
    time_limit: TimeLimit = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Also those that failed of themselves.")
    ] = False,
) -> None:
    """Compute batches with failed items again.

    Without --failed only those with internal errors, such as want of memory: what does not converge
    will not do so the second time, unless another version of mdsens computes it.
    """
    _work("retry", plan, folder, task, ntasks, jobs, time_limit, failed)


def _work(
    command: str,
    plan: Path,
    folder: Path | None,
    task: int,
    ntasks: int,
    jobs: int,
    time_limit: float | None,
    failed: bool = False,
) -> None:
    from mdsens.cli.environment import configure_jax
    from mdsens.cli.progress import progress_bars
    from mdsens.errors import InputError
    from mdsens.sweeps.items import Items
    from mdsens.sweeps.processes import run_all
    from mdsens.sweeps.worker import Share, work

    if task >= ntasks:
        raise InputError(f"--task: {task} of {ntasks}; tasks count from 0")
    shards = _shards(plan, folder)
    shards.adopt()
    if jobs > 1:
        common = [*_command(command, plan, shards), *(["--failed"] if failed else [])]
        if time_limit is not None:
            common += ["--time-limit", str(time_limit)]
        shares = (
            ["--task", str(task + ntasks * k), "--ntasks", str(ntasks * jobs)] for k in range(jobs)
        )
        raise typer.Exit(run_all([[*common, *share] for share in shares]))
    items = Items(shards.plan, plan.parent)
    limit = None if time_limit is None else 60.0 * time_limit
    redo = None if command == "run" else shards.failed_batches(only_internal=not failed)
    with progress_bars() as progress:
        configure_jax()
        done = work(shards, items, Share(task, ntasks), limit, redo, progress)
    typer.echo(f"{done.batches} batches, {done.items} items, {done.failed} of them failed")


@app.command()
def submit(
    plan: PlanFile,
    folder: Folder = None,
    tasks: Annotated[int, typer.Option("--tasks", min=1, help="Of the array.")] = 1,
    gpus: Annotated[int, typer.Option("--gpus", min=0, help="Of each task.")] = 0,
    options: Annotated[
        list[str] | None,
        typer.Option("--sbatch", metavar="OPTION", help="Such as --time=60. Repeatable."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the script only.")] = False,
) -> None:
    """Hand the sweep to Slurm: an array of tasks, each a `sweep run`.

    Tasks that are preempted or run out of time come again; what is done stays done.
    """
    from mdsens.sweeps import slurm

    shards = _shards(plan, folder)
    shards.adopt()
    gres = [f"--gres=gpu:{gpus}"] if gpus else []
    output = [f"--output={shards.folder.resolve()}/slurm-%A_%a.out"]
    jobs = ["--jobs", str(gpus)] if gpus > 1 else []
    text = slurm.script(
        [*_command("run", plan, shards), *jobs],
        slurm.job_name(shards.plan.hash),
        tasks,
        [*output, *gres, *(options or ())],
    )
    if dry_run:
        typer.echo(text, nl=False)
    else:
        typer.echo(f"submitted job {slurm.submit(text)}")


@app.command()
def status(
    plan: PlanFile,
    folder: Folder = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """How far it has come."""
    import json
    from dataclasses import asdict

    from mdsens.cli import tables
    from mdsens.sweeps import slurm
    from mdsens.sweeps.status import status as look

    shards = _shards(plan, folder)
    found, queued = look(shards), slurm.jobs(slurm.job_name(shards.plan.hash))
    if as_json:
        typer.echo(json.dumps({**asdict(found), "slurm": queued}))
    else:
        tables.print_status(found, queued or {})


@app.command()
def merge(
    plan: PlanFile,
    folder: Folder = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="OUT.h5", help="Default: <stem>.h5, here."),
    ] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Even if items are missing.")] = False,
) -> None:
    """All shards in one HDF5 file.

    Exit code 5 if items are missing.
    """
    from mdsens.sweeps.merge import merge as put_together

    target = output or Path(f"{plan.stem}.h5")
    merged = put_together(_shards(plan, folder), target, partial)
    if merged.missing:
        typer.echo(f"{merged.missing_items} items are missing")
    typer.echo(f"written to {target}")


def _shards(plan: Path, folder: Path | None) -> Shards:
    from mdsens.sweeps.plan import read_plan
    from mdsens.sweeps.shards import Shards

    return Shards(read_plan(plan), folder or plan.with_suffix(".shards"))


def _command(name: str, plan: Path, shards: Shards) -> list[str]:
    """The same from any folder."""
    where = [str(plan.resolve()), "--shards", str(shards.folder.resolve())]
    return [sys.executable, "-m", "mdsens", "sweep", name, *where]
