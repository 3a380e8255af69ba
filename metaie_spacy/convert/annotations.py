"""Annotated texts to train on or to measure by: annotation rows, or spaCy's own files."""

import logging
from pathlib import Path

from ..data.rows import Row, read_chosen
from .records import Options, Tally, with_absent
from .spacy_files import read_docbin

logger = logging.getLogger("metaie_spacy")


def read_annotations(path: str | Path, *, only: str | Path | None = None, spans_key: str | None = None) -> list[Row]:
    """The rows of an annotations file (JSONL), or of a `.spacy` file, whose labels are a closed set.

    only (Path | None): a JSONL file whose ids choose the rows.
    spans_key (str | None): the group of a `.spacy` file, "ents" for entities; None: the only one that has spans.
    RAISES (ValueError): there is no such file, a row is bad, or the group must be chosen.
    """
    path = Path(path)
    if path.suffix != ".spacy":
        return read_chosen(path, only)
    if not path.is_file():
        raise ValueError(f"There is no file '{path}'.")
    if only is not None:
        raise ValueError(f"Docs of '{path}' have no ids to choose by: convert it to rows, or leave 'only' out.")
    tally = Tally(path)
    rows = list(with_absent(read_docbin(path, Options(spans_key), tally), True))
    for fault in tally.bad()[:3]:
        logger.warning("%s", fault["why"])
    if tally.ledger.rows:
        logger.warning("%s: of %d docs, left out: %s.", path, tally.read, dict(tally.ledger.rows))
    if not rows:
        raise ValueError(f"No doc of '{path}' is annotated under '{spans_key}'. Give the key of its groups, or 'ents'.")
    return rows
