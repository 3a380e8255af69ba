"""Public IE benchmarks as annotation rows. docs/benchmark.md says where each one comes from.

A folder a dataset: `test.jsonl`, `dev.jsonl`, `train.5shot.perlabel.jsonl` or `train.5shot.jsonl`, and `labels.json`
({"task": "NER" | "RE" | "ABSA" ..., "map": {source label: {"label": name, "kind": "entity" | "relation" | ...}}}).
Rows: {"id", "text", "spans": [{"start", "end", "label"}], "relations"?: [{"head", "tail", "label"}]}.
"""

import hashlib
import json
from collections import defaultdict
from pathlib import Path
from typing import Iterable, NamedTuple

from metaie_spacy.data.rows import read_rows

# Never asked nor counted (the convention of GLiNER, UniNER and others).
NOT_ASKED = {
    "crossner_ai": ["Miscellaneous"],
    "crossner_music": ["Miscellaneous"],
    "crossner_politics": ["Miscellaneous"],
}
SHOTS = ("train.5shot.perlabel.jsonl", "train.5shot.jsonl")


class Dataset(NamedTuple):
    """Rows that can be asked and scored.

    name (str): of its folder. task (str): as labels.json has it.
    labels (dict | None): name in the data -> query, asked of every text; None: every row is asked the
        labels of its spans and those under "absent" (RE: questions that name a gold head).
    train, test (list[dict]): annotation rows. sha256 (dict): checksum of each file.
    unseen (list[str]): labels of the test rows that no training row has. They are asked all the same.
    """

    name: str
    task: str
    labels: dict[str, str] | None
    train: list[dict]
    test: list[dict]
    sha256: dict[str, str]
    unseen: list[str]


def read_dataset(folder: Path, split: str = "test", limit: int = 0) -> Dataset:
    """A benchmark from its folder. split (str): "test" or "dev". limit (int): first rows; 0: all.

    RAISES (ValueError): a file is missing, cut or of another form, or has a label that labels.json lacks.
    """
    files = {"test": folder / f"{split}.jsonl", "labels": folder / "labels.json"}
    files["train"] = next((folder / name for name in SHOTS if (folder / name).exists()), folder / SHOTS[-1])
    missing = [path.name for path in files.values() if not path.exists()]
    if missing:
        raise ValueError(
            f"The dataset '{folder}' lacks {' and '.join(missing)}. docs/benchmark.md says where to get it and in which form."
        )
    task, names, relations = read_labels(files["labels"])
    train, test = list(read_rows(files["train"])), list(read_rows(files["test"]))[: limit or None]
    for path, rows in ((files["train"], train), (files["test"], test)):
        if not rows:
            raise ValueError(f"{path} is empty.")
        check_labels(path, rows, names, relations)
    seen = labels_of(train, task)
    unseen = sorted(labels_of(test, task) - seen)
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files.values()}
    if task == "RE":
        heads = head_types(train)
        train, test = ([question_row(row, heads, folder.name) for row in rows] for rows in (train, test))
        return Dataset(folder.name, task, None, train, test, sums, unseen)
    asked = {name: name.lower() for name in names if name not in NOT_ASKED.get(folder.name, [])}
    train = [row | {"spans": [span for span in row["spans"] if span["label"] in asked]} for row in train]
    return Dataset(folder.name, task, asked, train, test, sums, [label for label in unseen if label in asked])


def read_labels(path: Path) -> tuple[str, list[str], list[str]]:
    """Task, labels of spans, and relations of a labels.json. RAISES (ValueError): it has another form."""
    try:
        content = json.loads(path.read_text(encoding="utf8"))
        entries = [(entry["label"], entry["kind"]) for entry in content["map"].values()]
        task = content["task"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f'{path}: expected {{"task", "map": {{source label: {{"label", "kind"}}}}}} ({error!r}).'
        ) from error
    relations = [label for label, kind in entries if kind.startswith("relation")]
    return task, [label for label in dict.fromkeys(label for label, _ in entries) if label not in relations], relations


def check_labels(path: Path, rows: Iterable[dict], names: list[str], relations: list[str]) -> None:
    """RAISES (ValueError): a row has a label that labels.json lacks, or a relation of no two spans."""
    for number, row in enumerate(rows, 1):
        unknown = {span["label"] for span in row["spans"]} - set(names)
        try:
            unknown |= {relation["label"] for relation in row.get("relations", [])} - set(relations)
            ends = [relation[key] for relation in row.get("relations", []) for key in ("head", "tail")]
            outside = [end for end in ends if not 0 <= end < len(row["spans"])]
        except (KeyError, TypeError) as error:
            raise ValueError(
                f'{path}, row {number}: a relation must be {{"head", "tail", "label"}} ({error!r}).'
            ) from error
        if unknown:
            raise ValueError(f"{path}, row {number}: labels.json does not name {sorted(unknown)}.")
        if outside:
            raise ValueError(
                f"{path}, row {number}: a relation points to span {outside[0]}, but there are {len(row['spans'])}."
            )


def labels_of(rows: Iterable[dict], task: str) -> set[str]:
    return {entry["label"] for row in rows for entry in (row.get("relations", []) if task == "RE" else row["spans"])}


def head_types(rows: Iterable[dict]) -> dict[str, set[str]]:
    """Which types of entities are heads of each relation, in the training rows."""
    heads: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        for relation in row.get("relations", []):
            heads[relation["label"]].add(row["spans"][relation["head"]]["label"])
    return dict(heads)


def question_row(row: dict, heads: dict[str, set[str]], dataset: str) -> dict:
    """A row that asks "HEAD relation" of every gold entity whose type is a head of that relation in the training rows.

    The answers are the tails (MetaIE's form, arXiv 2404.00457).

    RAISES (ValueError): a gold relation has a head of another type, so that its question would not be asked.
    """

    def question(span: dict, relation: str) -> str:
        return f"{row['text'][span['start'] : span['end']]} {relation}"

    asked = {
        question(span, relation) for span in row["spans"] for relation, types in heads.items() if span["label"] in types
    }
    spans = set()
    for relation in row.get("relations", []):
        head, tail = row["spans"][relation["head"]], row["spans"][relation["tail"]]
        if head["label"] not in heads.get(relation["label"], ()):
            raise ValueError(
                f"{dataset}, row {row['id']}: '{relation['label']}' has a head of type '{head['label']}', which it has in no training row."
            )
        spans.add((tail["start"], tail["end"], question(head, relation["label"])))
    absent = sorted(asked - {label for _, _, label in spans})
    return {
        "id": row["id"],
        "text": row["text"],
        "spans": [{"start": s, "end": e, "label": label} for s, e, label in sorted(spans)],
        "absent": absent,
    }
