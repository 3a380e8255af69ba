"""What was found in one text, as rows: its spans, and links and attributes that refer to them by number."""

from typing import TYPE_CHECKING, Any, Iterable, Iterator, NamedTuple

from ..results import rows as rows_of

if TYPE_CHECKING:
    from spacy.tokens import Doc

Key = tuple[str, int, int, str]  # group, first and end character, label


class Found(NamedTuple):
    """What was found in one text.

    spans (list[dict]): as `metaie_spacy.rows` has them, with "attributes", name -> "option" and "score", where some
        were chosen; after them the answers to links that are no such span, with "answer": true.
    links (list[dict] | None): "head", "label", "tail", "score"; head and tail are numbers of spans. None: none were
        asked. asked (frozenset): which links and attributes were asked of a label, or of the answers to another link.
    records (list): name, anchor and fields of each kind of record.
    """

    spans: list[dict[str, Any]]
    links: list[dict[str, Any]] | None
    asked: frozenset[tuple[str, str]]
    records: list[tuple[str, str, list[str]]]

    @property
    def entities(self) -> list[dict[str, Any]]:
        """The spans without the answers to links beside them."""
        return [span for span in self.spans if not span.get("answer")]

    def facts(self) -> Iterator[tuple[dict, str, dict | str, float]]:
        """The head, the name of the link or attribute, the tail or the option, and the score of each."""
        for link in self.links or ():
            yield self.spans[link["head"]], link["label"], self.spans[link["tail"]], link["score"]
        for span in self.spans:
            for name, chosen in span.get("attributes", {}).items():
                yield span, name, chosen["option"], chosen["score"]


def found_in(doc: "Doc", key: str) -> Found:
    """The spans of a group and what was found of them.

    RAISES (ValueError): the doc has no such group.
    """
    spans, attrs = rows_of(doc, key), doc.spans[key].attrs
    links, attributes = attrs.get("links"), attrs.get("attributes")
    if links is None and attributes is None:
        return Found(spans, None, frozenset(), [])
    at: dict[Key, int] = {}
    for number, row in enumerate(spans):
        at.setdefault((key, row["start"], row["end"], row["label"]), number)
    scores = _scores(doc, {entry[i] for entry in links or () for i in (0, 5)} - {key})

    def number_of(*place: Any) -> int:
        if place not in at:
            _, start, end, label = place
            row = {"start": start, "end": end, "text": doc.text[start:end], "label": label, "score": scores.get(place)}
            at[place] = len(spans)
            spans.append({**row, "answer": True})
        return at[place]

    rows = [
        {
            "head": number_of(*entry[:4]),
            "label": entry[4],
            "tail": number_of(*entry[5:9]),
            "score": round(float(entry[9]), 4),
        }
        for entry in links or ()
    ]
    for *place, name, option, score in attributes or ():
        chosen = {"option": option, "score": round(float(score), 4)}
        spans[number_of(*place)].setdefault("attributes", {})[name] = chosen
    asked = frozenset((head, name) for head, name in attrs.get("asked_links") or ())
    return Found(spans, rows, asked, [tuple(record) for record in attrs.get("records") or ()])


def asked_in(doc: "Doc", key: str, names: Iterable[str]) -> list[str] | None:
    """The labels that were asked of a text, if others that stand below labels were not.

    names (Iterable[str]): of all labels that what is asked has. RETURNS (list[str] | None): None: all were asked, or
        the group does not say.
    """
    asked = doc.spans[key].attrs.get("asked")
    return None if asked is None or set(names) <= set(asked) else list(asked)


def _scores(doc: "Doc", groups: set[str]) -> dict[Key, float | None]:
    return {
        (group, row["start"], row["end"], row["label"]): row["score"]
        for group in sorted(groups & set(doc.spans))
        for row in rows_of(doc, group)
    }
