"""What the command line's files share."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

err = Console(stderr=True)
out = Console()
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
