"""Annotation rows from and to spaCy's DocBin."""

import json
import sys
import zlib
from collections import Counter
from pathlib import Path
from typing import Any, Iterable, Iterator

import numpy as np
import spacy
from spacy.tokens import Doc, DocBin, SpanGroup
from spacy.util import filter_spans
from spacy.vocab import Vocab

from ..data.corpus import gold_group, open_tokens
from ..data.files import writing
from ..data.known import as_attr, as_unsure, unsure_of
from ..data.questions import QUESTIONS, as_questions, group_links
from ..data.rows import asked_of, places
from ..data.tokens import make_doc
from .records import KEPT, Options, Skipped, Tally, foreign_row, keep, kept_in, restore


def read_docbin(path: Path, options: Options, tally: Tally) -> Iterator[dict]:
    """The spans of a `.spacy` file, from `doc.ents` or a span group.

    Docs that were never annotated under the key are skipped: for spaCy their spans are missing, not none.
    RAISES (ValueError): no such file, or the key must be chosen.
    """
    try:
        docs = list(DocBin().from_disk(path).get_docs(Vocab()))
    except (zlib.error, ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"'{path}' is no .spacy file, or is damaged: {error}") from None
    key = _chosen_key(docs, path, options.spans_key)
    for number, doc in enumerate(docs, 1):
        yield from tally.take(f"doc {number}", doc.text, _doc_row, doc, key, options)


def _chosen_key(docs: list[Doc], path: Path, wanted: str | None) -> str:
    found = Counter()
    for doc in docs:
        found.update({key: len(group) for key, group in doc.spans.items()})
        found["ents"] += len(doc.ents)
    keys = sorted(key for key, number in found.items() if number) or sorted(found.keys() - {"ents"}) or ["ents"]
    if wanted is not None and wanted not in found:
        raise ValueError(
            f"No doc of '{path}' has spans under '{wanted}', only under {keys}. Pass one of them as spans_key."
        )
    if wanted is None and len(keys) > 1:
        raise ValueError(f"'{path}' has spans under {keys} ('ents' is doc.ents). Pass one of them as spans_key.")
    return wanted if wanted is not None else keys[0]


def _doc_row(doc: Doc, key: str, options: Options) -> dict:
    group, gold = (doc.spans[key] if key in doc.spans else None), gold_group(doc, key)
    if gold is None:
        raise Skipped(
            "not annotated", f"the doc has no annotation under '{key}'; set it to an empty list if there are no spans."
        )
    attrs = group.attrs if group is not None else {}
    spans = [{"start": s.start_char, "end": s.end_char, "label": s.label_} for s in gold[0]]
    scores = attrs.get("scores")
    if scores is not None and len(scores) == len(spans):
        spans = [span | {"score": round(float(score), 4)} for span, score in zip(spans, scores)]
    unsure = as_unsure(gold[1].get("unsure", []))
    links = {"links": found} if group is not None and (found := group_links(group)) else {}
    if kept := kept_in(json.loads(attrs.get(KEPT, "null"))):
        row = restore(doc.text, spans, kept, reviewed=False, teacher=options.teacher)
        return row | ({"unsure": unsure} if unsure else {}) | links
    teacher = options.teacher or ("model" if scores is not None else "unknown")
    row = foreign_row(doc.text, spans, source="spacy", teacher=teacher)
    if "asked" in gold[1]:
        known = {span["label"] for span in spans} | {spot.get("label") for spot in unsure}
        absent = [label for label in gold[1]["asked"] if label not in known and None not in known]
        row |= {"absent": absent} | ({"asked": list(gold[1]["asked"])} if unsure else {})
    return row | ({"unsure": unsure} if unsure else {}) | links


def write_docbin(rows: Iterable[dict], output: Path, options: Options, tally: Tally) -> None:
    """Rows on the tokens of a blank pipeline; spans that do not end at tokens are counted.

    The key "ents" sets `doc.ents` to the longest spans that do not overlap, and keeps nothing else of the rows.
    """
    nlp = spacy.blank(options.lang)
    nlp.max_length = sys.maxsize
    key = options.spans_key or KEPT
    bin = DocBin()
    for row in rows:
        doc = make_doc(nlp, row["text"])
        pairs = [(doc.char_span(s["start"], s["end"], label=s["label"]), s.get("score")) for s in row["spans"]]
        placed = [(span, score) for span, score in pairs if span is not None]
        tally.lose("misaligned", len(pairs) - len(placed))
        open_ = [spot for spot, (span, _) in zip(places(row), pairs) if span is None] + unsure_of(row)
        if key == "ents":
            kept = filter_spans([span for span, _ in placed])
            lost = [(s.start_char, s.end_char, s.label_) for s, _ in placed if s not in kept]
            doc.set_ents(kept, missing=open_tokens(doc, [*open_, *lost], kept))
            tally.lose("overlap", len(placed) - len(kept))
        else:
            # On the group, not on the doc, so that new predictions replace it. As text: msgpack gives tuples for lists.
            attrs: dict[str, Any] = {KEPT: json.dumps(keep(row), ensure_ascii=False)}
            attrs |= {"asked": asked_of(row)} if "asked" in row or row.get("absent") else {}
            attrs |= {"unsure": as_attr(open_)} if open_ else {}
            attrs |= {QUESTIONS: as_questions(row["links"])} if row.get("links") else {}
            if placed and all(isinstance(score, (int, float)) for _, score in placed):
                attrs["scores"] = np.array([score for _, score in placed], dtype="float32")
            doc.spans[key] = SpanGroup(doc, name=key, spans=[span for span, _ in placed], attrs=attrs)
        bin.add(doc)
    with writing(output) as file:
        file.write(bin.to_bytes())
