"""Latent experts on the page on claims: table and verdict from the file's lines."""

from __future__ import annotations

import json

import numpy as np
import pytest

import moe
from docs.generator import latent, studies, tried
from docs.generator.studies import Study


def test_the_table_is_the_record_s() -> None:
    rows = [json.loads(line) for line in studies.record("latent").read_text().splitlines()[1:]]
    page = tried.page()
    assert "## Narrower experts, and more of them" in page
    for d_latent, n_experts, k in {(r["d_latent"], r["n_experts"], r["k"]) for r in rows}:
        own = [
            r for r in rows if (r["d_latent"], r["n_experts"], r["k"]) == (d_latent, n_experts, k)
        ]
        assert len({row["seed"] for row in own}) >= 3
        layer = moe.MoELayer.init(64, 64, n_experts, k=k, d_latent=d_latent)
        numbers = layer.n_params - layer.params["gate_DE"].size
        rows_of_a_token = 2 * k * layer.params["w_down_EFD"].shape[2]
        losses = [row["held_out_loss"] for row in own]
        start = f"| {d_latent or 64} | {n_experts} | {k} | {rows_of_a_token} | {numbers:,} | "
        (line,) = [one for one in page.splitlines() if one.startswith(start)]
        assert f"{np.mean(losses):.3f}\u00a0±\u00a0{np.std(losses, ddof=1):.3f}" in line


@pytest.mark.parametrize(
    ("loss", "word"), [(1.0, "stays within the spread"), (1.5, "rises"), (0.5, "falls")]
)
def test_the_verdict_follows_from_the_losses(loss: float, word: str) -> None:
    rows = [
        dict(d_latent=d, n_experts=e, k=k, seed=seed, held_out_loss=mean + 0.01 * seed,
             max_vio=0.0, flops_per_token=1.0)
        for d, e, k, mean in ((4, 8, 4, loss), (0, 4, 2, 1.0), (4, 4, 2, 1.0))
        for seed in (0, 1, 2)
    ]  # fmt: skip
    settings = dict(d_model=8, d_expert=4, activation="swiglu", steps=3)
    said = latent.words(Study("train", "1", "none", settings, tuple(rows)))
    assert f"As many numbers sent: with 8 experts of width 4 and k = 4 it {word}" in said
    assert "Fewer: with 4 experts of width 4 and k = 2 it stays within the spread" in said
