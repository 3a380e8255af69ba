"""Texts a second of one pipeline, of the file layer with several splits of processes and threads, and of Ray on this machine.

    python benchmarks/serving/bulk.py --texts 20000 --output benchmarks/results/bulk.json

Texts are sentences of assets/corpus.jsonl (CC0) in which words are swapped for new ones. They are cut into rounds, and in
each round all ways read the same texts one after the other, so that a machine that grows slower does so for all. A way is
timed from its first result on: what it takes to start is told apart. Spans must be the same in all ways; scores may differ
by 1e-4.
"""

import json
import statistics
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any, Callable, Iterator

import spacy
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.labels import FEW
from benchmarks.lib.options import model_parser
from benchmarks.lib.provenance import write_result
from benchmarks.lib.texts import sentences
from metaie_spacy import rows
from metaie_spacy.bulk import Extractor
from metaie_spacy.bulk.chunks import Reading, Source, chunks_of
from metaie_spacy.bulk.job import Job
from metaie_spacy.bulk.run import best_split
from metaie_spacy.bulk.workers import Workers

SHARD = 250  # rows: small, so that a round has many
ZONE = 1000


def plain(nlp: Any, texts: list[str]) -> Iterator[list[dict]]:
    """What somebody would write by hand: nlp.pipe in memory zones, spans as rows."""
    for start in range(0, len(texts), ZONE):
        with nlp.memory_zone():
            for doc in nlp.pipe(texts[start : start + ZONE]):
                yield rows(doc)


def timed(events: Iterator[int]) -> dict[str, float]:
    """Seconds until the first rows are done, and the rate from there on. events: how many rows each brings."""
    began = time.perf_counter()
    first = next(events)
    ready = time.perf_counter()
    n = sum(events)
    return {"start_s": ready - began, "first_rows": first, "texts_per_s": n / (time.perf_counter() - ready)}


def counted(items: Iterator[Any]) -> Iterator[int]:
    """In steps as the other ways report them."""
    while part := list(islice(items, 256)):
        yield len(part)


class Files:
    """The file layer: shards of one file, by processes that stay."""

    def __init__(self, job: Job, processes: int, threads: int):
        self.workers = Workers(job, processes, threads)

    def __call__(self, source: Source) -> Iterator[int]:
        events = self.workers.run(chunks_of(source, Reading("text", SHARD)))
        return (value for kind, value in events if kind == "rows")


def by_ray(job: Job, processes: int, threads: int) -> Callable[[Source], Iterator[int]]:
    """The same by actors of a Ray on this machine; each round starts them anew."""
    from metaie_spacy.bulk.on_ray import run

    def events(source: Source) -> Iterator[int]:
        options = {"address": None, "workers": processes, "threads": threads}
        return (value for kind, value in run(job, [source], Reading("text", SHARD), {}, **options) if kind == "rows")

    return events


def spans_in(folder: Path) -> list[list[dict]]:
    """The spans of all rows, in order."""
    shards = sorted(folder.glob("part-*.jsonl"))
    return [json.loads(line)["spans"] for shard in shards for line in shard.read_text(encoding="utf8").splitlines()]


def compared(found: list[list[dict]], expected: list[list[dict]]) -> dict[str, Any]:
    """Whether the spans are the same, and how far their scores lie apart."""
    place = [[(s["start"], s["end"], s["label"]) for s in spans] for spans in found]
    same = place == [[(s["start"], s["end"], s["label"]) for s in spans] for spans in expected]
    pairs = [(a["score"], b["score"]) for x, y in zip(found, expected) for a, b in zip(x, y)]
    return {"same_spans": same, "largest_score_change": max((abs(a - b) for a, b in pairs), default=0.0)}


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--no-ray", action="store_true")
    args = parser.parse_args()
    cores, _ = best_split()
    nlp = spacy.load(args.model)
    nlp.get_pipe("metaie").labels = FEW
    splits = sorted({(1, cores), (cores, 1), (1, 1), (max(1, cores // 2), min(2, cores))})
    with tempfile.TemporaryDirectory() as folder:
        ways: dict[str, Any] = {}
        for processes, threads in splits:
            name = f"files, {processes} x {threads}"
            ways[name] = (Path(folder) / name, processes, threads, False)
        if not args.no_ray:
            ways["Ray"] = (Path(folder) / "Ray", cores, 1, True)
        made = {}
        for name, (place, processes, threads, is_ray) in ways.items():
            place.mkdir()
            job = Job(Extractor(args.model, FEW), str(place), "jsonl")
            made[name] = by_ray(job, processes, threads) if is_ray else Files(job, processes, threads)
        result = measured(args, nlp, made, Path(folder), cores)
        for way in made.values():
            if isinstance(way, Files):
                way.workers.close()
    write_result(args.output, result, args.model)


def measured(args: Any, nlp: Any, ways: dict[str, Any], folder: Path, cores: int) -> dict[str, Any]:
    stream, size = sentences(0), args.texts // args.rounds
    rates: dict[str, list[dict]] = {name: [] for name in ("nlp.pipe", *ways)}
    answers: list[list[dict]] = []
    for number in range(args.rounds):
        texts = list(islice(stream, size))
        path = folder / f"{number}.jsonl"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf8")
        torch.set_num_threads(cores)
        found: list[list[dict]] = []

        def keep(items: Iterator[list[dict]], found: list = found) -> Iterator[list[dict]]:
            for spans in items:
                found.append(spans)
                yield spans

        rates["nlp.pipe"].append(timed(counted(keep(plain(nlp, texts)))))
        answers += found
        for name, way in ways.items():
            rates[name].append(timed(way(Source(number, str(path)))))
        print({name: round(values[-1]["texts_per_s"], 1) for name, values in rates.items()}, flush=True)
    median = {name: statistics.median(part["texts_per_s"] for part in values) for name, values in rates.items()}
    return {
        "texts": args.texts,
        "rounds": args.rounds,
        "labels": len(FEW),
        "cores": cores,
        "rows_of_a_shard": SHARD,
        "texts_per_s": median,
        "against_nlp_pipe": {name: rate / median["nlp.pipe"] for name, rate in median.items()},
        "each_round": rates,
        "answers": {name: compared(spans_in(folder / name), answers) for name in ways},
    }


if __name__ == "__main__":
    main()
