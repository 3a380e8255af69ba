"""The links that annotated texts have, as a schema asks them."""

from collections import Counter
from typing import Any, Iterable

from ..data.rows import Row, labels_at, places
from ..schema import wording

TYPED = 0.9  # of a link's answers are spans of some labels, so that others are none: then only such spans are asked


def links_of_rows(rows: Iterable[Row]) -> dict[str, dict[str, Any]]:
    """Name -> "head", "query" and, where its answers are spans, "tail": what `links` of a schema takes.

    Heads are the labels of the spans where the relation was asked; a relation asked of places that are no spans is left
    out. Its name is its query, in the form that a schema gives it.
    """
    heads: dict[str, Counter] = {}
    tails: dict[str, Counter] = {}
    answers: Counter = Counter()
    for row in rows:
        by_place = labels_at(places(row))
        for link in row.get("links", []):
            name = link["label"]
            heads.setdefault(name, Counter()).update(by_place.get((link["head"][0], link["head"][1]), []))
            for start, end in link["tails"]:
                answers[name] += 1
                tails.setdefault(name, Counter()).update(dict.fromkeys(by_place.get((start, end), []), 1))
    found = {}
    for name, own in heads.items():
        if not own:
            continue
        entry: dict[str, Any] = {"head": sorted(own), "query": wording(name)}
        typed = tails.get(name, Counter())
        if answers[name] and sum(typed.values()) >= TYPED * answers[name]:
            entry["tail"] = sorted(typed)
        found[name] = entry
    return found
