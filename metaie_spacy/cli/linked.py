"""Links between the spans of texts: as rows, and as the edges of a graph of what all texts say."""

import csv
import io
from collections import Counter
from typing import Any, Iterable, Iterator, NamedTuple
from urllib.parse import quote

from spacy.tokens import Doc

from ..data.jsonl import json_text
from ..results import rows as rows_of

EDGES = ("head", "relation", "tail", "count", "score", "texts")
TERMS = {"name": "http://www.w3.org/2000/01/rdf-schema#label", "link": "urn:metaie:link:", "label": "urn:metaie:label:"}
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


def found_in(doc: Doc, key: str) -> Found:
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


def _scores(doc: Doc, groups: set[str]) -> dict[Key, float | None]:
    return {
        (group, row["start"], row["end"], row["label"]): row["score"]
        for group in sorted(groups & set(doc.spans))
        for row in rows_of(doc, group)
    }


class _Edge:
    """A fact in how many places, its best score, and the ids of its texts, in order."""

    def __init__(self) -> None:
        self.count, self.score = 0, 0.0
        self.texts: dict[str, None] = {}


class Graph:
    """What many texts say: each fact once, and mentions of the same words, whatever their case and blanks, as one."""

    def __init__(self) -> None:
        self._names: dict[str, Counter[str]] = {}  # by words in one form: how they are written
        self._labels: dict[str, dict[str, None]] = {}
        self._edges: dict[tuple[str, str, str, bool], _Edge] = {}  # head, name, tail, whether the tail is a mention

    def add(self, id: str, found: Found) -> None:
        """Take in the facts of a text."""
        told: set[tuple[int, int]] = set()  # a mention counts once, of however many facts it is the end
        for head, name, tail, score in found.facts():
            is_mention = not isinstance(tail, str)
            ends = self._mention(head, told), self._mention(tail, told) if is_mention else self._node(tail, 1)
            edge = self._edges.setdefault((ends[0], name, ends[1], is_mention), _Edge())
            edge.count += 1
            edge.score = max(edge.score, score)
            edge.texts[id] = None

    def _mention(self, span: dict, told: set[tuple[int, int]]) -> str:
        place = span["start"], span["end"]
        node = self._node(span["text"], int(place not in told))
        told.add(place)
        labels = self._labels.setdefault(node, {})
        if not span.get("answer"):  # its label is the link's
            labels[span["label"]] = None
        return node

    def _node(self, text: str, count: int) -> str:
        words = " ".join(text.split())
        node = words.casefold()
        self._names.setdefault(node, Counter())[words] += count
        return node

    def _name(self, node: str) -> str:
        """How its words are written most often."""
        return self._names[node].most_common(1)[0][0]

    def csv(self) -> Iterator[str]:
        """Lines of CSV, the most frequent fact first; several ids of texts are separated by ";"."""
        yield csv_line(EDGES)
        ordered = sorted(self._edges.items(), key=lambda item: (-item[1].count, -item[1].score, item[0]))
        for (head, name, tail, _), edge in ordered:
            texts = csv_line(edge.texts, ";")
            yield csv_line((self._name(head), name, self._name(tail), edge.count, edge.score, texts))

    def jsonld(self) -> str:
        """A document of JSON-LD: a node for each mention, with its labels as types and its facts as properties."""
        ids = {node: f"_:n{number}" for number, node in enumerate(self._labels)}
        nodes: dict[str, dict[str, Any]] = {
            node: {"@id": ids[node], "name": self._name(node)}
            | ({"@type": [_term("label", label) for label in labels]} if labels else {})
            for node, labels in self._labels.items()
        }
        for head, name, tail, is_mention in self._edges:
            value = {"@id": ids[tail]} if is_mention else self._name(tail)
            nodes[head].setdefault(_term("link", name), []).append(value)
        return json_text({"@context": TERMS, "@graph": list(nodes.values())})


def _term(kind: str, name: str) -> str:
    """A name as part of an IRI."""
    return f"{kind}:{quote(name, safe='')}"


def csv_line(values: Iterable[Any], delimiter: str = ",") -> str:
    """Values as a line of CSV, without its end."""
    held = io.StringIO()
    csv.writer(held, lineterminator="", delimiter=delimiter).writerow(values)
    return held.getvalue()
