"""Texts -> labelled spans as tables, JSON or HTML."""

import json
from itertools import islice
from typing import Iterator

import wasabi
from spacy import displacy
from spacy.language import Language
from spacy.tokens import Doc
from tqdm import tqdm

from ..data.texts import TextReader
from ..data.tokens import make_doc

BATCH = 256


def pipe_texts(nlp: Language, reader: TextReader, bar: tqdm) -> Iterator[tuple[str, Doc]]:
    """(id, doc) of every text, in order. Texts beyond `nlp.max_length` are rejected like bad lines."""
    texts = iter(reader)
    while part := list(islice(texts, BATCH)):
        fits = []
        for id, text in part:
            if len(text) > nlp.max_length:
                message = f"id {id}: {len(text)} characters, more than nlp.max_length = {nlp.max_length}"
                reader.reject(message, json.dumps({"id": id, "text": text}).encode("utf8"))
            else:
                fits.append((text, id))
        for doc, id in nlp.pipe(((make_doc(nlp, text), id) for text, id in fits), as_tuples=True):
            bar.update()
            yield id, doc


def span_rows(doc: Doc, key: str) -> list[dict]:
    """The spans of a group as plain data: start, end (characters), text, label, score."""
    group = doc.spans[key]
    return [
        {
            "start": span.start_char,
            "end": span.end_char,
            "text": span.text,
            "label": span.label_,
            "score": round(float(score), 4),
        }
        for span, score in zip(group, group.attrs["scores"])
    ]


def table(head: str, rows: list[dict]) -> str:
    """One text and its spans in columns."""
    if not rows:
        return f"\n{head}\n(no spans)"
    data = [
        (row["label"], " ".join(row["text"].split()), f"{row['score']:.2f}", f"{row['start']}-{row['end']}")
        for row in rows
    ]
    header = ("label", "text", "score", "characters")
    return f"\n{head}\n" + wasabi.table(data, header=header, divider=True, aligns=("l", "l", "r", "r"), max_col=60)


def render_html(found: Iterator[tuple[str, Doc]], key: str) -> str:
    """A page with displaCy's span view of all texts."""
    docs = [doc for _, doc in found]
    return displacy.render(docs, style="span", page=True, jupyter=False, options={"spans_key": key})
