"""What was asked about the spans of a doc, as a row has it in "links" and a span group in its `attrs`.

Gold groups have `attrs["questions"]`: [start, end, relation, [[start, end], ...]] in characters, tails last; a question
without tails was asked and has no answer. Groups that the component wrote have `attrs["links"]` and
`attrs["asked_links"]`, see `linking.results`.
"""

from typing import TYPE_CHECKING, Any, Iterable

from .rows import Link

if TYPE_CHECKING:
    from spacy.tokens import SpanGroup

QUESTIONS, LINKS, ASKED = "questions", "links", "asked_links"


def as_questions(links: Iterable[Link]) -> list[list[Any]]:
    """The links of a row as a group's `attrs["questions"]`."""
    return [[*link["head"], link["label"], [list(tail) for tail in link["tails"]]] for link in links]


def group_links(group: "SpanGroup") -> list[Link]:
    """What was asked about spans, and its answers, as the links of a row; none where nothing was asked."""
    if QUESTIONS in group.attrs:
        return [
            {"head": [start, end], "label": label, "tails": [list(tail) for tail in tails]}
            for start, end, label, tails in group.attrs[QUESTIONS]
        ]
    found: dict[tuple[int, int, str], Link] = {}
    asked = {tuple(pair) for pair in group.attrs.get(ASKED, [])}
    for span in group:
        for head_label, label in asked:
            if span.label_ == head_label:
                key = (span.start_char, span.end_char, label)
                found.setdefault(key, {"head": [*key[:2]], "label": label, "tails": []})
    for _, start, end, _, label, _, first, last, *_ in group.attrs.get(LINKS, []):
        own = found.setdefault((start, end, label), {"head": [start, end], "label": label, "tails": []})
        if [first, last] not in own["tails"]:
            own["tails"].append([first, last])
    return list(found.values())
