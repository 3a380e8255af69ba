"""Data of other tools -> annotation rows, and rows -> Prodigy, Label Studio and spaCy."""

import json
import logging
from pathlib import Path
from typing import Callable, Iterable, Iterator

from ..data.files import check_apart
from ..data.jsonl import read_jsonl, write_jsonl
from .conll import read_conll
from .label_studio import read_label_studio, write_label_studio
from .opinions import RULES, united
from .prodigy import read_prodigy, write_prodigy
from .records import KEPT, Options, Tally, with_absent
from .rows_file import read_rows_file, write_rows_file
from .spacy_files import read_docbin, write_docbin

logger = logging.getLogger("metaie_spacy")
READERS: dict[str, Callable[[Path, Options, Tally], Iterator[dict]]] = {
    "rows": read_rows_file,
    "spacy": read_docbin,
    "conll": read_conll,
    "prodigy": read_prodigy,
    "label-studio": read_label_studio,
}
WRITERS: dict[str, Callable[[Iterable[dict], Path, Options, Tally], None]] = {
    "rows": write_rows_file,
    "prodigy": write_prodigy,
    "label-studio": write_label_studio,
    "spacy": write_docbin,
}
SUFFIXES = {
    ".spacy": "spacy",
    ".conll": "conll",
    ".iob": "conll",
    ".bio": "conll",
    ".tsv": "conll",
    ".json": "label-studio",
}


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
    errors: str | Path | None = None,
) -> dict:
    """Convert annotations between formats; what is bad is left out, counted and kept in a file.

    Rows that go to Prodigy, Label Studio or spaCy take along what those have no place for, so
    that they return as they went. A review by a human makes the row the human's: labels that were
    asked and have no span any more become absent. Several people's answers on one text become one row.

    source (Path): `rows` (annotation rows), `spacy` (a DocBin), `conll` (columns of tokens and
        BIO, BILUO or BIOES tags), `prodigy` (JSONL) or `label-studio` (JSON or JSON-MIN export).
    output (Path): `rows`, `prodigy`, `label-studio` (with `<output>.xml`, the labeling
        configuration) or `spacy`; its folder is made.
    from_format, to_format (str): one of these, or "auto": by the suffix and the first row.
    spans_key (str | None): where spans are in a DocBin: "ents" for `doc.ents`, or a group's name.
        None reads the only ones there are and writes the group "metaie".
    teacher (str | None): who made the annotations; None: as the data says. Prodigy's and Label Studio's answers are
        a "human"'s; spaCy files and columns do not say, and are "unknown"'s.
    lang (str): whose tokens a DocBin or Prodigy gets.
    closed (bool | None): every label of the file was asked of every text, so that a label without a
        span is absent; None: so for spacy and conll, whose data is made like this.
    annotators (str): what becomes of spans on which people's answers to one text differ: "unsure" (nothing is learned
        at their places), "vote" (most decide; a tie is unsure), "first" (the first answer) or "all" (all stand).
    encoding (str | None): of a source that is not UTF-8 and has no byte order mark.
    errors (Path | None): takes what was left out because it is bad, as `{"why", "record"}`.
    RETURNS (dict): `read` and `written` rows, `skipped` rows by reason, `spans` written and
        `spans_skipped` by reason; `united` answers that went into another one's row and `spans_trimmed` of white
        space, where there are any.
    RAISES (ValueError): a format is unknown or cannot be told, the source is missing or holds no usable row.
    """
    source, output = Path(source), Path(output)
    if not source.is_file():
        raise ValueError(f"There is no file '{source}'.")
    check_apart(output, source, errors)
    check_apart(errors, source)
    check_lang(lang)
    source_format = _known(from_format, READERS, "from_format") or guess_source(source)
    target = _known(to_format, WRITERS, "to_format") or guess_target(output, source_format)
    if annotators not in RULES:
        raise ValueError(f"annotators is '{annotators}'; give one of {list(RULES)}.")
    options, tally = Options(spans_key, teacher, lang, encoding), Tally(source)
    try:
        rows = READERS[source_format](source, options, tally)
        if source_format != "rows":
            rows = with_absent(rows, source_format in ("spacy", "conll") if closed is None else closed)
            rows = united(rows, annotators, tally)
        WRITERS[target](_counted(rows, tally), output, options, tally)
    finally:
        _report(tally, Path(errors) if errors else None)
    return tally.counts()


def guess_source(path: Path) -> str:
    """The format of a file, from its suffix or, for .jsonl, its first row.

    RAISES (ValueError): neither tells.
    """
    if path.suffix in SUFFIXES:
        return SUFFIXES[path.suffix]
    row = _first_object(path) if path.suffix == ".jsonl" else {}
    spans = row["spans"] if isinstance(row.get("spans"), list) else []
    on_tokens = any("token_start" in span for span in spans if isinstance(span, dict))
    if "text" in row and (on_tokens or row.keys() & {"answer", "tokens", KEPT}):
        return "prodigy"
    if "text" in row and "spans" in row:
        return "rows"
    raise ValueError(
        f"The format of '{path}' cannot be told from its name and first row: "
        f"pass from_format, one of {sorted(READERS)}."
    )


def guess_target(path: Path, source_format: str) -> str:
    """The format to write, from the suffix; .jsonl is rows, unless rows are what is read.

    RAISES (ValueError): it does not tell, or nothing writes that format.
    """
    target = SUFFIXES.get(path.suffix)
    if path.suffix == ".jsonl" and source_format != "rows":
        target = "rows"
    if target not in WRITERS:
        raise ValueError(f"The format to write cannot be told from '{path}': pass to_format, one of {sorted(WRITERS)}.")
    return target


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


def _first_object(path: Path) -> dict:
    return next((line.value for line in read_jsonl(path) if isinstance(line.value, dict)), {})


def _counted(rows: Iterable[dict], tally: Tally) -> Iterator[dict]:
    """RAISES (ValueError): there are none; raised before the output has its name."""
    for row in rows:
        tally.written += 1
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
