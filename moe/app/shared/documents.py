"""Documents of this installation, and their addresses on the page that shows them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from urllib.parse import urlencode

PACKAGE = Path(__file__).resolve().parents[2]
DOCS = PACKAGE.parent / "docs"
FIRST = ("glossary", "index", "lessons")  # what most readers look for
_HEADING = re.compile(r"^# (.+)$", re.MULTILINE)


@cache
def documents() -> dict[str, str]:
    """Names of all documents by their titles, the usual ones first; empty without a checkout."""
    names = [path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")]
    order = sorted(names, key=lambda name: (name not in FIRST, name.count("/"), name))
    return {_title(name): name for name in order}


def _title(name: str) -> str:
    """First heading of a document, without its marks."""
    text = (DOCS / f"{name}.md").read_text("utf-8")
    heading = _HEADING.search(text)
    return re.sub(r"[`*]", "", heading[1]) if heading else name


@cache
def reading_address(path: Path) -> str:
    """Return the address at which a document is read; empty if this installation has it not."""
    file = path.resolve()
    if not file.is_relative_to(DOCS):
        return ""
    titles = {name: title for title, name in documents().items()}
    title = titles.get(file.relative_to(DOCS).with_suffix("").as_posix())
    return f"/reading?{urlencode({'document': title})}" if title else ""
