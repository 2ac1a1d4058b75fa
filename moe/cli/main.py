"""The root of the command line: which commands there are, and how each of them ends."""

from __future__ import annotations

import importlib
import sys
from typing import Annotated, Any

import typer

from ..version import __version__

# In the order of the help: each command, and the file that holds it.
COMMANDS = {
    "warm": "speed", "app": "app", "static": "static", "train": "train", "routers": "registries",
    "balancers": "registries", "lesson": "lessons", "check-gate": "gates", "golden": "gates",
    "bench": "speed", "place": "place", "prune": "prune", "trace": "traces", "analyze": "traces",
    "cache": "cache", "models": "cost", "params": "params", "cost": "cost", "decode": "cost",
    "scaling": "scaling", "hardware": "cost", "check-numbers": "cost", "cluster": "cluster",
    "sweep": "sweep", "step": "steps", "grade": "steps", "lm": "lm",
}  # fmt: skip
UsageError: Any = typer.BadParameter.__base__  # its own class in some versions, click's in others


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"moescope {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """MoEscope: see, measure and check mixture-of-experts layers."""


def command_line(only: str = "") -> typer.Typer:
    """Build the command line, or as much of it as one command needs.

    Loading every command's file, and what its flags derive from, takes longer than most commands.
    """
    cli = typer.Typer(
        name="moe",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        help="MoEscope: see, measure and check mixture-of-experts layers.",
    )
    cli.callback()(_root)
    for name in [only] if only in COMMANDS else COMMANDS:
        file = importlib.import_module(f".{COMMANDS[name]}", __package__)
        command = getattr(file, name.replace("-", "_"))
        if isinstance(command, typer.Typer):
            cli.add_typer(command, name=name)
        else:
            cli.command(name)(command)
    return cli


def main() -> None:
    """Run the command line; a wrong value ends with one line and exit code 2."""
    try:
        code = command_line(*sys.argv[1:2])(standalone_mode=False)
    except UsageError as error:
        _fail(error.format_message(), error)
    except ValueError as error:
        _fail(str(error), error)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, error: Exception) -> None:
    from .output import harmless

    one_line = harmless(" ".join(message.split()))
    if not one_line:  # `moe` alone has shown its help
        raise SystemExit(0) from error
    typer.echo(f"moe: {one_line}", err=True)
    raise SystemExit(2) from error


if __name__ == "__main__":
    main()
