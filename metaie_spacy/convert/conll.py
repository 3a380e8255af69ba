"""Annotation rows from columns of tokens and tags."""

import re
from collections import Counter
from pathlib import Path
from typing import Iterator, NamedTuple

from ..data.documents import text_id
from ..data.jsonl import decoded
from .records import Options, Skipped, Tally, foreign_row, usable
from .sources import lines_of
from .words import TAG, as_biluo, joined, spans_on, tagged

INDEX = re.compile(r"\d+([-.]\d+)?")
CHUNKS = frozenset(
    "NP VP PP ADVP ADJP SBAR PRT CONJP INTJ LST UCP NC VC PC".split()
)  # of phrases, which are no entities


class Layout(NamedTuple):
    """What stands where in a file of columns, counted from 0.

    token (int), tags (list[int]): -1 is the last column. size (int): columns of a line. has_tabs (bool): between them,
    else blanks. cut (int): number of a last line without an end whose label is no other's; 0: of none.
    """

    token: int
    tags: list[int]
    size: int
    has_tabs: bool
    cut: int = 0

    def cells(self, text: str) -> list[str]:
        return re.split(r"\t" if self.has_tabs else r"[ \t]+", text)

    def is_comment(self, text: str) -> bool:
        """Of a line above a sentence."""
        cells = self.cells(text)
        if not text.startswith("#") or TAG.fullmatch(cells[-1]):
            return False
        return self.token > 0 or not self.has_tabs or len(cells) != self.size


def read_conll(path: Path, options: Options, tally: Tally) -> Iterator[dict]:
    """Sentences of a file of columns: the token first, its tag last. The text is the tokens with a space between them.

    Sentences between two -DOCSTART- lines are passages of one document.
    RAISES (ValueError): the columns are others, or may be; the message names them. `columns` says which they are.
    """
    layout = _layout(path, options)
    document: list[dict] | None = None  # none before the first -DOCSTART-
    for block, is_pairs in _blocks(path, options):
        number, line = block[0]
        if line.startswith(b"-DOCSTART-"):
            yield from _passages(document or [])
            document = []
            continue
        own = layout._replace(size=0, has_tabs=True) if is_pairs else layout
        rows = tally.take(f"line {number}", b"".join(text for _, text in block), _sentence_row, block, own, options)
        if document is None:
            yield from rows
        else:
            document += rows
    yield from _passages(document or [])


def _passages(document: list[dict]) -> Iterator[dict]:
    name = text_id("\n".join(row["text"] for row in document))
    for i, row in enumerate(document):
        yield row | {"id": f"{name}#{i}"}


def _blocks(path: Path, options: Options) -> Iterator[tuple[list[tuple[int, bytes]], bool]]:
    """Numbered lines of one sentence each, or a -DOCSTART- line alone, and whether they were pairs.

    A line of `token|tag` pairs, spaCy's .iob form, is a sentence with a pair on each line.
    """
    block: list[tuple[int, bytes]] = []
    for number, line in lines_of(path, options):
        pairs = line.split()
        is_start, is_pairs = line.startswith(b"-DOCSTART-"), are_pairs(line)
        if (is_start or is_pairs or not pairs) and block:
            yield block, False
            block = []
        if is_pairs:
            yield [(number, pair.replace(b"|", b"\t") + b"\n") for pair in pairs], True
        elif is_start:
            yield [(number, line)], False
        elif pairs:
            block.append((number, line))
    if block:
        yield block, False


def are_pairs(line: bytes) -> bool:
    """Whether a line holds `token|tag` pairs."""
    pairs = line.split()
    return bool(pairs) and not line.startswith(b"-DOCSTART-") and all(b"|" in pair for pair in pairs)


def _layout(path: Path, options: Options) -> Layout:
    """RAISES (ValueError): the columns cannot be told, or the file has fewer than are asked for."""
    chosen = parse_columns(options.columns)
    texts: list[str] = []
    end = 0, b"\n"
    for number, line in lines_of(path, options):
        end = (number, line) if line.strip() else end
        if line.strip() and not line.startswith(b"-DOCSTART-") and not are_pairs(line):
            texts.append(line.strip(b" \t\r\n").decode("utf8", "replace"))
    has_tabs = 2 * sum("\t" in text for text in texts) > len(texts)
    layout = Layout(0, [-1], 0, has_tabs)
    rows = [layout.cells(text) for text in texts if not layout.is_comment(text)]
    sizes = Counter(map(len, rows))
    size = min((n for n in sizes if sizes[n] == max(sizes.values())), default=2)
    rows = [cells for cells in rows if len(cells) == size]
    layout = layout._replace(size=size)
    if chosen:
        layout = layout._replace(token=chosen[0], tags=chosen[1])
        if rows and max(chosen[0], *chosen[1]) >= size:
            raise ValueError(
                f"columns = '{options.columns}', but the lines of '{path}' have {size} columns: {rows[0]}."
            )
    elif size > 1 and rows:
        _check_columns(path, rows, size)
    if not end[1].endswith(b"\n") and rows and layout.cells(texts[-1]) == rows[-1]:
        labels = {row[column][2:] for row in rows[:-1] for column in layout.tags}
        if {rows[-1][column][2:] for column in layout.tags} - labels - {""}:
            layout = layout._replace(cut=end[0])
    return layout


def parse_columns(columns: str | None) -> tuple[int, list[int]] | None:
    """Token and tag columns, counted from 0, of `token=2,tag=3,nested=4`; None: of nothing.

    RAISES (ValueError): it is written in another way.
    """
    if columns is None:
        return None
    parts = re.findall(r"(token|tag|nested)=([1-9]\d*)", columns)
    names = [name for name, _ in parts]
    if ",".join(map("=".join, parts)) != columns.replace(" ", "") or (names.count("token"), names.count("tag")) != (
        1,
        1,
    ):
        raise ValueError(
            f"columns is '{columns}'; write it as token=1,tag=2 or token=2,tag=3,nested=4, counted from 1, "
            "with one token, one tag and any number of nested."
        )
    return int(dict(parts)["token"]) - 1, [int(number) - 1 for name, number in parts if name != "token"]


def _check_columns(path: Path, rows: list[list[str]], size: int) -> None:
    """RAISES (ValueError): the first column is an index, the last one holds no tags, or another one holds some too."""
    columns = list(zip(*rows))
    tags = [sum(bool(TAG.fullmatch(cell)) for cell in column) for column in columns]
    others = [n for n in range(1, size - 1) if tags[n] == len(rows) and _labels(columns[n]) - CHUNKS]
    token = 1 + (2 * sum(bool(INDEX.fullmatch(cell)) for cell in columns[0]) > len(rows))
    if token == 2:
        why = "the first one holds numbers"
    elif 2 * tags[-1] <= len(rows):
        why = "the last one holds other things than tags such as O and B-PER"
    elif others:
        why = f"column {others[0] + 1} holds tags too"
    else:
        return
    holding = [n + 1 for n in range(size) if 2 * tags[n] > len(rows) and n + 1 > token] or [size]
    cure = f"token={token},tag={holding[0]}" + "".join(f",nested={n}" for n in holding[1:])
    shown = ", ".join(f"{n}: {' '.join(column[:3])!r}" for n, column in enumerate(columns, 1))
    raise ValueError(
        f"The columns of '{path}' cannot be told: {why}. It has {size} ({shown}). "
        f"Pass what they are, such as columns = '{cure}' (--columns {cure}); nested tags give spans inside others."
    )


def _labels(column: tuple[str, ...]) -> set[str]:
    return {cell[2:] for cell in column if cell != "O"}


def _sentence_row(block: list[tuple[int, bytes]], layout: Layout, options: Options) -> dict:
    words, tags, wrong = [], [], []
    size = layout.size
    for number, line in block:
        try:
            text = usable(decoded, line.strip(b" \t\r\n"))
        except Skipped as error:
            raise Skipped(error.reason, f"line {number} is {error.message}") from None
        cells = layout.cells(text)
        if not words and size and layout.is_comment(text):
            continue  # a comment above the sentence
        size = size or len(cells)
        if len(cells) < 2 or (len(cells) == size and not cells[min(layout.token, size - 1)].strip()):
            raise Skipped("bad columns", f"line {number} has no token with a tag: {text!r}.")
        if len(cells) != size or max(layout.token, *layout.tags) >= size:
            raise Skipped(
                "bad columns",
                f"line {number} has {len(cells)} columns, not {size}: {text!r}. "
                "A token with a blank inside needs tabs between the columns.",
            )
        own = [cells[column] for column in layout.tags]
        if layout.cut == number:
            raise Skipped(
                "cut line",
                f"line {number} has no end, and its label occurs nowhere else: {text!r}. End it if it is whole.",
            )
        places = [column % size + 1 for column in layout.tags]
        wrong += [
            f"line {number} {tag!r} (column {place})" for tag, place in zip(own, places) if not TAG.fullmatch(tag)
        ]
        words.append(cells[layout.token])
        tags.append([as_biluo(tag) for tag in own])
    if wrong:
        raise Skipped(
            "malformed tag", f"tags that are neither O nor B-, I- and so on with a label: {', '.join(wrong)}."
        )
    if not words:
        raise Skipped("comment")
    text, places = joined(words)
    spans = [span for column in zip(*tags) for span in spans_on(places, tagged(list(column)))]
    return foreign_row(text, spans, source="conll", teacher=options.teacher or "unknown")
