"""A command's flags, derived from the fields of a settings class."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, get_type_hints

import typer

from ..settings import Settings
from .output import Json

Command = Callable[..., None]


def with_flags(
    kind: type[Settings], *names: str, spelled: Mapping[str, str] | None = None
) -> Callable[[Command], Command]:
    """Replace a command's `**options` by one flag per named field, with its help and default.

    A flag is spelled as its field, and as `spelled` says too: '--heads' and '--n-heads'.
    """
    spelled = spelled or {}

    def decorate(command: Command) -> Command:
        hints, fields = get_type_hints(kind), kind.__dataclass_fields__
        flags = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=fields[name].default,
                annotation=Annotated[
                    hints[name],
                    typer.Option(*_spellings(name, spelled), help=fields[name].metadata["help"]),
                ],
            )
            for name in names
        ]
        kept = list(inspect.signature(command, eval_str=True).parameters.values())[:-1]
        *kept, json_output = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in kept]

        def run(**values: Any) -> None:
            command(**values)

        run.__signature__ = inspect.Signature([*kept, *flags, json_output])  # type: ignore[attr-defined]
        run.__doc__, run.__name__ = command.__doc__, command.__name__
        return run

    return decorate


def _spellings(name: str, spelled: Mapping[str, str]) -> list[str]:
    return [spelled[name], f"--{name.replace('_', '-')}"] if name in spelled else []


def settings_command(kind: type[Settings]) -> Callable[[Command], Command]:
    """Give a command one flag per field of a settings class, and the settings in return."""

    def decorate(command: Command) -> Command:
        def run(json_output: Json = False, **options: Any) -> None:
            command(kind(**options), json_output)

        run.__doc__, run.__name__ = command.__doc__, command.__name__
        return with_flags(kind, *kind.__dataclass_fields__)(run)

    return decorate
