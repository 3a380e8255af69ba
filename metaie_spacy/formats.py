"""Annotation rows from and to files: JSONL, spaCy's DocBin, CoNLL columns."""
import json
import re
import zlib
from collections import Counter
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator

import numpy as np
import spacy
from spacy.tokens import Doc, DocBin, SpanGroup
from spacy.training import biluo_tags_to_offsets, iob_to_biluo
from spacy.util import filter_spans
from spacy.vocab import Vocab

from .records import KEPT, Options, Skipped, Tally, decoded, human_row, json_line, keep, kept_in, load_object
from .records import numbered_lines, restore, text_id, writing

TAG = re.compile(r"O|[BILUESM]-.+")
AS_BILUO = {"E": "L", "S": "U", "M": "I"}  # BIOES and BMES call the same things by other letters


def read_lines(path: Path, tally: Tally, make: Callable[[dict], dict]) -> Iterator[dict]:
    """Rows that `make` makes of the objects of a JSONL file."""

    def parse(line: bytes) -> dict:
        return make(load_object(line))

    for number, line in numbered_lines(path):
        if line.strip():
            yield from tally.take(f"line {number}", line, parse, line)


def read_rows_file(path: Path, options: Options, tally: Tally) -> Iterator[dict]:
    """Annotation rows; a bad one is skipped, unlike in `corpus.read_rows`."""

    def make(row: dict) -> dict:
        id = row["id"] if row.get("id") is not None else text_id(row.get("text"))
        return row | {"id": str(id)} | ({"teacher": options.teacher} if options.teacher else {})

    return read_lines(path, tally, make)


def write_rows_file(rows: Iterable[dict], output: Path, options: Options, tally: Tally) -> None:
    with writing(output) as file:
        for row in rows:
            file.write(json_line(row))


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
        raise ValueError(f"No doc of '{path}' has spans under '{wanted}', only under {keys}. Pass one of them as spans_key.")
    if wanted is None and len(keys) > 1:
        raise ValueError(f"'{path}' has spans under {keys} ('ents' is doc.ents). Pass one of them as spans_key.")
    return wanted if wanted is not None else keys[0]


def _doc_row(doc: Doc, key: str, options: Options) -> dict:
    group = doc.spans[key] if key in doc.spans else None
    if group is None and (key != "ents" or not doc.has_annotation("ENT_IOB")):
        raise Skipped("not annotated", f"the doc has no annotation under '{key}'; set it to an empty list if there are no spans.")
    attrs = group.attrs if group is not None else {}
    spans = [{"start": s.start_char, "end": s.end_char, "label": s.label_} for s in (doc.ents if group is None else group)]
    scores = attrs.get("scores")
    if scores is not None and len(scores) == len(spans):
        spans = [span | {"score": round(float(score), 4)} for span, score in zip(spans, scores)]
    if kept := kept_in(json.loads(attrs.get(KEPT, "null"))):
        return restore(doc.text, spans, kept, reviewed=False, teacher=options.teacher)
    row = human_row(doc.text, spans, source="spacy", teacher=options.teacher or ("model" if scores is not None else None))
    found = {span["label"] for span in spans}
    return row | ({"absent": [label for label in attrs["asked"] if label not in found]} if "asked" in attrs else {})


def write_docbin(rows: Iterable[dict], output: Path, options: Options, tally: Tally) -> None:
    """Rows on the tokens of a blank pipeline; spans that do not end at tokens are counted.

    The key "ents" sets `doc.ents` to the longest spans that do not overlap, and keeps nothing else of the rows.
    """
    nlp = spacy.blank(options.lang)
    key = options.spans_key or KEPT
    bin = DocBin()
    for row in rows:
        doc = nlp.tokenizer(row["text"])
        pairs = [(doc.char_span(s["start"], s["end"], label=s["label"]), s.get("score")) for s in row["spans"]]
        placed = [(span, score) for span, score in pairs if span is not None]
        tally.lose("misaligned", len(pairs) - len(placed))
        if key == "ents":
            doc.ents = filter_spans([span for span, _ in placed])
            tally.lose("overlap", len(placed) - len(doc.ents))
        else:
            asked = dict.fromkeys([span.label_ for span, _ in placed] + row.get("absent", []))
            # On the group, not on the doc, so that new predictions replace it. As text: msgpack gives tuples for lists.
            attrs: dict[str, Any] = {"asked": list(asked), KEPT: json.dumps(keep(row), ensure_ascii=False)}
            if placed and all(isinstance(score, (int, float)) for _, score in placed):
                attrs["scores"] = np.array([score for _, score in placed], dtype="float32")
            doc.spans[key] = SpanGroup(doc, name=key, spans=[span for span, _ in placed], attrs=attrs)
        bin.add(doc)
    with writing(output) as file:
        file.write(bin.to_bytes())


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
            text = decoded(line.strip(b" \t\r\n"))
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
        raise Skipped("malformed tag", f"tags that are neither O nor B-, I- and so on with a label: {', '.join(wrong)}.")
    if not words:
        raise Skipped("comment")
    doc = Doc(Vocab(), words=words, spaces=[True] * (len(words) - 1) + [False])
    spans = [{"start": start, "end": end, "label": label} for start, end, label in biluo_tags_to_offsets(doc, iob_to_biluo(tags))]
    return human_row(doc.text, spans, source="conll", teacher=options.teacher)

