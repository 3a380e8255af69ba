"""`metaie-spacy.Corpus.v1`: annotation rows, or spaCy's own files, as training examples."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Iterator

from .rows import read_rows
from .tokens import make_doc

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.training import Example


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
        its own in `doc._.metaie_labels`: those with spans and those noted as absent.
    ents (bool): the spans are `doc.ents` too, of overlapping ones the longest, so that `ner` can
        be trained from the same rows.
    from_key (str | None): the group of a `.spacy` file that holds the spans, such as "sc"; "ents"
        takes `doc.ents`; None: `spans_key`.
    RETURNS (Callable): nlp -> examples.
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
        for number, (eg, absent) in enumerate(source):
            if limit and number >= limit:
                break
            group = eg.reference.spans[spans_key]
            if ents:
                eg.reference.ents = filter_spans(group)
            if not closed:
                own = list(dict.fromkeys([span.label_ for span in group] + absent))
                eg.predicted._.metaie_labels = eg.reference._.metaie_labels = own
            yield eg

    return read


def _row_examples(nlp: "Language", path: str | Path, spans_key: str) -> Iterator[tuple["Example", list[str]]]:
    """Examples of annotation rows, with the labels that have no answer. Spans that do not align are counted."""
    from spacy.tokens import SpanGroup
    from spacy.training import Example

    misaligned = 0
    for row in read_rows(path):
        predicted, reference = make_doc(nlp, row["text"]), make_doc(nlp, row["text"])
        spans = [reference.char_span(s["start"], s["end"], label=s["label"]) for s in row["spans"]]
        misaligned += spans.count(None)
        kept = [span for span in spans if span is not None]
        reference.spans[spans_key] = SpanGroup(reference, name=spans_key, spans=kept)
        yield Example(predicted, reference), list(row.get("absent", []))
    if misaligned:
        logger.warning("%s: %d spans do not align with the tokens and are left out.", path, misaligned)


def _binary_examples(
    nlp: "Language", path: Path, spans_key: str, from_key: str
) -> Iterator[tuple["Example", list[str]]]:
    """Examples of a `.spacy` file; a label that the file has and a doc has not is no absent label of it."""
    from spacy.tokens import SpanGroup
    from spacy.training import Corpus

    if not path.exists():
        raise ValueError(f"There is no corpus file '{path}'.")
    found, others = 0, set()
    for eg in Corpus(path)(nlp):
        doc = eg.reference
        spans = (
            doc.ents
            if from_key == "ents" and "ents" not in doc.spans
            else doc.spans[from_key]
            if from_key in doc.spans
            else []
        )
        found, others = found + len(spans), others | set(doc.spans) | ({"ents"} if doc.ents else set())
        doc.spans[spans_key] = SpanGroup(doc, name=spans_key, spans=list(spans))
        yield eg, []
    if not found:
        raise ValueError(
            f"No doc of '{path}' has a span under '{from_key}', only under "
            f"{sorted(others - {spans_key}) or 'nothing'}. Set from_key of the reader."
        )
