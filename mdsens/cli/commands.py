"""The commands. Each imports what it needs when it runs, so that help costs nothing."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mdsens.cli import drawings, fits, sweeps
from mdsens.errors import DerivativeUndefined, InputError

app = typer.Typer(
    name="mdsens",
    help="Certified derivatives of relaxed particle systems with respect to their potential.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(sweeps.app, name="sweep")

RunFile = Annotated[Path, typer.Argument(metavar="RUN.toml", help="What to compute.")]
ResultFile = Annotated[Path, typer.Argument(metavar="OUT.h5", help="A result file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="TABLE.KEY=VALUE",
        help="Replace a value of RUN.toml (TOML; a bare word is a string). Repeatable.",
    ),
]


class Listing(StrEnum):
    """What `list` can list."""

    potentials = "potentials"
    observables = "observables"
    minimizers = "minimizers"


class Format(StrEnum):
    """What `export` can write."""

    extxyz = "extxyz"
    h5md = "h5md"
    lammps = "lammps"
    csv = "csv"


def _show_version(wanted: bool) -> None:
    if wanted:
        import mdsens

        typer.echo(f"mdsens {mdsens.__version__}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Say so.")
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", "-T", help="On an error, show the whole traceback.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but errors and warnings.")
    ] = False,
) -> None:
    """Certified derivatives of relaxed particle systems with respect to their potential."""


@app.command()
def run(
    run_toml: RunFile,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="OUT.h5", help="Default: <stem>.h5, here."),
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Relax, measure, differentiate, certify.

    Writes one HDF5 file and prints a table.

    Exit codes: 0 done, 2 bad input, 3 not converged, 4 derivative undefined, 5 input/output.
    """
    from mdsens import workflow
    from mdsens.cli import tables
    from mdsens.cli.environment import configure_jax
    from mdsens.cli.progress import progress_bars

    job = workflow.prepare(run_toml, overrides or ())
    target = output or Path(f"{run_toml.stem}.h5")
    workflow.check_output(job, target)
    with progress_bars() as progress:
        configure_jax()
        result = workflow.run(job, target, progress)
    tables.print_result(result)
    typer.echo(f"written to {target}")


@app.command()
def check(run_toml: RunFile, overrides: Overrides = None) -> None:
    """Validate a RUN.toml or a FIT.toml, fast.

    Everything that can be known without computing is checked; `run` and `fit` begin with the same checks.
    """
    from mdsens import workflow
    from mdsens.cli import tables
    from mdsens.fits.check import check as check_fit
    from mdsens.fits.check import is_fit

    if is_fit(run_toml):
        typer.echo(check_fit(run_toml, overrides or ()))
        return
    job = workflow.prepare(run_toml, overrides or ())
    tables.print_input(job.system, job.entry.kind, job.parameters)
    typer.echo(f"{run_toml} is fine")


@app.command()
def verify(
    run_toml: RunFile,
    overrides: Overrides = None,
    figure: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FIG.png", help="Draw it, too.")
    ] = None,
) -> None:
    """Compare with finite differences.

    Every parameter is moved, the system relaxed again, and the slope put beside the derivative.

    Exit code 4 if a difference is larger than the two methods can be expected to have.
    """
    from mdsens import workflow
    from mdsens.cli import tables
    from mdsens.cli.environment import configure_jax
    from mdsens.cli.progress import progress_bars
    from mdsens.files import atomic

    job = workflow.prepare(run_toml, overrides or ())
    workflow.require_derivatives(job)
    if figure is not None:
        atomic.check_writable(figure)
    with progress_bars() as progress:
        configure_jax()
        rows = workflow.verify(job, progress)
    tables.print_verification(rows)
    if figure is not None:
        drawings.write_verification(rows, figure)
    wrong = sum(not row.agrees for row in rows)
    if wrong:
        raise DerivativeUndefined(
            f"{run_toml}: verify: {wrong} of {len(rows)} derivatives disagree with finite "
            "differences; lower relax.fmax, or report it"
        )


app.command()(fits.fit)


@app.command()
def show(
    out_h5: ResultFile,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """What is in a result file, or the record of a fit."""
    from mdsens.cli import tables
    from mdsens.io.fits import FORMAT
    from mdsens.io.hdf5 import format_of
    from mdsens.io.results import read_result

    if format_of(out_h5) == FORMAT:
        fits.show(out_h5, as_json)
        return
    result = read_result(out_h5)
    if as_json:
        typer.echo(tables.as_json(result))
    else:
        tables.print_result(result)


app.command()(drawings.plot)
app.command()(drawings.report)


@app.command()
def export(
    out_h5: ResultFile,
    to: Annotated[
        Format | None, typer.Option("--to", help="Default: by the ending of the output.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Default: <stem>.<ending>, here."),
    ] = None,
) -> None:
    """Write a result for other programs.

    The state as extxyz or LAMMPS data, the trajectory of an ensemble as H5MD, derivatives as csv.
    """
    from mdsens.io.export import ENDINGS, format_for
    from mdsens.io.export import export as write

    if to is None and output is None:
        raise InputError("export: neither format nor output; give --to or -o")
    form = str(to) if to is not None else format_for(output or Path())
    target = output or Path(f"{out_h5.stem}{ENDINGS[form][0]}")
    write(out_h5, target, form)
    typer.echo(f"written to {target}")


@app.command("list")
def list_what(what: Listing) -> None:
    """Potentials, observables or minimizers.

    Names, parameters, units and sources.
    """
    from mdsens.cli import listings

    getattr(listings, f"print_{what.value}")()


@app.command()
def doctor() -> None:
    """Can this installation be trusted?

    Versions, devices, 64-bit floats, a numerical canary, cache folders.

    Exit code 4 if numbers cannot be trusted here.
    """
    from mdsens.cli import doctor as examination

    examination.examine()
