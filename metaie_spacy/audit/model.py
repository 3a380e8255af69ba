"""Whom a model fails: slices, names swapped, labels reworded, distractors, and scores by domain."""

import random
from pathlib import Path
from typing import Any, Iterable, Sequence

from spacy.language import Language

from ..convert.annotations import read_annotations
from ..curate.names import PERSON
from ..data.rows import Row
from ..data.wordings import read_wordings
from ..measure.scores import scores_of
from .answers import answer
from .counterfactual import distracted, name_swaps, other_wordings
from .slices import calibration, slices


def audit_model(
    nlp: Language,
    sources: Sequence[str | Path],
    *,
    wordings: str | Path | None = None,
    name_labels: Iterable[str] = PERSON,
    probes: int = 100,
    limit: int = 0,
    name: str = "metaie",
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Any]:
    """Audit a pipeline on annotated rows, each asked its own and its absent labels.

    sources (Sequence): annotation files (JSONL or .spacy) that it was not trained on. wordings (Path | None): other
        wordings of labels, see `read_wordings`. name_labels (Iterable[str]): whose spans are names of people.
    probes (int): rows whose names are swapped, 24 times each, and rows that are asked in other words and beside other
        labels. limit (int): rows of each file, drawn by `seed`; 0: all.
    RETURNS (dict): "rows", "f" and its interval, "slices", "names", "wordings", "distractors", "calibration" and
        "findings": gaps that hold after correction. It holds labels and figures, and no words of texts.
    RAISES (ValueError): a bad row, no rows, or no such component.
    """
    rows = read_sample(sources, limit, seed)
    answered = answer(nlp, rows, name=name, note="rows" if progress else "")
    scores = scores_of([one.known.spans for one in answered], [set(one.found) for one in answered])
    chosen = random.Random(seed).sample(rows, len(rows))
    with_names = [row for row in chosen if any(span["label"] in set(name_labels) for span in row["spans"])]
    note = "names" if progress else ""
    report = {
        "rows": len(rows),
        **{key: scores[key] for key in ("p", "r", "f", "f_low", "f_high", "spans", "found")},
        "slices": slices(answered),
        "names": name_swaps(nlp, with_names[:probes], labels=name_labels, name=name, note=note),
        "wordings": other_wordings(nlp, chosen[:probes], read_wordings(wordings), name=name) if wordings else None,
        "distractors": distracted(nlp, chosen[:probes], name=name, seed=seed),
        "calibration": calibration(answered),
    }
    return report | {"findings": findings(report)}


def read_sample(sources: Sequence[str | Path], limit: int, seed: int) -> list[Row]:
    """Rows of files, of each as many as `limit`, drawn by chance; 0: all. RAISES (ValueError): there are none."""
    rows: list[Row] = []
    for path in sources:
        own = read_annotations(path)
        rows += random.Random(seed).sample(own, limit) if 0 < limit < len(own) else own
    if not rows:
        raise ValueError(f"There is no row in {', '.join(map(str, sources))}. Give annotated rows (JSONL).")
    return rows


def findings(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The gaps that hold after correction, the largest loss first."""
    found = [
        {"what": "slice", "of": f"{one['trait']}: {one['value']}", "n": one["spans"], **_gap(one)}
        for one in report["slices"]
        if one.get("is_found")
    ]
    found += [
        {"what": "names", "of": f"{one['origin']}, {one['gender']}", "n": report["names"]["names"], **_gap(one)}
        for one in report["names"]["cells"]
        if one.get("is_found")
    ]
    return sorted(found, key=lambda one: one["gap"])


def _gap(one: dict[str, Any]) -> dict[str, float]:
    return {key: one[key] for key in ("gap", "low", "high", "p_corrected")}
