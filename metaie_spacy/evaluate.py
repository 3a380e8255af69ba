"""Pipeline and annotated file -> scores of open labels."""
import time
from collections import defaultdict
from pathlib import Path
from typing import Iterable, Sequence

from spacy.language import Language
from tqdm import tqdm

from .corpus import read_chosen
from .doc_labels import pipe_with_labels
from .spans import PRF, exact_matches


def evaluate(
    nlp: Language,
    path: str | Path,
    *,
    labels: Sequence[str] | dict | None = None,
    name: str = "metaie",
    limit: int = 0,
    only: str | Path | None = None,
    progress: bool = False,
) -> dict:
    """Exact-match scores on character spans.

    nlp (Language): a pipeline with a `metaie` component.
    path (str | Path): an annotations file (JSONL).
    labels: asked of every text, as `MetaIE.labels` takes them (gold spans of other names are not
        counted); None: every text is asked its own labels and those noted as absent.
    name (str): of the component. limit (int): only the first rows; 0: all.
    only (Path | None): a JSONL file whose ids choose the rows, such as distill's `dev.jsonl`.
    RETURNS (dict): `p`, `r`, `f` (micro, 0 to 1), `texts`, `spans`, `seconds`, and `per_label`.
    RAISES (ValueError): a bad row, or no such component.
    """
    if name not in nlp.pipe_names:
        raise ValueError(f"The pipeline has no component '{name}', only {nlp.pipe_names}. Give its name.")
    key = nlp.get_pipe(name).spans_key
    rows = read_chosen(path, only)[: limit or None]
    pairs = []
    for row in rows:
        own = dict.fromkeys([s["label"] for s in row["spans"]] + list(row.get("absent", [])))
        pairs.append((row["text"], labels if labels is not None else list(own)))
    names = None if labels is None else set(labels)
    gold = [{(s["start"], s["end"], s["label"]) for s in row["spans"] if names is None or s["label"] in names} for row in rows]
    began = time.perf_counter()
    docs = pipe_with_labels(nlp, pairs, name=name)
    docs = tqdm(docs, total=len(rows), desc="evaluate", mininterval=5, disable=not progress)
    found = [{(span.start_char, span.end_char, span.label_) for span in doc.spans[key]} for doc in docs]
    seconds = time.perf_counter() - began
    return {**rates(exact_matches(gold, found)), "texts": len(rows), "seconds": round(seconds, 2), "per_label": per_label(gold, found)}


def rates(counts: PRF) -> dict:
    """Precision, recall and F as numbers from 0 to 1, with the number of gold spans."""
    return {"p": counts.precision, "r": counts.recall, "f": counts.fscore, "spans": counts.tp + counts.fn}


def per_label(gold: Iterable[set], found: Iterable[set]) -> dict[str, dict]:
    """`rates` of every label that occurs."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for g, p in zip(gold, found):
        for i, part in enumerate((g & p, p - g, g - p)):
            for _, _, label in part:
                counts[label][i] += 1
    return {label: rates(PRF(*numbers)) for label, numbers in sorted(counts.items())}
