"""What the pages have done since the start, for whoever watches the server."""

from __future__ import annotations

from collections import Counter

TALLY = Counter[str]()  # 'runs' that were finished and 'steps' of all, of any visitor
