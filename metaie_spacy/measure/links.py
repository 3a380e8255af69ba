"""Exact-match scores of links, triplets and events, and of the choice between heads."""

from typing import Collection, Iterable, Mapping, NamedTuple, Sequence

import numpy as np

from ..data.known import Known, Stretches, known_of, unsure_of
from ..data.rows import Place, Row
from .scores import scores_of

Ends = tuple[int, int]  # start, end (exclusive), in characters
Link = tuple[tuple, tuple, str]  # head, tail, label; a head is its ends, or its ends and its type


class KnownLinks:
    """The gold links of a text, and of what else the annotation says that it is not there.

    links (Iterable[Link]): head, tail and label. asked (Collection[tuple] | None): (head, label) that were asked of
        heads; None: all of all. unsure (Iterable[Ends]): places of which nothing is known. spans (Known | None): what
        is known of the heads: from a span that is known to be no head of a label, no link of a relation that was asked
        of such heads is right. head_labels (Mapping): relation -> labels of the heads that were asked.
    """

    def __init__(
        self,
        links: Iterable[Link],
        asked: Collection[tuple] | None = None,
        unsure: Iterable[Ends] = (),
        spans: Known | None = None,
        head_labels: Mapping[str, Collection[str]] | None = None,
    ):
        self.asked = None if asked is None else frozenset(asked)
        self.links = {link for link in links if self.asked is None or (link[0], link[2]) in self.asked}
        self._open = Stretches(unsure)
        self._spans, self._head_labels = spans, head_labels or {}

    def decides(self, link: Link, head_label: str | None = None) -> bool:
        """Whether a link can be called right or wrong. head_label (str | None): of the found head, where it has one."""
        head, tail, label = link
        if link in self.links:
            return True
        if self._open.meet(*tail[:2]) or self._open.meet(*head[:2]):
            return False
        return self.asked is None or (head, label) in self.asked or self._is_no_head(head, label, head_label)

    def _is_no_head(self, head: tuple, label: str, head_label: str | None) -> bool:
        """Whether it is known that a found head is none, and the relation was asked of those that are some."""
        if self._spans is None or head_label is None or head_label not in self._head_labels.get(label, ()):
            return False
        spot = head[0], head[1], head_label
        return spot not in self._spans.spans and self._spans.decides(spot)

    def counted(self, found: Iterable[Link], head_labels: Mapping[tuple, str] | None = None) -> set[Link]:
        """The found links that can be called right or wrong. head_labels (Mapping | None): head -> its label."""
        return {link for link in found if self.decides(link, (head_labels or {}).get(link[0]))}


def known_links(row: Row) -> KnownLinks:
    """What a row says of links; heads and relations that it does not list were not asked."""
    links, asked = set(), set()
    labels_at: dict[Ends, set[str]] = {}
    for span in row["spans"]:
        labels_at.setdefault((span["start"], span["end"]), set()).add(span["label"])
    head_labels: dict[str, set[str]] = {}
    for link in row.get("links", []):
        head, label = (link["head"][0], link["head"][1]), link["label"]
        asked.add((head, label))
        links |= {(head, (start, end), label) for start, end in link["tails"]}
        head_labels.setdefault(label, set()).update(labels_at.get(head, ()))
    places = [(start, end) for start, end, _ in unsure_of(row)]
    return KnownLinks(links, asked, places, known_of(row), head_labels)


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
