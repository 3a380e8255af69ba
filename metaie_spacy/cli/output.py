"""Texts -> labelled spans and their links as tables, JSON or HTML."""

import html
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence

import wasabi
from spacy import displacy
from spacy.displacy.render import DEFAULT_DIR, DEFAULT_LANG
from spacy.displacy.templates import TPL_FIGURE, TPL_PAGE
from spacy.language import Language
from spacy.tokens import Doc
from tqdm import tqdm

from ..bulk.asked import asks_children_of
from ..data.files import writing
from ..data.inert import for_terminal
from ..data.jsonl import json_line, json_text
from ..data.rows import row_id
from ..data.texts import TextReader
from ..data.tokens import make_doc
from ..linking.found import Found, asked_in, found_in
from .arcs import drawings, tables
from .linked import csv_line

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


def table(head: str, found: Found) -> str:
    """One text, and its spans and links in columns."""
    head, spans = for_terminal(head), found.entities
    if not spans:
        return f"\n{head}\n(no spans)"
    data = [(_cell(row["label"]), _cell(row["text"]), _score(row), f"{row['start']}-{row['end']}") for row in spans]
    text = f"\n{head}\n" + _columns(("label", "text", "score", "characters"), data, "llrr")
    if found.links is None:
        return text
    facts = [
        (_cell(one["text"]), _cell(name), _cell(other if isinstance(other, str) else other["text"]), f"{score:.2f}")
        for one, name, other, score in found.facts()
    ]
    return text + (_columns(("head", "link", "tail", "score"), facts, "lllr") if facts else "(no links)")


def _columns(header: Sequence[str], data: Sequence[Sequence[str]], aligns: str) -> str:
    return wasabi.table(data, header=header, divider=True, aligns=tuple(aligns), max_col=60)


def _cell(text: str) -> str:
    return for_terminal(" ".join(text.split()))


def _score(row: dict) -> str:
    return "none" if row["score"] is None else f"{row['score']:.2f}"


def csv_writer(write: Callable[[str], None]) -> Callable[[str, list[dict]], None]:
    """Writes the spans of a text, a line a span, below a head."""
    write(csv_line(("id", *COLUMNS)))
    return lambda id, rows: [write(csv_line((id, *(row[name] for name in COLUMNS)))) for row in rows] and None


def json_writer(write: Callable[[str], None], pipe: Any) -> Callable[[str, Doc, dict, Found], None]:
    """Writes a row a text: its own fields, "spans", "links" if any were asked, "asked" if not all labels were.

    pipe (MetaIE): what has answered.
    """
    names, key = pipe.labels, pipe.spans_key
    has_children = asks_children_of(pipe.label_data)

    def write_row(id: str, doc: Doc, row: dict, found: Found) -> None:
        asked = asked_in(doc, key, names)
        if has_children:  # what the source says was asked is not about these spans
            row = {name: value for name, value in row.items() if name != "asked"}
        more = {} if found.links is None else {"links": found.links}
        more |= {} if asked is None else {"asked": asked}
        write(json_text({**row, "id": id, "spans": found.spans, **more}))

    return write_row


def render_html(texts: Iterator[tuple[str, Doc, dict]], key: str) -> str:
    """A page with displaCy's span view of all texts, and below each its links as arcs and tables."""
    pages, more = [], []
    for _, doc, _ in texts:
        found = found_in(doc, key)
        spans = [(span.start, span.end, span.label_) for span in doc.spans[key]]
        answers = [row for row in found.spans if row.get("answer")]
        for row in answers:
            span = doc.char_span(row["start"], row["end"], alignment_mode="expand")
            spans.append((span.start, span.end, row["label"]))
        pages.append(
            {
                "text": doc.text,
                "tokens": [token.text for token in doc],
                # displaCy escapes words, not labels.
                "spans": [{"start_token": s, "end_token": e, "label": html.escape(label)} for s, e, label in spans],
            }
        )
        more.append("".join([*drawings(doc.text, found), *tables(found)]))
    if not any(more):
        return displacy.render(pages, style="span", page=True, jupyter=False, manual=True)
    views = (displacy.render([page], style="span", jupyter=False, manual=True) for page in pages)
    figures = "".join(TPL_FIGURE.format(content=view + links) for view, links in zip(views, more))
    return TPL_PAGE.format(content=figures, lang=DEFAULT_LANG, dir=DEFAULT_DIR).strip()
