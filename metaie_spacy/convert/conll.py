"""Annotation rows from CoNLL columns."""

import re
from pathlib import Path
from typing import Iterator

from spacy.tokens import Doc
from spacy.vocab import Vocab

from ..data.documents import text_id
from ..data.jsonl import decoded, numbered_lines
from .records import Options, Skipped, Tally, foreign_row, usable

TAG = re.compile(r"O|[BILUESM]-.+")
AS_BILUO = {"E": "L", "S": "U", "M": "I"}  # BIOES and BMES call the same things by other letters


def read_conll(path: Path, options: Options, tally: Tally) -> Iterator[dict]:
    """Sentences of a file of columns: the token first, its tag last. The text is the tokens with a space between them.

    Sentences between two -DOCSTART- lines are passages of one document.
    """
    document: list[dict] | None = None  # none before the first -DOCSTART-
    for block in _blocks(path):
        number, line = block[0]
        if line.startswith(b"-DOCSTART-"):
            yield from _passages(document or [])
            document = []
            continue
        rows = tally.take(f"line {number}", b"".join(text for _, text in block), _sentence_row, block, options)
        if document is None:
            yield from rows
        else:
            document += rows
    yield from _passages(document or [])


def _passages(document: list[dict]) -> Iterator[dict]:
    name = text_id("\n".join(row["text"] for row in document))
    for i, row in enumerate(document):
        yield row | {"id": f"{name}#{i}"}


def _blocks(path: Path) -> Iterator[list[tuple[int, bytes]]]:
    """Numbered lines of one sentence each, or a -DOCSTART- line alone.

    A line of `token|tag` pairs, spaCy's .iob form, is a sentence with a pair on each line.
    """
    block: list[tuple[int, bytes]] = []
    for number, line in numbered_lines(path):
        pairs = line.split()
        alone = [(number, line)] if line.startswith(b"-DOCSTART-") else []
        if pairs and not alone and all(b"|" in pair for pair in pairs):
            alone = [(number, pair.replace(b"|", b"\t") + b"\n") for pair in pairs]
        if (alone or not pairs) and block:
            yield block
            block = []
        if alone:
            yield alone
        elif pairs:
            block.append((number, line))
    if block:
        yield block


def _sentence_row(block: list[tuple[int, bytes]], options: Options) -> dict:
    words, tags, wrong = [], [], []
    for number, line in block:
        try:
            text = usable(decoded, line.strip(b" \t\r\n"))
        except Skipped as error:
            raise Skipped(error.reason, f"line {number} is {error.message}") from None
        columns = re.split(r"\t" if "\t" in text else r" +", text)
        if text.startswith("#") and not words and not TAG.fullmatch(columns[-1]):
            continue  # a comment above the sentence
        if len(columns) < 2 or not columns[0].strip():
            raise Skipped("bad columns", f"line {number} has no token with a tag: {text!r}.")
        if not TAG.fullmatch(columns[-1]):
            wrong.append(f"line {number} {columns[-1]!r}")
        words.append(columns[0])
        tags.append(AS_BILUO.get(columns[-1][0], columns[-1][0]) + columns[-1][1:])
    if wrong:
        raise Skipped(
            "malformed tag", f"tags that are neither O nor B-, I- and so on with a label: {', '.join(wrong)}."
        )
    if not words:
        raise Skipped("comment")
    doc = Doc(Vocab(), words=words, spaces=[True] * (len(words) - 1) + [False])
    spans = [
        {"start": doc[first].idx, "end": doc[last].idx + len(doc[last]), "label": label}
        for first, last, label in _entities(tags)
    ]
    return foreign_row(doc.text, spans, source="conll", teacher=options.teacher or "unknown")


def _entities(tags: list[str]) -> Iterator[tuple[int, int, str]]:
    """First and last token and label of every entity: any tag but O begins one, an I or L of its label goes on with it.

    As `spacy.training.iob_to_biluo` has it, which takes the square of their number.
    """
    first = None
    for i, tag in enumerate([*tags, "O"]):
        if first is not None and (tag[0] not in "IL" or tag[1:] != tags[first][1:]):
            yield first, i - 1, tags[first][2:]
            first = None
        if first is None and tag != "O":
            first = i
