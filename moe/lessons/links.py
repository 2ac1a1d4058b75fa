"""Links of the lessons' texts, which lead from file to file of the repository, put elsewhere.

In the source they are paths that any viewer of the repository follows: `router.md` is another
lesson, `../../../docs/glossary.md#token` a page of the documentation.
"""

from __future__ import annotations

import re
from collections.abc import Callable

DOCS = "../../../docs/"  # from a lesson's text
COURSE = "../moe/lessons/course/"  # from a page of the documentation
_LINK = re.compile(r"\[(?P<text>[^\]]+)\]\((?P<path>[^)\s]+)\)")


def on_the_site(text: str) -> str:
    """Return a lesson's text for `lessons/NAME.md` of the documentation."""
    return text.replace(f"]({DOCS}", "](../")


def from_the_site(text: str) -> str:
    """Return a page of the documentation with its links to lessons' texts led to their pages."""
    return text.replace(f"]({COURSE}", "](lessons/")


def in_notebooks(text: str) -> str:
    """Return a text for a notebook: lessons lie beside it, the documentation does not."""
    return led(text, lambda path: "" if path.startswith(DOCS) else path.replace(".md", ".ipynb"))


def led(text: str, address_of: Callable[[str], str]) -> str:
    """Return a lesson's text with its links led elsewhere.

    Parameters
    ----------
    address_of
        Gets the path of each link within the repository, and returns where it is to lead; of one
        that it returns nothing for, the words alone stay.
    """

    def put(link: re.Match[str]) -> str:
        words, path = link["text"], link["path"]
        if "://" in path:
            return link[0]
        address = address_of(path)
        return f"[{words}]({address})" if address else words

    return _LINK.sub(put, text)


def without_links(text: str) -> str:
    """Return a text with the words of its links alone."""
    return _LINK.sub(lambda link: link["text"], text)
