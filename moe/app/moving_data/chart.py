"""Charts of the page Moving data: the cluster, ways of sending, links, and loads by placement."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from ...pictures.figure import BUSY, CROWDED, IDLE, PAPER_INK, Drawing, Figure, Rows, draw
from .story import PER_NODE, Moved, Way

# Both over 3:1 on white and on near-black; places and labels say the same.
NVLINK, NETWORK = "#12906C", "#B0539B"
LINKS = ["network", "NVLink"]
THICKEST = 11  # pixels of the busiest link
SWITCH = PER_NODE + 2  # row of the network that joins the nodes, below each node's own line


def cluster_picture(moved: Moved, ink: str = PAPER_INK) -> Figure:
    """Nodes as columns of GPUs: lines are links, as thick as the bytes on them.

    A GPU's mark is as wide as the rows its experts compute; the busiest has its number on it.
    """
    n_nodes = moved.settings.nodes
    rows = ["NVLink, MB", *(f"GPU {i}" for i in range(PER_NODE))]
    rows += ["network, MB"] if n_nodes > 1 else []
    names = "[" + ",".join(map(repr, rows)) + "]"
    x_scale = alt.Scale(domain=[0, n_nodes], nice=False)
    x_axis = alt.Axis(
        title="node",
        values=[i + 0.5 for i in range(n_nodes)],
        labelExpr="floor(datum.value)",
        orient="top",
        ticks=False,
        domain=False,
        grid=False,
    )
    y_scale = alt.Scale(domain=[0, len(rows) + 0.1], reverse=True, nice=False)
    y_axis = alt.Axis(
        title=None,
        values=[i + 0.5 for i in range(len(rows))],
        labelExpr=f"{names}[floor(datum.value)]",
        ticks=False,
        domain=False,
        grid=False,
    )
    x, left = (alt.X(f"{name}:Q", scale=x_scale, axis=x_axis) for name in ("x", "left"))
    y, top = (alt.Y(f"{name}:Q", scale=y_scale, axis=y_axis) for name in ("y", "top"))
    most = float(max(moved.nvlink_mb_M.max(), moved.network_mb_M.max()))
    links = (
        draw("links")
        .mark_rule(strokeCap="butt")
        .encode(
            x=x,
            y=top,
            y2=alt.Y2("bottom:Q"),
            strokeWidth=alt.StrokeWidth(
                "mb:Q", scale=alt.Scale(domain=[0, most], range=[0, THICKEST]), legend=None
            ),
            color=alt.Color(
                "link:N", scale=alt.Scale(domain=LINKS, range=[NETWORK, NVLINK]), legend=None
            ),
            tooltip=[
                alt.Tooltip("node:N"),
                alt.Tooltip("link:N"),
                alt.Tooltip("mb:Q", format=",.0f", title="megabytes"),
            ],
        )
    )
    gpus = (
        draw("gpus")
        .mark_rect(cornerRadius=2)
        .encode(
            x=left,
            x2=alt.X2("right:Q"),
            y=top,
            y2=alt.Y2("bottom:Q"),
            color=alt.Color("ratio:Q", scale=BUSY, legend=None),
            tooltip=[
                alt.Tooltip("node:N"),
                alt.Tooltip("gpu:N"),
                alt.Tooltip("ratio:Q", format=".2f", title="fair shares"),
            ],
        )
    )
    texts = draw("numbers").mark_text(color=ink, fontSize=11).encode(x=x, y=y, text="label:N")
    hot = draw("hot").mark_text(color=ink, fontSize=11, fontWeight="bold")
    switch = draw("switch").mark_rule(color=NETWORK, strokeWidth=6)
    layers = [links, gpus, texts, hot.encode(x=x, y=y, text="label:N")]
    if n_nodes > 1:
        layers.append(switch.encode(x=left, x2=alt.X2("right:Q"), y=y))
    nodes = f"{n_nodes} nodes" if n_nodes > 1 else "One node"
    return Figure(
        "The cluster: bytes on every link, and work of every GPU",
        Drawing(
            alt.LayerChart(layer=layers)
            .resolve_scale(color="independent")
            .properties(height=70 + 28 * len(rows))
        ),
        f"{nodes} of {PER_NODE} GPUs; lines as thick as the bytes on them. {moved.words()}",
        _cluster_rows(moved),
    )


def _cluster_rows(moved: Moved) -> dict[str, Rows]:
    """Where GPUs, links and numbers of the cluster's picture stand: a node is one unit wide."""
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


def node_to_node(moved: Moved) -> Figure:
    """Nodes by nodes: megabytes from one to the other, in numbers and in lightness."""
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
            alt.Tooltip("from:O"),
            alt.Tooltip("to:O"),
            alt.Tooltip("link:N"),
            alt.Tooltip("mb:Q", format=",.1f", title="megabytes"),
        ],
    )
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


def ways_bars(made: Sequence[Way], ink: str = PAPER_INK) -> Figure:
    """Milliseconds of the exchange for each way of sending, with the copies beside them."""
    rows = [
        {
            "way": way.title,
            "ms": way.moved.ms,
            "label": f"{way.moved.ms:.2f} ms, {way.moved.sent.copies_per_token:.2f} copies",
        }
        for way in made
    ]
    spoken = "; ".join(f"{row['way']}: {row['label']}" for row in rows)
    return Figure(
        "One batch through one layer: how long its exchange takes",
        Drawing(_bars("ways", "way", rows, ink)),
        f"Bars, shortest best. {spoken}.",
        {"ways": rows},
    )


def _bars(name: str, field: str, rows: Rows, ink: str) -> alt.LayerChart:
    """Bars of milliseconds; names stand above them, so that a phone has room."""
    top = max(row["ms"] for row in rows)
    base = draw(name).encode(
        y=alt.Y(f"{field}:N", sort=None, axis=None),
        x=alt.X("ms:Q", axis=None, scale=alt.Scale(domain=[0, top or 1.0], nice=False)),
    )
    bars = base.mark_bar(color=NETWORK, height=14, yOffset=10, cornerRadiusEnd=2)
    said = f"datum.{field} + ': ' + datum.label"
    texts = base.transform_calculate(said=said).mark_text(
        align="left", dy=-8, fontSize=12, color=ink
    )
    return (bars + texts.encode(x=alt.value(0), text="said:N")).properties(height=alt.Step(46))


def links_bars(both: Sequence[Moved], ink: str = PAPER_INK) -> Figure:
    """What NVLink and network alone would take on either GPU; the longer decides."""
    rows = [
        {
            "of": f"{one.settings.gpu}, {link}",
            "link": link,
            "ms": ms,
            "label": f"{ms:.2f} ms",
        }
        for one in both
        for link, ms in (("network", one.network_ms), ("NVLink", one.nvlink_ms))
    ]
    chart = _bars("links", "of", rows, ink)
    chart.layer[0].encoding.color = alt.Color(
        "link:N", scale=alt.Scale(domain=LINKS, range=[NETWORK, NVLINK]), legend=None
    )
    spoken = "; ".join(f"{row['of']} {row['label']}" for row in rows)
    return Figure(
        "H800 and H100: what each link alone would take",
        Drawing(chart),
        f"Bars of both links on both GPUs; the longer one decides. {spoken}.",
        {"links": rows},
    )


def placements(before: Moved, after: Moved, ink: str = PAPER_INK) -> Figure:
    """Work of every GPU before and after placing experts, against the fair share."""
    names = [before.settings.placed, after.settings.placed]
    rows = [
        {"placed": name, "gpu": g, "ratio": ratio}
        for name, one in zip(names, (before, after), strict=True)
        for g, ratio in enumerate(one.load_G.tolist())
    ]
    legend = alt.Legend(title=None, orient="top", direction="vertical", labelLimit=280)
    marks = (
        draw("placements")
        .mark_point(size=44, filled=True, opacity=0.9)
        .encode(
            x=alt.X("gpu:Q", axis=alt.Axis(title="GPU", grid=False, tickMinStep=1)),
            y=alt.Y("ratio:Q", axis=alt.Axis(title="fair shares", tickCount=4)),
            color=alt.Color(
                "placed:N", scale=alt.Scale(domain=names, range=[CROWDED, IDLE]), legend=legend
            ),
            shape=alt.Shape(
                "placed:N",
                scale=alt.Scale(domain=names, range=["circle", "square"]),
                legend=legend,
            ),
            tooltip=[
                alt.Tooltip("placed:N", title="experts"),
                alt.Tooltip("gpu:Q", title="GPU"),
                alt.Tooltip("ratio:Q", format=".2f", title="fair shares"),
            ],
        )
    )
    rule = draw("fair").mark_rule(strokeDash=[6, 4], strokeWidth=1.5, color=ink).encode(y="fair:Q")
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
