"""Registries: one file per method, and one line that names the file."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

Kind = TypeVar("Kind")


def collect(kind: type[Kind], package: str, files: Iterable[str]) -> dict[str, type[Kind]]:
    """Return the methods by name, in the order of the files that define them.

    Parameters
    ----------
    kind
        The base class; a subclass that defines a `name` is a method.
    package, files
        The package of the files, and their names without `.py`.

    Raises
    ------
    ImportError
        If a file defines no method, or one whose name is taken.
    """
    registry: dict[str, type[Kind]] = {}
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
        if not methods or set(names) & set(registry):
            raise ImportError(f"{module.__name__}: got methods {names}, allowed are new ones")
        registry |= dict(zip(names, methods, strict=True))
    return registry


def method_rows(methods: Mapping[str, Any], *claims: str) -> list[dict[str, Any]]:
    """Return a row for each method: name, title, claims, options with defaults, and source.

    Parameters
    ----------
    methods
        A registry, such as `ROUTERS`.
    *claims
        Attributes of its classes that stand between title and options, such as 'causal'.
    """
    return [
        {
            "name": name,
            "title": method.title,
            **{claim: getattr(method, claim) for claim in claims},
            "options": {
                option.name: None if option.default is MISSING else option.default
                for option in fields(method)
            },
            "source": method.source,
        }
        for name, method in methods.items()
    ]
