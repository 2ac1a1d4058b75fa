"""Options that would do nothing beside what else is asked for: refused instead of ignored."""

from __future__ import annotations

import typer


def refuse_unused(typed: typer.Context, allowed: str, *names: str) -> None:
    """Refuse options that were typed and would do nothing.

    Parameters
    ----------
    typed
        What was typed; defaults are no choice of anybody's.
    allowed
        What the options need, in words.
    names
        Parameters of the command.

    Raises
    ------
    ValueError
        If one of them was typed.
    """
    for name in names:
        source = typed.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            shown = name.replace("_", "-")
            raise ValueError(f"--{shown}: got {typed.params[name]!r}, allowed is {allowed}")
