"""What an annotation says of links and what it leaves open: what is unknown is never negative."""

from typing import TYPE_CHECKING, Collection, Iterable, Mapping

from .items import group_asked, group_unsure
from .known import Known, Stretches, known_of, unsure_of
from .questions import group_links
from .rows import Link as RowLink
from .rows import Place, Row, labels_at, places

if TYPE_CHECKING:
    from spacy.tokens import SpanGroup

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

    def counted(self, found: Iterable[Link], head_labels: Mapping[Link, str] | None = None) -> set[Link]:
        """The found links that can be called right or wrong. head_labels (Mapping): link -> label of its head."""
        return {link for link in found if self.decides(link, (head_labels or {}).get(link))}


def known_links(row: Row) -> KnownLinks:
    """What a row says of links; heads and relations that it does not list were not asked."""
    open_ = [(start, end) for start, end, _ in unsure_of(row)]
    return _known_links(row.get("links", []), places(row), open_, known_of(row))


def group_known_links(group: "SpanGroup") -> KnownLinks:
    """What a group of gold spans says of links."""
    gold = [(span.start_char, span.end_char, span.label_) for span in group]
    asked, unsure = group_asked(group), group_unsure(group)
    # A group that does not say what was asked is one of a closed set: all of its labels were.
    spans = Known(gold, asked, unsure)
    return _known_links(group_links(group), gold, [(start, end) for start, end, _ in unsure], spans)


def _known_links(links: Iterable[RowLink], spans: Iterable[Place], unsure: Iterable[Ends], known: Known) -> KnownLinks:
    found, asked = set(), set()
    by_place = labels_at(spans)
    head_labels: dict[str, set[str]] = {}
    for link in links:
        head, label = (link["head"][0], link["head"][1]), link["label"]
        asked.add((head, label))
        found |= {(head, (start, end), label) for start, end in link["tails"]}
        head_labels.setdefault(label, set()).update(by_place.get(head, ()))
    return KnownLinks(found, asked, unsure, known, head_labels)
