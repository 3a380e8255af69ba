"""Files to shards: the same call goes on where the last one ended, however it ended."""

import os
import time
from typing import Any, Iterator, Sequence

from tqdm import tqdm

from .book import Book, alone, hash_of
from .chunks import Chunk, Reading, chunks_of
from .extractor import Extractor
from .job import FORMATS, Job
from .places import facts_of, matching
from .workers import Workers

SHARD_ROWS = 5000  # rows of a shard: what a kill costs each worker at most
ENGINES = ("local", "ray")


def extract_files(
    source: str | Sequence[str],
    output: str,
    extractor: Extractor,
    *,
    format: str = "jsonl",
    workers: int = 0,
    shard_rows: int = SHARD_ROWS,
    encoding: str | None = None,
    engine: str = "local",
    address: str | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Write what is found in the texts of files as shards into a folder: every row once, in its place.

    source: a path, an address that fsspec opens, or a pattern; or several. Files are .parquet, .jsonl, .csv, .tsv and
        .txt, all but the first also behind .gz or .zst.
    output (str): a folder, new or begun by the same call; the same call goes on. Shards are named by their file and
        their place in it. It also gets _run.json (what was asked), _done.log (a line a shard) and
        _summary.json.
    format (str): "jsonl" or "parquet". workers (int): processes, or actors; 0: as
        `best_split` has it, or what the cluster has CPUs for.
    shard_rows (int): rows of a shard, at most. encoding (str | None): of files of lines; None: UTF-8.
    engine (str): "local", or "ray" for the actors of a cluster, whose machines must all see source and output.
    address (str | None): of the Ray cluster; None: the one that RAY_ADDRESS names, or a new one on this machine.
    RETURNS (dict): the summary: "rows", "errors", "spans", "shards", "texts_per_second" of this call, and others.
    RAISES (ValueError): an option that cannot be, files that cannot be read, or a folder that another run began.
    """
    if format not in FORMATS or engine not in ENGINES:
        raise ValueError(f"The format is {format!r} and the engine {engine!r}; use {FORMATS} and {ENGINES}.")
    if workers < 0 or shard_rows < 1:
        raise ValueError(f"There can be no {workers} workers and no shards of {shard_rows} rows.")
    paths = [path for part in ([source] if isinstance(source, str) else source) for path in matching(part)]
    asked = _asked(extractor, format, shard_rows, encoding)
    number, threads = best_split(workers, gpu=extractor.gpu) if engine == "local" else (workers or None, 1)
    with alone(output):
        book = Book(output, asked, paths)
        job, how = Job(extractor, book.folder.path, format), Reading(extractor.text, shard_rows, encoding)
        before, began = book.totals()["rows"], time.monotonic()
        with _Progress(book, progress) as bar:
            for kind, value in _events(engine, job, book, how, bar, number, threads, address):
                if kind == "shard":
                    book.add(value)
                else:
                    bar.count(value)
        seconds, totals = time.monotonic() - began, book.totals()
        now = totals["rows"] - before
        summary = {
            **totals,
            "files": len(book.sources),
            "rows_of_this_call": now,
            "seconds_of_this_call": round(seconds, 3),
            "texts_per_second": round(now / seconds, 2) if now else None,
            "engine": engine,
            "workers": number,
            "threads": threads,
            "model": asked["model"],
            "model_sha256": asked["model_sha256"],
        }
        book.close(summary)
        return summary


def best_split(workers: int = 0, *, gpu: int = -1) -> tuple[int, int]:
    """How many processes there are, and threads of each; with 0 workers one for each core, or one for a GPU."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    number = workers or (1 if gpu >= 0 else cores)
    return number, max(1, cores // number)


def _asked(extractor: Extractor, format: str, shard_rows: int, encoding: str | None) -> dict[str, Any]:
    """All that shapes an answer or a shard."""
    from ..model.weights import find_source

    return {
        "model": extractor.model,
        "model_sha256": hash_of(find_source(extractor.model)),
        "adapter_sha256": None if extractor.adapter is None else hash_of(extractor.adapter),
        "asked": extractor.asked,
        "labels_from": extractor.labels_from,
        "threshold": extractor.threshold,
        "text": extractor.text,
        "columns": extractor.columns,
        "format": format,
        "shard_rows": shard_rows,
        "encoding": encoding,
    }


def _events(
    engine: str,
    job: Job,
    book: Book,
    how: Reading,
    bar: "_Progress",
    number: int | None,
    threads: int,
    address: str | None,
) -> Iterator[tuple[str, Any]]:
    if engine == "ray":
        from .on_ray import run

        return run(job, book.sources, how, book.done, address=address, workers=number, threads=threads)
    chunks = bar.watched(chunk for source in book.sources for chunk in chunks_of(source, how, book.done[source.number]))
    return _by_processes(Workers(job, number, threads), chunks)


def _by_processes(workers: Workers, chunks: Iterator[Chunk]) -> Iterator[tuple[str, Any]]:
    with workers:
        yield from workers.run(chunks)


class _Progress:
    """Rows done, their rate, and the time left, by how much of the files' bytes has been read."""

    def __init__(self, book: Book, is_shown: bool):
        self.sizes = {source.number: facts_of(source.path).size for source in book.sources}
        self.before = book.totals()["rows"]
        self.seen = self.before
        self.bar = tqdm(desc="extract", unit="text", initial=self.before, mininterval=1, disable=not is_shown)

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *error: Any) -> None:
        self.bar.close()

    def count(self, rows: int) -> None:
        self.bar.update(rows)

    def watched(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """Estimate on the way how many rows there are."""
        total = sum(self.sizes.values())
        for chunk in chunks:
            self.seen += chunk.rows
            read = sum(size for number, size in self.sizes.items() if number < chunk.file)
            read += chunk.read * self.sizes[chunk.file]
            if read:
                self.bar.total = max(self.seen, round(self.seen * total / read))
            yield chunk
        self.bar.total = self.seen
