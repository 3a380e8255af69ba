"""Texts -> labelled spans as tables, JSON or HTML."""

import csv
import html
import io
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator

import wasabi
from spacy import displacy
from spacy.language import Language
from spacy.tokens import Doc
from tqdm import tqdm

from ..data.files import writing
from ..data.inert import for_terminal
from ..data.jsonl import json_line
from ..data.rows import row_id
from ..data.texts import TextReader
from ..data.tokens import make_doc

BATCH = 256
COLUMNS = ("start", "end", "label", "text", "score")


def pipe_texts(nlp: Language, reader: TextReader, bar: tqdm) -> Iterator[tuple[str, Doc, dict]]:
    """(id, doc, row) of every text, in order; of a source of rows the row has its other fields too. Texts beyond
    `nlp.max_length` are rejected like bad lines."""
    texts = reader.rows()
    while part := list(islice(texts, BATCH)):
        fits = []
        for number, row in part:
            text, id = row["text"], row_id(row.get("id")) or str(number)
            if len(text) > nlp.max_length:
                message = f"id {id}: {len(text)} characters, more than nlp.max_length = {nlp.max_length}"
                reader.reject(message, json_line(row))
            else:
                fits.append((make_doc(nlp, text), (id, row)))
        for doc, (id, row) in nlp.pipe(fits, as_tuples=True):
            bar.update()
            yield id, doc, row


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


def csv_writer(write: Callable[[str], None]) -> Callable[[str, list[dict]], None]:
    """Writes the spans of a text, a line a span, below a head."""

    def line(values: Iterable[Any]) -> None:
        held = io.StringIO()
        csv.writer(held, lineterminator="").writerow(values)
        write(held.getvalue())

    line(("id", *COLUMNS))
    return lambda id, rows: [line((id, *(row[name] for name in COLUMNS))) for row in rows] and None


def render_html(found: Iterator[tuple[str, Doc, dict]], key: str) -> str:
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
        for _, doc, _ in found
    ]
    return displacy.render(pages, style="span", page=True, jupyter=False, manual=True)
