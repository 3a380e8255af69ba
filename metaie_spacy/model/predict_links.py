"""Logits of what texts say about their spans, in batches over heads and texts."""

from itertools import accumulate
from typing import Callable, Iterator, NamedTuple, Sequence

import torch
from spacy.tokens import Doc
from thinc.api import ArgsKwargs, Model, torch2xp

from ..spans import Logits
from .defaults import TOKEN_BUDGET
from .links import Headed, Heads, Kept
from .predict import as_numpy, asked_of_batch, batches, by_job, label_chunks, windows_of
from .windows import Window

MORE_LABELS = 8  # times as many pieces as one pass over a text has


class Stretch(NamedTuple):
    """The part of a text that is read for a head: its number, first and end word, and how many states it has.

    whole (bool): it is all of the text.
    """

    text: int
    start: int
    end: int
    size: int
    whole: bool

    @property
    def place(self) -> int | tuple[int, int, int]:
        """What its states are kept under, see `Kept`."""
        return self.text if self.whole else (self.text, self.start, self.end)


class Reader(NamedTuple):
    """How texts become the states that heads are read from.

    words (dict): number of the text -> its words. sizes (dict): states of each word.
    edge (int): states in front of the first word and behind the last. room (int): most states of words at once.
    read (Callable): stretches -> their states in one tensor, how many each has, the places of the scored words among
        them, and per stretch the scored words.
    """

    words: dict[int, list[str]]
    sizes: dict[int, list[int]]
    edge: int
    room: int
    read: Callable[[list[Stretch]], tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[list[int]]]]


def score_links(
    model: Model,
    docs: Sequence[Doc],
    heads: Sequence[tuple[int, int, int]],
    queries: Sequence[tuple[str, ...]],
    kept: Kept | None = None,
) -> Iterator[Logits]:
    """Logits of what each head's text says about it.

    A text of one window is read as a whole; of a longer one the window that holds the head's beginning and its
    neighbours, as far as the encoder has room.

    model (Model): LabelToSpan with a head pass.
    heads (Sequence[tuple]): number of the doc, first token, end token (exclusive).
    queries (Sequence[tuple[str, ...]]): the relations that each head is asked.
    kept (Kept | None): states of the docs that were read already; takes those that are read here.
    YIELDS (Logits): `text` is the number of the head; a head comes once per chunk of its queries.
    RAISES (ValueError): the weights have no head pass.
    """
    shim = model.shims[0]
    words = {i: [token.text for token in docs[i]] for i in sorted({head[0] for head in heads})}

    def read(part: list[Stretch]):
        packed, scored = shim.pieces.texts([words[s.text][s.start : s.end] for s in part])
        known = {} if kept is None else {s: kept.states[s.place] for s in part if s.place in kept.states}
        new = [s for s in part if s not in known]
        if new:
            texts = packed if not known else shim.pieces.texts([words[s.text][s.start : s.end] for s in new])[0]
            known |= zip(new, shim.link_states(texts).split(texts.lengths.tolist()))
            for s in new if kept is not None else ():
                kept.add(s.place, known[s])
        states = torch.cat([known[s] for s in part])
        starts = packed.lengths.cumsum(0) - packed.lengths
        return states, packed.lengths, packed.first - starts.repeat_interleave(packed.words), scored

    sizes = {i: [len(ids) for ids in shim.pieces(text)] for i, text in words.items()}
    return score_heads(model, Reader(words, sizes, 1, shim.module.text_room, read), heads, queries)


def score_heads(
    model: Model, reader: Reader, heads: Sequence[tuple[int, int, int]], queries: Sequence[tuple[str, ...]]
) -> Iterator[Logits]:
    """As `score_links`, of texts that a reader knows."""
    shim = model.shims[0]
    if not shim.binds:
        raise ValueError("These weights have no head pass: train them on rows with links, or ask in words.")
    budget, sizes = shim.limits.get("token_budget", TOKEN_BUDGET), reader.sizes
    # No text attends to these labels, so that many more of them share a pass.
    chunks = label_chunks(queries, shim.pieces, MORE_LABELS * shim.limits["label_budget"], shim.module.label_room)
    windows = {i: windows_of(shim.limits, reader.room, sizes[i], i, words) for i, words in reader.words.items()}
    sums = {i: list(accumulate(sizes[i], initial=0)) for i in reader.words}
    by_stretch: dict[Stretch, list[int]] = {}
    for number, (i, start, _) in enumerate(heads):
        if sums[i][-1] and chunks[number]:
            by_stretch.setdefault(_stretch(windows[i], sums[i], start, reader), []).append(number)
    for read in batches(((stretch, ()) for stretch in by_stretch), budget):
        part = [stretch for stretch, _ in read]
        states, lengths, first, scored = reader.read(part)
        of = {stretch: b for b, stretch in enumerate(part)}
        counts = torch.tensor([len(kept) for kept in scored])
        jobs = [
            (stretch, chunk, number) for stretch in part for number in by_stretch[stretch] for chunk in chunks[number]
        ]
        for batch in batches(jobs, budget):
            own = [of[stretch] for stretch, _, _ in batch]
            places = [_place(heads[number], stretch, sums[stretch.text], reader.edge) for stretch, _, number in batch]
            columns = (torch.tensor(column, dtype=torch.int64) for column in (own, *zip(*places)))
            labels, asked = asked_of_batch([chunk for _, chunk, _ in batch])
            headed = Headed(states, None, lengths, first, counts, Heads(*columns))
            logits = as_numpy(torch2xp(shim.predict(ArgsKwargs(args=(headed, labels, asked), kwargs={}))))
            jobs_of_batch = [((stretch, number), chunk) for stretch, chunk, number in batch]
            for (stretch, number), chunk, values, tokens in by_job(
                jobs_of_batch, labels, asked, logits, [scored[b] for b in own]
            ):
                yield Logits(number, chunk, [stretch.start + i for i in tokens], values)


def _stretch(windows: list[Window], sums: list[int], head: int, reader: Reader) -> Stretch:
    """The window that answers for a head's first token, with its neighbours as far as there is room."""
    at = next(i for i, window in enumerate(windows) if head < window.own_end)
    first, last = windows[at].start, windows[at].end
    for other in windows[max(0, at - 1) : at] + windows[at + 1 : at + 2]:
        start, end = min(first, other.start), max(last, other.end)
        if sums[end] - sums[start] <= reader.room:
            first, last = start, end
    size = sums[last] - sums[first] + 2 * reader.edge
    return Stretch(windows[at].text, first, last, size, first == 0 and last == len(sums) - 1)


def _place(head: tuple[int, int, int], stretch: Stretch, sums: list[int], edge: int) -> tuple[int, int]:
    """First and end state of a head in its stretch; what lies outside of it is left away."""
    _, start, end = head
    return edge + sums[start] - sums[stretch.start], edge + sums[min(end, stretch.end)] - sums[stretch.start]
