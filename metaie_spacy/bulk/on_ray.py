"""Files to shards by the actors of a Ray cluster: Ray Data moves the chunks, and does again what a lost machine had."""

import copy
import os
import pickle
from contextlib import contextmanager
from typing import Any, Collection, Iterator, Mapping, Sequence

from .chunks import Reading, Source, chunks_of
from .extractor import Extractor
from .job import Job
from .places import is_remote
from .workers import Workers


def run(
    job: Job,
    sources: Sequence[Source],
    how: Reading,
    done: Mapping[int, Collection[int]],
    *,
    address: str | None,
    workers: int | None,
    threads: int,
) -> Iterator[tuple[str, Any]]:
    """Make shards of all chunks that are not done. A file is read by one task, and its chunks go to all actors.

    address (str | None): of the cluster; None: what RAY_ADDRESS names, or a new one on this machine.
    workers (int | None): actors, at most; None: what the cluster has CPUs or GPUs for. Each keeps a process of so many
        threads, which may die of a text.
    YIELDS (tuple): ("rows", n) and ("shard", entry), as `Workers.run`.
    RAISES (ValueError): Ray is missing or cannot be reached, a file cannot be read, or a chunk cannot be made.
    """
    with _cluster(address) as ray, _single_rows(ray):
        items = [
            {"number": source.number, "path": _everywhere(source.path), "done": sorted(done.get(source.number, ()))}
            for source in sources
        ]
        job = job._replace(output=_everywhere(job.output), extractor=_named_everywhere(job.extractor))
        gpus = {"num_gpus": 1} if job.extractor.gpu >= 0 else {}
        # Reading takes little; with CPUs of its own it would wait for actors that wait for it.
        chunks = ray.data.from_items(items, override_num_blocks=len(items)).flat_map(Read(how), num_cpus=0)
        options = {"fn_constructor_args": (job, threads), "batch_size": 1, "num_cpus": threads, **gpus}
        for row in chunks.map_batches(
            Make, concurrency=(1, workers or _room(ray, job, threads)), **options
        ).iter_rows():
            entry = pickle.loads(row["entry"])
            if isinstance(entry, str):
                raise ValueError(entry)
            yield "rows", entry["rows"]
            yield "shard", entry


class Read:
    """A file's chunks, each as a row with its bytes; of a file that cannot be read, what is wrong with it."""

    def __init__(self, how: Reading):
        self.how = how

    def __call__(self, item: dict[str, Any]) -> Iterator[dict[str, bytes]]:
        try:
            for chunk in chunks_of(Source(item["number"], item["path"]), self.how, set(item["done"])):
                yield {"chunk": pickle.dumps(chunk)}
        except (ValueError, OSError) as error:
            yield {"chunk": pickle.dumps(" ".join(str(error).split()))}


class Make:
    """An actor: makes shards in a process that it keeps."""

    def __init__(self, job: Job, threads: int):
        self.workers = Workers(job, 1, threads)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        return {"entry": [pickle.dumps(self._entry(pickle.loads(chunk))) for chunk in batch["chunk"]]}

    def _entry(self, chunk: Any) -> dict[str, Any] | str:
        """The entry of a shard; or an error, which ends the run and is not tried again."""
        if isinstance(chunk, str):
            return chunk
        try:
            return next(value for kind, value in self.workers.run([chunk]) if kind == "shard")
        except ValueError as error:
            return str(error)


@contextmanager
def _cluster(address: str | None) -> Iterator[Any]:
    """Ray, connected; a cluster that was started for this run ends with it."""
    try:
        import ray
        import ray.data  # noqa: F401
    except ImportError:
        raise ValueError("--engine ray needs Ray: pip install 'metaie-spacy[ray]'.") from None
    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(address=address, log_to_driver=False, logging_level="warning")
    except (ConnectionError, OSError, ValueError, RuntimeError) as error:
        words = " ".join(str(error).split())
        tokens = "" if "RAY_AUTH_MODE" in os.environ else " If it asks for tokens, set RAY_AUTH_MODE=token."
        raise ValueError(f"The Ray cluster {address or 'of this machine'} cannot be reached: {words}{tokens}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _single_rows(ray: Any) -> Iterator[None]:
    """Every chunk is a block of its own, so that a file's chunks are spread over all actors while it is read."""
    context = ray.data.DataContext.get_current()
    kept = context.target_max_block_size, context.enable_progress_bars
    context.target_max_block_size, context.enable_progress_bars = 1, False
    try:
        yield
    finally:
        context.target_max_block_size, context.enable_progress_bars = kept


def _room(ray: Any, job: Job, threads: int) -> int:
    """How many actors the cluster has room for now."""
    resources = ray.cluster_resources()
    number = resources.get("GPU", 0) if job.extractor.gpu >= 0 else resources.get("CPU", 0) // threads
    return max(1, int(number))


def _named_everywhere(extractor: Extractor) -> Extractor:
    """With the paths of a pipeline and an adapter that are no packages."""
    other = copy.copy(extractor)
    other.model = os.path.abspath(other.model) if os.path.isdir(other.model) else other.model
    other.adapter = None if other.adapter is None else os.path.abspath(other.adapter)
    return other


def _everywhere(path: str) -> str:
    """A path that does not depend on the working directory, which is another one for each process of a cluster."""
    return path if is_remote(path) else os.path.abspath(path)
