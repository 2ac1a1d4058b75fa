"""Ways by which experts reach fast memory: buses and disks, each speed with its source."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import check_choice
from .tables import rows_of


@dataclass(frozen=True)
class Link:
    """A bus or a disk.

    Attributes
    ----------
    key, name
        Short name and full name.
    gb_s
        10^9 bytes a second towards fast memory, at best.
    source, check
        Where that is from, and whether it is 'verified' or 'second-hand'.
    """

    key: str
    name: str
    gb_s: float
    source: str
    check: str

    @property
    def bytes_per_s(self) -> float:
        """Bytes a second."""
        return 1e9 * self.gb_s


LINKS: dict[str, Link] = {
    row["key"]: Link(row["key"], row["name"], float(row["gb_s"]), row["source"], row["check"])
    for row in rows_of("links")
}


def find_link(key: str) -> Link:
    """Return a link by its key.

    Raises
    ------
    ValueError
        If there is none; the message lists the keys.
    """
    return LINKS[check_choice("link", key, LINKS)]
