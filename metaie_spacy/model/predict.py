"""Logits of texts for their labels, in batches."""

from typing import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import Model

from ..spans import Logits
from .defaults import OVERLAP, WINDOW
from .links import KEPT, Kept
from .packed import Texts
from .pieces import WordPieces, label_sizes
from .windows import Window, split_windows

MAX_SPREAD = 16  # different label sets that one batch mixes
MOST_CELLS = 2**22  # tokens times labels that are compared at once: 32 MB of logits


def chunk_labels(labels: Collection[str], pieces: WordPieces, budget: int, window: int) -> list[tuple[str, ...]]:
    """Queries deduplicated, sorted, and cut into chunks of about equal size that fit a budget of pieces.

    RAISES (ValueError): a label is longer than the encoder's window, or has no pieces.
    """
    ordered = sorted(set(labels))
    sizes = label_sizes(ordered, pieces, window)
    total, before = sum(sizes), 0
    n_chunks = -(-total // budget)
    chunks: list[list[str]] = [[] for _ in range(n_chunks)]
    for label, size in zip(ordered, sizes):
        chunks[min(n_chunks - 1, before * n_chunks // total)].append(label)
        before += size
    return [tuple(chunk) for chunk in chunks if chunk]


def score_docs(
    model: Model, docs: Sequence[Doc], queries: Sequence[tuple[str, ...]], kept: Kept | None = None
) -> Iterator[Logits]:
    """`score_texts` on the words of docs."""
    return score_texts(model, [[token.text for token in doc] for doc in docs], queries, kept)


def score_texts(
    model: Model, texts: Sequence[Sequence[str]], queries: Sequence[tuple[str, ...]], kept: Kept | None = None
) -> Iterator[Logits]:
    """Logits of every text for its own labels, in length-bucketed batches under a token budget.

    model (Model): LabelToSpan or CrossEncoder. texts (Sequence[Sequence[str]]): words of each text.
    queries (Sequence[tuple[str, ...]]): what is asked of each text.
    kept (Kept | None): takes states for `score_links`, where they do not depend on what is asked.
    YIELDS (Logits): for the queries, as strings; a text comes once per chunk of its queries.
    """
    shim, limits = model.shims[0], model.shims[0].limits
    windows, scored = [], []
    for i, words in enumerate(texts):
        sizes = [len(ids) for ids in shim.pieces(words)]
        scored.append([j for j, size in enumerate(sizes) if size])
        if scored[-1]:
            windows.append(windows_of(limits, shim.module.text_room, sizes, i, words))
    by_text = {parts[0].text: parts for parts in windows}
    chunks = label_chunks([queries[i] for i in by_text], shim.pieces, limits["label_budget"], shim.module.label_room)
    by_chunks = dict(zip(by_text, chunks))
    if shim.module.is_blind:
        short = [i for i in by_text if len(by_chunks[i]) > 1 and sum(part.size for part in by_text[i]) <= KEPT]
        yield from _read_once(model, texts, {i: by_text.pop(i) for i in short}, by_chunks, scored, kept)
    for number in range(max(map(len, chunks), default=0)):
        jobs = [(part, by_chunks[i][number]) for i in by_text if number < len(by_chunks[i]) for part in by_text[i]]
        results: dict[int, dict[int, np.ndarray]] = {}
        for part, chunk, logits, read in _run_jobs(model, texts, jobs, kept):
            results.setdefault(part.text, {})[part.start] = logits[_own_rows(part, read)]
            if len(results[part.text]) == len(by_text[part.text]):
                parts = results.pop(part.text)
                values = np.concatenate([parts[start] for start in sorted(parts)])
                yield Logits(part.text, chunk, scored[part.text], values)


def _read_once(
    model: Model,
    texts: Sequence[Sequence[str]],
    windows: Mapping[int, list[Window]],
    chunks: Mapping[int, list[tuple[str, ...]]],
    scored: Sequence[list[int]],
    kept: Kept | None,
) -> Iterator[Logits]:
    """Logits of texts for more labels than one pass takes, where texts see none: each is read once for all of them."""
    shim = model.shims[0]
    waiting: dict[int, list[Window]] = {}
    size = 0
    for i in [*windows, None]:
        own = 0 if i is None else sum(part.size for part in windows[i])
        if waiting and (i is None or size + own > KEPT):
            vectors = _vectors(model, texts, waiting, kept)
            for asked in dict.fromkeys(tuple(chunks[j]) for j in waiting):
                labels = tuple(label for chunk in asked for label in chunk)
                states = shim.label_vectors(labels)
                for j in waiting:
                    if tuple(chunks[j]) == asked:
                        most = max(1, MOST_CELLS // len(vectors[j]))
                        for start in range(0, len(labels), most):
                            values = shim.compare(vectors[j], states[start : start + most])
                            yield Logits(j, labels[start : start + most], scored[j], values)
            waiting, size = {}, 0
        if i is not None:
            waiting[i] = windows[i]
            size += own


def _vectors(
    model: Model, texts: Sequence[Sequence[str]], windows: Mapping[int, list[Window]], kept: Kept | None
) -> dict[int, torch.Tensor]:
    """The vectors of the scored tokens of each text, (W, 2 x head_width)."""
    shim = model.shims[0]
    found: dict[int, dict[int, torch.Tensor]] = {}
    jobs = [(part, ()) for parts in windows.values() for part in parts]
    for batch in batches(jobs, shim.limits["token_budget"]):
        packed, read = shim.pieces.texts([texts[part.text][part.start : part.end] for part, _ in batch])
        tap: list[torch.Tensor] | None = None if kept is None or not shim.keeps_states else []
        vectors = shim.read(packed, tap).split(packed.words.tolist())
        _keep(kept, tap, batch, packed, texts)
        for (part, _), words, own in zip(batch, read, vectors):
            found.setdefault(part.text, {})[part.start] = own[_own_rows(part, words)]
    return {i: torch.cat([parts[start] for start in sorted(parts)]) for i, parts in found.items()}


def _own_rows(part: Window, words: Sequence[int]) -> list[int]:
    """Which of the scored words of a window it answers for."""
    return [k for k, j in enumerate(words) if part.own_start <= part.start + j < part.own_end]


def _keep(kept: Kept | None, tap: list[torch.Tensor] | None, batch: list, packed: Texts, texts: Sequence) -> None:
    if kept is not None and tap:
        for (part, _), states in zip(batch, tap[0].split(packed.lengths.tolist())):
            is_whole = part.start == 0 and part.end == len(texts[part.text])
            kept.see(part.text, part.start, states, is_whole=is_whole)


def windows_of(
    limits: Mapping[str, int], room: int, sizes: Sequence[int], text: int, words: Sequence[str]
) -> list[Window]:
    """The windows of a text, see `split_windows`. room (int): most pieces of one, whatever the limits say."""
    return split_windows(sizes, *window_sizes(limits, room), text, words)


def window_sizes(limits: Mapping[str, int], room: int) -> tuple[int, int]:
    """Most pieces of a window without specials, and the pieces that windows inside a sentence share."""
    limit = min(limits.get("window", WINDOW) - 2, room)
    return limit, min(limits.get("overlap", OVERLAP), limit // 2 - 1)


def label_chunks(
    queries: Sequence[tuple[str, ...]], pieces: WordPieces, budget: int, window: int
) -> list[list[tuple[str, ...]]]:
    """`chunk_labels` for each of several texts; those that are asked the same share the work."""
    chunked = {asked: chunk_labels(asked, pieces, budget, window) for asked in dict.fromkeys(map(tuple, queries))}
    return [chunked[tuple(asked)] for asked in queries]


def _run_jobs(model: Model, texts: Sequence[Sequence[str]], jobs: list, kept: Kept | None = None) -> Iterator[tuple]:
    shim = model.shims[0]
    for batch in batches(jobs, shim.limits["token_budget"], shim.module.passes):
        packed, read = shim.pieces.texts([texts[part.text][part.start : part.end] for part, _ in batch])
        tap: list[torch.Tensor] | None = None if kept is None or not shim.keeps_states else []
        labels, asked = asked_of_batch([chunk for _, chunk in batch])
        logits = as_numpy(model.predict((packed, labels, asked) if tap is None else (packed, labels, asked, tap)))
        _keep(kept, tap, batch, packed, texts)
        yield from by_job(batch, labels, asked, logits, read)


def asked_of_batch(chunks: Sequence[tuple[str, ...]]) -> tuple[list[str], torch.Tensor | None]:
    """All labels of a batch, and which each of its sequences asks; None: all."""
    labels = sorted({label for chunk in chunks for label in chunk})
    if all(len(chunk) == len(labels) for chunk in chunks):
        return labels, None
    members = {chunk: set(chunk) for chunk in chunks}
    return labels, torch.tensor([[label in members[chunk] for label in labels] for chunk in chunks])


def as_numpy(values) -> np.ndarray:
    return values if isinstance(values, np.ndarray) else values.get()  # CuPy's arrays live on the GPU


def by_job(
    batch: list, labels: list[str], asked: torch.Tensor | None, logits: np.ndarray, read: list[list[int]]
) -> Iterator[tuple]:
    """The logits of a batch by job, each for its own labels."""
    column, offset = {label: u for u, label in enumerate(labels)}, 0
    for (part, chunk), words in zip(batch, read):
        rows = logits[offset : offset + len(words)]
        offset += len(words)
        yield part, chunk, rows if asked is None else rows[:, [column[label] for label in chunk]], words


def batches(
    jobs: Iterable[tuple], budget: int, passes_for: Callable[[int], int] = lambda n_labels: 1
) -> Iterator[list]:
    """Jobs sorted by length, cut where the padded pieces or the spread of label sets grow too large.

    jobs (Iterable[tuple]): what is read, with `size`, `text` and `start`, its labels, and anything else.
    passes_for (Callable): number of labels -> passes of what is read.
    """
    ordered = sorted(jobs, key=lambda job: (job[0].size, job[1], job[0].text, job[0].start))
    batch, chunks, cost = [], set(), 0
    for job in ordered:
        passes = passes_for(len(job[1]))
        wider = chunks | {job[1]}
        if batch and (job[0].size * (cost + passes) > budget or len(wider) > MAX_SPREAD):
            yield batch
            batch, wider, cost = [], {job[1]}, 0
        batch.append(job)
        chunks, cost = wider, cost + passes
    if batch:
        yield batch
