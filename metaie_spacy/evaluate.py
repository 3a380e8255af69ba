"""Pipeline and annotated file -> scores of open labels."""
import time
from collections import defaultdict
from pathlib import Path
from typing import Iterable, Sequence

import numpy as np
from spacy.language import Language
from tqdm import tqdm

from .corpus import own_and_absent, read_chosen
from .doc_labels import active_pipe, pipe_with_labels
from .schema import parse_labels
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
    RETURNS (dict): `p`, `r`, `f` (micro, 0 to 1), `f_low` and `f_high` (95 % bootstrap interval),
        `texts`, `spans`, `seconds` and `per_label`.
    RAISES (ValueError): a bad row, or no such component.
    """
    rows = read_chosen(path, only)[: limit or None]
    result = evaluate_rows(nlp, rows, labels=labels, name=name, progress=progress)
    return {key: value for key, value in result.items() if key != "counts"}


def evaluate_rows(
    nlp: Language, rows: Sequence[dict], *, labels: Sequence[str] | dict | None = None, name: str = "metaie", progress: bool = False
) -> dict:
    """`evaluate` on rows that were read already, with the counts of every text.

    rows (Sequence[dict]): annotation rows, as `read_rows` gives them.
    RETURNS (dict): as `evaluate`, and `counts`: true positives, false positives and false negatives
        per text, (N, 3) in lists.
    RAISES (ValueError): no such component.
    """
    key = active_pipe(nlp, name).spans_key
    names = None if labels is None else {label.name for label in parse_labels(labels)}
    gold = [{(s["start"], s["end"], s["label"]) for s in row["spans"] if names is None or s["label"] in names} for row in rows]
    pairs = [(row["text"], own_and_absent(row) if labels is None else labels) for row in rows]
    began = time.perf_counter()
    docs = pipe_with_labels(nlp, pairs, name=name)
    docs = tqdm(docs, total=len(rows), desc="evaluate", mininterval=5, disable=not progress)
    found = [{(span.start_char, span.end_char, span.label_) for span in doc.spans[key]} for doc in docs]
    return scores_of(gold, found) | {"texts": len(rows), "seconds": round(time.perf_counter() - began, 2)}


def scores_of(gold: Sequence[set], found: Sequence[set]) -> dict:
    """Every figure of exact match from the gold and the found spans of N texts.

    RETURNS (dict): `p`, `r`, `f`, `spans`, `f_low` and `f_high` (95 % bootstrap interval over the
        texts), `per_label`, and `counts` (N, 3).
    """
    counts = [list(exact_matches([g], [p])) for g, p in zip(gold, found)]
    low, high = f_interval(counts)
    return {**rates(exact_matches(gold, found)), "f_low": low, "f_high": high, "per_label": per_label(gold, found), "counts": counts}


def f_interval(counts: Sequence[Sequence[int]], *, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of F, by drawing texts with replacement (Efron 1979, "Bootstrap methods").

    counts (Sequence): true positives, false positives and false negatives per text, (N, 3).
    """
    tp, fp, fn = bootstrap_sums(counts, draws=draws, seed=seed).T
    low, high = np.quantile(2 * tp / np.maximum(1, 2 * tp + fp + fn), (0.025, 0.975))
    return float(low), float(high)


def bootstrap_sums(counts: Sequence[Sequence[int]], *, draws: int = 1000, seed: int = 0) -> np.ndarray:
    """Counts summed over texts that are drawn with replacement; the same seed draws the same texts. RETURNS: (draws, 3)"""
    table = np.asarray(counts, dtype="int64").reshape(-1, 3)
    rng = np.random.default_rng(seed)
    if not len(table):
        return np.zeros((draws, 3), "int64")
    share = np.full(len(table), 1 / len(table))
    block = max(1, 2**22 // len(table))  # draws at a time: a million texts would need gigabytes at once
    sizes = [block] * (draws // block) + [draws % block]
    return np.concatenate([rng.multinomial(len(table), share, size=size) @ table for size in sizes])


def rates(counts: PRF) -> dict:
    """Precision, recall and F as numbers from 0 to 1, with the numbers of gold, found and right spans."""
    numbers = {"spans": counts.tp + counts.fn, "found": counts.tp + counts.fp, "tp": counts.tp}
    return {"p": counts.precision, "r": counts.recall, "f": counts.fscore, **numbers}


def per_label(gold: Iterable[set], found: Iterable[set]) -> dict[str, dict]:
    """`rates` of every label that occurs."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for g, p in zip(gold, found):
        for i, part in enumerate((g & p, p - g, g - p)):
            for _, _, label in part:
                counts[label][i] += 1
    return {label: rates(PRF(*numbers)) for label, numbers in sorted(counts.items())}
