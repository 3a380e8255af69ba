"""Rows that a large model has answered, and the small model's answers to them."""

from pathlib import Path
from typing import Any, Iterable, NamedTuple, Sequence

from spacy.language import Language

from ..data.jsonl import read_jsonl
from ..data.rows import Row, check_row, labels_of, places, row_id, trimmed
from ..notes import noting, take_note
from ..pipelines import active_pipe
from ..streams import pipe_with_labels
from .features import Facts, facts_of
from .outcomes import Spots

FACTORY = "metaie_router"


class Recorded(NamedTuple):
    """Rows that a large model has answered.

    rows (list[Row]): "spans" are the gold ones, "asked" the label set. large (list[Spots]): its answers. llm (str): its
    name. free (list[bool]): whether a row has no gold spans. others (list[list[Spots]]): answers of further annotators.
    """

    rows: list[Row]
    large: list[Spots]
    llm: str
    free: list[bool]
    others: list[list[Spots]]


class Answered(NamedTuple):
    """N rows with the answers of both models, and what the small one says besides."""

    rows: Sequence[Row]
    small: Sequence[Spots]
    large: Sequence[Spots]
    facts: Facts

    def take(self, at: Sequence[int]) -> "Answered":
        """Those of some rows."""
        return Answered(*([part[i] for i in at] for part in self[:3]), self.facts.take(at))


def read_recorded(paths: Iterable[str | Path], labels: Sequence[str] | None = None) -> Recorded:
    """Rows `{"id"?, "text", "spans" or "gold", "llm", "llm_name"?, "asked"?}` of JSONL files, each of one label set.

    A row is asked its own "asked"; else `labels`; else all labels that the rows of its file have. One without gold
    spans has "answers" instead, name -> spans, of one annotator or more beside the large model.
    RAISES (ValueError): a row is none of these; or the large models are of several names.
    """
    found = Recorded([], [], "", [], [])
    names: set[str] = set()
    for path in paths:
        part = [_recorded_row(line, path) for line in read_jsonl(path)]
        own = sorted(set(labels) if labels else {label for row, *rest in part for label in _labels(row, rest)})
        for row, large, free, others, name in part:
            found.rows.append({**row, "asked": row.get("asked") or own})
            found.large.append(large)
            found.free.append(free)
            found.others.append(others)
            names.add(name)
    if not found.rows:
        raise ValueError("There are no rows to fit a router to.")
    if len(names) > 1:
        raise ValueError(
            f"The rows were answered by several large models: {', '.join(sorted(names))}. Give one's only."
        )
    return found._replace(llm=names.pop())


def _labels(row: Row, rest: Sequence[Any]) -> set[str]:
    large, _, others, _ = rest
    return labels_of(row) | set(row.get("absent", [])) | {label for spots in (large, *others) for _, _, label in spots}


def _recorded_row(line: Any, path: str | Path) -> tuple[Row, Spots, bool, list[Spots], str]:
    try:
        if line.error:
            raise line.error
        row = line.value
        if not isinstance(row, dict) or "llm" not in row or not ({"spans", "gold", "answers"} & set(row)):
            raise ValueError(
                'expected an object with "text", "llm", and "spans" or "gold" (or "answers" without gold).'
            )
        gold = row.get("spans", row.get("gold"))
        answers = row.get("answers", {}) if gold is None else {}
        if gold is None and not answers:
            raise ValueError('it has no gold spans, and no "answers" of another annotator, {name: spans}, either.')
        parts = [{**row, "spans": spans} for spans in (gold or [], row["llm"], *answers.values())]
        for part in parts:
            check_row(part)
        first, *given = map(trimmed, parts)
        first = {**first, "id": row_id(row.get("id")) or str(line.number)}
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}, line {line.number}: {error}") from None
    large, *others = ({*places(part)} for part in given)
    return first, large, gold is None, others, str(row.get("llm_name", "the large model"))


def read_small(
    nlp: Language, rows: Sequence[Row], *, name: str = "metaie", asks: Sequence[Any] | None = None
) -> tuple[list[Spots], Facts]:
    """The small model's answers to rows, and the facts beside them.

    asks (Sequence | None): what each is asked, as `pipe_with_labels` takes it; None: its "asked".
    RAISES (ValueError): the pipeline has no such component.
    """
    pipe = active_pipe(nlp, name)
    routers = [other for other in nlp.pipe_names if nlp.get_pipe_meta(other).factory == FACTORY]
    with noting(pipe), nlp.select_pipes(disable=routers):
        asks = [row["asked"] for row in rows] if asks is None else asks
        docs = list(pipe_with_labels(nlp, [(row["text"], own) for row, own in zip(rows, asks)], name=name))
    facts = facts_of(docs, [take_note(doc, name) for doc in docs], pipe.spans_key)
    spots = [{(span.start_char, span.end_char, span.label_) for span in doc.spans[pipe.spans_key]} for doc in docs]
    return spots, facts
