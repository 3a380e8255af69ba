"""A record of another tool's file as an annotation row, or the reason why it is none."""

import json
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, NamedTuple

from ..data.documents import text_id
from ..data.jsonl import BadLine, parse_json
from ..data.known import stretches_by_label
from ..data.ledger import Ledger
from ..data.rows import (
    Place,
    Row,
    asked_of,
    check_row,
    labels_of,
    longest_first,
    place,
    places,
    spans_at,
    trim,
    trimmed,
)

OPINION = "_opinion"  # where a row carries its `opinions.Opinion` until it is united with others on its text
KEPT = "metaie"  # where other tools' files carry what only rows know, and the default span group
OF_AN_ANSWER = (
    "agreement",
    "dropped",
    "prompt_sha",
    "usage",
)  # say how a teacher answered: nothing about a human's row


class Options(NamedTuple):
    """What a user says about a conversion, as in `convert`."""

    spans_key: str | None = None
    teacher: str | None = None
    lang: str = "en"
    encoding: str | None = None
    columns: str | None = None
    text_field: str | None = None
    label_names: str | None = None


class Skipped(ValueError):
    """A record is left out. reason (str): what is counted. message (str): what is wrong; empty: nothing is."""

    def __init__(self, reason: str, message: str = ""):
        super().__init__(message)
        self.reason, self.message = reason, message


class Tally:
    """What a conversion reads, writes and leaves out.

    source (Path): the file that messages name. written (int): rows. seen (int): spans of the rows that stay.
    united (int): rows that went into another one of their text. trimmed (int): spans without the white space at
        their ends. links (int): answers about a head, of the rows that are written.
    ledger (Ledger): what is read and left out; a record that is left out without fault has no "detail".
    """

    def __init__(self, source: Path):
        self.source, self.written, self.seen, self.ledger = source, 0, 0, Ledger()
        self.united, self.trimmed, self.links = 0, 0, 0

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

    def drop(self, reason: str, number: int) -> None:
        """Count what is no span and has no place in a row, such as an attribute."""
        self.seen += number
        self.lose(reason, number)

    def lose_links(self, reason: str, number: int) -> None:
        """Count links of a written row that have no place in the file."""
        self.drop(reason, number)
        self.links -= number

    def leave_out(self, row: dict, reason: str) -> None:
        """Count a row that its writer cannot write."""
        self.written -= 1
        self.seen -= len(row["spans"])
        self.links -= sum(len(link["tails"]) for link in row.get("links", []))
        self.ledger.drop_record(str(self.source), f"row {row['id']}", None, reason, None)

    def bad(self) -> list[dict]:
        """What is wrong with which record, `{"why", "record"}`."""
        faults = [entry for entry in self.ledger.entries if "detail" in entry]
        return [{"why": f"{e['source_file']}, {e['line']}: {e['detail']}", "record": e["raw"]} for e in faults]

    def counts(self) -> dict:
        """The result of `convert`."""
        skipped, lost = dict(self.ledger.rows), dict(self.ledger.spans)
        spans = self.seen - sum(lost.values())
        more = {"united": self.united, "spans_trimmed": self.trimmed, "links": self.links}
        counts = {"read": self.read, "written": self.written, "skipped": skipped, "spans": spans}
        return counts | {"spans_skipped": lost} | {name: number for name, number in more.items() if number}

    def _checked(self, row: dict) -> Row:
        """The row, without spans that overlap a longer one of their label, whose places are unsure then.

        RAISES (Skipped): it breaks the contract, or no UTF-8 file can hold it.
        """
        try:
            check_row(row)
            plain = {name: value for name, value in row.items() if name != OPINION}
            json.dumps(plain, ensure_ascii=False).encode("utf8")
        except UnicodeEncodeError:
            raise Skipped("bad row", "it holds half of a surrogate pair, which is no character.") from None
        except (ValueError, TypeError) as error:
            raise Skipped("bad row", str(error)) from None
        before, row = row["spans"], trimmed(row)
        self.seen += len(before)
        self.trimmed += sum(trim(row["text"], s["start"], s["end"]) != (s["start"], s["end"]) for s in before)
        kept = set(longest_first(places(row)))
        spans, lost = [], set()
        for span in row["spans"]:
            if place(span) in kept:
                kept.remove(place(span))
                spans.append(span)
            else:
                lost.add(place(span))
        self.lose("overlap", len(before) - len(spans))
        covered = stretches_by_label(map(place, spans if lost else []))
        open_ = [spot for spot in sorted(lost) if not covered[spot[2]].cover(spot[0], spot[1])]
        unsure = {"unsure": [*row.get("unsure", []), *spans_at(open_)]} if open_ else {}
        return row | {"spans": spans} | unsure


def places_in(text: str, spans: list) -> list[Place]:
    """The places of spans. RAISES (Skipped): one is none, or lies outside the text."""
    try:
        check_row({"text": text, "spans": spans})
    except ValueError as error:
        raise Skipped("bad row", str(error)) from None
    return places({"id": "", "text": text, "spans": spans})


def foreign_row(text: Any, spans: list, *, source: str, teacher: str, id: Any = None) -> dict:
    """A row of data that no teacher of ours made; `with_absent` adds its absent labels.

    source (str): the format. teacher (str): "human" only where the data states that a person made it, else "unknown".
    """
    id = text_id(text) if id is None else str(id)
    return {"id": id, "text": text, "spans": spans, "source": source, "teacher": teacher, "kind": "entity"}


def with_absent(rows: Iterable[dict], closed: bool) -> Iterator[dict]:
    """Rows with their absent labels.

    closed (bool): every label of the file was asked of every text, so those without a span are
        absent, unless they may stand at an unsure place; else nothing is known of them. Rows that bring "absent" or
        "asked" keep theirs.
    """
    labels: list[str] = []
    if closed:
        rows = list(rows)
        labels = sorted({label for row in rows for label in labels_of(row)})
    for row in rows:
        if "absent" not in row:
            unsure = {spot.get("label") for spot in row.get("unsure", [])}
            found = labels_of(row) | unsure
            absent = [label for label in labels if label not in found and None not in unsure and "asked" not in row]
            asked = {"asked": labels} if labels and unsure and "asked" not in row else {}
            row = {"id": row["id"], "text": row["text"], "spans": row["spans"], "absent": absent} | row | asked
        yield row


def keep(row: dict) -> dict:
    """What other tools have no place for: all of a row but text and spans, and the labels it was asked.

    What the row itself says was asked stands under "row_asked".
    """
    kept = {name: value for name, value in row.items() if name not in ("text", "spans", "asked")}
    return kept | ({"row_asked": row["asked"]} if "asked" in row else {}) | {"asked": asked_of(row)}


def kept_in(value: Any) -> dict:
    """What `keep` made; empty for anything else that stands in its place."""
    asked = value.get("asked") if isinstance(value, dict) else None
    return value if isinstance(asked, list) and isinstance(value.get("id"), str) else {}


def restore(text: str, spans: list[dict], kept: dict, *, reviewed: bool, teacher: str | None) -> dict:
    """The row that `keep` was given, with the spans it has now.

    reviewed (bool): a human has answered; labels that were asked and have no span are absent now, and no place is
        unsure any more.
    """
    more = {name: value for name, value in kept.items() if name not in ("text", "spans", "asked", "row_asked")}
    asked = {"asked": kept["row_asked"]} if "row_asked" in kept else {}
    row = {"id": kept["id"], "text": text, "spans": spans, "absent": []} | asked | more
    if reviewed:
        found = {span["label"] for span in spans if isinstance(span, dict) and isinstance(span.get("label"), str)}
        absent = [label for label in kept["asked"] if not (isinstance(label, str) and label in found)]
        row = {name: value for name, value in row.items() if name not in (*OF_AN_ANSWER, "asked", "unsure")}
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
