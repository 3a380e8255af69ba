"""Exact-match scores of links, triplets and events, and of the choice between heads."""

from typing import Iterable, Mapping, NamedTuple, Sequence

import numpy as np

from ..data.known_links import Ends, KnownLinks, Link
from ..data.rows import Place
from .scores import scores_of


def link_scores(gold: Sequence[set[Link]], found: Sequence[set[Link]]) -> dict:
    """`scores_of` of links: head, tail and label must be the gold ones.

    gold, found (Sequence[set[Link]]): a set a text. A link is (head, tail, label). Of an event the head is (start, end,
        type of the trigger) and the label a role; of a triplet it is (aspect, opinion, sentiment).
    RETURNS (dict): as `scores_of`, with the number of gold links as `links` in place of `spans`.
    """
    return _named(scores_of(gold, found))


def _named(scores: dict) -> dict:
    """The same figures, with the number of gold links under `links`."""
    own = {("links" if key == "spans" else key): value for key, value in scores.items()}
    if "per_label" in own:
        own["per_label"] = {label: _named(row) for label, row in own["per_label"].items()}
    return own


def triplets_of(pairs: Iterable[Link], signs: Mapping[tuple, str]) -> set[Link]:
    """Pairs of an aspect and an opinion with the aspect's sentiment; those without one are left out.

    signs (Mapping): aspect -> sentiment.
    """
    return {(aspect, opinion, signs[aspect]) for aspect, opinion, _ in pairs if aspect in signs}


def events_of(links: Iterable[Link], triggers: Iterable[Place]) -> set[Link]:
    """Links with the type of their trigger in the head, once for every type that its place has.

    triggers (Iterable[Place]): start, end and type.
    """
    types: dict[Ends, list[str]] = {}
    for start, end, label in triggers:
        types.setdefault((start, end), []).append(label)
    return {((*head[:2], kind), tail, role) for head, tail, role in links for kind in types.get(head[:2], ())}


class Choice(NamedTuple):
    """One gold tail, and how far each head of the relation that was asked is from or near to it.

    right (int): number of the right head. supports (Sequence[float]): mean P(B or I) on the tail, one a head.
    """

    right: int
    supports: Sequence[float]


def choices_of(known: KnownLinks) -> list[tuple[str, Ends, list[Ends], int]]:
    """Where a head has to be chosen: label, tail, the heads that were asked, the number of the right one.

    Cases are gold tails with at least two heads of which exactly one is right. A head that overlaps the tail is none.
    """
    heads: dict[str, set[tuple]] = {}
    for head, label in known.asked or {(head, label) for head, _, label in known.links}:
        heads.setdefault(label, set()).add(head)
    found = []
    for tail, label in sorted({(tail, label) for _, tail, label in known.links}):
        candidates = sorted(h for h in heads[label] if h[1] <= tail[0] or tail[1] <= h[0])
        right = [i for i, head in enumerate(candidates) if (head, tail, label) in known.links]
        if len(candidates) > 1 and len(right) == 1:
            found.append((label, tail, candidates, right[0]))
    return found


def head_choice(choices: Iterable[Choice]) -> dict:
    """How often the right head's support is strictly above every other head's.

    RETURNS (dict): `cases`, `right` (their number), `share` (0 to 1), and `chance`, the mean of 1 / heads.
    """
    cases, right, chance = 0, 0, 0.0
    for number, supports in choices:
        others = [support for i, support in enumerate(supports) if i != number]
        cases += 1
        right += supports[number] > max(others)
        chance += 1 / len(supports)
    return {"cases": cases, "right": right, "share": right / max(1, cases), "chance": chance / max(1, cases)}


def support(logits: np.ndarray) -> float:
    """Mean P(B or I) over tokens, from logits of B and I against O = 0, float (W, 2)."""
    values = np.asarray(logits, dtype="float64")
    if not len(values):
        return 0.0
    peak = np.maximum(values.max(-1), 0)
    mass = np.exp(values - peak[:, None]).sum(-1)
    return float((mass / (np.exp(-peak) + mass)).mean())
