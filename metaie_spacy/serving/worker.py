"""The thread that reads: one batch after the other, of all requests that wait."""

import logging
import time
import traceback
from contextvars import copy_context
from threading import Thread
from typing import Mapping

from .limits import Refusal
from .metrics import Metrics
from .models import Served
from .queue import Job, Queue

logger = logging.getLogger("metaie_spacy")


class Worker:
    """Hands batches of a queue to the models, until the queue is closed and empty.

    models (Mapping[str, Served]): by the names that requests have.
    """

    def __init__(self, queue: Queue, models: Mapping[str, Served], metrics: Metrics):
        self.queue, self.models, self.metrics = queue, models, metrics
        self._thread = Thread(target=copy_context().run, args=(self._work,), name="metaie-worker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Take no more requests, answer those that wait, and end."""
        self.queue.close()
        self._thread.join()

    def _work(self) -> None:
        while batch := self.queue.take():
            began = time.perf_counter()
            for name, served in self.models.items():
                if jobs := [job for job in batch if job.entry.model == name]:
                    _read(served, jobs)
            self.metrics.batch_texts.observe(len(batch))
            self.metrics.batch_seconds.observe(time.perf_counter() - began)


def _read(served: Served, jobs: list[Job]) -> None:
    for job, found in zip(jobs, served.read([(job.text, job.entry.ask) for job in jobs])):
        if isinstance(found, ValueError):
            found = Refusal(422, "refused", " ".join(str(found).split()))
        elif isinstance(found, Exception):
            # Where it failed, not its message, which may quote the text.
            where = "".join(traceback.format_tb(found.__traceback__))
            logger.error("A text of %d characters failed: %s\n%s", len(job.text), type(found).__name__, where)
            found = Refusal(500, "failed", "Reading this failed; the server's log says why.")
        job.entry.close(job, found)
