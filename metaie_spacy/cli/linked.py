"""Links between the spans of texts as the edges of a graph of what all texts say."""

import csv
import io
from collections import Counter
from typing import Any, Iterable, Iterator
from urllib.parse import quote

from ..data.jsonl import json_text
from ..linking.found import Found

EDGES = ("head", "relation", "tail", "count", "score", "texts")
TERMS = {"name": "http://www.w3.org/2000/01/rdf-schema#label", "link": "urn:metaie:link:", "label": "urn:metaie:label:"}


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
