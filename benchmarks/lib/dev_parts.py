"""The rows by which a model is chosen: parts of the annotated corpus that no training sees, drawn once.

Held out are ten base sets of the closed schemas, a quarter of the jobs, one wording of each label that has others, one
document in twenty of the free rows, and four sets of links.
"""

import random
import zlib
from collections import Counter
from pathlib import Path
from typing import NamedTuple, Sequence

import srsly

from metaie_spacy.data.documents import document_of
from metaie_spacy.data.rows import asked_of, read_rows
from metaie_spacy.schema import same_label

FILES = {
    "schema": ("schema", "schema_written"),
    "jobs": ("jobs_written",),
    "free": ("teacher", "written"),
    "links": ("links", "links_written"),
}
WORDINGS = "wordings"
SEEDS = {"schema": "schema", "jobs": "jobs", "links": 17}
SETS, LINK_SETS, JOBS_OF, PERCENT = 10, 5, 4, 5  # held out: sets, sets of links, one job of 4, documents
LARGE = 200  # rows of a set of links without which training would lack a kind of them: it is not held out
N_FOREIGN, RARE = 25, 3  # labels of other rows that a free row is asked; in so many rows at most
JOINED, SIZE = 200, 8  # documents, and rows that each is joined of
GLUE = "\n\n"


class Split(NamedTuple):
    """Rows to train on, by the file that they stand in, and rows held out, by kind."""

    train: dict[str, list[dict]]
    dev: dict[str, list[dict]]


def split_corpus(corpus: Path) -> Split:
    """The same each time. corpus (Path): a folder with the files of `FILES`. RAISES (ValueError): a bad row."""
    rows = {name: list(read_rows(corpus / f"{name}.jsonl")) for names in FILES.values() for name in names}
    sets = {kind: sorted({row["set"] for name in FILES[kind] for row in rows[name]}) for kind in SEEDS}
    counts = {"schema": SETS, "links": LINK_SETS, "jobs": len(sets["jobs"]) // JOBS_OF}
    held = {kind: set(random.Random(seed).sample(sets[kind], counts[kind])) for kind, seed in SEEDS.items()}
    sizes = Counter(row["set"] for name in FILES["links"] for row in rows[name])
    held["links"] = {name for name in held["links"] if sizes[name] <= LARGE}
    split = Split({}, {})
    for kind, names in FILES.items():
        split.dev[kind] = []
        for name in names:
            out = [row["set"] in held[kind] if kind in held else is_held(row) for row in rows[name]]
            split.train[name] = [row for row, is_out in zip(rows[name], out) if not is_out]
            split.dev[kind] += [row for row, is_out in zip(rows[name], out) if is_out]
    return split


def is_held(row: dict) -> bool:
    """Whether the document of a free row is held out."""
    return zlib.crc32(document_of(row).encode()) % 100 < PERCENT


def split_wordings(path: Path) -> tuple[list[dict], dict[str, str]]:
    """Lines of the file of wordings without one wording of each label, and label -> that wording."""
    train, held = [], {}
    for entry in srsly.read_jsonl(path):
        own = list(entry["wordings"])
        if len(own) < 2:
            train.append(entry)
            continue
        out = random.Random(entry["label"]).choice(own)
        held[same_label(entry["label"])] = out
        train.append(entry | {"wordings": [wording for wording in own if wording != out]})
    return train, held


def with_foreign(rows: Sequence[dict]) -> list[dict]:
    """Rows that also note as absent 25 rare labels of other documents, none with a word of a label of theirs.

    Nobody has looked whether they are absent, so that this is a figure to compare models by and nothing to learn from.
    """
    documents: dict[str, set[str]] = {}
    for row in rows:
        for label in asked_of(row):
            documents.setdefault(same_label(label), set()).add(document_of(row))
    rare = sorted(label for label, found in documents.items() if len(found) <= RARE)
    result = []
    for row in rows:
        own = {word for label in asked_of(row) for word in stems(label)}
        others = [label for label in rare if document_of(row) not in documents[label] and not stems(label) & own]
        foreign = random.Random(row["id"]).sample(others, min(N_FOREIGN, len(others)))
        result.append(row | {"absent": [*row.get("absent", []), *foreign]})
    return result


def stems(label: str) -> set[str]:
    """The longer words of a label, without a plural's s."""
    return {word.rstrip("s") for word in same_label(label).replace("_", " ").split() if len(word) > 2}


def joined_rows(rows: Sequence[dict]) -> list[dict]:
    """Rows that are documents of several rows of one label set, or else of any; they answer the labels of all their rows
    at the places of those that were asked."""
    rng, documents = random.Random("joined"), []
    while len(documents) < JOINED:
        groups: dict[str, list[dict]] = {}
        for row in rng.sample(list(rows), len(rows)):
            groups.setdefault(row.get("set", ""), []).append(row)
        for group in groups.values():
            documents += [group[i : i + SIZE] for i in range(0, len(group) - SIZE + 1, SIZE)]
    return [join(part, f"joined-{number}") for number, part in enumerate(documents[:JOINED])]


def join(part: Sequence[dict], name: str) -> dict:
    """One row of several: a label is left open where a row was not asked it."""
    text, spans, unsure = "", [], []
    asked = sorted({label for row in part for label in asked_of(row)})
    for row in part:
        at = len(text)
        text += row["text"] + GLUE
        moved = [
            [span | {"start": span["start"] + at, "end": span["end"] + at} for span in row.get(key, [])]
            for key in ("spans", "unsure")
        ]
        spans += moved[0]
        unsure += moved[1]
        own = {same_label(label) for label in asked_of(row)}
        unsure += [
            {"start": at, "end": at + len(row["text"]), "label": label}
            for label in asked
            if same_label(label) not in own
        ]
    answered = {span["label"] for span in spans}
    return {
        "id": name, "text": text.removesuffix(GLUE), "spans": spans, "unsure": unsure,
        "absent": [label for label in asked if label not in answered],
    }  # fmt: skip
