"""Starting: what compiles when, what the disk keeps, and disks that don't play along."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from moe import kernels
from moe.kernels import backend, cache

ROOT = Path(__file__).resolve().parent.parent.parent
CLOSED = "/proc/nobody/writes/here"


def start(code: str, root: Path = ROOT, **environment: str) -> subprocess.Popen[str]:
    names = {"NUMBA_CACHE_DIR": CLOSED, "XDG_CACHE_HOME": CLOSED, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=root,
        env=os.environ | names | {"PYTHONPATH": str(root)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(process: subprocess.Popen[str]) -> dict:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return json.loads(out)


WARM = """
import json
from moe import kernels
from moe.kernels import backend
from moe.speed.warm import first_run, warm
before, steps = first_run(), [len(step.compiled) for step in warm()]
multiply = [k for k in backend.KERNELS if k.py_func.__name__ == "multiply"][0]
print(json.dumps({"before": before, "after": first_run(), "steps": steps,
                  "multiply": len(multiply.signatures), "unsaved": kernels.unsaved()}))
"""

USE = """
import json, sys
import numpy as np, moe
from moe import kernels
from moe.expert_cache.replay import replay
from moe.speed.warm import first_run
from moe.traces.samples import SAMPLES
first, rng = first_run(), np.random.default_rng(0)
routers = ("topk", moe.make_router("deepseek_v3", n_group=2), "base", "soft", "sinkhorn")
for router in routers:
    for n_tokens in (0, 1, 5, 900):
        for threads in (1, 2):
            with kernels.using(threads=threads):
                layer = moe.MoELayer.init(24, 20, 8, router=router, n_shared=1)
                x_ND = rng.standard_normal((n_tokens, 24)).astype(np.float32)
                x_ND.setflags(write=False)
                y_ND, ctx = layer.forward(x_ND)
                layer.backward(y_ND, ctx)
                layer(x_ND)
for task in ("text", "moons"):
    list(moe.train(moe.TrainSettings(task=task, balance="bias+aux", steps=2)))
list(replay(SAMPLES[0].load(), [2], ("lru", "pinned")))
print(json.dumps({"first": first, "compiled": len(kernels.compiled()),
                  "linalg": "scipy.linalg" in sys.modules}))
"""


FOUND = """
import json
from moe import kernels
from moe.speed.warm import first_run, warm
first, _ = first_run(), list(warm())
print(json.dumps({"first": first, "compiled": len(kernels.compiled())}))
"""


def copy_of_the_package(folder: Path) -> Path:
    shutil.copytree(ROOT / "moe", folder / "moe", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy without compiled kernels; those of the checkout come from whatever ran before."""
    return copy_of_the_package(tmp_path_factory.mktemp("package"))


def share(folder: Path) -> None:
    """Lay kernels compiled here where all other tests look: who cloned just now compiles once.

    Their names say all that decides them. They are renamed into place, since others may read.
    """
    ours = cache.FOLDERS[0]
    ours.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*/*.nbc"):
        if not (ours / file.name).exists():
            new = ours / f".{os.getpid()}.new"
            shutil.copy(file, new)
            new.rename(ours / file.name)


@pytest.fixture(scope="module")
def warmed(package: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A folder in which a process has warmed up, and what it said."""
    folder = tmp_path_factory.mktemp("cache")
    said = result(start(WARM, package, NUMBA_CACHE_DIR=str(folder)))
    share(folder)
    return folder, said


def test_warm_compiles_everything_once(warmed: tuple[Path, dict]) -> None:
    folder, said = warmed
    assert said["before"] and not said["after"] and not said["unsaved"]
    assert said["multiply"] == 1  # however many constants kernels pass it
    files = [path.name for path in folder.glob("*/*")]
    assert len(files) == sum(said["steps"]) > 30
    assert all(name.endswith(".nbc") for name in files)
    assert set(files) <= {path.name for path in cache.FOLDERS[0].iterdir()}  # and nobody else does


def test_float64_is_warmed_when_asked(
    package: Path, warmed: tuple[Path, dict], tmp_path: Path
) -> None:
    shutil.copytree(warmed[0], tmp_path / "c")
    code = """
import json
import numpy as np, moe
from moe import kernels
from moe.speed.warm import warm
steps = list(warm(float64=True))
more = sum(len(step.compiled) for step in steps if step.part.endswith("float64"))
before, x_ND = len(kernels.compiled()), np.ones((900, 24))
for router in moe.ROUTERS:
    layer = moe.MoELayer.init(24, 20, 8, router=router, n_shared=1, dtype="float64")
    y_ND, ctx = layer.forward(x_ND)
    layer.backward(y_ND, ctx)
print(json.dumps({"more": more > 9, "all": len(kernels.compiled()) == before == more}))
"""
    said = result(start(code, package, NUMBA_CACHE_DIR=str(tmp_path / "c")))
    share(tmp_path / "c")
    assert said == {"more": True, "all": True}


def test_after_warm_a_new_process_compiles_nothing(
    package: Path, warmed: tuple[Path, dict]
) -> None:
    said = result(start(USE, package, NUMBA_CACHE_DIR=str(warmed[0])))
    assert said == {"first": False, "compiled": 0, "linalg": False}


def test_first_run_sees_any_kernel_that_is_missing(
    package: Path, warmed: tuple[Path, dict], tmp_path: Path
) -> None:
    shutil.copytree(warmed[0], tmp_path / "c")
    # In the order of their use: asking stops at the first that is missing, and loads those before.
    code = """
import json, os
from pathlib import Path
from moe.speed.warm import first_run
said = []
for kernel in ("selection._mask_groups", "assignment._balanced_assignment", "adam._adam_step"):
    (file,) = Path(os.environ["NUMBA_CACHE_DIR"]).glob(f"*/{kernel}.*")
    kept = file.read_bytes()
    file.unlink()
    said.append([first_run(), file.exists()])  # asking compiles nothing
    file.write_bytes(kept)
print(json.dumps([*said, first_run()]))
"""
    said = result(start(code, package, NUMBA_CACHE_DIR=str(tmp_path / "c")))
    assert said == [[True, False]] * 3 + [False]


def test_the_command_says_what_it_did(
    package: Path,
    warmed: tuple[Path, dict],
    run_moe: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    places = {"NUMBA_CACHE_DIR": str(warmed[0]), "PYTHONPATH": str(package)}

    def command() -> list[dict]:
        done = subprocess.run(
            [sys.executable, "-m", "moe", "warm", "--json"],
            cwd=package,
            env=os.environ | places,
            capture_output=True,
            text=True,
            check=True,
        )
        return [json.loads(line) for line in done.stdout.splitlines()]

    first, again = command(), command()
    # The language model's kernels are the command's alone: no page needs them from the start.
    assert [step["part"] for step in first if step["compiled"]] == ["language model"]
    share(warmed[0])
    assert all(step["compiled"] == [] for step in again)
    assert {step["vector_bytes"] for step in again} == {kernels.VECTOR_BYTES}
    assert {"MoE layer", "training step", "threads"} <= {step["part"] for step in again}
    said = run_moe("warm").stdout
    assert "MoE layer: ready in" in said
    assert f"Kernels for vectors of {kernels.VECTOR_BYTES} bytes" in said


# Installations that cannot be written ----------------------------------------------------------

SMALL = """
import json
import numpy as np
from moe import kernels
from moe.speed.warm import unsaved
a = np.arange(600, dtype=DTYPE).reshape(20, 30) / 50
print(json.dumps({"sum": float((kernels.softmax(a) * a).sum()),
                  "compiled": len(kernels.compiled()), "unsaved": unsaved()}))
"""


def test_a_package_that_nobody_may_write_to_compiles_for_itself(tmp_path: Path) -> None:
    copy = copy_of_the_package(tmp_path)
    # A file where the folder should be stops even the superuser, whom permissions don't.
    (copy / "moe" / "kernels" / "__pycache__").write_text("in the way")
    said = result(start(SMALL.replace("DTYPE", "'float32'"), copy))
    a = np.arange(600, dtype=np.float32).reshape(20, 30) / 50
    exp = np.exp(a - a.max(axis=1, keepdims=True))
    softmax = exp / exp.sum(axis=1, keepdims=True)
    assert said["sum"] == pytest.approx(float((softmax * a).sum()), rel=1e-5)
    assert said["compiled"] > 0
    assert said["unsaved"].startswith("no folder for compiled kernels can be written; tried")
    assert CLOSED in said["unsaved"]


def test_kernels_beside_a_package_are_read_where_nothing_can_be_written(
    warmed: tuple[Path, dict], tmp_path: Path
) -> None:
    copy = copy_of_the_package(tmp_path)
    beside = copy / "moe" / "kernels" / "__pycache__"
    beside.mkdir()
    for file in warmed[0].glob("*/*.nbc"):
        shutil.copy(file, beside)
    for path in [copy, *copy.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        said = result(start(FOUND, copy))
    finally:
        for path in [copy, *copy.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o200)
    assert said == {"first": False, "compiled": 0}


@pytest.mark.parametrize("processes", [2, pytest.param(6, marks=pytest.mark.soak)])
def test_processes_that_start_cold_at_once_work_and_leave_a_whole_cache(
    package: Path, tmp_path: Path, processes: int
) -> None:
    """Of two dtypes, whose code must not be mixed up; six of them also write the same files."""
    codes = [SMALL.replace("DTYPE", name) for name in ("'float32'", "'float64'")]
    cold = [start(codes[i % 2], package, NUMBA_CACHE_DIR=str(tmp_path)) for i in range(processes)]
    said = [result(process) for process in cold]
    assert said[0]["sum"] == pytest.approx(said[1]["sum"], rel=1e-5)
    assert all(one["sum"] == said[i % 2]["sum"] and one["compiled"] for i, one in enumerate(said))
    assert all(file.suffix == ".nbc" for file in tmp_path.glob("*/*"))
    for code, first in zip(codes, said):
        after = result(start(code, package, NUMBA_CACHE_DIR=str(tmp_path)))
        assert after["compiled"] == 0 and after["sum"] == first["sum"]


# One cache file --------------------------------------------------------------------------------


def double(values):
    return values * 2


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """Two folders for the cache, and a fresh list of what could not be saved."""
    folders = [tmp_path / "first", tmp_path / "second"]
    monkeypatch.setattr(cache, "FOLDERS", folders)
    monkeypatch.setattr(cache, "UNSAVED", set())
    monkeypatch.setattr(backend, "KERNELS", [])
    return folders


def misses() -> int:
    """Compilations of a fresh copy of the function above."""
    kernel = backend.njit(double)
    assert kernel(3) == 6
    return sum(kernel.stats.cache_misses.values())


def test_a_kernel_comes_back_from_the_first_folder_that_can_be_written(places: list) -> None:
    assert misses() == 1 and misses() == 0
    assert len(list(places[0].iterdir())) == 1 and not places[1].exists()
    places[0].rename(places[1])
    places[0].write_text("in the way")
    assert misses() == 0  # every folder is read
    shutil.rmtree(places[1])
    assert misses() == 1 and misses() == 0
    assert len(list(places[1].iterdir())) == 1


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_file_is_compiled_again(places: list, damage: bytes | None) -> None:
    misses()
    (file,) = places[0].iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    assert misses() == 1 and misses() == 0
    assert len(file.read_bytes()) >= len(whole) - 100


def test_a_full_disk_costs_time_only(places: list, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert misses() == 1 and misses() == 1
    assert kernels.unsaved() == [str(place) for place in places]
    assert not any(any(place.iterdir()) for place in places if place.exists())


def test_a_changed_kernel_file_makes_every_cached_kernel_stale(
    places: list, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """numba compares only a function's own file, and kernels call each other across files."""
    shutil.copytree(cache.HERE, tmp_path / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    assert cache.source_stamp(tmp_path / "kernels") == cache.STAMP == cache.source_stamp()
    tile = tmp_path / "kernels" / "tile.py"
    tile.write_text(tile.read_text("utf-8") + "\n", "utf-8")
    changed = cache.source_stamp(tmp_path / "kernels")
    assert changed != cache.STAMP
    assert misses() == 1 and misses() == 0
    (stale,) = places[0].iterdir()
    monkeypatch.setattr(cache, "STAMP", changed)
    assert misses() == 1 and misses() == 0
    (fresh,) = places[0].iterdir()  # the stale one went
    assert fresh != stale


def test_the_folders_are_the_named_one_the_packages_and_the_users(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = cache.HERE / "__pycache__"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "named"))
    named, beside, user = cache.folders()
    assert named.parent == tmp_path / "named" and user.parent == tmp_path / "user"
    assert beside == own
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    assert cache.folders() == [own, user]
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # a user without a home
    assert cache.folders() == [own]


# Compiled once ---------------------------------------------------------------------------------


def test_read_only_arrays_and_constants_compile_nothing_new(places: list) -> None:
    @backend.njit
    def scaled(values, factor, add):
        return values[0] * factor + (1.0 if add else 0.0)

    @backend.njit
    def caller(values):
        return (
            scaled(values, 2, True) + scaled(values, 3, False) + scaled(values, values.size, True)
        )

    values = np.array([1.5, 2.0])
    assert caller(values) == 1.5 * 2 + 1 + 1.5 * 3 + 1.5 * 2 + 1
    assert len(scaled.signatures) == 1
    frozen = values.copy()
    frozen.setflags(write=False)
    assert caller(frozen) == caller(values) and caller(frozen) == caller(frozen)
    assert len(caller.signatures) == 1 and sum(caller.stats.cache_misses.values()) == 1

    @backend.njit
    def first(pair):
        return pair[0][0]

    pairs = [(a, b) for a in (values, frozen) for b in (values, frozen)]
    assert {first(pair) for pair in pairs} == {1.5} and len(first.signatures) == 1


def test_must_compile_stops_before_it_compiles(places: list) -> None:
    kernel = backend.njit(double)
    assert kernels.must_compile(lambda: kernel(3))
    assert not kernel.signatures and not places[0].exists()
    kernel(3)
    assert not kernels.must_compile(lambda: kernel(3))
    assert kernels.must_compile(lambda: kernel(3.0))
    with kernels.using("numpy"):
        assert not kernels.must_compile(lambda: kernel(3.0))
    with pytest.raises(ZeroDivisionError):
        kernels.must_compile(lambda: 1 / 0)
    assert kernel(3.0) == 6.0  # the flag is down again
