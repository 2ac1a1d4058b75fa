"""`moe app`: the pages, in a browser."""

from __future__ import annotations

from typing import Annotated

import typer

from .output import Json, err, json_line


def app(
    port: Annotated[int, typer.Option(help="Port to serve on.", min=1, max=65535)] = 8501,
    address: Annotated[
        str, typer.Option(help="Address to serve on; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    json_output: Json = False,
) -> None:
    """Open the app in a browser.

    A public server has limits, set by variables of the environment; see docs/deploy.md.

    Example: moe app --port 8600
    """
    from ..app.server.options import ServerOptions
    from ..app.server.start import app_file, check_place, serve

    script, options = app_file(), ServerOptions.from_environment()
    check_place(address, port)
    if json_output:
        json_line({"url": f"http://localhost:{port}"})
    serve(script, port, browser, address, options, err.print)
