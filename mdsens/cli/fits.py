"""`mdsens fit`, and records of fits in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mdsens.fit_record import FitRecord


def fit(
    fit_toml: Annotated[Path, typer.Argument(metavar="FIT.toml", help="What to fit.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="OUT.h5", help="Default: <stem>.h5, here."),
    ] = None,
    parameters: Annotated[
        Path | None,
        typer.Option("-p", "--parameters", metavar="FILE", help="A LAMMPS file to write to."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Replace a value. Repeatable."),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Forget what an interrupted run left.")
    ] = False,
) -> None:
    """Fit a potential.

    Energies, forces, stresses and relaxed properties, with implicit derivatives; writes one HDF5 file
    and prints tables. Interrupted, it goes on where it was.

    Exit codes: 0 done, 2 bad input, 3 not converged, 4 derivative undefined, 5 input/output.
    """
    from mdsens.cli.environment import configure_jax
    from mdsens.cli.progress import progress_bars

    configure_jax()
    from mdsens.cli.fit_tables import print_fit
    from mdsens.errors import NotConverged
    from mdsens.fit_record import FitRecord
    from mdsens.fits.job import prepare
    from mdsens.fits.run import run

    target = output or Path(f"{fit_toml.stem}.h5")
    job = prepare(fit_toml, overrides or ())
    try:
        with progress_bars() as progress:
            record = run(job, target, restart=restart, parameters=parameters, progress=progress)
    except NotConverged as error:
        if isinstance(error.result, FitRecord):
            print_fit(error.result)
        raise
    print_fit(record)
    typer.echo(f"written to {target}" + (f" and {parameters}" if parameters else ""))


def show(path: Path, as_json: bool) -> None:
    """The record of a fit, in words."""
    from mdsens.cli import fit_tables

    if as_json:
        typer.echo(fit_tables.as_json(read(path)))
    else:
        fit_tables.print_fit(read(path))


def read(path: Path) -> FitRecord:
    from mdsens.io.fits import read_fit

    return read_fit(path)
