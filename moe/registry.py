"""Registries: one file per method, and one line that names the file."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable
from typing import TypeVar

Kind = TypeVar("Kind")


def collect(kind: type[Kind], package: str, files: Iterable[str]) -> dict[str, type[Kind]]:
    """Return the methods by name, in the order of the files that define them.

    Parameters
    ----------
    kind
        What they are subclasses of; a subclass with a `name` of its own is a method.
    package, files
        Where the files are, and their names without `.py`.

    Raises
    ------
    ImportError
        If a file defines no method, or one whose name is taken.
    """
    found: dict[str, type[Kind]] = {}
    for file in files:
        module = importlib.import_module(f".{file}", package)
        methods = [
            value
            for value in vars(module).values()
            if inspect.isclass(value)
            and issubclass(value, kind)
            and value.__module__ == module.__name__
            and "name" in vars(value)
        ]
        names = [vars(method)["name"] for method in methods]
        if not methods or set(names) & set(found):
            raise ImportError(f"{module.__name__}: got methods {names}, allowed are new ones")
        found |= dict(zip(names, methods, strict=True))
    return found
