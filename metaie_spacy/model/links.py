"""The head pass: what a text says ABOUT one of its spans (torch and transformers only).

A question that names its head ("employer of Maria Lopez") is answered with the neighbour's employer as often as with
hers. So the head is told by its place: to a text's states after some layer an embedding of every piece's signed
distance to the head is added, further layers run again, and the tokens of that pass are matched with the vector of the
relation's label, as with any label. The text is read once, every relation of a head shares its pass, and heads are
batched over texts.
"""

import copy
from typing import Hashable, NamedTuple, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

from .packed import Picked, Texts, TokenVectors, Unfolded

# The last distance, in pieces, of each bucket to one side of the head; 0 is inside, the last bucket has no end.
REACH = (1, 2, 3, 5, 8, 12, 18, 27, 45)
N_BUCKETS = 2 * (len(REACH) + 1) + 1
KEPT = 2**16  # pieces whose states are kept for the heads of a batch: 100 MB of 384 numbers each
DISTANCE_STD = 0.25  # of fresh embeddings: fainter ones are not heard


class Heads(NamedTuple):
    """H heads in packed texts.

    text (Tensor): the text of each, int64 (H,). start, end (Tensor): its pieces, counted from the text's first one;
    end exclusive, int64 (H,).
    """

    text: Tensor
    start: Tensor
    end: Tensor


class Headed(NamedTuple):
    """Packed sequences with heads, and the tokens that are scored.

    states (Tensor | None): of the sequences, float (N, width); None: `texts` are to be read first.
    texts (Texts | TokenVectors | None): what `states` are made of.
    lengths (Tensor): states of each of B sequences, int64 (B,). first (Tensor): places of the scored tokens among the
    states of their own sequence, int64 (W,). words (Tensor): scored tokens of each sequence, int64 (B,).
    """

    states: Tensor | None
    texts: Texts | TokenVectors | None
    lengths: Tensor
    first: Tensor
    words: Tensor
    heads: Heads


class Kept:
    """States that the head pass starts from, of what was read already: only so many that memory stays small.

    Those of a whole text go by its number, those of a part by its number, first and end word.
    """

    def __init__(self):
        self.states: dict[Hashable, torch.Tensor] = {}
        self.size = 0

    def add(self, place: Hashable, states: torch.Tensor) -> None:
        """Keep the states of a text or part, (N, width), if there is room."""
        if self.size + len(states) <= KEPT and place not in self.states:
            self.states[place] = states
            self.size += len(states)

    def see(self, text: int, start: int, states: torch.Tensor, *, is_whole: bool) -> None:
        """Take the states of a window, (N, width). start (int): its first word. is_whole (bool): there is no other."""
        if is_whole:
            self.add(text, states)

    def of(self, texts: Sequence[int]) -> "Kept":
        """Those of some whole texts, which are numbered in this order."""
        part = Kept()
        for number, text in enumerate(texts):
            if text in self.states:
                part.add(number, self.states[text])
        return part


class Means(Kept):
    """Also the mean of the states of every text, over all its windows; a piece that two of them share counts twice.

    keeps (bool): whether the states themselves are kept, as `Kept` does.
    """

    def __init__(self, keeps: bool):
        super().__init__()
        self.keeps = keeps
        self._sums: dict[int, tuple[torch.Tensor, int]] = {}
        self._seen: set[tuple[int, int]] = set()  # a window comes once per chunk of its labels

    def see(self, text: int, start: int, states: torch.Tensor, *, is_whole: bool) -> None:
        if (text, start) not in self._seen:
            self._seen.add((text, start))
            total, n = self._sums.get(text, (0.0, 0))
            self._sums[text] = total + states.sum(0, dtype=torch.float32), n + len(states)
        if self.keeps:
            super().see(text, start, states, is_whole=is_whole)

    def means(self) -> dict[int, np.ndarray]:
        """Text -> float32 (width,); none of texts of which nothing was read."""
        if not self._sums:
            return {}
        means = torch.stack([total / n for total, n in self._sums.values()]).cpu().numpy()
        return dict(zip(self._sums, means))


class HeadPass(nn.Module):
    """Layers that read a text from the point of view of one of its spans.

    config (PretrainedConfig): the encoder's; `config.metaie["link_layer"]` is K, the layer whose states are taken.
    layers (ModuleList): the encoder's, of which those above K are copied to start from. token_head (Module), bias
    (Parameter): of the labels' head, likewise. width (int | None): of the states, where another model makes them.
    """

    def __init__(
        self, config: PretrainedConfig, layers: nn.ModuleList, token_head: nn.Module, bias: Tensor, width: int | None
    ):
        super().__init__()
        self.layers = copy.deepcopy(layers[config.metaie["link_layer"] :])
        self.project = nn.Linear(width, config.hidden_size) if width else None
        self.distance = nn.Embedding(N_BUCKETS, config.hidden_size)
        nn.init.normal_(self.distance.weight, std=DISTANCE_STD)
        self.token_head = copy.deepcopy(token_head)
        vectors = 2 * config.metaie["head_width"]
        self.relation = nn.Linear(vectors, vectors)  # added to a label's vector: what it means of a head
        nn.init.zeros_(self.relation.weight)
        nn.init.zeros_(self.relation.bias)
        self.bias = nn.Parameter(bias.detach().clone())
        self.requires_grad_(True)  # copies of frozen weights are frozen

    def place(self, headed: Headed) -> tuple[Tensor, Unfolded, Picked]:
        """The sequence of every head: its states, how they lie, and its scored tokens.

        RETURNS (tuple): (N', hidden); rows of H sequences; W' places.
        """
        heads = headed.heads
        rows = Unfolded(headed.lengths[heads.text])
        starts = headed.lengths.cumsum(0) - headed.lengths
        owner = torch.arange(len(heads.text), device=rows.lengths.device).repeat_interleave(rows.lengths)
        states = headed.states if self.project is None else self.project(headed.states)
        at = distance_buckets(rows.positions, heads.start[owner], heads.end[owner])
        x = states[starts[heads.text][owner] + rows.positions] + self.distance(at)
        words = Unfolded(headed.words[heads.text])
        of = torch.arange(len(heads.text), device=rows.lengths.device).repeat_interleave(words.lengths)
        first = headed.words.cumsum(0) - headed.words
        return x, rows, Picked(rows.starts[of] + headed.first[first[heads.text][of] + words.positions], words)

    def vectors(self, labels: Tensor) -> Tensor:
        """What relations are matched by, from the vectors of their labels, (U, 2, width)."""
        flat = labels.flatten(1)
        return (flat + self.relation(flat)).view_as(labels)


def distance_buckets(positions: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """The bucket of each piece's signed distance to its head, 0 to N_BUCKETS - 1; the middle one is inside.

    positions, start, end (Tensor): int64 (N,); end exclusive.
    """
    before, behind = (start - positions).clamp(min=0), (positions - end + 1).clamp(min=0)
    limits = torch.tensor(REACH, device=positions.device)
    bucket = torch.bucketize(torch.maximum(before, behind), limits) + 1
    bucket = torch.where(torch.maximum(before, behind) == 0, 0, bucket)
    return N_BUCKETS // 2 + torch.where(before > 0, -bucket, bucket)
