"""Pipeline and annotated file -> scores of open labels."""

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Sequence

from spacy.language import Language
from tqdm import tqdm

from ..convert.annotations import read_annotations
from ..data.known import known_of
from ..data.rows import asked_of
from ..notes import noting
from ..pipelines import active_pipe
from ..schema import parse_labels
from ..streams import pipe_with_labels
from .asking import evaluate_links
from .scores import scores_of


def evaluate(
    nlp: Language,
    path: str | Path,
    *,
    labels: Sequence[str] | dict | None = None,
    name: str = "metaie",
    limit: int = 0,
    only: str | Path | None = None,
    spans_key: str | None = None,
    progress: bool = False,
) -> dict:
    """Exact-match scores on character spans.

    nlp (Language): a pipeline with a `metaie` component.
    path (str | Path): an annotations file (JSONL), or a `.spacy` file, whose labels all texts are asked.
    labels: asked of every text, as `MetaIE.labels` takes them (gold spans of other names are not
        counted); None: every text is asked its own labels and those noted as absent. Of labels that a
        row does not answer (`asked`), and at places that it leaves open (`unsure`), nothing is counted.
    name (str): of the component. limit (int): only the first rows; 0: all.
    only (Path | None): a JSONL file whose ids choose the rows, such as distill's `dev.jsonl`.
    spans_key (str | None): the group of a `.spacy` file, see `read_annotations`.
    RETURNS (dict): `p`, `r`, `f` (micro, 0 to 1), `f_low` and `f_high` (95 % bootstrap interval),
        `texts`, `spans`, `seconds` and `per_label`. Where rows have links, `links` with the same of them, once about
        the gold heads ("gold_heads") and once about the spans that were found ("end_to_end").
    RAISES (ValueError): a bad row, or no such component.
    """
    rows = read_annotations(path, only=only, spans_key=spans_key)[: limit or None]
    result = evaluate_rows(nlp, rows, labels=labels, name=name, progress=progress)
    if "links" in result:
        result["links"] = {setting: _without_counts(scores) for setting, scores in result["links"].items()}
    return _without_counts(result)


def _without_counts(scores: dict) -> dict:
    return {key: value for key, value in scores.items() if key != "counts"}


def evaluate_rows(
    nlp: Language,
    rows: Sequence[dict],
    *,
    labels: Sequence[str] | dict | None = None,
    asks: Sequence[Any] | None = None,
    name: str = "metaie",
    progress: bool = False,
) -> dict:
    """`evaluate` on rows that were read already, with the counts of every text.

    rows (Sequence[dict]): annotation rows, as `read_rows` gives them. asks (Sequence | None): what each is asked where
        `labels` is None, such as its labels in other wordings; None: its own labels and those noted as absent.
    RETURNS (dict): as `evaluate`, and `counts`: true positives, false positives and false negatives
        per text, (N, 3) in lists.
    RAISES (ValueError): no such component.
    """
    pipe = active_pipe(nlp, name)
    names = None if labels is None else {label.name for label in parse_labels(labels)}
    known = [known_of(row, names) for row in rows]
    if labels is not None:
        asks = [labels] * len(rows)
    pairs = list(zip((row["text"] for row in rows), map(asked_of, rows) if asks is None else asks, strict=True))
    began = time.perf_counter()
    found, linked = [], {}
    with noting(pipe) if any(row.get("links") for row in rows) else nullcontext():
        docs = pipe_with_labels(nlp, pairs, name=name)
        docs = tqdm(docs, total=len(rows), desc="evaluate", mininterval=5, disable=not progress)
        for number, (given, doc) in enumerate(zip(known, docs)):
            spans = doc.spans[pipe.spans_key]
            found.append(given.counted((span.start_char, span.end_char, span.label_) for span in spans))
            if rows[number].get("links"):
                linked[number] = doc
    result = scores_of([given.spans for given in known], found)
    if linked:
        result["links"] = evaluate_links(nlp, [rows[i] for i in linked], list(linked.values()), name=name)
    return result | {"texts": len(rows), "seconds": round(time.perf_counter() - began, 2)}
