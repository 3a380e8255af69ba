"""Annotation rows and spaCy examples on tokens: what training is given."""

import logging
import sys
from bisect import bisect_left, bisect_right
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Iterable, Mapping, NamedTuple, Sequence

from ..schema import ask_names
from .anchored import anchored_links
from .documents import document_of, is_dev
from .known import Spot, unsure_of
from .questions import group_links
from .rows import Link, Place, Row, asked_of, longest_first, places, read_rows
from .tokens import offsets

if TYPE_CHECKING:
    from spacy.tokens import SpanGroup
    from spacy.training import Example


logger = logging.getLogger("metaie_spacy")


class Question(NamedTuple):
    """What was asked about a span of a text: first and end token of the head, the relation, and its tails, if any."""

    start: int
    end: int
    label: str
    tails: tuple[tuple[int, int], ...]


def asked_in_words(questions: Iterable[Question], queries: Mapping[str, Sequence[str]]) -> list[Question]:
    """Questions in all wordings of their relations. queries (Mapping): relation -> wordings; others are their own."""
    return [
        question._replace(label=query)
        for question in questions
        for query in queries.get(question.label, (question.label,))
    ]


class Item(NamedTuple):
    """One annotated text on tokens.

    id (str): the row's id. words (list[str]): its tokens.
    spans (list[Place]): first token, end token (exclusive), label; spans of one label do not overlap.
    absent (list[str]): labels that were asked and have no sure span in the text.
    document (str | None): what the text is a passage of; None: as its id says.
    unsure (Sequence[Spot]): tokens of which nothing is known, for a label or for all (None).
    asked (Sequence[str] | None): what is annotated completely, as the row says; None: it does not say.
    links (Sequence[Question]): what was asked about its spans. anchored (bool): it was read off the labels.
    """

    id: str
    words: list[str]
    spans: list[Place]
    absent: list[str]
    document: str | None = None
    unsure: Sequence[Spot] = ()
    asked: Sequence[str] | None = None
    links: Sequence[Question] = ()
    anchored: bool = False

    @property
    def unknown(self) -> set[str]:
        """Labels that the text has, or may have, and of which nobody knows every place."""
        return {label for _, _, label in self.unsure if label is not None} - set(self.answered)

    @property
    def answered(self) -> list[str]:
        """The labels of the spans, then the absent ones, each once."""
        return list(dict.fromkeys([*(label for _, _, label in self.spans), *self.absent]))


class Losses:
    """Spans that cannot be learned, counted, with some of them to show.

    source (str): names them in the log.
    """

    def __init__(self, source: str):
        self.source, self.total, self.misaligned, self.overlapping, self.questions = source, 0, 0, 0, 0
        self.examples: list[str] = []

    def misalign(self, row_id: str, text: str, span: Place) -> None:
        start, end, label = span
        self.misaligned += 1
        if len(self.examples) < 3:
            around = text[max(0, start - 15) : start], text[start:end][:60], text[end : end + 15]
            self.examples.append(f"'{label}' {around[1]!r} of {row_id!r} (...{''.join(around)!r}...)")

    def log(self) -> None:
        """Warn of them, if there are any."""
        if self.misaligned or self.overlapping:
            shown = f", such as {'; '.join(self.examples)}" if self.examples else ""
            logger.warning(
                "%s: of %d spans, %d do not begin and end with a token%s, and %d overlap a longer span of their label. "
                "They are not learned; their places are left open, not taken as negative.",
                self.source,
                self.total,
                self.misaligned,
                shown,
                self.overlapping,
            )
        if self.questions:
            logger.warning(
                "%s: %d questions about a span are left out, since the span or an answer does not begin and end with a "
                "token.",
                self.source,
                self.questions,
            )


def read_items(
    path: str | Path, tokenize: Callable[[str], list[tuple[int, int]]], *, anchored: bool = False
) -> list[Item]:
    """Rows as items; of spans that do not begin and end with a token, or overlap a longer span of their label, the
    tokens are unsure, and their number is logged.

    path (str | Path): an annotations file.
    tokenize (Callable): text -> character offsets of its tokens.
    anchored (bool): labels that name a span of the text are questions about it too, see `anchored_links`.
    RAISES (ValueError): as `read_rows`.
    """
    if not anchored:
        return rows_to_items(read_rows(path), tokenize, str(path))
    rows = list(read_rows(path))
    named = [not row.get("links") for row in rows]
    rows = [{**row, "links": anchored_links(row)} if is_named else row for row, is_named in zip(rows, named)]
    items = rows_to_items(rows, tokenize, str(path))
    return [item._replace(anchored=is_named) for item, is_named in zip(items, named)]


def rows_to_items(rows: Iterable[Row], tokenize: Callable[[str], list[tuple[int, int]]], source: str) -> list[Item]:
    """`read_items` on rows that were read already. source (str): names them in the log."""
    losses = Losses(source)
    items = [row_item(row, tokenize(row["text"]), losses) for row in rows]
    losses.log()
    return items


def row_item(row: Row, offsets: list[tuple[int, int]], losses: Losses) -> Item:
    """A row on tokens. offsets (list): start and end character of each."""
    starts = {start: i for i, (start, _) in enumerate(offsets)}
    ends = {end: i + 1 for i, (_, end) in enumerate(offsets)}
    asked = asked_of(row)
    spans: list[Place] = []
    unsure = unsure_of(row)
    for start, end, label in places(row):
        losses.total += 1
        if "asked" in row and label not in asked:
            unsure.append((start, end, label))
        elif start in starts and end in ends:
            spans.append((starts[start], ends[end], label))
        else:
            losses.misalign(row["id"], row["text"], (start, end, label))
            unsure.append((start, end, label))
    words = [row["text"][start:end] for start, end in offsets]
    spots = on_tokens(unsure, offsets)
    item = Item(row["id"], words, spans, asked, document_of(row), spots, asked if "asked" in row else None)
    return settled(item._replace(links=_questions(row, starts, ends, losses)), losses)


def _questions(row: Row, starts: dict[int, int], ends: dict[int, int], losses: Losses) -> list[Question]:
    """The links of a row on tokens; one of which an end is within a token is unknown as a whole."""
    found = []
    for link in row.get("links", []):
        at = [(starts.get(start, -1), ends.get(end, -1)) for start, end in (link["head"], *link["tails"])]
        if min(min(place) for place in at) < 0:
            losses.questions += 1
            continue
        tails = longest_first((start, end, "") for start, end in at[1:])
        found.append(Question(*at[0], link["label"], tuple((start, end) for start, end, _ in tails)))
    return found


def settled(item: Item, losses: Losses | None = None) -> Item:
    """The item without spans that overlap a longer one of their label, whose tokens become unsure; `absent` without
    the labels that have spans.
    """
    kept = longest_first(item.spans)
    left = sorted(set(item.spans) - set(kept))
    if losses:
        losses.overlapping += len(item.spans) - len(kept)
    found = {label for _, _, label in kept}
    absent = [label for label in item.absent if label not in found]
    return item._replace(spans=kept, absent=absent, unsure=(*item.unsure, *left))


def on_tokens(unsure: Iterable[Spot], offsets: list[tuple[int, int]]) -> list[Spot]:
    """Places in characters on the tokens that they touch."""
    starts, ends = [start for start, _ in offsets], [end for _, end in offsets]
    spots = ((bisect_right(ends, start), bisect_left(starts, end), label) for start, end, label in unsure)
    return [(first, last, label) for first, last, label in spots if first < last]


def example_item(eg: "Example", spans_key: str) -> Item:
    """The gold spans of an example on the tokens of its predicted doc.

    What the reference's group says was asked (`attrs["asked"]`) and is open (`attrs["unsure"]`) holds; without it,
    labels in `_.metaie_labels` that have no span are absent. Of a doc without the group nothing is known.
    """
    reference = eg.reference
    words = [token.text for token in eg.predicted]
    if spans_key not in reference.spans:
        return Item("", words, [], [], None, [(0, len(words), None)], [])
    group = reference.spans[spans_key]
    given, own = group_asked(group), ask_names(reference._.metaie_labels)
    known = own if given is None else given if own is None else [label for label in own if label in set(given)]
    spans: list[Place] = []
    open_: list[Spot] = []
    for span in group:
        aligned = eg.get_aligned_spans_y2x([span], allow_overlap=True)
        if aligned and (known is None or span.label_ in known):
            spans += [(found.start, found.end, span.label_) for found in aligned]
        else:
            open_.append((span.start, span.end, span.label_))
    tokens = [(token.idx, token.idx + len(token)) for token in reference]
    open_ += on_tokens(group_unsure(group), tokens)
    unsure = []
    for start, end, label in open_:
        indices = sorted({int(i) for i in eg.alignment.y2x[start:end]})
        unsure += [(indices[0], indices[-1] + 1, label)] if indices else []
    item = Item("", words, spans, list(known or ()), None, unsure, known)
    return settled(item._replace(links=_aligned_questions(eg, group_links(group))))


def _aligned_questions(eg: "Example", links: Iterable[Link]) -> list[Question]:
    """The links of a reference on the tokens of its predicted doc; one with an end within a token is left out."""
    found = []
    for link in links:
        spans = [eg.reference.char_span(start, end) for start, end in (link["head"], *link["tails"])]
        aligned = [eg.get_aligned_spans_y2x([span], allow_overlap=True) if span is not None else [] for span in spans]
        if all(aligned):
            head, *tails = ((own[0].start, own[0].end) for own in aligned)
            kept = longest_first((start, end, "") for start, end in tails)
            found.append(Question(*head, link["label"], tuple((start, end) for start, end, _ in kept)))
    return found


def group_asked(group: "SpanGroup") -> list[str] | None:
    """The labels that a group of gold spans answers completely; None: it does not say."""
    asked = group.attrs.get("asked")
    return None if asked is None else list(asked)


def group_unsure(group: "SpanGroup") -> list[Spot]:
    """The places, in characters, of which a group of gold spans leaves open whether they are spans."""
    return [(start, end, label or None) for start, end, label in group.attrs.get("unsure", [])]


def survey(examples: Iterable["Example"], spans_key: str) -> tuple[list[Item], list[str], bool]:
    """What a corpus asks for.

    RETURNS (tuple): the examples as items, the labels of those that bring no labels of their own,
        sorted, and whether any brings some.
    RAISES (ValueError): no example has spans under `spans_key`, but some have others.
    """
    items, found, others, is_open, unknown = [], set(), set(), False, 0
    for eg in examples:
        others.update(key for key, group in eg.reference.spans.items() if len(group) and key != spans_key)
        others.update(["doc.ents"] if eg.reference.ents else [])
        if spans_key not in eg.reference.spans:
            unknown += 1
            continue
        items.append(example_item(eg, spans_key))
        if eg.reference._.metaie_labels is None:
            found.update(span.label_ for span in eg.reference.spans[spans_key])
            found.update(group_asked(eg.reference.spans[spans_key]) or ())
        else:
            is_open = True
    if others and not any(item.spans for item in items):
        raise ValueError(
            f"No example has a span in doc.spans['{spans_key}'], only in {sorted(others)}. "
            "Set spans_key in the component's block of the config to the key of your data."
        )
    if unknown:
        logger.warning(
            "%d of %d docs have no doc.spans['%s']: they were never annotated, and nothing is learned of them. "
            "Where there is nothing to find, set an empty list.",
            unknown,
            unknown + len(items),
            spans_key,
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
