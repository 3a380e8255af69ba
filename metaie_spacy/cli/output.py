"""Texts -> labelled spans as tables, JSON or HTML."""

import html
import math
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Callable, Iterator

import wasabi
from spacy import displacy
from spacy.language import Language
from spacy.tokens import Doc
from tqdm import tqdm

from ..data.files import writing
from ..data.inert import for_terminal
from ..data.jsonl import json_line
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
                reader.reject(message, json_line({"id": id, "text": text}))
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
            "score": round(float(score), 4) if math.isfinite(score) else None,
        }
        for span, score in zip(group, group.attrs["scores"])
    ]


@contextmanager
def printer(output: Path | None) -> Iterator[Callable[[str], None]]:
    """A function that writes lines to a file, which takes its name when all is written, or to stdout."""
    if output is None:
        yield print
        return
    with writing(output) as file:
        yield lambda text: file.write(text.encode("utf8") + b"\n")


def table(head: str, rows: list[dict]) -> str:
    """One text and its spans in columns."""
    head = for_terminal(head)
    if not rows:
        return f"\n{head}\n(no spans)"
    data = [
        (
            for_terminal(row["label"]),
            for_terminal(" ".join(row["text"].split())),
            _score(row),
            f"{row['start']}-{row['end']}",
        )
        for row in rows
    ]
    header = ("label", "text", "score", "characters")
    return f"\n{head}\n" + wasabi.table(data, header=header, divider=True, aligns=("l", "l", "r", "r"), max_col=60)


def _score(row: dict) -> str:
    return "none" if row["score"] is None else f"{row['score']:.2f}"


def render_html(found: Iterator[tuple[str, Doc]], key: str) -> str:
    """A page with displaCy's span view of all texts."""
    # displaCy escapes words, not labels.
    pages = [
        {
            "text": doc.text,
            "tokens": [token.text for token in doc],
            "spans": [
                {"start_token": span.start, "end_token": span.end, "label": html.escape(span.label_)}
                for span in doc.spans[key]
            ],
        }
        for _, doc in found
    ]
    return displacy.render(pages, style="span", page=True, jupyter=False, manual=True)
