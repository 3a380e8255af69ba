"""Links and attributes on a doc: writing them, and reading them back."""

from typing import TYPE_CHECKING, Any, NamedTuple

from ..results import KEY
from ..spans import write_group

if TYPE_CHECKING:
    from spacy.tokens import Doc, Span

    from .follow import Followed, Mention

ANSWERS_OF = "answers_of"  # marks a group of ours: the key of the group whose links it answers


class Link(NamedTuple):
    """A fact about a span: the tail is what the label asks of the head.

    score (float): the probability that all of it is right, in [0, 1].
    """

    head: "Span"
    label: str
    tail: "Span"
    score: float


def answers_key(key: str) -> str:
    """Where the answers to links go that are no span of an asked label."""
    return f"{key}_answers"


def links(doc: "Doc", key: str = KEY) -> list[Link]:
    """The links of a group's spans, in the text's order; none where no links were asked.

    Which were asked, of which labels, stands in `doc.spans[key].attrs["asked_links"]`.

    RAISES (ValueError): the doc has no such group.
    """
    found = []
    for _, start, end, label, name, _, tail_start, tail_end, tail_label, score in entries(doc, key, "links"):
        found.append(Link(_span(doc, start, end, label), name, _span(doc, tail_start, tail_end, tail_label), score))
    return found


def entries(doc: "Doc", key: str, attr: str) -> list[list]:
    """What a group notes of its spans, such as "links" and "attributes"; empty where nothing was asked.

    RAISES (ValueError): the doc has no such group.
    """
    if key not in doc.spans:
        raise ValueError(
            f"The doc has no doc.spans['{key}'], only {sorted(doc.spans)}. Give the component's spans_key."
        )
    return doc.spans[key].attrs.get(attr) or []


def all_links(doc: "Doc") -> list[Link]:
    """The links of all groups of a doc. Registered as `doc._.metaie_links`."""
    return [link for key in doc.spans for link in links(doc, key)]


def attributes_of(span: "Span") -> dict[str, str]:
    """The option of each attribute that was asked of a span. Registered as `span._.metaie_attributes`."""
    place = span.start_char, span.end_char, span.label_
    return {
        name: option
        for key in span.doc.spans
        for _, start, end, label, name, option, _ in entries(span.doc, key, "attributes")
        if (start, end, label) == place
    }


def write_links(doc: "Doc", key: str, followed: "Followed | None") -> None:
    """Note links and attributes on `doc.spans[key]`, in plain types, and set `doc.spans[key + "_answers"]`.

    Of the group that `write_group` has just set. followed (Followed | None): None: no links were asked, and answers
    of an earlier call are removed.
    """
    other = answers_key(key)
    if followed is None:
        if other in doc.spans and doc.spans[other].attrs.get(ANSWERS_OF) == key:
            del doc.spans[other]
        return
    write_group(doc, other, followed.answers, followed.free).attrs[ANSWERS_OF] = key
    attrs = doc.spans[key].attrs
    attrs["links"] = [
        [*_entry(doc, key, head), label, *_entry(doc, key, tail), score] for head, label, tail, score in followed.links
    ]
    attrs["asked_links"] = [list(pair) for pair in followed.asked]
    attrs["attributes"] = [[*_entry(doc, key, head), *rest] for head, *rest in followed.attributes]
    attrs["asked_attributes"] = list(followed.asked_attributes)
    attrs["records"] = [[record.name, record.anchor, list(record.fields)] for record in followed.records]


def _entry(doc: "Doc", key: str, mention: "Mention") -> list[Any]:
    span = doc[mention.start : mention.end]
    return [answers_key(key) if mention.is_free else key, span.start_char, span.end_char, mention.label]


def _span(doc: "Doc", start: int, end: int, label: str) -> "Span":
    """By characters, which hold when tokens are merged or split."""
    return doc.char_span(start, end, label=label, alignment_mode="expand")
