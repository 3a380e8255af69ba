"""Rows of the corpus in the forms that other extractors are trained on."""

import random
import re
from collections import Counter
from typing import Iterator, Sequence

from metaie_spacy.data.rows import asked_of

WORD = re.compile(r"\w+(?:[-_]\w+)*|\S")  # how gliner cuts a text into words, when it is asked
LAPS = 4  # times that each row comes, with other negatives
LEAST_NEGATIVES = 4


class Negatives:
    """Labels of other texts, drawn in proportion to the square root of their frequency, as distill draws them."""

    def __init__(self, rows: Sequence[dict], seed: int):
        counts = Counter(label for row in rows for label in asked_of(row))
        self.labels, self.rng = sorted(counts), random.Random(seed)
        self.weights = [counts[label] ** 0.5 for label in self.labels]

    def beside(self, row: dict) -> list[str]:
        """As many as the row has labels of its own."""
        own = set(asked_of(row))
        drawn = self.rng.choices(self.labels, self.weights, k=max(LEAST_NEGATIVES, len(own)))
        return [label for label in dict.fromkeys(drawn) if label not in own]


def spans_of(row: dict) -> list[tuple[int, int, str]]:
    """The spans whose labels the row answers completely."""
    asked = set(asked_of(row))
    return [(span["start"], span["end"], span["label"]) for span in row["spans"] if span["label"] in asked]


def negatives_of(row: dict, drawn: Sequence[str]) -> list[str]:
    """The labels that the row was asked in vain, and those drawn."""
    found = {label for _, _, label in spans_of(row)}
    return [label for label in dict.fromkeys([*asked_of(row), *drawn]) if label not in found]


def gliner_row(row: dict, drawn: Sequence[str]) -> dict:
    """`{"tokenized_text", "ner": [[first, last, label]], "ner_negatives"}`, without spans that cut a word."""
    words = [match.span() for match in WORD.finditer(row["text"])]
    first, last = {start: i for i, (start, _) in enumerate(words)}, {end: i for i, (_, end) in enumerate(words)}
    found = [[first[s], last[e], label] for s, e, label in spans_of(row) if s in first and e in last]
    kept = [row["text"][start:end] for start, end in words]
    return {"tokenized_text": kept, "ner": found, "ner_negatives": negatives_of(row, drawn)}


def gliner2_row(row: dict, drawn: Sequence[str]) -> dict:
    """`{"input", "output": {"entities": {label: [words]}}}`; labels without an answer have none."""
    entities: dict[str, list[str]] = {}
    for start, end, label in spans_of(row):
        words = row["text"][start:end]
        if words not in entities.setdefault(label, []):
            entities[label].append(words)
    return {"input": row["text"], "output": {"entities": entities | {label: [] for label in negatives_of(row, drawn)}}}


def laps(rows: Sequence[dict], form, seed: int) -> Iterator[dict]:
    """All rows in a form, `LAPS` times."""
    negatives = Negatives(rows, seed)
    for _ in range(LAPS):
        for row in rows:
            yield form(row, negatives.beside(row))


def largest_set(rows: Sequence[dict]) -> tuple[str, list[dict]]:
    """The label set that most rows were asked, and these rows."""
    counts = Counter(row["set"] for row in rows if row.get("kind") == "schema" and "job" not in row)
    name = max(sorted(counts), key=counts.__getitem__)
    return name, [row for row in rows if row.get("kind") == "schema" and row["set"] == name]
