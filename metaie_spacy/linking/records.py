"""Links and attributes of a doc, grouped around their heads."""

from typing import TYPE_CHECKING, Any, Iterable

from ..results import KEY, rows
from .results import entries

if TYPE_CHECKING:
    from spacy.tokens import Doc

Place = tuple[int, int]  # start, end (exclusive), in characters


def records(doc: "Doc", key: str = KEY) -> list[dict[str, Any]]:
    """A dict for each span of an anchor's label, with what was found about it.

    Anchors and their fields are those of the schema's "records"; without any, each label that links or attributes
    were asked of is an anchor, with all of them.

    RETURNS (list): in the text's order, in plain types: "record" (its name), "text", "start" and "end" (characters,
        end exclusive), "label", "score", and "fields": of an attribute its option, of a link a list of its tails, each
        such a dict without "record", and with "fields" where links start at it. A list is empty, and an option None,
        where nothing was found.
    RAISES (ValueError): the doc has no such group.
    """
    asked: dict[str, dict[str, None]] = {}
    for head, name in entries(doc, key, "asked_links"):
        asked.setdefault(head, {})[name] = None
    if not asked:
        return []
    facts = _Facts(doc, key, asked)
    found, spans = [], rows(doc, key)
    kinds = entries(doc, key, "records") or [[label, label, facts.reached(label)] for label in asked]
    for number, (name, anchor, fields) in enumerate(kinds):
        for span in spans:
            if span["label"] == anchor:
                found.append((span["start"], span["end"], number, {"record": name} | facts.about(span, anchor, fields)))
    return [record for *_, record in sorted(found, key=lambda one: one[:3])]


class _Facts:
    """What was found about each place of a doc."""

    def __init__(self, doc: "Doc", key: str, asked: dict[str, dict[str, None]]):
        self.asked = asked
        self.tails: dict[tuple[Place, str], list[dict[str, Any]]] = {}
        self.options: dict[tuple[Place, str], str] = {}
        self.attributes = {*doc.spans[key].attrs.get("asked_attributes", ())}
        for _, start, end, _, name, option, _ in entries(doc, key, "attributes"):
            self.options[(start, end), name] = option
        for _, start, end, _, name, _, first, last, label, score in entries(doc, key, "links"):
            tail = {"text": doc.text[first:last], "start": first, "end": last, "label": label}
            self.tails.setdefault(((start, end), name), []).append(tail | {"score": round(score, 4)})

    def reached(self, label: str) -> list[str]:
        """All that is asked of a label, and of the answers to that."""
        found, waiting = {}, [label]
        while waiting:
            new = [name for name in self.asked.get(waiting.pop(), {}) if name not in found]
            found |= dict.fromkeys(new)
            waiting += new
        return [*found]

    def about(self, span: dict[str, Any], head: str, fields: Iterable[str]) -> dict[str, Any]:
        """A span with those of the fields that are asked of it as `head`, a label or a link that it answers."""
        place, found = (span["start"], span["end"]), {}
        for name in fields:
            if name in self.asked.get(head, {}):
                found[name] = self._value(place, name, fields)
        return span | ({"fields": found} if found else {})

    def _value(self, place: Place, name: str, fields: Iterable[str]) -> Any:
        if name in self.attributes:
            return self.options.get((place, name))
        return [self.about(tail, name, fields) for tail in self.tails.get((place, name), [])]
