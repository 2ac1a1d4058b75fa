"""A crowd before the app: `python -m benchmarks.crowd --sessions 50 --minutes 5 --play 0.33`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from .figures import Server, summary
from .heavy import heavy_visits
from .visits import PAGES, PLAY, Told, look_around, play

LOOK = 5.0  # seconds between two looks at the server's figures
AFTER = 75.0  # seconds that the server is watched after the last one has left
ARRIVE = 20.0  # seconds in which visitors come


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.crowd", description=__doc__)
    parser.add_argument("--sessions", type=int, default=50, help="visitors at once")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long they stay")
    parser.add_argument("--play", type=float, default=0.33, help="share that watches Play")
    parser.add_argument("--pages", nargs="*", default=list(PAGES), help="pages of the others")
    parser.add_argument(
        "--heavy", action="store_true", help="also the heaviest runs, and one who moves a slider"
    )
    parser.add_argument("--processes", type=int, default=1, help="servers, each with its own part")
    parser.add_argument("--url", nargs="*", help="servers that run already, instead of own ones")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON")
    asked = parser.parse_args(arguments)
    if asked.sessions < 1 or not 0 <= asked.play <= 1 or asked.minutes <= 0:
        parser.error("allowed are 1 session or more, a share from 0 to 1, and some minutes")
    return asked


@contextmanager
def served() -> Iterator[str]:
    """Serve the app in a process of its own; yield its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moe", "app", "--port", str(port), "--no-browser"]
    environment = os.environ | {"MOE_APP_PER_ADDRESS": "1000", "MOE_APP_MAX_VISITORS": "1000"}
    process = subprocess.Popen(command, env=environment, stdout=sys.stderr)
    try:
        while not _ready(url):
            if process.poll() is not None:
                raise SystemExit("the server did not start")
            time.sleep(0.2)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _ready(url: str) -> bool:
    with suppress(OSError, ValueError):
        health = json.load(urllib.request.urlopen(f"{url}/healthz", timeout=5))
        return bool(health["kernels"] == health["first_page"] == "ready")
    return False


async def crowd(asked: argparse.Namespace, urls: Sequence[str]) -> dict[str, Any]:
    """Let them come, stay and leave; return what they met."""
    server = Server(urls)
    await asyncio.to_thread(_settled, server)
    rng, start = random.Random(0), time.monotonic()
    await asyncio.to_thread(server.look, 0.0)
    n_play = round(asked.sessions * asked.play)
    pages = [PLAY] * n_play
    pages += [asked.pages[i % len(asked.pages)] for i in range(asked.sessions - n_play)]
    rng.shuffle(pages)
    until, visits, tasks = start + 60 * asked.minutes, [], []

    async def one(told: Told, seed: int) -> None:
        await asyncio.sleep(rng.uniform(0, min(ARRIVE, 10 * asked.minutes)))
        host = urls[seed % len(urls)].removeprefix("http://")
        await (play if told.page == PLAY else look_around)(told, host, until, seed)

    for seed, page in enumerate(pages):
        visits.append(Told(page))
        tasks.append(asyncio.create_task(one(visits[-1], seed)))
    heavy = None
    if asked.heavy:
        heavy = asyncio.create_task(heavy_visits(urls[0].removeprefix("http://"), until))
    watching = asyncio.create_task(_watch(server, start))
    await asyncio.gather(*tasks)
    found = await heavy if heavy else {}
    await asyncio.sleep(AFTER if asked.minutes >= 1 else 1)
    watching.cancel()
    await asyncio.to_thread(server.look, time.monotonic() - start)
    last = server.seen[-1][1]
    left = {"visitors": last["moe_visitors"], "long": last["moe_queue_long"]}
    return summary(visits, server, asked.minutes) | {"heavy": found, "left behind": left}


def _settled(server: Server) -> None:
    """Wait until a server has loaded the code of all pages, which it does before anybody asks.

    Otherwise that code would count as what visitors leave behind.
    """
    before, same = 0.0, 0
    while same < 3:
        time.sleep(1)
        now = server.look(0.0)["moe_resident_bytes"]
        same = same + 1 if now < before + 2**20 else 0
        before = max(before, now)
    server.seen.clear()


async def _watch(server: Server, start: float) -> None:
    while True:
        await asyncio.sleep(LOOK)
        with suppress(OSError):
            await asyncio.to_thread(server.look, time.monotonic() - start)


def main(arguments: Sequence[str]) -> None:
    """Serve, send the crowd, and print what it met."""
    asked = parse(arguments)
    with ExitStack() as stack:
        urls = asked.url or [stack.enter_context(served()) for _ in range(asked.processes)]
        figures = asyncio.run(crowd(asked, urls)) | {"processes": len(urls)}
    text = json.dumps(figures, indent=2)
    print(text)
    if asked.out:
        asked.out.write_text(text + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
