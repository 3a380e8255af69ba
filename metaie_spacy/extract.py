"""Texts -> labelled spans as tables, JSON or HTML."""
import json
import sys
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Iterator

import wasabi
from spacy import displacy
from spacy.language import Language
from spacy.tokens import Doc
from tqdm import tqdm

BATCH = 256


class TextReader:
    """The texts of one source, read lazily; bad lines are reported with their number and kept.

    source (str | None): a text, a file's path, or None or "-" for stdin. Lines are texts, or, in
        .jsonl files and where they open with '{"', objects with a "text".
    errors (BinaryIO | None): takes bad lines as they came.
    RAISES (ValueError): the file is missing.
    """

    def __init__(self, source: str | None, *, errors: BinaryIO | None = None):
        self.errors, self.bad, self.total, self.is_jsonl = errors, 0, None, False
        self.name, self.lines = "stdin", sys.stdin.buffer
        if source is not None and source != "-":
            path = _as_file(source)
            if path is None:
                self.name, self.total, self.lines = "text", 1, [_flat(source).encode("utf8")]
            else:
                self.name, self.is_jsonl, self.lines = str(path), path.suffix in (".jsonl", ".ndjson"), path.open("rb")
                with path.open("rb") as file:
                    self.total = sum(1 for line in file if line.strip())

    def __enter__(self) -> "TextReader":
        return self

    def __exit__(self, *_) -> None:
        if hasattr(self.lines, "close") and self.lines is not sys.stdin.buffer:
            self.lines.close()

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for number, line in enumerate(self.lines, 1):
            if not line.strip():
                continue
            try:
                yield self._parse(line, number)
            except ValueError as error:
                self.reject(f"line {number}: {error}", line)

    def reject(self, message: str, line: bytes) -> None:
        """Report a bad line, count it and keep it."""
        self.bad += 1
        sys.stderr.write(f"{self.name}, {message}\n")
        if self.errors:
            self.errors.write(line.rstrip(b"\r\n") + b"\n")

    def _parse(self, line: bytes, number: int) -> tuple[str, str]:
        try:
            text = line.decode("utf8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise ValueError(f"not UTF-8 ({error.reason} at byte {error.start})") from None
        if not self.is_jsonl and not text.lstrip().startswith('{"'):
            return str(number), text
        try:
            row = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"not JSON ({error.msg} at column {error.colno})") from None
        if not isinstance(row, dict) or not isinstance(row.get("text"), str):
            raise ValueError('expected an object with a string "text"')
        try:
            row["text"].encode("utf8")
        except UnicodeEncodeError:
            raise ValueError("the text holds half of a surrogate pair, which is no character") from None
        return str(row.get("id", number)), row["text"]


def _flat(text: str) -> str:
    """A text argument on one line.

    RAISES (ValueError): it holds bytes that are not UTF-8.
    """
    try:
        text.encode("utf8")
    except UnicodeEncodeError:
        raise ValueError("The text is not UTF-8.") from None
    return " ".join(text.splitlines()) if "\n" in text or "\r" in text else text


def _as_file(source: str | None) -> Path | None:
    if source is None or "\n" in source or len(source) > 1000:
        return None
    path = Path(source)
    if path.is_file():
        return path
    if path.suffix in (".txt", ".jsonl", ".ndjson") and " " not in source:
        raise ValueError(f"There is no file '{source}'.")
    return None


def annotate(nlp: Language, reader: TextReader, bar: tqdm) -> Iterator[tuple[str, Doc]]:
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
        for doc, id in nlp.pipe(fits, as_tuples=True):
            bar.update()
            yield id, doc


def span_rows(doc: Doc, key: str) -> list[dict]:
    """The spans of a group as plain data: start, end (characters), text, label, score."""
    group = doc.spans[key]
    return [
        {"start": span.start_char, "end": span.end_char, "text": span.text, "label": span.label_, "score": round(float(score), 4)}
        for span, score in zip(group, group.attrs["scores"])
    ]


def table(head: str, rows: list[dict]) -> str:
    """One text and its spans in columns."""
    if not rows:
        return f"\n{head}\n(no spans)"
    data = [(row["label"], " ".join(row["text"].split()), f"{row['score']:.2f}", f"{row['start']}-{row['end']}") for row in rows]
    header = ("label", "text", "score", "characters")
    return f"\n{head}\n" + wasabi.table(data, header=header, divider=True, aligns=("l", "l", "r", "r"), max_col=60)


def render_html(found: Iterator[tuple[str, Doc]], key: str) -> str:
    """A page with displaCy's span view of all texts."""
    docs = [doc for _, doc in found]
    return displacy.render(docs, style="span", page=True, jupyter=False, options={"spans_key": key})
