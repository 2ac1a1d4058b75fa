"""A command's flags, derived from the fields of a settings class."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Any, get_type_hints

import typer

from .output import Json


def settings_command(kind: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one option per field of a settings dataclass, with its help and default."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(kind)
        parameters = [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=Annotated[hints[field.name], typer.Option(help=field.metadata["help"])],
            )
            for field in fields(kind)
        ]

        def run(json_output: bool = False, **values: Any) -> None:
            command(kind(**values), json_output)

        parameters.append(
            inspect.Parameter(
                "json_output", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json
            )
        )
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__doc__, run.__name__ = command.__doc__, command.__name__
        return run

    return decorate
