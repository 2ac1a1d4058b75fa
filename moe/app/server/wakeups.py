"""Fewer wake-ups of the server's event loop, each of which passes the interpreter lock around.

A page's script hands the loop a hundred messages in one answer, and asyncio writes a byte for each
into a socket that the loop waits at. Writing lets go of the interpreter lock, and the script stands
in line for it again, behind the loop and all other scripts. One byte in a few milliseconds is
enough: whatever is handed over before they are over is done in the same round.
"""

from __future__ import annotations

import asyncio
from asyncio.selector_events import BaseSelectorEventLoop
from typing import Any

ROUND = 0.004  # seconds; less than the 0.01 s for which Streamlit gathers messages before it sends


def wake_seldom(loop: asyncio.AbstractEventLoop) -> bool:
    """Let other threads wake a loop once in `ROUND`; say whether it is a loop that can do so.

    Parameters
    ----------
    loop
        The running loop; one that is not asyncio's own for selectors is left as it is.
    """
    if not isinstance(loop, BaseSelectorEventLoop):
        return False
    ours: Any = loop
    write, process, woken = ours._write_to_self, ours._process_self_data, False

    def wake() -> None:
        nonlocal woken
        if not woken:
            woken = True
            write()

    def listen() -> None:
        # What was handed over before this is in the loop's list already, and the loop looks there
        # before it waits again; whatever comes after it writes a byte of its own.
        nonlocal woken
        woken = False

    def read(data: bytes) -> None:
        if woken:  # else the byte is a signal's
            loop.call_later(ROUND, listen)
        process(data)

    ours._write_to_self, ours._process_self_data = wake, read
    return True
