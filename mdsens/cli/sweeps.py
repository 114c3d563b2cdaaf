"""`mdsens sweep`: many runs. Each command imports what it needs when it runs."""

from __future__ import annotations

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
    task: Annotated[int, typer.Option("--task", min=0, help="Which share is ours.")] = 0,
    ntasks: Annotated[int, typer.Option("--ntasks", min=1, help="How many shares.")] = 1,
    time_limit: Annotated[
        float | None,
        typer.Option(
            "--time-limit", metavar="MINUTES", min=0, help="Begin nothing that takes longer."
        ),
    ] = None,
) -> None:
    """Compute what is not there yet.

    Any number of these may work on a plan at once, and be killed at any time.

    Exit codes: 0 the share is done (whatever became of its items), 2 bad input, 5 input/output,
    143 stopped before it was done.
    """
    from mdsens.cli.environment import configure_jax
    from mdsens.cli.progress import progress_bars
    from mdsens.errors import InputError
    from mdsens.sweeps.items import Items
    from mdsens.sweeps.worker import Share, work

    if task >= ntasks:
        raise InputError(f"--task: {task} of {ntasks}; tasks count from 0")
    shards = _shards(plan, folder)
    shards.adopt()
    items = Items(shards.plan, plan.parent)
    configure_jax()
    limit = None if time_limit is None else 60.0 * time_limit
    with progress_bars() as progress:
        done = work(shards, items, Share(task, ntasks), limit, progress=progress)
    typer.echo(f"{done.batches} batches, {done.items} items, {done.failed} of them failed")


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
    from mdsens.sweeps.status import status as look

    found = look(_shards(plan, folder))
    if as_json:
        typer.echo(json.dumps(asdict(found)))
    else:
        tables.print_status(found)


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
