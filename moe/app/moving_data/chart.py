"""Charts of the page Moving data: the cluster, ways of sending, links, and loads by placement."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from ...cluster.placed_for import PlacedFor
from ...pictures.figure import Chart, Drawing, Figure, Rows, draw, drawn_once, spoken
from ...pictures.marks import (
    RATIO_TIP,
    band_axis,
    by_load,
    end_labels,
    goal,
    key,
    keyed,
    looks,
    name_axis,
)
from ...pictures.palette import CHOSEN, CROWDED, IDLE, OTHER, PAPER_INK, PURPLE, SHAPES, TEAL
from .story import PER_NODE, Limit, Moved, Way, limit_words

# Each link has its place and its label too, so that nobody needs the colours.
LINKS = {"network": PURPLE, "NVLink": TEAL}
THICKEST = 11  # pixels of the busiest link
SWITCH = PER_NODE + 2  # row of the network that joins the nodes, below each node's own line


def cluster_picture(moved: Moved, ink: str = PAPER_INK) -> Figure:
    """Draw nodes as columns of GPUs: lines are links, as thick as the bytes on them.

    A GPU's mark is as wide as the rows its experts compute; the busiest has its number on it.
    """
    n_nodes = moved.settings.nodes
    rows = ["NVLink, MB", *(f"GPU {i}" for i in range(PER_NODE))]
    rows += ["network, MB"] if n_nodes > 1 else []
    x_scale = alt.Scale(domain=[0, n_nodes], nice=False)
    x_axis = band_axis(range(n_nodes), title="node", labelExpr="floor(datum.value)", orient="top")
    y_scale = alt.Scale(domain=[0, len(rows) + 0.1], reverse=True, nice=False)
    y_axis = band_axis(rows)
    x, left = (alt.X(f"{name}:Q", scale=x_scale, axis=x_axis) for name in ("x", "left"))
    y, top = (alt.Y(f"{name}:Q", scale=y_scale, axis=y_axis) for name in ("y", "top"))
    texts = draw("numbers").mark_text(color=ink, fontSize=11).encode(x=x, y=y, text="label:N")
    hot = draw("hot").mark_text(color=ink, fontSize=11, fontWeight="bold")
    hot = hot.encode(x=x, y=y, text="label:N")
    most = float(max(moved.nvlink_mb_M.max(), moved.network_mb_M.max()))
    layers = [_link_lines(x, top, most), _gpu_marks(left, top), texts, hot]
    if n_nodes > 1:
        switch = draw("switch").mark_rule(color=LINKS["network"], strokeWidth=6)
        layers.append(switch.encode(x=left, x2="right:Q", y=y))
    nodes = f"{n_nodes} nodes" if n_nodes > 1 else "One node"
    chart = alt.LayerChart(layer=layers).resolve_scale(color="independent")
    return Figure(
        "The cluster: bytes on every link, and work of every GPU",
        Drawing(chart.properties(height=70 + 28 * len(rows))),
        f"{nodes} of {PER_NODE} GPUs; lines as thick as the bytes on them. {moved.words()}",
        _cluster_rows(moved),
    )


def _link_lines(x: alt.X, top: alt.Y, most: float) -> alt.Chart:
    """Draw the links, as thick as their megabytes."""
    width = alt.Scale(domain=[0, most], range=[0, THICKEST])
    marks = draw("links").mark_rule(strokeCap="butt")
    return marks.encode(
        x=x,
        y=top,
        y2="bottom:Q",
        strokeWidth=alt.StrokeWidth("mb:Q", scale=width, legend=None),
        color=keyed(alt.Color, "link:N", LINKS),
        tooltip=["node:N", "link:N", alt.Tooltip("mb:Q", format=",.0f", title="megabytes")],
    )


def _gpu_marks(left: alt.X, top: alt.Y) -> alt.Chart:
    """Draw the GPUs, as wide as their work."""
    marks = draw("gpus").mark_rect(cornerRadius=2)
    return marks.encode(
        x=left,
        x2="right:Q",
        y=top,
        y2="bottom:Q",
        color=by_load(),
        tooltip=["node:N", "gpu:N", RATIO_TIP],
    )


def _cluster_rows(moved: Moved) -> dict[str, Rows]:
    """Return the places of GPUs, links and numbers in the cluster's picture.

    A node is one unit wide, a GPU one unit high.
    """
    n_nodes = moved.settings.nodes
    gpus, lines, numbers = [], [], []
    for g, ratio in enumerate(moved.load_G.tolist()):
        node, row = divmod(g, PER_NODE)
        half = 0.05 + 0.07 * min(ratio, 4.0)
        at = {"node": f"node {node}", "gpu": f"GPU {row}", "ratio": ratio}
        rect = {"left": node + 0.6 - half, "right": node + 0.6 + half}
        gpus.append({**at, **rect, "top": row + 1.14, "bottom": row + 1.86})
    for node in range(n_nodes):
        nvlink, network = float(moved.nvlink_mb_M[node]), float(moved.network_mb_M[node])
        at = {"node": f"node {node}", "x": node + 0.14}
        lines.append({**at, "link": "NVLink", "top": 1.1, "bottom": PER_NODE + 0.9, "mb": nvlink})
        numbers.append({"x": node + 0.5, "y": 0.5, "label": f"{nvlink:,.0f}"})
        if n_nodes > 1:
            down = {"link": "network", "top": PER_NODE + 1.0, "bottom": SWITCH, "mb": network}
            lines.append({**at, **down})
            numbers.append({"x": node + 0.6, "y": PER_NODE + 1.5, "label": f"{network:,.0f}"})
    node, row = divmod(int(moved.load_G.argmax()), PER_NODE)
    hot = {"x": node + 0.6, "y": row + 1.5, "label": f"{moved.load_G.max():.1f}×"}
    data = {"links": lines, "gpus": gpus, "numbers": numbers, "hot": [hot]}
    if n_nodes > 1:
        data["switch"] = [{"left": 0.0, "right": float(n_nodes), "y": SWITCH}]
    return data


def price_of_limit(limits: Sequence[Limit], reach: int, ink: str = PAPER_INK) -> Figure:
    """Draw for each limit on nodes the time that it takes and the wishes that it meets."""
    rows = [
        {
            "limit": f"{limit.reach}",
            "ms": limit.moved.ms,
            "label": f"{limit.moved.ms:.2f} ms · {limit.wishes:.0%} met",
            "chosen": limit.reach == reach,
        }
        for limit in limits
    ]
    return Figure(
        "Time, and wishes met, by the number of servers a token may reach",
        _price_of_limit(max(limit.moved.ms for limit in limits), len(limits), ink),
        f"Bars of the time within each limit. {limit_words(list(limits), reach)} "
        + spoken(rows, "limit"),
        {"limits": rows},
    )


@drawn_once
def _price_of_limit(longest: float, n: int, ink: str) -> Chart:
    x = alt.X(
        "ms:Q",
        title="milliseconds, there and back",
        scale=alt.Scale(domain=[0, 1.5 * longest], nice=False),
        axis=alt.Axis(tickCount=4),
    )
    y = alt.Y(
        "limit:O", title="servers", sort=None,
        axis=name_axis(title="servers", labelOverlap=False, labelFlush=False),
    )  # fmt: skip
    colour = keyed(alt.Color, "chosen:N", {True: CHOSEN, False: OTHER})
    bars = draw("limits").mark_bar(cornerRadiusEnd=2).encode(x=x, y=y, color=colour)
    labels = draw("limits").mark_text(align="left", dx=5, color=ink)
    labels = labels.encode(x=x, y=y, text="label:N")
    return alt.LayerChart(layer=[bars, labels]).properties(height=24 * n)


def node_to_node(moved: Moved) -> Figure:
    """Draw nodes by nodes: megabytes from one to the other, in numbers and in lightness."""
    mb_MM = moved.node_MM
    rows = [
        {
            "from": f"node {i}",
            "to": str(j),
            "mb": mb_MM[i, j].item(),
            "label": f"{mb_MM[i, j]:,.0f}",
            "link": "NVLink" if i == j else "network",
        }
        for i in range(len(mb_MM))
        for j in range(len(mb_MM))
    ]
    base = draw("pairs").encode(
        x=alt.X("to:O", axis=alt.Axis(title="to node", labelAngle=0, ticks=False, orient="top")),
        y=alt.Y("from:O", axis=alt.Axis(title=None, ticks=False)),
    )
    top = max(row["mb"] for row in rows)
    cells = base.mark_rect().encode(
        color=alt.Color("mb:Q", scale=alt.Scale(scheme="cividis", domain=[0, top]), legend=None),
        tooltip=[
            "from:O", "to:O", "link:N", alt.Tooltip("mb:Q", format=",.1f", title="megabytes"),
        ],
    )  # fmt: skip
    texts = base.mark_text(fontSize=11).encode(
        text="label:N",
        color=alt.condition(f"datum.mb > {top / 2}", alt.value("#000000"), alt.value("#FFFFFF")),
    )
    outside = moved.network_mb_M.sum() / max(mb_MM.sum(), 1e-9)
    return Figure(
        "Megabytes from node to node",
        Drawing((cells + texts).properties(height=60 + 32 * len(mb_MM))),
        f"{len(mb_MM)} by {len(mb_MM)} nodes; on the diagonal what stays on NVLink. "
        f"{outside:.0%} of all bytes cross the network.",
        {"pairs": rows},
    )


def ways_bars(ways: Sequence[Way], ink: str = PAPER_INK) -> Figure:
    """Draw the milliseconds of the exchange for each way of sending, beside them the copies."""
    rows = [
        {
            "way": way.title,
            "ms": way.moved.ms,
            "label": f"{way.moved.ms:.2f} ms, {way.moved.sent.copies_per_token:.2f} copies",
        }
        for way in ways
    ]
    return Figure(
        "One batch through one layer: how long its exchange takes",
        Drawing(_bars("ways", "way", rows, ink)),
        f"Bars, shortest best. {spoken(rows, 'way')}.",
        {"ways": rows},
    )


def _bars(name: str, field: str, rows: Rows, ink: str) -> alt.LayerChart:
    """Draw bars of milliseconds; names stand above them, so that a phone has room."""
    top = max(row["ms"] for row in rows)
    base = draw(name).encode(
        y=alt.Y(f"{field}:N", sort=None, axis=None),
        x=alt.X("ms:Q", axis=None, scale=alt.Scale(domain=[0, top or 1.0], nice=False)),
    )
    bars = base.mark_bar(color=LINKS["network"], height=14, yOffset=10, cornerRadiusEnd=2)
    words = base.transform_calculate(said=f"datum.{field} + ': ' + datum.label")
    texts = end_labels(words, ink, dx=0, dy=-8).encode(x=alt.value(0), text="said:N")
    return (bars + texts).properties(height=alt.Step(46))


def links_bars(both: Sequence[Moved], ink: str = PAPER_INK) -> Figure:
    """Draw what NVLink and network alone would take on either GPU; the longer decides."""
    rows = [
        {"of": f"{one.settings.gpu}, {link}", "link": link, "ms": ms, "label": f"{ms:.2f} ms"}
        for one in both
        for link, ms in (("network", one.network_ms), ("NVLink", one.nvlink_ms))
    ]
    chart = _bars("links", "of", rows, ink)
    chart.layer[0].encoding.color = keyed(alt.Color, "link:N", LINKS)
    words = "; ".join(f"{row['of']} {row['label']}" for row in rows)
    return Figure(
        "H800 and H100: what each link alone would take",
        Drawing(chart),
        f"Bars of both links on both GPUs; the longer one decides. {words}.",
        {"links": rows},
    )


def placements(before: Moved, after: Moved, ink: str = PAPER_INK) -> Figure:
    """Draw the work of every GPU before and after placing experts, against the fair share."""
    names = [before.settings.placed, after.settings.placed]
    rows = [
        {"placed": name, "gpu": g, "ratio": ratio}
        for name, one in zip(names, (before, after), strict=True)
        for g, ratio in enumerate(one.load_G.tolist())
    ]
    legend = key(direction="vertical", labelLimit=280)
    marks = draw("placements").mark_point(size=44, filled=True, opacity=0.9)
    marks = marks.encode(
        x=alt.X("gpu:Q", axis=alt.Axis(title="GPU", grid=False, tickMinStep=1)),
        y=alt.Y("ratio:Q", axis=alt.Axis(title="fair shares", tickCount=4)),
        color=keyed(alt.Color, "placed:N", looks(names, (CROWDED, IDLE)), legend),
        shape=keyed(alt.Shape, "placed:N", looks(names, SHAPES), legend),
        tooltip=[
            alt.Tooltip("placed:N", title="experts"),
            alt.Tooltip("gpu:Q", title="GPU"),
            RATIO_TIP,
        ],
    )
    rule = goal("fair", ink, y="fair:Q")
    spread = "; ".join(
        f"{name} {one.load_G.min():.2f} to {one.load_G.max():.2f}"
        for name, one in zip(names, (before, after), strict=True)
    )
    return Figure(
        "The work of every GPU, before and after",
        Drawing(alt.LayerChart(layer=[rule, marks]).properties(height=280)),
        f"Points of {len(before.load_G)} GPUs against a dashed line at the fair share. {spread}.",
        {"placements": rows, "fair": [{"fair": 1.0}]},
    )


def yesterday(matrix: PlacedFor) -> Figure:
    """Draw placements by the tasks that they carry: the fullest chip's load, in fair shares."""
    rows = [
        {"placed": name, "carries": task, "uneven": value, "label": f"{value:.2f}"}
        for name, row in zip(matrix.placed_for, matrix.uneven_PM.tolist(), strict=True)
        for task, value in zip(matrix.measured_on, row, strict=True)
    ]
    base = draw("placements").encode(
        x=alt.X(
            "carries:N", sort=None,
            axis=alt.Axis(title="now carries", labelAngle=0, ticks=False, orient="top"),
        ),
        y=alt.Y("placed:N", sort=None, axis=alt.Axis(title=None, ticks=False)),
    )  # fmt: skip
    top = max(row["uneven"] for row in rows)
    cells = base.mark_rect().encode(
        color=alt.Color("uneven:Q", scale=alt.Scale(scheme="cividis", domain=[1, top]), legend=None)
    )
    texts = base.mark_text(fontSize=12).encode(
        text="label:N",
        color=alt.condition(
            f"datum.uneven > {(1 + top) / 2}", alt.value("#000000"), alt.value("#FFFFFF")
        ),
    )
    told = "; ".join(
        f"placed for {name}: " + ", ".join(f"{value:.2f}" for value in row)
        for name, row in zip(matrix.placed_for, matrix.uneven_PM.tolist(), strict=True)
    )
    return Figure(
        "Placed for one task, carrying another: load of the fullest chip",
        Drawing((cells + texts).properties(height=60 + 32 * len(matrix.placed_for))),
        f"{len(matrix.placed_for)} placements by {len(matrix.measured_on)} tasks "
        f"({', '.join(matrix.measured_on)}), in fair shares. {told}.",
        {"placements": rows},
    )
