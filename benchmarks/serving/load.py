"""Load on `metaie_spacy serve`: concurrent clients on loopback, which share the machine with the server.

    python benchmarks/serving/load.py clients --clients 50 --output benchmarks/results/load_50.json
    python benchmarks/serving/load.py clients --clients 500 --output benchmarks/results/load_500.json
    python benchmarks/serving/load.py soak --seconds 1800 --output benchmarks/results/load_soak.json
    python benchmarks/serving/load.py fairness --output benchmarks/results/load_fairness.json
    python benchmarks/serving/load.py encoder --output benchmarks/results/load_encoder.json
    python benchmarks/serving/load.py start --output benchmarks/results/load_start.json

clients: texts of the corpus with 8 of twenty labels each. soak: short, long and many texts, few and many labels, and
memory once a part. fairness: the answers to short texts without, and then with, a client that always has a giant text
in the queue. encoder: clients and the bare encoder (the same weights through transformers), in turn. start: seconds
until requests are taken, and of the first one. Answers are checked. Linux only (/proc). Needs the extra "test".
"""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.paths import CORPUS
from benchmarks.lib.process import resident
from benchmarks.lib.provenance import write_result
from benchmarks.lib.server import LABELS, Server, ask_for, serving
from benchmarks.lib.texts import texts_of

N_LABELS = 8
PARTS = 30  # of a soak, each with its own figures
GIANT = 150_000  # characters


def short(texts: list[str]):
    return lambda rng: ("short", {"text": rng.choice(texts), "labels": rng.sample(LABELS, N_LABELS)})


def giant(texts: list[str]):
    """A text of the server's largest size, of texts of the corpus as paragraphs."""

    def ask(rng: random.Random) -> tuple[str, dict[str, Any]]:
        parts: list[str] = []
        while sum(map(len, parts)) < GIANT:
            parts.append(rng.choice(texts))
        return "giant", {"text": "\n\n".join(parts)[:GIANT], "labels": rng.sample(LABELS, N_LABELS)}

    return ask


def mixed(texts: list[str]):
    """Requests of all sizes: most are short."""

    def ask(rng: random.Random) -> tuple[str, dict[str, Any]]:
        drawn, labels = rng.random(), rng.sample(LABELS, rng.randint(1, len(LABELS)))
        if drawn < 0.9:
            return "short", {"text": rng.choice(texts), "labels": labels}
        if drawn < 0.95:
            return "many", {"texts": rng.choices(texts, k=rng.randint(2, 40)), "labels": labels}
        if drawn < 0.99:
            return "long", {"text": "\n\n".join(rng.choices(texts, k=rng.randint(10, 100))), "labels": labels}
        number = rng.randrange(10**9)  # labels that no one has asked before
        return "many labels", {"text": rng.choice(texts), "labels": [f"{label} {number}" for label in LABELS]}

    return ask


def clients(server: Server, texts: list[str], args: argparse.Namespace) -> dict[str, Any]:
    asks = [short(texts)] * args.clients
    asyncio.run(ask_for(server.address, asks, min(5.0, args.seconds)))  # warm
    before = resident(server.process.pid)
    said = asyncio.run(ask_for(server.address, asks, args.seconds))
    return said.plain(args.seconds) | {"resident_mib": [round(before, 1), round(resident(server.process.pid), 1)]}


def soak(server: Server, texts: list[str], args: argparse.Namespace) -> dict[str, Any]:
    parts = []
    for number in range(PARTS):
        said = asyncio.run(ask_for(server.address, [mixed(texts)] * args.clients, args.seconds / PARTS))
        parts.append(said.plain(args.seconds / PARTS) | {"resident_mib": round(resident(server.process.pid), 1)})
        print(number, parts[-1]["resident_mib"], parts[-1]["statuses"], flush=True)
    return {"parts": parts, "resident_mib": [part["resident_mib"] for part in parts]}


def fairness(server: Server, texts: list[str], args: argparse.Namespace) -> dict[str, Any]:
    asks = [short(texts)] * args.clients
    asyncio.run(ask_for(server.address, asks, min(5.0, args.seconds)))
    without = asyncio.run(ask_for(server.address, asks, args.seconds))
    beside = asyncio.run(ask_for(server.address, [*asks, giant(texts)], args.seconds))
    return {"without": without.plain(args.seconds), "with_giant": beside.plain(args.seconds)}


def encoder(server: Server, texts: list[str], args: argparse.Namespace) -> dict[str, Any]:
    """The server and the bare encoder in turn, three times each, on the same texts; medians of texts a second."""
    import spacy

    from benchmarks.lib.bare import save_bare
    from benchmarks.serving.latency import load_bare, read

    with tempfile.TemporaryDirectory() as folder:
        shim = spacy.load("en_metaie_sm").get_pipe("metaie")
        shim.load()
        save_bare(shim.model.shims[0], folder)
        model, tokenizer = load_bare(folder)
    rounds: list[dict[str, float]] = []
    for _ in range(3):
        said = asyncio.run(ask_for(server.address, [short(texts)] * args.clients, args.seconds / 3))
        of_server = said.plain(args.seconds / 3)["kinds"]["short"]
        rng, seconds = random.Random(0), []
        until = time.perf_counter() + args.seconds / 6
        while time.perf_counter() < until:
            began = time.perf_counter()
            read(model, tokenizer, rng.choice(texts))
            seconds.append(time.perf_counter() - began)
        batched, until = 0, time.perf_counter() + args.seconds / 6
        began = time.perf_counter()
        while time.perf_counter() < until:
            read(model, tokenizer, rng.choices(texts, k=32))
            batched += 32
        rounds.append(
            {f"server_{key}": value for key, value in of_server.items()}
            | {"bare_single_per_s": 1 / statistics.mean(seconds), "bare_p50_ms": statistics.median(seconds) * 1000}
            | {"bare_batched_per_s": batched / (time.perf_counter() - began)}
        )
    return {"rounds": rounds, "median": {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}}


def start(server: Server, texts: list[str], args: argparse.Namespace) -> dict[str, Any]:
    """This server and some more, one after the other."""

    def first(one: Server) -> float:
        began = time.perf_counter()
        httpx.post(f"{one.address}/extract", json=short(texts)(random.Random(0))[1], timeout=60).raise_for_status()
        return time.perf_counter() - began

    starts = [(server.start_s, first(server), resident(server.process.pid))]
    for _ in range(args.starts - 1):
        with serving() as other:
            starts.append((other.start_s, first(other), resident(other.process.pid)))
    names = ("until_requests_are_taken_s", "first_request_s", "resident_mib")
    return {name: statistics.median(values) for name, values in zip(names, zip(*starts))} | {"starts": starts}


OPTIONS = {"fairness": ("--timeout", "600")}  # a giant text beside many short ones may take longer than the default
WHAT = {"clients": clients, "soak": soak, "fairness": fairness, "encoder": encoder, "start": start}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=WHAT)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    texts = texts_of(CORPUS)
    with serving(*OPTIONS.get(args.what, ())) as server:
        result = WHAT[args.what](server, texts, args)
    result = {"what": args.what, "clients": args.clients, "seconds": args.seconds, "labels": N_LABELS, **result}
    print({key: value for key, value in result.items() if key != "parts"})
    write_result(args.output, result, "en_metaie_sm")


if __name__ == "__main__":
    main()
