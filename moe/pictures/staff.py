"""The staff of a sentence: lines of characters, below each character a row for every expert."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt

from .experts import expert_name
from .figure import Rows, draw

LINE = 40  # characters in a line, readable on a phone
ROW = 13  # pixels for one expert


@dataclass(frozen=True)
class Staff:
    """Where characters and their experts stand: columns, and rows counted from the top.

    `padding` is the part of a column that stays free between two.
    """

    n_tokens: int
    n_experts: int
    padding: float = 0.0

    @property
    def pitch(self) -> int:
        """The rows of a line: its characters, the experts, and room between lines."""
        return self.n_experts + 2

    @property
    def n_lines(self) -> int:
        """The number of lines that the sentence takes."""
        return -(-self.n_tokens // LINE)

    @property
    def height(self) -> int:
        """The height of the whole picture in pixels."""
        return self.n_lines * self.pitch * ROW

    def _names(self) -> str:
        """Names of the experts, as an expression of Vega."""
        return f"[{','.join(repr(expert_name(e)) for e in range(self.n_experts))}]"

    def column(self, token: int) -> int:
        """Return the column of a character."""
        return token % LINE

    def row(self, token: int, expert: int) -> int:
        """Return the row of an expert below a character."""
        return token // LINE * self.pitch + 2 + expert

    def characters(self, tokens: Sequence[str]) -> Rows:
        """Return the place of each character, and of the frame around it and its experts."""
        rows: Rows = []
        for i, token in enumerate(tokens):
            top = i // LINE * self.pitch
            rows.append(
                {
                    "position": i + 1,
                    "column": self.column(i),
                    "token": token if len(token) == 1 else token[-2:],
                    "text": top + 0.7,  # whose sign for a space hangs below the line
                    "top": top + 0.1,
                    "bottom": top + self.pitch - 0.4,
                    "character": token,
                }
            )
        return rows

    def x(self) -> alt.X:
        """Return the channel of columns."""
        columns = list(range(min(LINE, self.n_tokens)))
        scale = alt.Scale(domain=columns, paddingInner=self.padding)
        return alt.X("column:O", axis=None, scale=scale)

    def y(self, field: str) -> alt.Y:
        """Return the channel of rows, numbered by expert in every line."""
        axis = alt.Axis(
            title="expert",
            values=[
                line * self.pitch + 2 + e
                for line in range(self.n_lines)
                for e in range(self.n_experts)
            ],
            labelExpr=f"{self._names()}[datum.value % {self.pitch} - 2]",
            labelOverlap=False,
            ticks=False,
            domain=False,
            grid=True,
        )
        scale = alt.Scale(domain=[0, self.n_lines * self.pitch], reverse=True, nice=False)
        return alt.Y(f"{field}:Q", scale=scale, axis=axis)

    def texts(self, ink: str) -> alt.Chart:
        """Draw the characters, from data called 'characters'."""
        marks = draw("characters").mark_text(fontSize=12, font="monospace", color=ink, aria=False)
        return marks.encode(x=self.x(), y=self.y("text"), text=alt.Text("token:N"))

    def frames(self, data: str) -> alt.Chart:
        """Begin rectangles around characters and their experts."""
        return draw(data).encode(x=self.x(), y=self.y("top"), y2=alt.Y2("bottom:Q"))
