"""A server of `metaie_spacy serve` in a process of its own, and clients that ask it."""

import asyncio
import os
import random
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import Any, Callable, Iterator, NamedTuple

import httpx
import numpy as np

from benchmarks.lib.paths import ROOT

LABELS = (
    "person, organization, location, date, amount of money, product, event, job title, country, company, drug, disease, animal, food, "
    "book, film, song, building, date of birth, nationality"
).split(", ")


class Server(NamedTuple):
    """A running server: its address, its process, and the seconds until it took requests."""

    address: str
    process: subprocess.Popen
    start_s: float


@contextmanager
def serving(*options: str) -> Iterator[Server]:
    """A server on a free port, stopped at the end of the block. RAISES (SystemExit): it did not start."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "metaie_spacy", "serve", "--port", "0", *options],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline()
        if not line.startswith("Listening on "):
            raise SystemExit("The server did not start.")
        yield Server(line.split()[-1], process, time.perf_counter() - began)
    finally:
        process.terminate()
        process.wait()


class Said(NamedTuple):
    """What clients saw: seconds of each answer by kind of request, and how often each status came.

    wrong (list): answers that cannot be right, and errors of the connection.
    """

    seconds: dict[str, list[float]]
    statuses: dict[str, int]
    wrong: list[str]

    def plain(self, duration: float) -> dict[str, Any]:
        """Requests a second, and percentiles of each kind in milliseconds."""
        kinds = {
            kind: {
                "answers": len(own),
                "per_s": len(own) / duration,
                **{f"p{p}_ms": float(np.percentile(own, p) * 1000) for p in (50, 99)},
            }
            for kind, own in self.seconds.items()
            if own
        }
        return {"kinds": kinds, "statuses": self.statuses, "wrong": len(self.wrong), "first_wrong": self.wrong[:3]}


Ask = Callable[[random.Random], tuple[str, dict[str, Any]]]  # -> the kind of a request, and its body


async def ask_for(address: str, asks: list[Ask], duration: float) -> Said:
    """Each of `asks` is a client that sends one request after the other until the time is over."""
    said, until = Said({}, {}, []), time.perf_counter() + duration

    async def client(number: int, ask: Ask) -> None:
        rng = random.Random(number)
        async with httpx.AsyncClient(timeout=600) as http:
            while time.perf_counter() < until:
                kind, body = ask(rng)
                await _ask(http, address, kind, body, said)

    await asyncio.gather(*(client(number, ask) for number, ask in enumerate(asks)))
    return said


async def _ask(http: httpx.AsyncClient, address: str, kind: str, body: dict[str, Any], said: Said) -> None:
    began = time.perf_counter()
    try:
        response = await http.post(f"{address}/extract", json=body)
    except httpx.HTTPError as error:
        said.wrong.append(repr(error))
        return
    status = str(response.status_code)
    said.statuses[status] = said.statuses.get(status, 0) + 1
    if response.status_code in (429, 503):
        await asyncio.sleep(float(response.headers.get("retry-after", 1)))
        return
    if response.status_code != 200:
        said.wrong.append(f"{status} {response.text[:200]}")
        return
    said.seconds.setdefault(kind, []).append(time.perf_counter() - began)
    text, labels = body.get("text", ""), body["labels"]
    for span in response.json().get("spans", ()):
        if text[span["start"] : span["end"]] != span["text"] or span["label"] not in labels:
            said.wrong.append(f"a wrong span {span}")
