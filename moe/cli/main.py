"""The root of the command line: which commands there are, and how each of them ends."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from ..version import __version__
from .app import app
from .cluster import cluster
from .cost import check_numbers, cost, decode, hardware, models
from .gates import check_gate
from .place import place
from .registries import balancers, routers
from .speed import bench, warm
from .sweep import sweep
from .traces import analyze, trace
from .train import train

cli = typer.Typer(
    name="moe",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="MoEscope: see, measure and check mixture-of-experts layers.",
)
UsageError: Any = typer.BadParameter.__base__  # its own class in some versions, click's in others


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"moescope {__version__}")
        raise typer.Exit


@cli.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """MoEscope: see, measure and check mixture-of-experts layers."""


for command in (  # in the order of the help
    warm, app, train, routers, balancers, check_gate, bench, place, trace, analyze, models, cost,
    decode, hardware, check_numbers,
):  # fmt: skip
    cli.command()(command)
cli.add_typer(cluster, name="cluster")
cli.add_typer(sweep, name="sweep")


def main() -> None:
    """Run the command line; a wrong value ends with one line and exit code 2."""
    try:
        code = cli(standalone_mode=False)
    except UsageError as error:
        _fail(error.format_message(), error)
    except ValueError as error:
        _fail(str(error), error)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, error: Exception) -> None:
    one_line = " ".join(message.split())
    if not one_line:  # `moe` alone has shown its help
        raise SystemExit(0) from error
    typer.echo(f"moe: {one_line}", err=True)
    raise SystemExit(2) from error


if __name__ == "__main__":
    main()
