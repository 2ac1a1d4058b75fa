"""Peak memory of forward + backward, in a process of its own: `python -m benchmarks.memory`.

Counted as needed: all parameters, as much again for their gradients, x, y, dy, dx, and the first
products of the chosen experts (h, 2 F numbers an assignment), from which backward makes the rest.
"""

from __future__ import annotations

import ctypes
import gc
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
STEPS = 3


def needed_bytes(shape: tuple[int, int, int, int, int]) -> int:
    """Bytes that forward + backward cannot do without, in float32."""
    n_tokens, d_model, d_expert, n_experts, k = shape
    params = d_model * n_experts + 3 * n_experts * d_model * d_expert
    return 4 * (2 * params + 4 * n_tokens * d_model + n_tokens * k * 2 * d_expert)


def memory_figures(shape: tuple[int, int, int, int, int]) -> dict[str, float]:
    """Peak over needed of every implementation; nothing where the system doesn't tell the peak."""
    if not CLEAR.exists():
        return {}
    command = [sys.executable, "-m", "benchmarks.memory", json.dumps(shape)]
    names = json.loads(subprocess.check_output([*command], cwd=ROOT))
    figures = {}
    for name in names:
        peak = json.loads(subprocess.check_output([*command, name], cwd=ROOT))
        figures[f"memory/{name}"] = peak / needed_bytes(shape)
        figures[f"memory MB/{name}"] = peak / 1e6
    return figures | {"memory MB/needed": needed_bytes(shape) / 1e6}


def peak_bytes(shape: tuple[int, int, int, int, int], name: str) -> int:
    """Parameters, x and dy, and what three steps in this process add to that at most."""
    from moe.speed.machine import Case

    from .peers import candidates

    small = Case.make((64, 16, 16, 4, 2))
    for _ in range(STEPS):
        candidates(small)[0][name].both()  # code is loaded and threads are started
    case = Case.make(shape)
    peer = candidates(case)[0][name]
    held = case.layer.n_params * 4 + case.x_ND.nbytes + case.dy_ND.nbytes
    gc.collect()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)  # what making the layer left behind must not serve the steps unseen
    before = _status("VmRSS")
    CLEAR.write_text("5")  # forget the peak so far
    for _ in range(STEPS):
        peer.both()
    return held + _status("VmHWM") - before


def _status(field: str) -> int:
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"{STATUS} has no {field}")


def main() -> None:
    """Without a name print the names, with one the peak in bytes."""
    shape = tuple(json.loads(sys.argv[1]))
    if len(sys.argv) > 2:
        print(peak_bytes(shape, sys.argv[2]))
        return
    from moe.speed.machine import Case

    from .peers import candidates

    print(json.dumps(list(candidates(Case.make(shape))[0])))


if __name__ == "__main__":
    main()
