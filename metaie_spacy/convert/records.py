"""A record of another tool's file as an annotation row, or the reason why it is none."""

import json
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, NamedTuple

from ..data.documents import text_id
from ..data.jsonl import BadLine, parse_json
from ..data.ledger import Ledger
from ..data.rows import Row, check_row, labels_of, longest_first, own_and_absent, place, places

KEPT = "metaie"  # where other tools' files carry what only rows know, and the default span group
OF_AN_ANSWER = (
    "agreement",
    "dropped",
    "prompt_sha",
    "usage",
)  # say how a teacher answered: nothing about a human's row


class Options(NamedTuple):
    """What a user says about a conversion, as in `convert`."""

    spans_key: str | None
    teacher: str | None
    lang: str


class Skipped(ValueError):
    """A record is left out. reason (str): what is counted. message (str): what is wrong; empty: nothing is."""

    def __init__(self, reason: str, message: str = ""):
        super().__init__(message)
        self.reason, self.message = reason, message


class Tally:
    """What a conversion reads, writes and leaves out.

    source (Path): the file that messages name. written (int): rows. seen (int): spans of the rows that stay.
    ledger (Ledger): what is read and left out; a record that is left out without fault has no "detail".
    """

    def __init__(self, source: Path):
        self.source, self.written, self.seen, self.ledger = source, 0, 0, Ledger()

    @property
    def read(self) -> int:
        return self.ledger.read[str(self.source)]

    def take(self, where: str, record: Any, make: Callable[..., dict], *args: Any) -> list[Row]:
        """The checked row that `make(*args)` makes of a record; none if the record is skipped.

        where (str): its place in the source. record (Any): what to keep of it if it is bad.
        """
        self.ledger.read[str(self.source)] += 1
        try:
            return [self._checked(make(*args))]
        except Skipped as error:
            self.ledger.drop_record(
                str(self.source), where, record if error.message else None, error.reason, error.message or None
            )
            return []

    def lose(self, reason: str, number: int) -> None:
        """Count spans that are left out of a row that stays."""
        self.ledger.lose_spans(reason, number)

    def bad(self) -> list[dict]:
        """What is wrong with which record, `{"why", "record"}`."""
        faults = [entry for entry in self.ledger.entries if "detail" in entry]
        return [{"why": f"{e['source_file']}, {e['line']}: {e['detail']}", "record": e["raw"]} for e in faults]

    def counts(self) -> dict:
        """The result of `convert`."""
        skipped, lost = dict(self.ledger.rows), dict(self.ledger.spans)
        spans = self.seen - sum(lost.values())
        return {"read": self.read, "written": self.written, "skipped": skipped, "spans": spans, "spans_skipped": lost}

    def _checked(self, row: dict) -> Row:
        """The row, without spans that overlap a longer one of their label.

        RAISES (Skipped): it breaks the contract, or no UTF-8 file can hold it.
        """
        try:
            check_row(row)
            json.dumps(row, ensure_ascii=False).encode("utf8")
        except UnicodeEncodeError:
            raise Skipped("bad row", "it holds half of a surrogate pair, which is no character.") from None
        except (ValueError, TypeError) as error:
            raise Skipped("bad row", str(error)) from None
        kept = set(longest_first(places(row)))
        spans = []
        for span in row["spans"]:
            if place(span) in kept:
                kept.remove(place(span))
                spans.append(span)
        self.seen += len(row["spans"])
        self.lose("overlap", len(row["spans"]) - len(spans))
        return row | {"spans": spans}


def human_row(text: Any, spans: list, *, source: str, teacher: str | None, id: Any = None) -> dict:
    """A row of data that no teacher of ours made; `with_absent` adds its absent labels. source (str): the format."""
    id = text_id(text) if id is None else str(id)
    return {"id": id, "text": text, "spans": spans, "source": source, "teacher": teacher or "human", "kind": "entity"}


def with_absent(rows: Iterable[dict], closed: bool) -> Iterator[dict]:
    """Rows with their absent labels.

    closed (bool): every label of the file was asked of every text, so those without a span are
        absent; else nothing is known of them. Rows that bring "absent" keep theirs.
    """
    labels: list[str] = []
    if closed:
        rows = list(rows)
        labels = sorted({label for row in rows for label in labels_of(row)})
    for row in rows:
        if "absent" not in row:
            found = labels_of(row)
            absent = [label for label in labels if label not in found]
            row = {"id": row["id"], "text": row["text"], "spans": row["spans"], "absent": absent} | row
        yield row


def keep(row: dict) -> dict:
    """What other tools have no place for: all of a row but text and spans, and the labels it was asked."""
    return {name: value for name, value in row.items() if name not in ("text", "spans")} | {
        "asked": own_and_absent(row)
    }


def kept_in(value: Any) -> dict:
    """What `keep` made; empty for anything else that stands in its place."""
    asked = value.get("asked") if isinstance(value, dict) else None
    return value if isinstance(asked, list) and isinstance(value.get("id"), str) else {}


def restore(text: str, spans: list[dict], kept: dict, *, reviewed: bool, teacher: str | None) -> dict:
    """The row that `keep` was given, with the spans it has now.

    reviewed (bool): a human has answered; labels that were asked and have no span are absent now.
    """
    more = {name: value for name, value in kept.items() if name not in ("text", "spans", "asked")}
    row = {"id": kept["id"], "text": text, "spans": spans, "absent": []} | more
    if reviewed:
        found = {span["label"] for span in spans if isinstance(span, dict) and isinstance(span.get("label"), str)}
        absent = [label for label in kept["asked"] if not (isinstance(label, str) and label in found)]
        row = {name: value for name, value in row.items() if name not in OF_AN_ANSWER}
        row |= {"absent": absent, "teacher": "human"}
    return row | ({"teacher": teacher} if teacher else {})


def plain_span(span: Any, *, score: bool = True) -> Any:
    """A span with the names that rows know; what is no object stays, for the check to name it."""
    names = ("start", "end", "label", "score") if score else ("start", "end", "label")
    return {name: span[name] for name in names if name in span} if isinstance(span, dict) else span


def load_object(line: bytes) -> dict:
    """RAISES (Skipped): the line is no JSON object in UTF-8."""
    value = usable(parse_json, line)
    if not isinstance(value, dict):
        raise Skipped("bad row", f"expected an object, not {type(value).__name__}.")
    return value


def usable(read: Callable[[bytes], Any], line: bytes) -> Any:
    """What `read` makes of a line. RAISES (Skipped): the line cannot be read."""
    try:
        return read(line)
    except BadLine as error:
        raise Skipped(error.reason, f"{error}.") from None
