"""Logits to answers, as one text's settings say."""

from typing import Callable, Sequence

import numpy as np

from .schema import Label
from .spans import Answer, Logits, decode


class Decoder:
    """Reads answers off logits. What it has to know of labels is worked out once, however many texts share them.

    threshold (float): of labels without one of their own, in [0, 1]. tag_threshold (float): at which tokens are tagged,
    where a label's own threshold is not lower. generality (Callable | None): labels -> by how much each gives way to
    others where spans overlap, in log-odds; None: answers rank by their scores.
    """

    def __init__(
        self,
        threshold: float,
        tag_threshold: float,
        generality: Callable[[Sequence[Label]], np.ndarray] | None = None,
    ):
        self.threshold, self.tag_threshold, self.generality = threshold, tag_threshold, generality
        self._known: dict[int, tuple] = {}  # by identity; the list is kept, so that no other has it

    def __call__(self, logits: Logits, dropped: list[Answer] | None = None) -> list[Answer]:
        """dropped (list | None): takes the spans below their threshold."""
        names, tags, least, gives_way = self.settings(logits.labels)
        return decode(logits.values, names, tags, logits.tokens, least=least, generality=gives_way, dropped=dropped)

    def settings(self, labels: Sequence[Label]) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray | None]:
        """Names, thresholds of tags, thresholds of spans and what labels concede, of U labels: (U,) each."""
        if id(labels) not in self._known:
            least = np.array([self.threshold if label.threshold is None else label.threshold for label in labels])
            tags = np.minimum(least, self.tag_threshold)
            gives_way = None if self.generality is None else self.generality(labels)
            self._known[id(labels)] = ([label.name for label in labels], tags, least, gives_way, labels)
        return self._known[id(labels)][:4]


def decoders_of(
    settings: Sequence[tuple[float, int | None]],
    tag_threshold: float,
    generality: Callable[[Sequence[Label], int], np.ndarray],
) -> list[Decoder]:
    """What reads the answers of each text; texts with the same settings share one.

    settings (Sequence): threshold, and how many labels are asked in all where answers are ranked, else None.
    generality (Callable): labels and that number -> what they concede, see `Decoder`.
    """

    def made(threshold: float, n_asked: int | None) -> Decoder:
        rank = None if n_asked is None else lambda labels: generality(labels, n_asked)
        return Decoder(threshold, tag_threshold, rank)

    shared = {one: made(*one) for one in dict.fromkeys(settings)}
    return [shared[one] for one in settings]
