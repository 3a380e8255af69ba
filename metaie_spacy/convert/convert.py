"""Data of other tools -> annotation rows, and rows -> the formats of other tools."""

import json
import logging
from functools import cache
from pathlib import Path
from typing import Callable, Iterable, Iterator

from ..data.files import check_apart
from ..data.jsonl import write_jsonl
from .brat import read_brat, write_brat
from .conll import parse_columns, read_conll
from .doccano import read_doccano, write_doccano
from .entities import read_entities
from .gliner import read_gliner, write_gliner
from .gliner2 import read_gliner2, write_gliner2
from .hf import read_hf, write_hf
from .label_studio import read_label_studio
from .label_studio_write import write_label_studio
from .links import pairs_of
from .opinions import RULES, united
from .prodigy import read_prodigy, write_prodigy
from .records import Options, Tally, with_absent
from .rows_file import read_rows_file, write_rows_file
from .sniff import guess_source
from .spacy_files import read_docbin, write_docbin
from .tables import read_table, write_table

logger = logging.getLogger("metaie_spacy")
READERS: dict[str, Callable[[Path, Options, Tally], Iterator[dict]]] = {
    "rows": read_rows_file,
    "spacy": read_docbin,
    "conll": read_conll,
    "hf": read_hf,
    "entities": read_entities,
    "prodigy": read_prodigy,
    "label-studio": read_label_studio,
    "doccano": read_doccano,
    "brat": read_brat,
    "gliner": read_gliner,
    "gliner2": read_gliner2,
    "csv": read_table,
}
WRITERS: dict[str, Callable[[Iterable[dict], Path, Options, Tally], None]] = {
    "rows": write_rows_file,
    "spacy": write_docbin,
    "hf": write_hf,
    "prodigy": write_prodigy,
    "label-studio": write_label_studio,
    "doccano": write_doccano,
    "brat": write_brat,
    "gliner": write_gliner,
    "gliner2": write_gliner2,
    "csv": write_table,
}
CLOSED = ("spacy", "conll", "hf")  # whose data is made so that every label is looked for in every text
TARGETS = {".spacy": "spacy", ".json": "label-studio", ".csv": "csv"}


def convert(
    source: str | Path,
    output: str | Path,
    *,
    from_format: str = "auto",
    to_format: str = "auto",
    spans_key: str | None = None,
    teacher: str | None = None,
    lang: str = "en",
    closed: bool | None = None,
    annotators: str = "unsure",
    encoding: str | None = None,
    columns: str | None = None,
    text_field: str | None = None,
    label_names: str | None = None,
    errors: str | Path | None = None,
) -> dict:
    """Convert annotations between formats; what is bad is left out, counted and kept in a file.

    Rows that go to Prodigy, Label Studio or spaCy take along what those have no place for, so
    that they return as they went. A review by a human makes the row the human's: labels that were
    asked and have no span any more become absent. Several people's answers on one text become one row.

    source (Path): a file of one of `READERS`; a folder for brat. What each holds: docs/formats.md.
    output (Path): a file of one of `WRITERS`, its folder is made; a folder for brat; `label-studio` also writes
        `<output>.xml`, the labeling configuration.
    from_format, to_format (str): one of these, or "auto": by what the source holds, and by the suffix of the output.
    spans_key (str | None): where spans are in a DocBin: "ents" for `doc.ents`, or a group's name.
        None reads the only ones there are and writes the group "metaie".
    teacher (str | None): who made the annotations; None: as the data says. Answers of Prodigy, Label Studio, doccano
        and brat are a "human"'s; other files do not say, and are "unknown"'s.
    lang (str): whose tokens a DocBin or Prodigy gets.
    closed (bool | None): every label of the file was asked of every text, so that a label without a
        span is absent; None: so for spacy, conll and hf, whose data is made like this.
    annotators (str): what becomes of spans on which people's answers to one text differ: "unsure" (nothing is learned
        at their places), "vote" (most decide; a tie is unsure), "first" (the first answer) or "all" (all stand).
    encoding (str | None): of a source that is not UTF-8 and has no byte order mark.
    columns (str | None): what stands where in a file of columns, such as "token=2,tag=3,nested=4", counted from 1.
    text_field (str | None): the column of texts in a table; None: "text".
    label_names (str | None): of tags that are numbers, such as "O,B-PER,I-PER", or a JSON file with them.
    errors (Path | None): takes what was left out because it is bad, as `{"why", "record"}`.
    RETURNS (dict): `read` and `written` rows, `skipped` rows by reason, `spans` written and
        `spans_skipped` by reason; `united` answers that went into another one's row and `spans_trimmed` of white
        space and `links` written, where there are any.
    RAISES (ValueError): a format is unknown or cannot be told, the source is missing or holds no usable row.
    """
    source, output = Path(source), Path(output)
    if not source.exists():
        raise ValueError(f"There is no file '{source}'.")
    check_apart(output, source, errors)
    check_apart(errors, source)
    check_lang(lang)
    parse_columns(columns)
    options, tally = Options(spans_key, teacher, lang, encoding, columns, text_field, label_names), Tally(source)
    source_format = _known(from_format, READERS, "from_format") or guess_source(source, options, READERS)
    if source.is_dir() and source_format != "brat":
        raise ValueError(f"'{source}' is a folder; only brat's format is one. Give a file.")
    target = _known(to_format, WRITERS, "to_format") or guess_target(output, source_format)
    if annotators not in RULES:
        raise ValueError(f"annotators is '{annotators}'; give one of {list(RULES)}.")
    try:
        rows = READERS[source_format](source, options, tally)
        if source_format != "rows":
            rows = with_absent(rows, source_format in CLOSED if closed is None else closed)
            rows = united(rows, annotators, tally)
        WRITERS[target](_counted(rows, tally), output, options, tally)
    finally:
        _report(tally, Path(errors) if errors else None)
    return tally.counts()


def guess_target(path: Path, source_format: str) -> str:
    """The format to write, from the suffix; .jsonl is rows, unless rows are what is read.

    RAISES (ValueError): it does not tell, or nothing writes that format.
    """
    target = TARGETS.get(path.suffix)
    if path.suffix == ".jsonl" and source_format != "rows":
        target = "rows"
    if target not in WRITERS:
        raise ValueError(f"The format to write cannot be told from '{path}': pass to_format, one of {sorted(WRITERS)}.")
    return target


@cache
def check_lang(lang: str) -> None:
    """RAISES (ValueError): spaCy has no such language, or misses what it needs."""
    import spacy

    try:
        spacy.blank(lang)
    except ImportError as error:
        raise ValueError(f"There is no blank pipeline for lang = '{lang}': {error}") from None


def _known(name: str, formats: dict, option: str) -> str | None:
    if name != "auto" and name not in formats:
        raise ValueError(f"{option} is '{name}'; give one of {['auto', *sorted(formats)]}.")
    return None if name == "auto" else name


def _counted(rows: Iterable[dict], tally: Tally) -> Iterator[dict]:
    """RAISES (ValueError): there are none; raised before the output has its name."""
    for row in rows:
        tally.written += 1
        tally.links += len(pairs_of(row))
        yield row
    if not tally.written:
        reasons = ", ".join(f"{reason}: {number}" for reason, number in tally.ledger.rows.items()) or "it is empty"
        first = "".join(f" The first: {bad['why']}" for bad in tally.bad()[:1])
        raise ValueError(f"'{tally.source}' holds no usable row ({reasons}).{first} Is it in the format that was read?")


def _report(tally: Tally, errors: Path | None) -> None:
    """Log what was left out, and write it to `errors`."""
    bad, skipped, lost = tally.bad(), tally.ledger.rows, tally.ledger.spans
    for fault in bad[:5]:
        logger.warning("%s", fault["why"])
    if skipped or lost:
        logger.warning(
            "%s: of %d rows, left out: %s; of %d spans: %s.",
            tally.source,
            tally.read,
            json.dumps(skipped),
            tally.seen,
            json.dumps(lost),
        )
    if errors is not None:
        write_jsonl(errors, bad)
