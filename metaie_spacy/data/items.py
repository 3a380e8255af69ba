"""Annotation rows and spaCy examples on tokens: what training is given."""

import logging
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Iterable, NamedTuple

from .documents import document_of, is_dev
from .rows import Place, Row, longest_first, place, read_rows
from .tokens import offsets

if TYPE_CHECKING:
    from spacy.training import Example


logger = logging.getLogger("metaie_spacy")


class Item(NamedTuple):
    """One annotated text on tokens.

    id (str): the row's id. words (list[str]): its tokens.
    spans (list[Place]): first token, end token (exclusive), label; spans of one label do not overlap.
    absent (list[str]): labels that were asked and have no answer in the text.
    document (str | None): what the text is a passage of; None: as its id says.
    """

    id: str
    words: list[str]
    spans: list[Place]
    absent: list[str]
    document: str | None = None


def read_items(path: str | Path, tokenize: Callable[[str], list[tuple[int, int]]]) -> list[Item]:
    """Rows as items; spans that do not end at token boundaries, or overlap a longer span of their
    label, are left out, and their number is logged.

    path (str | Path): an annotations file.
    tokenize (Callable): text -> character offsets of its tokens.
    RAISES (ValueError): as `read_rows`.
    """
    return rows_to_items(read_rows(path), tokenize, str(path))


def rows_to_items(rows: Iterable[Row], tokenize: Callable[[str], list[tuple[int, int]]], source: str) -> list[Item]:
    """`read_items` on rows that were read already. source (str): names them in the log."""
    items, misaligned, overlapping, total = [], 0, 0, 0
    for row in rows:
        offsets = tokenize(row["text"])
        starts = {start: i for i, (start, _) in enumerate(offsets)}
        ends = {end: i + 1 for i, (_, end) in enumerate(offsets)}
        spans = []
        for span in row["spans"]:
            total += 1
            start, end, label = place(span)
            if start in starts and end in ends:
                spans.append((starts[start], ends[end], label))
            else:
                misaligned += 1
        kept = longest_first(spans)
        overlapping += len(spans) - len(kept)
        words = [row["text"][start:end] for start, end in offsets]
        items.append(Item(row["id"], words, kept, list(row.get("absent", [])), document_of(row)))
    if misaligned or overlapping:
        logger.warning(
            "%s: of %d spans, %d do not align with the tokens and %d overlap a longer span of their label; "
            "they are not trained on.",
            source,
            total,
            misaligned,
            overlapping,
        )
    return items


def example_item(eg: "Example", spans_key: str) -> Item:
    """The gold spans of an example on the tokens of its predicted doc.

    Labels in `_.metaie_labels` that have no span are its absent labels.
    """
    group = eg.reference.spans[spans_key] if spans_key in eg.reference.spans else []
    spans = [(span.start, span.end, span.label_) for span in eg.get_aligned_spans_y2x(group, allow_overlap=True)]
    with_spans = {label for _, _, label in spans}
    absent = [label for label in eg.reference._.metaie_labels or [] if label not in with_spans]
    return Item("", [token.text for token in eg.predicted], longest_first(spans), absent)


def survey(examples: Iterable["Example"], spans_key: str) -> tuple[list[Item], list[str], bool]:
    """What a corpus asks for.

    RETURNS (tuple): the examples as items, the labels of those that bring no labels of their own,
        sorted, and whether any brings some.
    RAISES (ValueError): no example has spans under `spans_key`, but some have others.
    """
    items, found, others, is_open = [], set(), set(), False
    for eg in examples:
        others.update(key for key, group in eg.reference.spans.items() if len(group) and key != spans_key)
        others.update(["doc.ents"] if eg.reference.ents else [])
        if spans_key not in eg.reference.spans:
            continue
        items.append(example_item(eg, spans_key))
        if eg.reference._.metaie_labels is None:
            found.update(span.label_ for span in eg.reference.spans[spans_key])
        else:
            is_open = True
    if others and not any(item.spans for item in items):
        raise ValueError(
            f"No example has a span in doc.spans['{spans_key}'], only in {sorted(others)}. "
            "Set spans_key in the component's block of the config to the key of your data."
        )
    return items, sorted(found), is_open


def blank_tokenizer(lang: str = "en") -> Callable[[str], list[tuple[int, int]]]:
    """spaCy's tokenizer of a language as a function from text to character offsets."""
    import spacy

    nlp = spacy.blank(lang)
    nlp.max_length = sys.maxsize
    return partial(offsets, nlp)


def split_dev(items: list[Item], share: float, seed: int) -> tuple[list[Item], list[Item]]:
    """Split by document, see `documents.document_of`.

    RETURNS (tuple): train items, dev items. The same documents give the same split in any order.
    """
    documents = [document_of({"id": item.id}) if item.document is None else item.document for item in items]
    held = [is_dev(document, share, seed) for document in documents]
    return [item for item, out in zip(items, held) if not out], [item for item, out in zip(items, held) if out]
