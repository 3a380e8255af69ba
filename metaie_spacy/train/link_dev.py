"""How well a model answers questions about spans, on a dev split (torch only)."""

import math
from typing import Iterator, NamedTuple, Sequence

import numpy as np
import torch

from ..data.items import Item, Question
from ..measure.links import Choice, head_choice, support
from ..measure.scores import PRF, exact_matches
from ..model.encoder import PackedEncoder
from ..model.pieces import WordPieces
from ..spans import decode
from .batches import by_head, link_batch

THRESHOLDS = tuple(t / 100 for t in range(30, 95, 5))


class Asked(NamedTuple):
    """One question with what the model says: logits of B and I against O = 0 of its text's scored tokens, (W, 2)."""

    item: Item
    question: Question
    tokens: list[int]
    logits: np.ndarray


def ask_items(
    model: PackedEncoder, pieces: WordPieces, items: Sequence[Item], *, batch_size: int = 8
) -> Iterator[Asked]:
    """What a model with a head pass says to every question of the items."""
    model.eval()
    asking = sorted((item for item in items if item.links), key=lambda item: len(item.words))
    for start in range(0, len(asking), batch_size):
        part = asking[start : start + batch_size]
        batch = link_batch(part, pieces, most=None)
        labels = sorted({question.label for item in part for question in item.links})
        device = model.bias.device
        with torch.no_grad():
            moved = batch.to(device)
            rows = model(moved.texts, moved.labels).float().cpu().numpy()
        offset, words = 0, batch.texts.words.tolist()
        for item, size in zip(part, words):
            for (first, end), own in by_head(item).items():
                tokens = batch.rows[offset : offset + size].tolist()
                for label, tails in own.items():
                    logits = rows[offset : offset + size, labels.index(label)]
                    yield Asked(item, Question(first, end, label, tails), tokens, logits)
                offset += size


def link_scores(asked: Sequence[Asked], thresholds: Sequence[float]) -> dict[float, PRF]:
    """Exact-match scores of free answers at each threshold, gold heads given."""
    gold = [set(one.question.tails) for one in asked]
    counts = {}
    for threshold in thresholds:
        answers = (decode(one.logits[:, None], [""], np.array([threshold]), one.tokens) for one in asked)
        counts[threshold] = exact_matches(gold, [{(answer.start, answer.end) for answer in own} for own in answers])
    return counts


def choices(asked: Sequence[Asked]) -> Iterator[Choice]:
    """Where a head has to be chosen: tails that are right of one head among at least two that were asked."""
    groups: dict[tuple[int, str], list[Asked]] = {}
    for one in asked:
        groups.setdefault((id(one.item), one.question.label), []).append(one)
    for group in groups.values():
        for right, one in enumerate(group) if len(group) > 1 else ():
            for tail in one.question.tails:
                if sum(tail in other.question.tails for other in group) == 1:
                    yield Choice(right, [_support(other, tail) for other in group])


def _support(asked: Asked, tail: tuple[int, int]) -> float:
    return support(asked.logits[[row for row, token in enumerate(asked.tokens) if tail[0] <= token < tail[1]]])


def settle_link_bias(model: PackedEncoder, pieces: WordPieces, items: Sequence[Item]) -> dict:
    """Fold the threshold that is best on dev into the bias of the head pass, so that 0.5 is the right default.

    RETURNS (dict): questions, the threshold, precision, recall and F of the links, and `head_choice`.
    """
    asked = list(ask_items(model, pieces, items))
    if not asked:
        return {"dev_questions": 0}
    scores = link_scores(asked, THRESHOLDS)
    best = max(THRESHOLDS, key=lambda threshold: scores[threshold].fscore)
    with torch.no_grad():
        model.links.bias -= math.log(best / (1 - best))
    after = scores[best]
    return {
        "dev_questions": len(asked),
        "link_threshold": best,
        "dev_links_p": after.precision,
        "dev_links_r": after.recall,
        "dev_links_f": after.fscore,
        "dev_head_choice": head_choice(choices(asked)),
    }
