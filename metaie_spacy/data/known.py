"""What an annotation says of a text and what it leaves open: what is unknown is never negative."""

from bisect import bisect_left, bisect_right
from typing import Collection, Iterable, Sequence

from .rows import Place, Row, Unsure, asked_of, places

Spot = tuple[int, int, str | None]  # start, end (exclusive), label; None: all labels


class Known:
    """The gold spans of a text, and of what else the annotation says that it is not there.

    spans (Iterable[Place]): the gold spans. asked (Collection[str] | None): labels that are annotated completely;
        None: all. unsure (Sequence[Spot]): places of which nothing is known.
    """

    def __init__(self, spans: Iterable[Place], asked: Collection[str] | None = None, unsure: Sequence[Spot] = ()):
        self.asked = None if asked is None else frozenset(asked)
        self.spans = {spot for spot in spans if self.asked is None or spot[2] in self.asked}
        self._open = stretches_by_label(unsure)

    def decides(self, spot: Place) -> bool:
        """Whether a span can be called right or wrong."""
        if spot in self.spans:
            return True
        if self.asked is not None and spot[2] not in self.asked:
            return False
        return not any(self._open[label].meet(spot[0], spot[1]) for label in (spot[2], None) if label in self._open)

    def counted(self, found: Iterable[Place]) -> set[Place]:
        """The found spans that can be called right or wrong."""
        return {spot for spot in found if self.decides(spot)}


def common_labels(parts: Sequence[Known]) -> set[str]:
    """The labels that all of several annotations of one text were asked by name."""
    return set.intersection(*(set(part.asked or ()) for part in parts))


def common_spans(parts: Sequence[Known]) -> list[set[Place]]:
    """The spans of each of several annotations of one text, of their common labels, at places that none leaves open."""
    labels = common_labels(parts)
    return [
        {spot for spot in part.spans if spot[2] in labels and all(other.decides(spot) for other in parts)}
        for part in parts
    ]


class Stretches:
    """Places, those that touch or overlap made one."""

    def __init__(self, found: Iterable[tuple[int, int]]):
        self.starts: list[int] = []
        self.ends: list[int] = []
        for start, end in sorted(found):
            if self.ends and start <= self.ends[-1]:
                self.ends[-1] = max(self.ends[-1], end)
            else:
                self.starts.append(start)
                self.ends.append(end)

    def meet(self, start: int, end: int) -> bool:
        """Whether one of them overlaps this place."""
        return bisect_right(self.ends, start) < bisect_left(self.starts, end)

    def cover(self, start: int, end: int) -> bool:
        """Whether one of them holds this place as a whole."""
        at = bisect_right(self.starts, start) - 1
        return at >= 0 and end <= self.ends[at]

    def gaps(self, size: int) -> list[tuple[int, int]]:
        """What lies between them in a text of this size."""
        bounds = zip([0, *self.ends], [*self.starts, size])
        return [(start, end) for start, end in bounds if start < end]


def stretches_by_label(spots: Iterable[Spot]) -> dict[str | None, Stretches]:
    """Label -> the places that are given for it."""
    by_label: dict[str | None, list[tuple[int, int]]] = {}
    for start, end, label in spots:
        by_label.setdefault(label, []).append((start, end))
    return {label: Stretches(found) for label, found in by_label.items()}


def as_unsure(spots: Iterable[Spot]) -> list[Unsure]:
    """Places as a row's "unsure" has them."""
    return [{"start": s, "end": e} | ({"label": label} if label else {}) for s, e, label in spots]


def as_attr(spots: Iterable[Spot]) -> list[list]:
    """Places as a span group's `attrs["unsure"]` has them."""
    return [[start, end, label or ""] for start, end, label in spots]


def unsure_of(row: Row) -> list[Spot]:
    """The places of a row of which nothing is known."""
    return [(spot["start"], spot["end"], spot.get("label")) for spot in row.get("unsure", [])]


def known_of(row: Row, closed: Collection[str] | None = None) -> Known:
    """What a row says of its text, in characters.

    closed (Collection[str] | None): a set of labels that is asked of every text; a row that does not say what was
        asked answers all of it. None: each row answers its own labels.
    """
    if closed is None:
        asked: Collection[str] = asked_of(row)
    else:
        asked = set(asked_of(row)) & set(closed) if "asked" in row else closed
    return Known(places(row), asked, unsure_of(row))
