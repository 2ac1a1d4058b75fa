"""Traffic: copies by formula, conservation, the kernel against its oracle."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import moe
from moe.cluster import Cluster, traffic
from moe.cluster.traffic import MODES, REPLICA_RULES, bf16_row_bytes, fp8_row_bytes
from moe.kernels.backend import using

FIELDS = ("nvlink_GG", "network_GG", "local_G", "load_G")


@st.composite
def cases(draw):
    """Any routing with gaps, on any small cluster, experts anywhere and some of them twice."""
    cluster = Cluster(draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_experts = draw(st.integers(1, 12))
    n_tokens, k = draw(st.integers(0, 30)), draw(st.integers(1, n_experts))
    expert_NK = np.argsort(rng.random((n_tokens, n_experts)), axis=1)[:, :k]
    expert_NK[rng.random(expert_NK.shape) < 0.1] = -1
    n_more = draw(st.integers(0, 6))
    expert_P = np.concatenate([np.arange(n_experts), rng.integers(0, n_experts, n_more)])
    device_P = rng.integers(0, cluster.n_gpus, expert_P.size)
    home_N = rng.integers(0, cluster.n_gpus, n_tokens)
    return expert_NK, device_P, cluster, home_N, expert_P


@settings(max_examples=150, deadline=None)
@given(cases(), st.sampled_from(MODES), st.sampled_from(REPLICA_RULES))
def test_the_kernel_equals_its_oracle(case, copies, replica):
    expert_NK, device_P, cluster, home_N, expert_P = case
    options = {"expert_P": expert_P, "copies": copies, "replica": replica}
    fast = traffic(expert_NK, device_P, cluster, home_N, **options)
    with using("numpy"):
        plain = traffic(expert_NK, device_P, cluster, home_N, **options)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(fast, name), getattr(plain, name), err_msg=name)
    assert fast.n_copies == plain.n_copies


@settings(max_examples=150, deadline=None)
@given(cases(), st.sampled_from(REPLICA_RULES))
def test_nothing_is_lost_and_no_rule_sends_more_than_a_copy_per_expert(case, replica):
    expert_NK, device_P, cluster, home_N, expert_P = case
    per_expert, per_gpu, per_node = (
        traffic(
            expert_NK, device_P, cluster, home_N, expert_P=expert_P, copies=mode, replica=replica
        )
        for mode in MODES
    )
    chosen = (expert_NK >= 0).sum()
    node_G = np.arange(cluster.n_gpus) // cluster.gpus_per_node
    same_GG = node_G[:, None] == node_G
    for sent in (per_expert, per_gpu, per_node):
        assert sent.load_G.sum() == chosen  # every choice is computed once
        assert not sent.network_GG[same_GG].any() and not sent.nvlink_GG[~same_GG].any()
        assert not np.diag(sent.nvlink_GG).any()
        # The results of a dispatch come back the way it went: what one GPU sends, another gets.
        assert sent.dispatch_bytes_GG.sum() / 7392 == sent.nvlink_rows + sent.network_rows
        np.testing.assert_array_equal(
            sent.combine_bytes_GG.T * 7392, sent.dispatch_bytes_GG * 14336
        )
    # Straight copies: sent, received and kept add up to what was chosen.
    arrived_G = (per_expert.nvlink_GG + per_expert.network_GG).sum(axis=0) + per_expert.local_G
    np.testing.assert_array_equal(arrived_G, per_expert.load_G)
    assert per_expert.n_copies == chosen
    assert per_node.n_copies <= per_gpu.n_copies <= per_expert.n_copies
    assert (per_gpu.network_GG <= per_expert.network_GG).all()
    assert (per_gpu.nvlink_GG <= per_expert.nvlink_GG).all()
    assert per_node.network_rows <= per_gpu.network_rows
    # Relayed or not, each distinct GPU gets one row: over NVLink, or from the network as a relay.
    assert per_node.nvlink_rows >= per_gpu.nvlink_rows
    assert per_node.nvlink_rows + per_node.network_rows >= (
        per_gpu.nvlink_rows + per_gpu.network_rows
    )


@given(cases(), st.sampled_from(MODES))
@settings(max_examples=50, deadline=None)
def test_batches_add_up(case, copies):
    expert_NK, device_P, cluster, home_N, expert_P = case
    one = (expert_P == np.arange(expert_P.size)) if expert_P.size else expert_P
    device_E = device_P[one]  # one copy each: with several, who takes which depends on its turn
    cut = len(expert_NK) // 2
    whole = traffic(expert_NK, device_E, cluster, home_N, copies=copies)
    halves = [
        traffic(expert_NK[part], device_E, cluster, home_N[part], copies=copies)
        for part in (slice(cut), slice(cut, None))
    ]
    both = halves[0] + halves[1]
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(whole, name), getattr(both, name))
    assert both.n_tokens == whole.n_tokens and both.n_copies == whole.n_copies


def test_a_routing_sends_what_was_kept():
    router = moe.make_router("topk", k=2)
    routing = router.choose(np.random.default_rng(0).standard_normal((64, 8)))
    cluster = Cluster(2, 2)
    capped = moe.Capacity(1.0).apply(routing)
    assert capped.dropped > 0
    sent = traffic(capped, cluster.contiguous(8), cluster, copies="expert")
    assert sent.load_G.sum() == routing.n_assignments - capped.dropped
    np.testing.assert_array_equal(sent.load_G, capped.load.reshape(4, 2).sum(axis=1))


@pytest.mark.parametrize("name", sorted(moe.ROUTERS))
def test_any_router_can_be_counted(name):
    layer = moe.MoELayer.init(16, 8, 8, router=name)
    x_ND = np.random.default_rng(1).standard_normal((24, 16)).astype(np.float32)
    routing = layer.route(x_ND)
    cluster = Cluster(2, 2)
    device_E = np.arange(routing.n_experts) * 4 // routing.n_experts
    sent = traffic(routing, device_E, cluster, copies="expert")
    real = routing.n_experts - routing.n_special
    assert sent.load_G.sum() == routing.load[:real].sum()


def test_rows_are_as_wide_as_published():
    # DeepSeek-V3's 7,168 values: FP8 with a float32 scale for each 128, and BF16.
    assert fp8_row_bytes(7168) == 7392 and bf16_row_bytes(7168) == 14336


def test_deepep_low_latency_table_by_bytes():
    """Bandwidth printed = copies per expert x bytes / latency printed; DeepEP docs/legacy.md."""
    for ep, dispatch_us, dispatch, combine_us, combine, computed in (
        (8, 77, 98, 114, 127, (98.3, 128.8)),
        (256, 194, 39, 360, 40, (39.0, 40.8)),
    ):
        cluster = Cluster(-(-ep // 8), min(ep, 8))
        expert_NK = np.arange(128 * 8).reshape(128, 8) % 256
        sent = traffic(
            expert_NK, cluster.contiguous(256), cluster, np.zeros(128, int), copies="expert"
        )
        assert sent.copies_per_token == 8
        out = sent.n_copies * sent.dispatch_row_bytes / (dispatch_us * 1e3)
        back = sent.n_copies * sent.combine_row_bytes / (combine_us * 1e3)
        print(f"EP{ep}: dispatch {out:.1f} GB/s ({dispatch}), combine {back:.1f} ({combine})")
        assert (round(out, 1), round(back, 1)) == computed
        assert abs(out / dispatch - 1) < 0.015 and abs(back / combine - 1) < 0.025


def test_copies_to_a_replica_near_by():
    cluster = Cluster(2, 2)
    expert_NK = np.zeros((8, 1), int)  # expert 0 has a copy in each node, on GPUs 0 and 3
    home_N = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    options = {"expert_P": np.array([0, 0]), "copies": "expert"}
    near = traffic(expert_NK, np.array([0, 3]), cluster, home_N, replica="near", **options)
    assert near.network_rows == 0 and near.local_G.tolist() == [2, 0, 0, 2]
    turns = traffic(expert_NK, np.array([0, 3]), cluster, home_N, **options)
    assert turns.load_G.tolist() == [4, 0, 0, 4] and turns.network_rows == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"copies": "all"}, "copies: got 'all'"),
        ({"replica": "far"}, "replica: got 'far'"),
        ({"device_E": np.array([0, 1, 2, 4])}, "device_E: got 0..4"),
        ({"device_E": np.array([0, 1, 2])}, "routing: got expert 3"),
        ({"home_N": np.array([0])}, "home_N: got shape"),
        ({"home_N": np.array([0, -1])}, "home_N: got -1..0"),
        ({"expert_P": np.array([0, 1])}, "expert_P: got shape"),
        ({"routing": np.zeros(4)}, "routing: got float64"),
        ({"dispatch_row_bytes": 0}, "dispatch_row_bytes: got 0"),
    ],
)
def test_a_wrong_value_is_named(change, words):
    given = {"routing": np.array([[0, 1], [2, 3]]), "device_E": np.arange(4), **change}
    with pytest.raises(ValueError, match=words):
        traffic(cluster=Cluster(2, 2), **given)


def test_batches_of_different_rules_do_not_add():
    expert_NK, cluster = np.array([[0, 1]]), Cluster(1, 2)
    one, two = (traffic(expert_NK, np.arange(2), cluster, copies=mode) for mode in MODES[:2])
    with pytest.raises(ValueError, match="copies: got gpu"):
        one + two


def test_no_tokens_send_nothing():
    sent = traffic(np.zeros((0, 2), int), np.arange(4), Cluster(2, 2))
    assert sent.nvlink_rows == sent.network_rows == 0 and sent.copies_per_token == 0
    assert sent.slowest_load == 1


def test_equal_blocks():
    assert Cluster(2, 2).contiguous(8).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    with pytest.raises(ValueError, match="n_slots: got 6"):
        Cluster(2, 2).contiguous(6)
    assert math.isclose(Cluster().nvlink_gb_s, 200)
