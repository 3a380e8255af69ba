"""`metaie-spacy.Corpus.v1`: annotation rows, or spaCy's own files, as training examples."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Iterable, Iterator

from .items import Losses, group_unsure, on_tokens
from .known import Spot, Stretches, as_attr, unsure_of
from .questions import ASKED, LINKS, QUESTIONS, as_questions
from .rows import asked_of, places, read_rows
from .tokens import make_doc

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc, Span
    from spacy.training import Example


KNOWN = ("asked", "unsure", QUESTIONS, LINKS, ASKED)  # what the attrs of a gold group say
logger = logging.getLogger("metaie_spacy")


def make_corpus(
    path: str | Path,
    spans_key: str = "metaie",
    limit: int = 0,
    closed: bool = False,
    ents: bool = False,
    from_key: str | None = None,
) -> Callable[["Language"], Iterator["Example"]]:
    """`metaie-spacy.Corpus.v1`: annotation rows, or spaCy's own binary files, as training examples.

    path (str | Path): an annotations file (JSONL), or a `.spacy` file.
    spans_key (str): where the spans go in `doc.spans`.
    limit (int): at most so many rows; 0: all.
    closed (bool): all docs share one set of labels, as in few-shot training; else every doc brings
        its own in `doc._.metaie_labels`: those that its row or its group says were asked.
    ents (bool): the spans are `doc.ents` too, of overlapping ones the longest, so that `ner` can
        be trained from the same rows.
    from_key (str | None): the group of a `.spacy` file that holds the spans, such as "sc"; "ents"
        takes `doc.ents`; None: `spans_key`.
    RETURNS (Callable): nlp -> examples. Their groups say in `attrs` what is "asked" and "unsure" (places in
        characters, [start, end, label or ""]), where the data does. Docs that were never annotated are left out,
        and counted.
    RAISES (ValueError): no path, a bad row, or a `.spacy` file without that group.
    """
    if not str(path):
        raise ValueError("The corpus has no path: pass --paths.train and --paths.dev, or set them in [paths].")

    def read(nlp: "Language") -> Iterator["Example"]:
        from spacy.util import filter_spans

        is_binary = Path(path).suffix == ".spacy"
        source = (
            _binary_examples(nlp, Path(path), spans_key, from_key or spans_key)
            if is_binary
            else _row_examples(nlp, path, spans_key)
        )
        for number, (eg, asked) in enumerate(source):
            if limit and number >= limit:
                break
            group = eg.reference.spans[spans_key]
            if ents:
                kept = filter_spans(group)
                eg.reference.set_ents(kept, missing=open_tokens(eg.reference, group_unsure(group), kept))
            if not closed:
                eg.predicted._.metaie_labels = eg.reference._.metaie_labels = asked
            yield eg

    return read


def open_tokens(doc: "Doc", unsure: Iterable[Spot], ents: Iterable["Span"]) -> list["Span"]:
    """The tokens at unsure places, in characters, that no entity covers: what `Doc.set_ents` takes as missing."""
    offsets = [(token.idx, token.idx + len(token)) for token in doc]
    open_ = Stretches((start, end) for start, end, _ in on_tokens(unsure, offsets))
    taken = Stretches((span.start, span.end) for span in ents)
    return [doc[i : i + 1] for s, e in zip(open_.starts, open_.ends) for i in range(s, e) if not taken.meet(i, i + 1)]


def _row_examples(nlp: "Language", path: str | Path, spans_key: str) -> Iterator[tuple["Example", list[str]]]:
    """Examples of annotation rows, with the labels that they answer. Places of spans that do not align are unsure."""
    from spacy.tokens import SpanGroup
    from spacy.training import Example

    losses = Losses(str(path))
    for row in read_rows(path):
        predicted, reference = make_doc(nlp, row["text"]), make_doc(nlp, row["text"])
        asked, open_, kept = asked_of(row), unsure_of(row), []
        for start, end, label in places(row):
            losses.total += 1
            span = reference.char_span(start, end, label=label)
            if span is None:
                losses.misalign(row["id"], row["text"], (start, end, label))
                open_.append((start, end, label))
            else:
                kept.append(span)
        attrs: dict = {"unsure": as_attr(open_)} if open_ else {}
        attrs |= {"asked": asked} if "asked" in row else {}
        attrs |= {QUESTIONS: as_questions(row["links"])} if row.get("links") else {}
        reference.spans[spans_key] = SpanGroup(reference, name=spans_key, spans=kept, attrs=attrs)
        yield Example(predicted, reference), asked
    losses.log()


def _binary_examples(
    nlp: "Language", path: Path, spans_key: str, from_key: str
) -> Iterator[tuple["Example", list[str]]]:
    """Examples of a `.spacy` file; a label that the file has and a doc has not is no absent label of it."""
    from spacy.tokens import SpanGroup
    from spacy.training import Corpus

    if not path.exists():
        raise ValueError(f"There is no corpus file '{path}'.")
    found, others, unknown, read = 0, set(), 0, 0
    for eg in Corpus(path)(nlp):
        doc = eg.reference
        read += 1
        others |= set(doc.spans) | ({"ents"} if doc.ents else set())
        group = gold_group(doc, from_key)
        if group is None:
            unknown += 1
            continue
        spans, attrs = group
        found += len(spans)
        doc.spans[spans_key] = SpanGroup(doc, name=spans_key, spans=spans, attrs=attrs)
        yield eg, list(dict.fromkeys([*(span.label_ for span in spans), *attrs.get("asked", [])]))
    if not found:
        raise ValueError(
            f"No doc of '{path}' has a span under '{from_key}', only under "
            f"{sorted(others - {spans_key}) or 'nothing'}. Set from_key of the reader."
        )
    if unknown:
        logger.warning(
            "%s: %d of %d docs were never annotated under '%s'; they are left out. Where there is nothing to find, set "
            "an empty list.",
            path,
            unknown,
            read,
            from_key,
        )


def gold_group(doc: "Doc", key: str) -> tuple[list["Span"], dict] | None:
    """The gold spans of a doc under a key, and what its group says is "asked" and "unsure".

    key (str): of a span group; "ents": `doc.ents`, where tokens that spaCy calls missing are unsure.
    RETURNS (tuple | None): None: the doc was never annotated there.
    """
    if key in doc.spans:
        group = doc.spans[key]
        return list(group), {name: group.attrs[name] for name in KNOWN if name in group.attrs}
    if key != "ents" or not doc.has_annotation("ENT_IOB"):
        return None
    missing = Stretches((token.i, token.i + 1) for token in doc if token.ent_iob == 0)
    spots = [[doc[s].idx, doc[e - 1].idx + len(doc[e - 1]), ""] for s, e in zip(missing.starts, missing.ends)]
    return list(doc.ents), {"unsure": spots} if spots else {}
