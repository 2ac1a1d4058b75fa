"""What comes from outside: addresses, texts that are shown as text, and files of visitors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar
from urllib.parse import urlencode

import streamlit as st

from .visitor import teller

# Texts in the address, of which some are bound to text boxes: there "inf" is a word like any other.
TEXT_BOXES = ("text", "device_of", "student")
TEXTS = (*TEXT_BOXES, "guess", "ask", "options")
OPENED = "opened_files"  # in the visitor's session, and only there
T = TypeVar("T")

# Ends of lines and other orders to the screen, such as to write from right to left.
_ORDERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+")
# What Markdown would take for a sign; within a word it leaves _ alone.
_SIGNS = re.compile(r"[\\`*\[\]<>$~#|&!]|(?<!\w)_|_(?!\w)|:(?=\S)")
_LIST = re.compile(r"^(\s*\d*)([-+=.)])")
# Arrows, icons and addresses are looked for once Markdown has taken the backslashes away: only
# another letter in between keeps their signs apart, and this one takes no room.
_APART = "\u2060"
_PAIRS = re.compile(r":(?=\S)|@|www(?=\.)|[-<>~](?=\\?[-=>])", re.IGNORECASE)


def clean_address() -> None:
    """Take infinite numbers out of the address, since Streamlit's number boxes break on them.

    The address was read before the page runs, so the page begins anew.
    """
    endless = [
        name
        for name in st.query_params
        if name not in TEXTS and any(map(_is_endless, st.query_params.get_all(name)))
    ]
    for name in endless:
        del st.query_params[name]
    if endless:
        st.rerun()


def _is_endless(text: str) -> bool:
    try:
        return float(text) in (float("inf"), float("-inf"))
    except ValueError:
        return False


def address(**changed: str | None) -> str:
    """Return the address of the page as it is, with some parts changed (None: left out).

    A part whose value is the control's default is not in it. Outside of a browser it is relative.
    """
    params = {**st.query_params.to_dict(), **changed}
    kept = {name: value for name, value in params.items() if value is not None}
    return f"{st.context.url or ''}{'?' if kept else ''}{urlencode(kept)}"


def plain(text: str) -> str:
    """Text from outside, such as a name in a file, as Markdown that shows just this text."""
    shown = _SIGNS.sub(lambda sign: f"\\{sign[0]}", _ORDERS.sub(" ", text))
    return _PAIRS.sub(lambda sign: f"{sign[0]}{_APART}", _LIST.sub(r"\1\\\2", shown))


def plain_rows(rows: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Rows of a table in which every text is shown as it stands."""
    return [{plain(name): plain(text) for name, text in row.items()} for row in rows]


def show_problem(error: ValueError) -> None:
    """Show what is wrong with a file or a setting of the visitor's."""
    st.error(plain(str(error)))


def opened(place: str, key: object, read: Callable[[Callable[[str], object]], T]) -> T:
    """Read a visitor's file once per key, and keep the result or the error in the session.

    Parameters
    ----------
    read
        Gets a function that it calls now and then, with words for the visitor: once the visitor
        has left or changed something, that function ends the reading.

    Raises
    ------
    ValueError
        What is wrong with the file.
    """
    kept = st.session_state.setdefault(OPENED, {})
    if kept.get(place, (None,))[0] != key:
        kept.pop(place, None)
        tell = teller(st.empty())
        with st.spinner("Reading and measuring …", show_time=False):
            try:
                kept[place] = key, read(tell)
            except ValueError as error:
                kept[place] = key, error
    result: T | ValueError = kept[place][1]
    if isinstance(result, ValueError):
        raise result
    return result


def forget(*places: str) -> None:
    """Drop the results of files that the visitor has removed."""
    for place in places:
        st.session_state.get(OPENED, {}).pop(place, None)
