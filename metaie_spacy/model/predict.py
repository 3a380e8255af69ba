"""Logits of texts for their labels, in batches."""
from typing import Collection, Iterator, Sequence

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import Model

from .pieces import WordPieces
from .windows import split_windows

MAX_SPREAD = 16  # different label sets that one batch mixes



def chunk_labels(labels: Collection[str], pieces: WordPieces, budget: int, window: int) -> list[tuple[str, ...]]:
    """Queries deduplicated, sorted, and cut into chunks of about equal size that fit a budget of pieces.

    RAISES (ValueError): a label is longer than the encoder's window, or has no pieces.
    """
    ordered = sorted(set(labels))
    sizes = [len(pieces.label(label)) for label in ordered]
    for label, size in zip(ordered, sizes):
        if size > window:
            raise ValueError(
                f"The label '{label[:60]}...' has {size} pieces, but the encoder's window has room for {window}. Shorten it."
            )
        if size == 1:
            raise ValueError(f"The label {label!r} holds nothing that the encoder's tokenizer can read.")
    n_chunks = -(-sum(sizes) // budget) if sizes else 0
    chunks: list[list[str]] = [[] for _ in range(n_chunks)]
    total = 0
    for label, size in zip(ordered, sizes):
        chunks[min(n_chunks - 1, total * n_chunks // sum(sizes))].append(label)
        total += size
    return [tuple(chunk) for chunk in chunks if chunk]



def score_docs(
    model: Model, docs: Sequence[Doc], labels: Sequence[Collection[str]]
) -> Iterator[tuple[int, tuple[str, ...], list[int], np.ndarray]]:
    """Logits of every doc for its own labels, as `score_texts` gives them."""
    if not model.has_ref("tok2vec"):
        yield from score_texts(model, [[token.text for token in doc] for doc in docs], labels)
        return
    from .shared import score_shared

    shim, chunked = model.shims[0], {}
    for asked in labels:
        if id(asked) not in chunked:
            chunked[id(asked)] = chunk_labels(asked, shim.pieces, shim.limits["label_budget"], shim.module.window)
    yield from score_shared(model, docs, [chunked[id(asked)] for asked in labels])



def score_texts(
    model: Model, texts: Sequence[Sequence[str]], labels: Sequence[Collection[str]]
) -> Iterator[tuple[int, tuple[str, ...], list[int], np.ndarray]]:
    """Logits of every text for its own labels, in length-bucketed batches under a token budget.

    model (Model): one of the architectures. texts (Sequence[Sequence[str]]): words of each text.
    labels (Sequence[Collection[str]]): the queries asked of each text; texts that share one object
        share the work of cutting it into chunks.
    YIELDS (tuple): text index, chunk of labels, indices of the scored words, logits (W, U, 2); a
        text comes once per chunk of its labels.
    """
    shim, limits = model.shims[0], model.shims[0].limits
    pieces, label_room = shim.pieces, shim.module.label_room
    limit = min(limits["window"] - 2, shim.module.text_room)
    windows, scored = [], []
    for i, words in enumerate(texts):
        sizes = [len(ids) for ids in pieces(words)]
        scored.append([j for j, size in enumerate(sizes) if size])
        if scored[-1]:
            windows.append(split_windows(sizes, limit, min(limits["overlap"], limit // 2 - 1), i))
    by_text = {parts[0].text: parts for parts in windows}
    chunked = {}
    for i in by_text:
        if id(labels[i]) not in chunked:
            chunked[id(labels[i])] = chunk_labels(labels[i], pieces, limits["label_budget"], label_room)
    chunks = {i: chunked[id(labels[i])] for i in by_text}
    for number in range(max(map(len, chunked.values()), default=0)):
        jobs = [(part, chunks[i][number]) for i in by_text if number < len(chunks[i]) for part in by_text[i]]
        results = {}
        for part, chunk, logits, kept in _run_jobs(model, texts, jobs, limit):
            own = [k for k, j in enumerate(kept) if part.own_start <= part.start + j < part.own_end]
            results.setdefault(part.text, {})[part.start] = logits[own]
            if len(results[part.text]) == len(by_text[part.text]):
                parts = results.pop(part.text)
                yield part.text, chunk, scored[part.text], np.concatenate([parts[start] for start in sorted(parts)])



def _run_jobs(model: Model, texts, jobs: list, limit: int):
    pieces, is_cross = model.shims[0].pieces, not hasattr(model.shims[0].module, "label_head")
    for batch in _batches(jobs, model.shims[0].limits["token_budget"], is_cross, limit):
        labels = sorted({label for _, chunk in batch for label in chunk})
        packed, kept = pieces.texts([texts[part.text][part.start : part.end] for part, _ in batch])
        asked = None
        if any(len(chunk) != len(labels) for _, chunk in batch):
            members = [set(chunk) for _, chunk in batch]
            asked = torch.tensor([[label in chunk for label in labels] for chunk in members])
        logits = model.predict((packed, labels, asked))
        logits = logits if isinstance(logits, np.ndarray) else logits.get()  # CuPy's arrays live on the GPU
        column, offset = {label: u for u, label in enumerate(labels)}, 0
        for (part, chunk), words in zip(batch, kept):
            rows = logits[offset : offset + len(words)]
            offset += len(words)
            yield part, chunk, rows if asked is None else rows[:, [column[label] for label in chunk]], words



def _batches(jobs: list, budget: int, is_cross: bool, limit: int):
    """Jobs sorted by length, cut where the padded pieces or the spread of label sets grow too large."""
    ordered = sorted(jobs, key=lambda job: (job[0].size, job[1], job[0].text, job[0].start))
    batch, chunks, cost = [], set(), 0
    for job in ordered:
        passes = len(job[1]) if is_cross else 1
        wider = chunks | {job[1]}
        if batch and (job[0].size * (cost + passes) > budget or len(wider) > MAX_SPREAD):
            yield batch
            batch, wider, cost = [], {job[1]}, 0
        batch.append(job)
        chunks, cost = wider, cost + passes
    if batch:
        yield batch
