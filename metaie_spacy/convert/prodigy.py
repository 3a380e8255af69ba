"""Annotation rows from and to Prodigy."""

from pathlib import Path
from typing import Any, Iterable, Iterator

from ..data.files import writing
from ..data.jsonl import json_line
from .links import Pair, pairs_of, with_links
from .opinions import Opinion
from .records import (
    KEPT,
    OPINION,
    Options,
    Skipped,
    Tally,
    foreign_row,
    keep,
    kept_in,
    places_in,
    plain_span,
    restore,
)
from .sources import as_object, check_keys, take_records, whole
from .words import tokenizer, tokens_around

KNOWN = {"text": str, "spans": list, "answer": str, "tokens": list, "relations": list}
OF_ANSWERS = ("_session_id", "_timestamp")
SUGGESTED = ("ner", "spans")  # views that ask about suggestions, which a person cannot change


def read_prodigy(path: Path, options: Options, tally: Tally) -> Iterator[dict]:
    """Rows of a Prodigy dataset: its answers, and tasks that have none yet.

    An accepted task of a view that shows suggestions ("ner", "spans") says only that its spans are there, a rejected
    one that they are not; elsewhere an accepted task is complete, and a rejected one is left out.
    """
    return take_records(path, options, tally, lambda task: _prodigy_row(as_object(task), options.teacher))


def _prodigy_row(task: dict, teacher: str | None) -> dict:
    _check_task(task)
    answer, view = task.get("answer"), task.get("_view_id")
    if answer == "ignore":
        raise Skipped(answer)
    if answer not in ("accept", "reject", None):
        raise Skipped("bad row", f'"answer" is {answer!r}, which is none of accept, reject, ignore.')
    text, spans = task.get("text"), task.get("spans", [])
    if not isinstance(spans, list):
        raise Skipped("bad row", '"spans" must be a list of {"start", "end", "label"}.')
    spans = [plain_span(span, score=answer is None) for span in spans]
    if answer == "reject" and (len(spans) != 1 if view is None else view not in SUGGESTED):
        raise Skipped(answer)
    rejected = frozenset(places_in(text, spans) if answer == "reject" else ())
    spans = [] if answer == "reject" else spans
    kept = kept_in(task.get(KEPT))
    if kept:
        row = restore(text, spans, kept, reviewed=answer is not None, teacher=teacher)
    else:
        meta = dict(task["meta"]) if isinstance(task.get("meta"), dict) else {}
        maker = teacher or ("unknown" if answer is None else "human")
        row = foreign_row(text, spans, source="prodigy", teacher=maker, id=meta.pop("id", task.get("id")))
        row |= {"meta": meta} if meta else {}
    if not kept or answer is not None:
        row = with_links(row, _pairs(task), kept)
    if answer is None:
        return row
    complete = False if view in SUGGESTED else None if view is None else True
    annotator = str(task.get("_annotator_id") or task.get("_session_id") or "")
    return row | {OPINION: Opinion(annotator, complete, rejected, kept.get("id"))}


def _check_task(task: dict) -> None:
    """RAISES (Skipped): it holds a list that may be its spans under another name, or is an answer without one."""
    check_keys(task, KNOWN)
    others = [name for name, value in task.items() if isinstance(value, list) and value and _like_spans(value)]
    if "spans" not in task and set(others) - {"tokens", "relations", "options"}:
        raise Skipped("bad row", f'it has no "spans", and what may be spans under {others}. Rename them.')
    if "answer" not in task and any(name in task for name in OF_ANSWERS):
        raise Skipped("bad row", f'somebody has answered it, but it has no "answer", only {sorted(task)}.')


def _like_spans(value: list) -> bool:
    return all(isinstance(item, dict) and {"start", "end"} & item.keys() for item in value)


def _pairs(task: dict) -> list[Pair]:
    """The relations of a task, between spans or, where it names none, tokens."""
    relations = task.get("relations", [])
    if not isinstance(relations, list):
        raise Skipped("bad row", '"relations" must be a list of {"head", "child", "label"}.')
    pairs = []
    for relation in map(as_object, relations):
        if not isinstance(relation.get("label"), str):
            raise Skipped("bad row", f'the relation {relation} has no "label".')
        head, tail = (_end(relation, name, task.get("tokens")) for name in ("head", "child"))
        pairs.append((head, relation["label"], tail))
    return pairs


def _end(relation: dict, name: str, tokens: Any) -> tuple[int, int]:
    span = relation.get(f"{name}_span")
    if span is None:
        number = whole(relation.get(name), f'the "{name}" of a relation')
        span = tokens[number] if isinstance(tokens, list) and 0 <= number < len(tokens) else None
    if not isinstance(span, dict):
        raise Skipped("bad row", f'a relation has no "{name}_span", and no token for its "{name}".')
    return whole(span.get("start"), f'the start of a "{name}"'), whole(span.get("end"), f'the end of a "{name}"')


def write_prodigy(rows: Iterable[dict], output: Path, options: Options, tally: Tally) -> None:
    """Tasks for `prodigy spans.manual`, with tokens that end wherever a span does."""
    tokenize = tokenizer(options.lang)
    with writing(output) as file:
        for row in rows:
            pairs = pairs_of(row)
            ends = [{"start": at[0], "end": at[1]} for head, _, tail in pairs for at in (head, tail)]
            tokens = tokens_around(row["text"], [*row["spans"], *ends], tokenize)
            first = {token["start"]: token["id"] for token in tokens}
            last = {token["end"]: token["id"] for token in tokens}

            def on_tokens(span: dict, first: dict = first, last: dict = last) -> dict:
                return {**span, "token_start": first[span["start"]], "token_end": last[span["end"]]}

            task = {"text": row["text"], "tokens": tokens, "spans": [on_tokens(span) for span in row["spans"]]}
            if pairs:
                labels = {(span["start"], span["end"]): span["label"] for span in reversed(row["spans"])}
                task["relations"] = [
                    _relation(*(on_tokens(_span_at(at, labels)) for at in (head, tail)), label)
                    for head, label, tail in pairs
                ]
            file.write(json_line(task | {"meta": {"id": row["id"]}, KEPT: keep(row)}))


def _span_at(at: tuple[int, int], labels: dict[tuple[int, int], str]) -> dict:
    return {"start": at[0], "end": at[1], "label": labels.get(at)}


def _relation(head: dict, tail: dict, label: str) -> dict:
    ends = {"head": head["token_end"], "child": tail["token_end"]}
    return ends | {"label": label, "head_span": head, "child_span": tail}
