"""What the project shows, written down: `python -m tests.golden` writes it again.

Every figure with its words, every page, every quick command as text and as JSON, and what the code
that pages offer prints. A change that only moves things must leave all of it as it is; one that
means to change what is shown writes it again, and the difference is read before it is committed.
"""

from __future__ import annotations

import sys

from tests.golden.record import KINDS, write

if __name__ == "__main__":
    for kind in sys.argv[1:] or KINDS:
        print(f"{write(kind)}: {len(KINDS[kind])} entries")
