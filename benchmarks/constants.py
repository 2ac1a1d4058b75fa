"""Measure the constants of the kernels.

`python -m benchmarks.constants` prints what operations cost on one core beside `kernels/costs.py`,
and from which work on a second thread helps. `python -m benchmarks.constants items.SHORT 48 192`
times layers with other values of a constant beside the one in the code, in alternating blocks:
each value in a process of its own, since kernels are compiled with it.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

CALLS = ("tiny forward", "small forward", "small both", "fine forward", "fine both",
         "decode forward", "decode16 forward")  # fmt: skip
BLOCKS, SECONDS = 15, 0.05
CHOICES = 2  # experts of each token


def operations() -> dict[str, tuple[int, Callable[[], object]]]:
    """Numbers read and a call, of each operation in `NUMBER_NS`, at a size as in training."""
    from moe import kernels

    rng = np.random.default_rng(0)
    n_tokens, d_model, n_experts, k = 2048, 256, 64, CHOICES
    logits_NE, other_NE = rng.standard_normal((2, n_tokens, n_experts), np.float32)
    probs_NE = kernels.softmax(logits_NE)
    expert_NK, weight_NK, _ = kernels.softmax_topk(logits_NE, k)
    token_A = np.repeat(np.arange(n_tokens, dtype=np.int32), k)
    plan = kernels.dispatch_plan(
        token_A, expert_NK.ravel(), np.ones(token_A.size, bool), n_tokens, n_experts
    )
    y_SD, weight_S = rng.standard_normal((token_A.size, d_model), np.float32), weight_NK.ravel()
    token_NC = rng.integers(0, n_experts, (n_tokens, 4))
    table_CVD = rng.standard_normal((4, n_experts, d_model), np.float32)
    flat = [np.ones((1, 1 << 18), np.float32) for _ in range(4)]
    return {
        "adam_step": (
            flat[0].size,
            partial(kernels.adam_step, *([a] for a in flat), 1, 1e-3, 0.9, 0.99, 1e-8),
        ),
        "combine": (y_SD.size, partial(kernels.combine, y_SD, weight_S, plan)),
        "cross_entropy": (
            logits_NE.size, partial(kernels.cross_entropy, logits_NE, expert_NK[:, 0]),
        ),
        "embed": (token_NC.size * d_model, partial(kernels.embed, table_CVD, token_NC)),
        "embed_backward": (
            token_NC.size * d_model,
            partial(kernels.embed_backward, y_SD[:n_tokens], token_NC, n_experts),
        ),
        "mask_groups": (logits_NE.size, partial(kernels.mask_groups, logits_NE, 8, 4, 2)),
        "read_all": (flat[0].size, partial(kernels.read_all, flat[0].ravel())),
        "sigmoid": (logits_NE.size, partial(kernels.sigmoid, logits_NE)),
        "softmax": (logits_NE.size, partial(kernels.softmax, logits_NE)),
        "softmax_backward": (
            logits_NE.size, partial(kernels.softmax_backward, probs_NE, other_NE),
        ),
        "softmax_topk": (logits_NE.size, partial(kernels.softmax_topk, logits_NE, k)),
        "softmax_topk_backward": (
            logits_NE.size,
            partial(kernels.softmax_topk_backward, expert_NK, weight_NK, weight_NK, n_experts),
        ),
        "topk": (logits_NE.size, partial(kernels.topk, logits_NE, k)),
    }  # fmt: skip


def lm_operations() -> dict[str, tuple[int, Callable[[], object]]]:
    """Likewise of those that only a language model has: 4096 rows of 4 heads, 64 numbers each."""
    from moe import kernels

    rng, n_rows, shape = np.random.default_rng(0), 4096, (4, 4, 16, 16)
    qkv_NX = rng.standard_normal((n_rows, 192), np.float32)
    angle_TR = rng.standard_normal((64, 8), np.float32)
    gains = np.ones((2, 16), np.float32)
    split = (qkv_NX, shape, *gains, 1e-5, np.arange(n_rows) % 64, angle_TR, angle_TR, False)
    q_NHC, k_NGC, v_NGU, kept = kernels.split_heads(*split)
    cache_BTGC = k_NGC.reshape(-1, 64, 4, 16)
    step = (np.ascontiguousarray(q_NHC[:64]), cache_BTGC, cache_BTGC, 64, 0.25)
    x_ND, gain_D = qkv_NX[:, :64].copy(), np.ones(64, np.float32)
    _, inverse_N = kernels.rms_norm(x_ND, gain_D, 1e-5)
    w_DV, target_N = rng.standard_normal((1, 256), np.float32), rng.integers(0, 256, n_rows)
    losses = (x_ND[:, :1].copy(), w_DV, target_N)
    return {
        "attention_step": (2 * cache_BTGC.size, partial(kernels.attention_step, *step)),
        "classify": (n_rows * w_DV.size, partial(kernels.classify, *losses, inverse_N)),
        "rms_norm": (x_ND.size, partial(kernels.rms_norm, x_ND, gain_D, 1e-5)),
        "rms_norm_backward": (
            x_ND.size, partial(kernels.rms_norm_backward, x_ND, x_ND, gain_D, inverse_N),
        ),
        "split_heads": (qkv_NX.size, partial(kernels.split_heads, *split)),
        "split_heads_backward": (
            qkv_NX.size, partial(kernels.split_heads_backward, q_NHC, k_NGC, v_NGU, kept),
        ),
        "sum_squares": (qkv_NX.size, partial(kernels.sum_squares, [qkv_NX])),
    }  # fmt: skip


def print_costs(blocks: int = BLOCKS, seconds: float = SECONDS) -> None:
    """Print what each operation costs beside the code's figure, and two threads against one."""
    from moe import kernels
    from moe.kernels.costs import CHOICE_NS, MIN_PARALLEL_NS, NUMBER_NS, PRODUCT_NS
    from moe.speed.timing import time_in_turn

    calls, figures = operations() | lm_operations(), dict(NUMBER_NS)
    for name in ("topk", "softmax_topk"):
        figures[name] += CHOICES * CHOICE_NS
    square = np.ones((512, 512), np.float32)
    calls["product"] = (512**3, partial(kernels.matmul, square, square))
    figures["product"] = PRODUCT_NS
    with kernels.using(threads=1):
        found = time_in_turn({name: call for name, (_, call) in calls.items()}, blocks, seconds, 0)
    print(f"{'ns for each number':24}{'measured':>10}{'in the code':>13}")
    for name, figure in figures.items():
        print(f"{name:24}{1e9 * found[name] / calls[name][0]:10.3f}{figure:13.3f}")
    print(f"\nsoftmax, microseconds (MIN_PARALLEL_NS is {MIN_PARALLEL_NS})")
    print(f"{'estimate':>10}{'1 thread':>10}{'2 threads':>10}")
    for n_rows in (64, 128, 256, 512, 1024, 2048):
        rows = np.ones((n_rows, 64), np.float32)
        call = partial(kernels.softmax, rows)
        by_threads = {str(n): partial(_with_threads, n, call) for n in (1, 2)}
        found = time_in_turn(by_threads, blocks, seconds, 0)
        work = NUMBER_NS["softmax"] * rows.size / 1e3
        print(f"{work:10.1f}{1e6 * found['1']:10.1f}{1e6 * found['2']:10.1f}")


def _with_threads(threads: int, call: Callable[[], object]) -> None:
    from moe import kernels

    with kernels.using(threads=threads):
        call()


def serve(name: str, value: int) -> None:
    """Compile the kernels with a value of a constant, and time the calls that are asked for."""
    module, _, constant = name.partition(".")
    from moe.kernels import cache

    with tempfile.TemporaryDirectory() as folder:
        cache.FOLDERS[:] = [Path(folder)]  # names of cached kernels do not tell the value
        setattr(importlib.import_module(f"moe.kernels.{module}"), constant, value)
        from moe.speed.machine import SHAPES, Case

        cases = {shape: Case.make(SHAPES[shape]) for shape in {call.split()[0] for call in CALLS}}
        for call in CALLS:
            shape, which = call.split()
            getattr(cases[shape], which)()
        for line in sys.stdin:
            shape, which = line.split()
            call, start, n = getattr(cases[shape], which), time.perf_counter(), 0
            while time.perf_counter() - start < SECONDS:
                call()
                n += 1
            print((time.perf_counter() - start) / n, flush=True)


def compare(name: str, values: list[int]) -> None:
    """Print how long each call takes with each value, over the time with the code's."""
    module, _, constant = name.partition(".")
    now = getattr(importlib.import_module(f"moe.kernels.{module}"), constant)
    servers = {}
    for value in dict.fromkeys([now, *values]):
        command = [sys.executable, "-m", "benchmarks.constants", "serve", name, str(value)]
        servers[value] = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
    for server in servers.values():  # nobody is measured while another one compiles
        _seconds(server, CALLS[0])
    print(f"{name}: time over that with {now}\n{'':20}" + "".join(f"{v:>9}" for v in servers))
    for call in CALLS:
        times: dict[int, list[float]] = {value: [] for value in servers}
        for _ in range(BLOCKS):
            for value, server in servers.items():
                times[value].append(_seconds(server, call))
        ratios = [np.median(np.divide(times[value], times[now])) for value in servers]
        print(f"{call:20}" + "".join(f"{ratio:9.3f}" for ratio in ratios), flush=True)
    for server in servers.values():
        server.communicate()


def _seconds(server: subprocess.Popen[str], call: str) -> float:
    """Let a process time a call; it answers once its kernels are compiled."""
    assert server.stdin is not None and server.stdout is not None
    server.stdin.write(f"{call}\n")
    return float(server.stdout.readline())


def main(arguments: list[str]) -> None:
    """Print costs, or compare the values of a constant that are named."""
    if arguments[:1] == ["serve"]:
        serve(arguments[1], int(arguments[2]))
    elif arguments:
        compare(arguments[0], [int(value) for value in arguments[1:]])
    else:
        print_costs()


if __name__ == "__main__":
    main(sys.argv[1:])
