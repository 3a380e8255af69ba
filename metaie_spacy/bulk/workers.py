"""Processes that make shards of chunks. One that dies costs the row that killed it, and nothing else."""

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection, wait
from typing import Any, Iterable, Iterator

from .chunks import Chunk
from .job import Job
from .loaded import loaded

DEATHS = 2  # by a row that is read alone, before it is left out
EARLY_DEATHS = 3  # of processes in a row that have done nothing yet: they cannot run here


class _Worker:
    """A process, and what it is doing. at (int | None): the row that it reads alone. told (int): rows it reported."""

    def __init__(self, job: Job, threads: int):
        context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
        self.line, other = context.Pipe()
        self.process = context.Process(target=_work, args=(other, job, threads), daemon=True)
        self.process.start()
        other.close()
        self.is_ready, self.chunk, self.at, self.told = False, None, None, 0

    def give(self, chunk: Chunk, dead: set[int], careful: bool) -> None:
        self.chunk, self.at, self.told = chunk, None, 0
        self.line.send((chunk, dead, careful))

    def end(self) -> None:
        self.line.close()
        self.process.kill()
        self.process.join()


class Workers:
    """Makes shards in several processes, which are started by the first chunk and stay until `close`.

    job (Job): what is made. number (int): processes. threads (int): of each.
    """

    def __init__(self, job: Job, number: int, threads: int):
        self.job, self.number, self.threads = job, number, threads
        self._deaths: dict[str, dict[int, int]] = {}  # by chunk: how often each of its rows killed a process
        self._again: list[Chunk] = []
        self._workers: list[_Worker] = []
        self._early = 0

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def close(self) -> None:
        """End all processes, and what they are doing."""
        while self._workers:
            self._workers.pop().end()

    def run(self, chunks: Iterable[Chunk]) -> Iterator[tuple[str, Any]]:
        """Make shards of all chunks.

        YIELDS (tuple): ("rows", n) when n more rows are done (fewer than 0: they are done again), or ("shard", entry).
        RAISES (ValueError): the pipeline cannot be loaded, or a chunk cannot be made into a shard.
        """
        left = iter(chunks)
        ahead = next(left, None)
        while ahead is not None and len(self._workers) < self.number:
            self._workers.append(_Worker(self.job, self.threads))
        while ahead is not None or self._again or any(worker.chunk is not None for worker in self._workers):
            for worker in self._workers:
                if not worker.is_ready or worker.chunk is not None:
                    continue
                if self._again:
                    self._give(worker, self._again.pop())
                elif ahead is not None:
                    self._give(worker, ahead)
                    ahead = next(left, None)  # read while the workers work
            yield from self._hear()

    def _hear(self) -> Iterator[tuple[str, Any]]:
        """What those say that are starting or working, when one of them says something."""
        lines = {w.line: i for i, w in enumerate(self._workers) if w.chunk is not None or not w.is_ready}
        for line in wait(list(lines)):
            i = lines[line]
            try:
                yield from self._heard(self._workers[i], line.recv())
            except (EOFError, ConnectionResetError):
                yield from self._buried(self._workers[i])
                self._workers[i] = _Worker(self.job, self.threads)

    def _give(self, worker: _Worker, chunk: Chunk) -> None:
        deaths = self._deaths.get(chunk.name)
        dead = {row for row, times in (deaths or {}).items() if times >= DEATHS}
        try:
            worker.give(chunk, dead, careful=deaths is not None)
        except OSError:  # it has just died, and its end of the line will say so
            pass

    def _heard(self, worker: _Worker, message: tuple[str, Any]) -> Iterator[tuple[str, Any]]:
        kind, value = message
        if kind == "ready":
            worker.is_ready = True
        elif kind == "at":
            worker.at = value
        elif kind == "rows":
            self._early = 0
            worker.told += value
            yield kind, value
        elif kind == "shard":
            self._deaths.pop(worker.chunk.name, None)
            worker.chunk = None
            yield kind, value
        else:
            self.close()  # so that nothing of this run is left for another
            raise ValueError(value)

    def _buried(self, worker: _Worker) -> Iterator[tuple[str, Any]]:
        """Have the chunk of a process that died done again, row by row.

        RAISES (ValueError): processes die before they do anything.
        """
        worker.end()
        chunk = worker.chunk
        if not worker.is_ready or chunk is None:
            self._early += 1
            if self._early >= EARLY_DEATHS:
                raise ValueError(
                    f"Processes die before they read a text (exit code {worker.process.exitcode}). Ask for fewer "
                    "workers: each needs memory for the model; or try one text without --workers to see more."
                )
            return
        deaths = self._deaths.setdefault(chunk.name, {})
        if worker.at is not None:
            deaths[worker.at] = deaths.get(worker.at, 0) + 1
        self._again.append(chunk)
        yield "rows", -worker.told


def _work(line: Connection, job: Job, threads: int) -> None:
    """What a process does until its line closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the first process's business
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        import torch

        torch.set_num_threads(threads)
        extractor = job.extractor
        loaded(extractor.model, adapter=extractor.adapter, gpu=extractor.gpu).pipe.load()
        line.send(("ready", None))
        while True:
            chunk, dead, careful = line.recv()
            report = lambda kind, value: line.send((kind, value))  # noqa: E731
            line.send(("shard", job.make(chunk, report, dead=dead, careful=careful)))
    except (EOFError, BrokenPipeError):
        return
    except (ValueError, OSError, ImportError) as error:
        line.send(("failed", " ".join(str(error).split()) or type(error).__name__))
    except Exception:
        sys.stderr.write(traceback.format_exc())
        line.send(("failed", f"A process failed: {traceback.format_exc(limit=-1).splitlines()[-1]}"))


def _end_with_parent() -> None:
    """A process whose parent was killed must not go on writing."""
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
