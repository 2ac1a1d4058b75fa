"""A stranger's code computes and can do nothing else, or the cage says what it may do."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from moe.lessons.cage import system_calls
from moe.lessons.cage.outside import GUARDS, Cage, Ended, Limits, Missing, Raised, Strange
from moe.lessons.cage.wire import pack, unpack

QUICK = Limits(call_seconds=1.0, seconds=2, memory=256 * 2**20)


@pytest.fixture(scope="module")
def cage() -> Iterator[Cage]:
    """One process for all code that leaves it alive."""
    with Cage(QUICK) as cage:
        yield cage


def result(cage: Cage, body: str, *given: object) -> object:
    """What a function of this body returns; an OSError becomes the text 'refused'."""
    lines = "".join(f"        {line}\n" for line in body.splitlines())
    source = (
        f"def f(*given):\n    try:\n{lines}    except OSError as error:\n        return 'refused'\n"
    )
    cage.load(source, "a.py")
    return cage.call("f", *given)[0]


def refused(cage: Cage, guard: str, body: str, *given: object) -> bool:
    """Whether something is refused; where the system has no such guard, the cage has said so."""
    got = result(cage, body, *given)
    assert got in ("refused", "done")
    return got == "refused" or guard in cage.unguarded


def test_a_function_gets_and_returns_arrays(cage: Cage) -> None:
    cage.load("import numpy as np\ndef f(a, k):\n    a += 1\n    return a * k, (1, 2.5)", "a.py")
    value, after = cage.call("f", np.arange(3.0), 2)
    assert value[0].tolist() == [2, 4, 6] and value[1] == [1, 2.5]
    assert after[0].tolist() == [1, 2, 3] and after[1] == 2


def test_what_it_prints_is_no_answer(cage: Cage) -> None:
    cage.load("import sys\nprint('{}')\ndef f():\n    print('{}')\n    return 1", "a.py")
    assert cage.call("f")[0] == 1


def test_exceptions_come_with_their_line(cage: Cage) -> None:
    cage.load("def f():\n    return 1 / 0\ndef g():\n    import sys\n    sys.exit(0)", "a.py")
    with pytest.raises(Raised, match=r"ZeroDivisionError: division by zero \(line 2\)"):
        cage.call("f")
    with pytest.raises(Raised, match="SystemExit"):
        cage.call("g")
    with pytest.raises(Missing):
        cage.call("h")
    with pytest.raises(Raised, match="SyntaxError"):
        cage.load("def", "a.py")


def test_an_answer_that_is_no_number_is_told(cage: Cage) -> None:
    cage.load("def f():\n    return {1: 2}\ndef g():\n    return [lambda: 1]", "a.py")
    for function in "fg":
        with pytest.raises(Strange, match=r"a (dict|function)"):
            cage.call(function)


def test_the_library_is_out_of_reach(cage: Cage) -> None:
    with pytest.raises(Raised, match="ModuleNotFoundError"):
        cage.load("import moe", "a.py")
    here = str(Path(system_calls.__file__))
    assert refused(cage, "reading", "open(given[0])\nreturn 'done'", here)


def test_lazy_imports_of_python_and_numpy_work(cage: Cage) -> None:
    cage.load("import decimal, statistics, numpy.polynomial, numpy.ma\ndef f(): return 1", "a.py")
    assert cage.call("f")[0] == 1


# Hostile code ----------------------------------------------------------------------------------


def test_an_endless_loop_ends() -> None:
    with Cage(QUICK) as cage:
        cage.load("def f():\n    while True: pass", "a.py")
        began = time.monotonic()
        with pytest.raises(Ended, match="longer than 1 s"):
            cage.call("f")
        assert time.monotonic() - began < 10


def test_processor_time_ends_what_the_clock_allows() -> None:
    with Cage(Limits(call_seconds=60, seconds=0)) as cage:
        cage.load("def f():\n    while True: pass", "a.py")
        if "time" in cage.unguarded:
            return  # it said so
        with pytest.raises(Ended, match="processor time"):
            cage.call("f")


def test_sleep_and_an_endless_file_end() -> None:
    with Cage(Limits(call_seconds=0.5)) as cage, pytest.raises(Ended, match="longer"):
        cage.load("import time\ntime.sleep(100)", "a.py")


def test_many_calls_that_each_take_less_end_too() -> None:
    with Cage(Limits(call_seconds=5, all_seconds=0.7)) as cage:
        cage.load("import time\ndef f():\n    time.sleep(0.25)\n    return 1", "a.py")
        assert cage.call("f")[0] == 1
        with pytest.raises(Ended, match="left of its time"):
            for _ in range(4):
                cage.call("f")


def test_20_gb_are_refused(cage: Cage) -> None:
    cage.load("import numpy as np\ndef f():\n    return np.ones(20 * 2**30 // 8).sum()", "a.py")
    if "memory" not in cage.unguarded:
        with pytest.raises(Raised, match="Memory"):
            cage.call("f")


def test_forks_and_programs_are_refused(cage: Cage) -> None:
    bomb = "import os\nfor _ in range(50):\n    if os.fork() == 0: os._exit(0)\nreturn 'done'"
    shell = "import subprocess\nsubprocess.run(['true'])\nreturn 'done'"
    thread = "import threading\ntry:\n    threading.Thread(target=int).start()\n"
    thread += "except RuntimeError:\n    return 'refused'\nreturn 'done'"
    for body in (bomb, shell, thread):
        assert refused(cage, "processes", body)


def test_the_network_is_refused(cage: Cage) -> None:
    for family in ("AF_INET", "AF_INET6", "AF_UNIX"):
        body = f"import socket\nsocket.socket(socket.{family}, socket.SOCK_STREAM)\nreturn 'done'"
        assert refused(cage, "network", body)


@pytest.mark.parametrize(
    "body",
    [
        "open(given[0], 'w').write('x')\nreturn 'done'",
        "import os\nos.remove(given[0])\nreturn 'done'",
        "import os\nos.rename(given[0], given[0] + '2')\nreturn 'done'",
        "import os\nos.mkdir(given[0] + 'd')\nreturn 'done'",
        "import os\nos.chmod(given[0], 0)\nreturn 'done'",
        "import os\nos.truncate(given[0], 0)\nreturn 'done'",
        "import os\nos.symlink('/', given[0] + 'l')\nreturn 'done'",
    ],
)
def test_files_of_others_stay_as_they_are(cage: Cage, tmp_path: Path, body: str) -> None:
    file = tmp_path / "mine"
    file.write_text("mine")
    assert refused(cage, "writing", body, str(file))
    if "writing" not in cage.unguarded:
        assert file.read_text() == "mine" and os.listdir(tmp_path) == ["mine"]


def test_files_of_others_are_not_read(cage: Cage, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    for body in ("open(given[0])", "import os\nos.listdir(os.path.dirname(given[0]))"):
        assert refused(cage, "reading", f"{body}\nreturn 'done'", str(tmp_path / "mine"))


def test_processes_of_others_live_on(cage: Cage) -> None:
    body = "import os, signal\nos.kill(os.getppid(), signal.SIGTERM)\nreturn 'done'"
    if "signals" not in cage.unguarded:
        assert result(cage, body) == "refused"
    body = "import resource\nresource.prlimit(given[0], resource.RLIMIT_CPU, (1, 1))\nreturn 'done'"
    if "signals" not in cage.unguarded and hasattr(signal, "pthread_sigmask"):
        assert result(cage, body, os.getpid()) == "refused"


def test_it_cannot_leave_the_filter(cage: Cage) -> None:
    """System calls by number are refused as well: ptrace, mount, unshare, bpf, io_uring."""
    if {"writing", "processes"} & set(cage.unguarded):
        return  # it said so
    body = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
    body += "return [(libc.syscall(n, 0, 0, 0, 0, 0), ctypes.get_errno())[1] for n in given[0]]"
    x86 = [101, 165, 272, 321, 425, 435, 310, 311, 157, 16, 72]
    arm = [117, 40, 97, 280, 425, 435, 270, 271, 167, 29, 25]
    machine = os.uname().machine
    cage.load(f"def f(*given):\n    {body.replace(chr(10), chr(10) + '    ')}", "a.py")
    try:
        values = cage.call("f", x86 if machine == "x86_64" else arm)[0]
    except Raised as error:  # ctypes itself may be out of reach
        assert "Error" in str(error)
    else:
        assert set(values) == {errno.EPERM}


@pytest.mark.parametrize(
    "answer",
    [b"", b"\n", b"{", b"[]\n", b"{}\n", b'{"value": {"kind": "O"}}\n', b"\xff\xfe\n",
     b'{"value": ' + b"[" * 5000 + b"\n"],
)  # fmt: skip
def test_what_it_writes_itself_is_judged_like_any_file(answer: bytes) -> None:
    """It may write into the pipe of its answers; it gains nothing, and the judge lives on."""
    body = f"import os\nfor n in range(3, 9):\n    try: os.write(n, {answer!r})\n"
    body += "    except OSError: pass\n"
    with Cage(QUICK) as cage:
        cage.load(
            "def f():\n    " + body.replace("\n", "\n    ") + "\n    while True: pass", "a.py"
        )
        try:
            value, _ = cage.call("f")
            assert value is None
        except (Ended, Strange):
            pass


def test_an_answer_without_end_is_cut() -> None:
    body = (
        "import os\nwhile True:\n    for n in range(3, 9):\n        try: os.write(n, b'1' * 65536)"
    )
    body += "\n        except OSError: pass\n"
    with Cage(Limits(call_seconds=2.5)) as cage:
        cage.load("def f():\n    " + body.replace("\n", "\n    "), "a.py")
        with pytest.raises(Ended, match="longer"):
            cage.call("f")


def test_nothing_is_left_of_it(tmp_path: Path) -> None:
    with Cage(QUICK) as cage:
        folder, process = Path(cage._folder.name), cage._process
        assert folder.is_dir()
    assert not folder.exists() and process.poll() is not None


def test_it_ends_with_a_judge_that_is_killed() -> None:
    """Its input ends, or the system ends it; neither needs the judge's help."""
    code = (
        "from moe.lessons.cage.outside import Cage, Limits\ncage = Cage(Limits(60, 5))\n"
        "print(cage._process.pid, flush=True)\ncage.load('import time\\ntime.sleep(50)', 'a')"
    )
    judge = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert judge.stdout
    pid = int(judge.stdout.readline())
    time.sleep(0.3)
    judge.kill()
    judge.wait()
    judge.stdout.close()
    if sys.platform == "linux":
        for _ in range(50):
            try:
                state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            except FileNotFoundError:
                return
            if state == "Z":
                return
            time.sleep(0.1)
        os.kill(pid, signal.SIGKILL)
        pytest.fail("it lived on")


# What the system does not offer ----------------------------------------------------------------


def test_a_guard_that_is_not_there_is_found_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A copy of the package without its filter and its file rules says what is open."""
    from moe.lessons.cage import outside

    copy = tmp_path / "cage"
    copy.mkdir()
    for file in outside.HERE.glob("*.py"):
        text = file.read_text("utf-8")
        if file.name in ("files.py", "system_calls.py"):
            text = text.replace('platform.system() != "Linux"', "True")
        (copy / file.name).write_text(text, "utf-8")
    monkeypatch.setattr(outside, "HERE", copy)
    with Cage(QUICK) as cage:
        assert {"signals", "network", "writing", "reading"} <= set(cage.unguarded) <= set(GUARDS)


# Values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [1, 2.5, True, None, "a", [], [1, [2.5]], np.arange(6).reshape(2, 3), np.zeros((0, 3)),
     np.array(2.0), np.array([np.nan, np.inf]), np.array([True]), np.float32(0.5)],
)  # fmt: skip
def test_values_go_through(value: object) -> None:
    got = unpack(pack(value))
    if isinstance(value, (np.ndarray, np.generic)):
        assert got.shape == value.shape and np.array_equal(
            got, value, equal_nan=value.dtype != bool
        )
    else:
        assert got == value and type(got) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        {"kind": "<f8"},
        {"kind": "|O", "shape": [1], "bytes": ""},
        {"kind": "<f8", "shape": [2], "bytes": "AAAA"},
        {"kind": "<f8", "shape": [-1], "bytes": ""},
        {"kind": "<f8", "shape": [2**40, 2**40], "bytes": ""},
        {"kind": "<f8", "shape": "12", "bytes": ""},
        {"kind": "<f8", "shape": [1] * 99, "bytes": "AAAAAAAAAAA="},
        {"kind": "<f8", "shape": [True], "bytes": "AAAAAAAAAAA="},
        {"kind": "<f8", "shape": [1], "bytes": "?"},
        {"kind": [], "shape": [1], "bytes": 1},
    ],
)
def test_what_is_no_value_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="got an"):
        unpack(value)


def test_what_cannot_go_through_is_a_type_error() -> None:
    deep: list[object] = []
    for _ in range(20):
        deep = [deep]
    for value in ({}, object(), deep, np.array(["a"]), 1j):
        with pytest.raises(TypeError):
            pack(value)
