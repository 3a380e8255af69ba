"""What changes when only the names of people change, only the wording of labels, or only what else is asked."""

import random
from typing import Any, Iterable, Mapping, Sequence

import numpy as np
from spacy.language import Language

from ..curate.names import GENDERS, PERSON, people_of, read_names, swapped
from ..data.documents import document_of
from ..data.rows import Place, Row, asked_of, labels_of
from ..measure.scores import PRF, bootstrap_sums, f_of
from ..schema import same_label
from .answers import Answered, answer, fscore
from .testing import corrected, gap, recall_of

OTHERS = 50  # labels that are asked beside a row's own, to distract


def name_swaps(
    nlp: Language, rows: Sequence[Row], *, labels: Iterable[str] = PERSON, name: str = "metaie", note: str = ""
) -> dict[str, Any]:
    """Recall of names, where the same sentences name people of one origin and gender after the other.

    A row counts if it can be swapped for every origin and gender, so that all cells hold the same sentences. Names are
    put together by chance (`assets/names.json`); nothing is said of real people.
    labels (Iterable[str]): whose spans are names of people.
    RETURNS (dict): "rows", "names" (in each cell), "recall" (of all cells), "own" (of the names as they were),
        "cells": "origin", "gender", "recall", and the gap to the mean of all cells, with intervals, corrected;
        "genders": the gap of female to male names.
    """
    wanted = set(labels)
    cells = [(origin, gender) for origin in read_names() for gender in GENDERS]
    kept: list[tuple[Row, list[Row]]] = []
    for number, row in enumerate(rows):
        if people_of(row, wanted) and _names_of(row, wanted):
            made = [swapped(row, origin, gender, number, wanted) for origin, gender in cells]
            if all(one is not None for one in made):
                kept.append((row, made))
    result: dict[str, Any] = {"rows": len(kept), "names": 0, "cells": []}
    if not kept:
        return result
    own = _recall_counts(answer(nlp, [row for row, _ in kept], name=name, note=note and f"{note}: as they are"), wanted)
    counts = np.array(
        [
            _recall_counts(
                answer(nlp, [made[i] for _, made in kept], name=name, note=note and f"{note}: {o}, {g}"), wanted
            )
            for i, (o, g) in enumerate(cells)
        ]
    )
    whole = counts.sum(0)
    result |= {"names": int(own.sum()), "own": float(recall_of(own.sum(0))), "recall": float(recall_of(whole.sum(0)))}
    result["cells"] = [_cell(counts[i], whole, o, g) for i, (o, g) in enumerate(cells)]
    corrected(result["cells"])
    female, male = (sum(counts[i] for i, cell in enumerate(cells) if cell[1] == gender) for gender in GENDERS)
    result["genders"] = gap(female, male, recall_of)
    result["cells"].sort(key=lambda cell: cell["gap"])
    return result


def _cell(counts: np.ndarray, whole: np.ndarray, origin: str, gender: str) -> dict[str, Any]:
    low, high = np.quantile(recall_of(bootstrap_sums(counts)), (0.025, 0.975))
    figures = {"recall": float(recall_of(counts.sum(0))), "recall_low": float(low), "recall_high": float(high)}
    return {"origin": origin, "gender": gender, **figures, **gap(counts, whole, recall_of)}


def _names_of(row: Row, labels: Iterable[str]) -> set[Place]:
    """The spans of a row that are names of people."""
    names = {name for person in people_of(row, labels) for name in person}
    return {
        (span["start"], span["end"], span["label"])
        for span in row["spans"]
        if span["label"] in set(labels) and row["text"][span["start"] : span["end"]] in names
    }


def _recall_counts(answered: Sequence[Answered], labels: Iterable[str]) -> np.ndarray:
    """Found and missed names by document, (documents, 3); the middle column is 0."""
    documents = {name: i for i, name in enumerate(dict.fromkeys(document_of(one.row) for one in answered))}
    counts = np.zeros((len(documents), 3), dtype="int64")
    for one in answered:
        gold = one.known.spans & _names_of(one.row, labels)
        right = len(gold & set(one.found))
        counts[documents[document_of(one.row)]] += (right, 0, len(gold) - right)
    return counts


def other_wordings(
    nlp: Language, rows: Sequence[Row], wordings: Mapping[str, Sequence[str]], *, name: str = "metaie", note: str = ""
) -> dict[str, Any]:
    """F where every label that has another wording is asked in it, beside its own wording on the same labels.

    wordings (Mapping): label (see `same_label`) -> other wordings, as `read_wordings` gives them.
    RETURNS (dict): "labels" (asked in both ways), "f", "f_reworded", and the gap with its interval.
    """
    asks, known = [], set()
    for row in rows:
        ask = {}
        for label in asked_of(row):
            others = [one for one in wordings.get(same_label(label), ()) if same_label(one) != same_label(label)]
            if others:
                ask[label] = others[0]
                known.add(label)
        asks.append(ask)
    used = [i for i, ask in enumerate(asks) if ask and labels_of(rows[i]) & ask.keys()]
    if not used:
        return {"labels": 0}
    kept = [
        {**rows[i], "asked": list(asks[i]), "absent": [a for a in rows[i].get("absent", []) if a in asks[i]]}
        for i in used
    ]
    before = answer(nlp, kept, name=name, note=note)
    after = answer(nlp, kept, name=name, asks=[asks[i] for i in used], note=note)
    return {"labels": len(known), "rows": len(kept), "f": fscore(before), "f_reworded": fscore(after)} | _paired(
        after, before
    )


def distracted(
    nlp: Language, rows: Sequence[Row], *, others: int = OTHERS, name: str = "metaie", note: str = "", seed: int = 0
) -> dict[str, Any]:
    """F of a row's own labels where as many labels of other rows are asked beside them, and overlaps are settled.

    RETURNS (dict): "others" (labels), "f", "f_distracted", and the gap with its interval.
    """
    pool = sorted({label for row in rows for label in asked_of(row)})
    rng = random.Random(seed)
    asks = []
    for row in rows:
        own = asked_of(row)
        words = {word for label in own for word in label.lower().split()}
        free = [label for label in rng.sample(pool, len(pool)) if not words & set(label.lower().split())]
        asks.append({"labels": [*own, *free[:others]], "flat": True})
    flat = [{"labels": asked_of(row), "flat": True} for row in rows]
    before = answer(nlp, rows, name=name, asks=flat, note=note)
    after = answer(nlp, rows, name=name, asks=asks, note=note)
    return {"others": others, "rows": len(rows), "f": fscore(before), "f_distracted": fscore(after)} | _paired(
        after, before
    )


def _paired(after: Sequence[Answered], before: Sequence[Answered]) -> dict[str, Any]:
    """The gap between two answers to the same texts."""
    sides = [[list(_counts(one)) for one in side] for side in (after, before)]
    return gap(*sides, f_of)


def _counts(one: Answered) -> PRF:
    found = set(one.found)
    right = len(found & one.known.spans)
    return PRF(right, len(found) - right, len(one.known.spans) - right)
