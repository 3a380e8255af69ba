"""Training batches, for the component's `update` and for `distill` (torch only)."""

import random
from collections import Counter
from itertools import accumulate
from typing import Mapping, NamedTuple, Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..data.items import Item
from ..data.wordings import synonyms
from ..model.encoder import PackedEncoder, label_means
from ..model.links import Headed, Heads
from ..model.packed import Labels, Texts, moved
from ..model.pieces import WordPieces
from ..schema import Label, same_label

MAX_OWN = 16  # labels of a text that one example asks: all of a row that was asked a whole set
MAX_ABSENT = 12  # labels that it asks in vain and that the text is known not to have
OTHER_WORDS = 0.8  # of rewordings take other words; the rest are other capitals and the like
N_NEGATIVES = (2, 6, 12, 24)  # sampled labels per example: asked sets of all sizes occur at run time
EXTRA_SHARE = 1.0  # frequent labels drawn per text of a batch, beside the labels of its neighbours
NEAR_QUANTILE = 0.97  # of random label pairs; a pair that is more alike is no safe negative
FREQUENT = 10
MAX_HEADS = 4  # of one text in one step
FOREIGN = 2  # relations of other texts that a head is asked
FOREIGN_WEIGHT = 0.5  # of their tokens in the loss: nobody has looked whether the text answers them


class Batch(NamedTuple):
    """What one training step needs: B texts with W tokens, U labels.

    texts (Texts | Headed), labels (Labels): the packed inputs; with heads, B and W are of the texts of all heads.
    asked (Tensor): bool (B, U). tags (Tensor): 0 = O, 1 = B, 2 = I, int64 (W, U).
    weights (Tensor): 1 where the tag counts in the loss, 0 elsewhere, float32 (W, U).
    rows (Tensor): where the scored tokens stand among all tokens of all texts, int64 (W,).
    """

    texts: Texts | Headed
    labels: Labels
    asked: Tensor
    tags: Tensor
    weights: Tensor
    rows: Tensor

    def to(self, device: torch.device) -> "Batch":
        return moved(self, device)


class LabelSpace:
    """The labels of a corpus: frequencies for sampling, vectors that tell which are too alike.

    items (Sequence[Item]): the training corpus. `counts`: in how many items each frequent label has spans.
    wordings (Mapping): label -> other wordings. reword (float): how often one of them is asked in its place.
    """

    def __init__(self, items: Sequence[Item], wordings: Mapping[str, Sequence[str]] | None = None, reword: float = 0.0):
        self.wordings, self.reword = wordings or {}, reword
        self.group = synonyms(self.wordings)
        counts = Counter(same_label(label) for item in items for label in {s[2] for s in item.spans})
        self.counts = {label: n for label, n in sorted(counts.items()) if n >= FREQUENT}
        self.frequent = list(self.counts)
        self.roots = [n**0.5 for n in self.counts.values()]
        asked = {same_label(question.label) for item in items for question in item.links}
        self.index = {label: i for i, label in enumerate(sorted(counts.keys() | asked))}
        self.vectors: Tensor | None = None
        self.limit = 1.0

    def embed(self, model: PackedEncoder, pieces: WordPieces, *, seed: int = 0) -> None:
        """Give every label the mean of its states in `model`, centred, and set the limit of likeness."""
        model.eval()
        vectors, names = [], list(self.index)
        with torch.no_grad():
            for start in range(0, len(names), 512):
                part = pieces.labels(names[start : start + 512])
                vectors.append(label_means(model, part._replace(ids=part.ids.to(model.bias.device))).cpu())
        vectors = torch.cat(vectors)
        self.vectors = normalize(vectors - vectors.mean(0), dim=-1)
        generator = torch.Generator().manual_seed(seed)
        a, b = torch.randint(len(names), (2, 20_000), generator=generator)
        self.limit = float((self.vectors[a] * self.vectors[b]).sum(-1).quantile(NEAR_QUANTILE))

    def near(self, labels: Sequence[str]) -> Tensor:
        """Which labels are too alike for one to be a safe negative where the other has spans, bool (U, U)."""
        same = torch.eye(len(labels), dtype=torch.bool)
        if self.group:
            groups = torch.tensor([self.group.get(same_label(label), -1 - i) for i, label in enumerate(labels)])
            same |= groups[:, None] == groups[None]
        if self.vectors is None:
            return same
        known = torch.tensor([self.index.get(same_label(label), -1) for label in labels])
        vectors = self.vectors[known.clamp(min=0)] * (known >= 0)[:, None]
        return same | (vectors @ vectors.T > self.limit)

    def worded(self, label: str, rng: random.Random) -> str:
        """The label as it is asked this time: at times in another wording, or in other capitals."""
        if not self.reword or rng.random() >= self.reword:
            return label
        others = self.wordings.get(same_label(label), ())
        if others and rng.random() < OTHER_WORDS:
            return rng.choice(others)
        return rng.choice([label.upper(), label.title(), label.lower(), label.replace(" ", "_")])

    def draw(self, n: int, rng: random.Random) -> list[str]:
        """Frequent labels in proportion to the square root of their frequency."""
        return rng.choices(self.frequent, self.roots, k=n) if self.frequent else []


def open_batch(items: Sequence[Item], pieces: WordPieces, space: LabelSpace, rng: random.Random) -> Batch:
    """A batch that asks free labels: a text's own, its absent ones, and sampled negatives.

    Negatives come from the batch's other texts and from `space`. A sampled negative does not
    count on tokens that the text annotates with a label too like it.
    """
    own = [sample_own(item, rng) for item in items]
    absent = [rng.sample(item.absent, min(len(item.absent), MAX_ABSENT)) for item in items]
    names: dict[str, str] = {}  # normal form -> wording used in this batch
    for label in [label for labels in own + absent for label in labels] + space.draw(
        int(len(items) * EXTRA_SHARE), rng
    ):
        names.setdefault(same_label(label), label)
    column = {key: u for u, key in enumerate(names)}
    near = space.near(list(names.values()))
    asked = torch.zeros((len(items), len(names)), dtype=torch.bool)
    sure = torch.zeros_like(asked)
    for b, (item, labels, none) in enumerate(zip(items, own, absent)):
        annotated = {same_label(label) for label in (*item.unknown, *(label for _, _, label in item.spans))}
        given = [column[same_label(label)] for label in labels + none]
        asked[b, given] = sure[b, given] = True
        pool = [u for key, u in column.items() if key not in annotated and not sure[b, u]]
        asked[b, rng.sample(pool, min(len(pool), rng.choice(N_NEGATIVES)))] = True
    shown = [space.worded(name, rng) for name in names.values()]
    return _batch(items, list(names.values()), pieces, asked, sure, near, shown)


def sample_own(item: Item, rng: random.Random) -> list[str]:
    labels = list(dict.fromkeys(label for _, _, label in item.spans))
    return rng.sample(labels, min(len(labels), MAX_OWN))


def recased(items: Sequence[Item], share: float, rng: random.Random) -> list[Item]:
    """The items, a share of them as people type them: three in four in lower case, the others in capitals."""
    found = []
    for item in items:
        change = (str.upper if rng.random() < 0.25 else str.lower) if rng.random() < share else None
        found.append(item._replace(words=[change(word) for word in item.words]) if change else item)
    return found


def closed_batch(items: Sequence[Item], labels: Sequence[Label], pieces: WordPieces) -> Batch:
    """A batch that asks every label of every text: a closed label set.

    labels (Sequence[Label]): what is asked; names that share a query share their spans, and all wordings of a
        label have them. An item that says what it
        answers (`asked`) is asked nothing else; a query counts as asked where all its names are.
    RAISES (ValueError): an item has a label that is not among `labels`.
    """
    queries_of = {label.name: label.queries for label in labels}
    unknown = {label for item in items for _, _, label in item.spans} - queries_of.keys()
    if unknown:
        raise ValueError(f"The examples have labels that the component lacks: {sorted(unknown)[:5]}.")
    queries = sorted({query for own in queries_of.values() for query in own})
    asked = torch.ones((len(items), len(queries)), dtype=torch.bool)
    for b, item in enumerate(items):
        if item.asked is not None:
            left_out = {query for name in queries_of.keys() - set(item.asked) for query in queries_of[name]}
            asked[b] = torch.tensor([name not in left_out for name in queries])
    items = [
        item._replace(
            spans=[(start, end, query) for start, end, label in item.spans for query in queries_of[label]],
            unsure=[
                (s, e, query)
                for s, e, label in item.unsure
                for query in (queries_of.get(label, (label,)) if label is not None else (None,))
            ],
        )
        for item in items
    ]
    return _batch(items, queries, pieces, asked, asked, torch.eye(len(queries), dtype=torch.bool))


def own_batch(items: Sequence[Item], pieces: WordPieces) -> Batch:
    """A batch that asks every text the labels of its spans and its absent ones, and nothing else."""
    own = [item.answered for item in items]
    labels = sorted({label for labels in own for label in labels})
    asked = torch.tensor([[label in given for label in labels] for given in map(set, own)], dtype=torch.bool)
    return _batch(items, labels, pieces, asked, asked, torch.eye(len(labels), dtype=torch.bool))


def link_batch(
    items: Sequence[Item],
    pieces: WordPieces,
    rng: random.Random | None = None,
    *,
    space: LabelSpace | None = None,
    most: int | None = MAX_HEADS,
    by_token: bool = False,
) -> Batch:
    """A batch that asks about spans of texts what was asked of them.

    space (LabelSpace | None): each head is asked some relations of the batch's other texts too, but for those that may
        be true of it: too like one that it was asked. None: nothing else is asked.
    most (int | None): heads of one text at most, drawn by `rng`; without it the first ones. None: all.
    by_token (bool): each token has one state, which another model makes; else the texts are read by pieces.
    RETURNS (Batch): each head's text is scored; its rows are those of all heads one after the other.
    RAISES (ValueError): no item has a question.
    """
    asked_of_heads = [by_head(item, rng, most) for item in items]
    labels = sorted({label for heads in asked_of_heads for own in heads.values() for label in own})
    if not labels:
        raise ValueError("No text has a question about one of its spans.")
    column = {label: u for u, label in enumerate(labels)}
    near = None if space is None else space.near(labels)
    texts, scored = pieces.texts([item.words for item in items])
    places: list[tuple[int, int, int]] = []  # text, first and end piece
    asked = torch.zeros((sum(map(len, asked_of_heads)), len(labels)), dtype=torch.bool)
    foreign = torch.zeros_like(asked)
    cells: list[tuple[int, int, int]] = []  # row, column, tag
    rows_of_tokens, offset = [], 0
    for b, (item, kept) in enumerate(zip(items, scored)):
        sizes = [1] * len(item.words) if by_token else [len(ids) for ids in pieces(item.words)]
        before = list(accumulate(sizes, initial=0 if by_token else 1))  # states before each token
        row = {i: place for place, i in enumerate(kept)}
        for (start, end), own in asked_of_heads[b].items():
            asked[len(places), [column[label] for label in own]] = True
            if near is not None and rng is not None:
                free = (~near[asked[len(places)]].any(0)).nonzero().flatten().tolist()
                foreign[len(places), rng.sample(free, min(len(free), FOREIGN))] = True
            places.append((b, before[start], before[end]))
            for label, tails in own.items():
                for first, last in tails:
                    inside = [offset + row[i] for i in range(first, last) if i in row]
                    cells += [(i, column[label], 2 if i > inside[0] else 1) for i in inside]
            rows_of_tokens += kept
            offset += len(kept)
    tags = torch.zeros((offset, len(labels)), dtype=torch.int64)
    if cells:
        at, u, tag = torch.tensor(cells).T
        tags[at, u] = tag
    heads = Heads(*torch.tensor(places, dtype=torch.int64).T)
    owner = torch.arange(len(places)).repeat_interleave(texts.words[heads.text])
    weights = asked[owner] + FOREIGN_WEIGHT * foreign[owner]
    if by_token:
        lengths = torch.tensor([len(item.words) for item in items], dtype=torch.int64)
        first = torch.tensor([i for kept in scored for i in kept], dtype=torch.int64)
        headed = Headed(None, None, lengths, first, texts.words, heads)
    else:
        starts = texts.lengths.cumsum(0) - texts.lengths
        first = texts.first - starts.repeat_interleave(texts.words)
        headed = Headed(None, texts, texts.lengths, first, texts.words, heads)
    rows = torch.tensor(rows_of_tokens, dtype=torch.int64)
    shown = labels if space is None or rng is None else [space.worded(label, rng) for label in labels]
    return Batch(headed, pieces.labels(shown), asked | foreign, tags, weights, rows)


def balanced(item: Item, rng: random.Random, share: float = 1.0) -> Item:
    """The item with not too many questions without an answer, drawn anew each time.

    In a few examples of many heads almost everything is unanswered, and the model would learn to say nothing.

    share (float): questions without an answer for each one that has one; at least one stays.
    """
    answered = [question for question in item.links if question.tails]
    others = [question for question in item.links if not question.tails]
    most = max(1, round(share * len(answered)))
    return item._replace(links=answered + rng.sample(others, min(len(others), most)))


def by_head(
    item: Item, rng: random.Random | None = None, most: int | None = None
) -> dict[tuple[int, int], dict[str, tuple[tuple[int, int], ...]]]:
    """Head -> relation -> tails. most (int | None): heads at most, drawn by `rng`; without it the first ones."""
    found: dict[tuple[int, int], dict[str, tuple[tuple[int, int], ...]]] = {}
    for question in item.links:
        found.setdefault((question.start, question.end), {})[question.label] = question.tails
    if most is not None and len(found) > most:
        chosen = list(found)[:most] if rng is None else rng.sample(list(found), most)
        found = {head: found[head] for head in found if head in set(chosen)}
    return found


def _batch(
    items: Sequence[Item],
    labels: list[str],
    pieces: WordPieces,
    asked: Tensor,
    sure: Tensor,
    near: Tensor,
    shown: Sequence[str] | None = None,
) -> Batch:
    """The batch of these questions. shown (Sequence | None): the labels as they are asked; None: as they are."""
    texts, scored = pieces.texts([item.words for item in items])
    column = {label: u for u, label in enumerate(labels)}
    by_key = {same_label(label): u for u, label in reversed(list(enumerate(labels)))}
    tags = torch.zeros((len(texts.first), len(labels)), dtype=torch.int64)
    owner = torch.arange(len(items)).repeat_interleave(texts.words)
    weights = asked[owner].float()
    offset, rows_of_tokens, n_tokens = 0, [], 0
    for b, (item, kept) in enumerate(zip(items, scored)):
        row = {i: offset + place for place, i in enumerate(kept)}
        offset += len(kept)
        rows_of_tokens += [n_tokens + i for i in kept]
        n_tokens += len(item.words)
        for start, end, label in item.spans:
            rows = [row[i] for i in range(start, end) if i in row]
            u = column.get(label, by_key.get(same_label(label)))
            if not rows or u is None:
                continue
            unsure = near[u] & ~sure[b]
            if unsure.any():
                weights[rows[0] : rows[-1] + 1, unsure] = 0.0
            if asked[b, u]:
                tags[rows, u] = 2
                tags[rows[0], u] = 1
        for start, end, label in item.unsure:  # a sure span within stands
            rows = [row[i] for i in range(start, end) if i in row]
            masked = torch.ones(len(labels), dtype=torch.bool)
            if label is not None:
                u = column.get(label, by_key.get(same_label(label)))
                masked = torch.zeros_like(masked) if u is None else near[u] & ~sure[b]
                if u is not None:
                    masked[u] = True
            if rows and masked.any():
                block = weights[rows]
                block[masked.expand_as(block) & (tags[rows] == 0)] = 0.0
                weights[rows] = block
    return Batch(
        texts, pieces.labels(shown or labels), asked, tags, weights, torch.tensor(rows_of_tokens, dtype=torch.int64)
    )
