"""A record of another tool's file as an annotation row, or the reason why it is none."""
import json
from collections import Counter
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, NamedTuple

from ..data.documents import text_id
from ..data.rows import check_row, longest_first, own_and_absent

KEPT = "metaie"  # where other tools' files carry what only rows know, and the default span group



OF_AN_ANSWER = ("agreement", "dropped", "prompt_sha", "usage")  # say how a teacher answered: nothing about a human's row



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
    """What a conversion reads, and what it leaves out and why.

    source (Path): the file that messages name.
    read, written (int): rows. skipped (Counter): rows by reason. seen (int): spans of the rows that
        stay. lost (Counter): those of them that are left out, by reason. bad (list[dict]): what is
        wrong with which record, `{"why", "record"}`.
    """

    def __init__(self, source: Path):
        self.source, self.read, self.written, self.seen = source, 0, 0, 0
        self.skipped: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.bad: list[dict] = []

    def take(self, place: str, record: Any, make: Callable[..., dict], *args: Any) -> list[dict]:
        """The checked row that `make(*args)` makes of a record; none if the record is skipped.

        place (str): where the record stands in the source. record (Any): what to keep of it if it is bad.
        """
        self.read += 1
        try:
            return [self._checked(make(*args))]
        except Skipped as error:
            self.skipped[error.reason] += 1
            if error.message:
                record = record.decode("utf8", "backslashreplace").rstrip("\r\n") if isinstance(record, bytes) else record
                self.bad.append({"why": f"{self.source}, {place}: {error.message}", "record": record})
            return []

    def lose(self, reason: str, number: int) -> None:
        """Count spans that are left out of a row that stays."""
        if number:
            self.lost[reason] += number

    def counts(self) -> dict:
        """The result of `convert`."""
        spans = self.seen - sum(self.lost.values())
        return {"read": self.read, "written": self.written, "skipped": dict(self.skipped), "spans": spans, "spans_skipped": dict(self.lost)}

    def _checked(self, row: dict) -> dict:
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
        kept = set(longest_first([_place(span) for span in row["spans"]]))
        spans = []
        for span in row["spans"]:
            if _place(span) in kept:
                kept.remove(_place(span))
                spans.append(span)
        self.seen += len(row["spans"])
        self.lose("overlap", len(row["spans"]) - len(spans))
        return row | {"spans": spans}



def _place(span: dict) -> tuple[int, int, str]:
    return span["start"], span["end"], span["label"]



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
        labels = sorted({span["label"] for row in rows for span in row["spans"]})
    for row in rows:
        if "absent" not in row:
            found = {span["label"] for span in row["spans"]}
            absent = [label for label in labels if label not in found]
            row = {"id": row["id"], "text": row["text"], "spans": row["spans"], "absent": absent} | row
        yield row



def keep(row: dict) -> dict:
    """What other tools have no place for: all of a row but text and spans, and the labels it was asked."""
    return {name: value for name, value in row.items() if name not in ("text", "spans")} | {"asked": own_and_absent(row)}



def kept_in(value: Any) -> dict:
    """What `keep` made; empty for anything else that stands in its place."""
    asked = value.get("asked") if isinstance(value, dict) else None
    return value if isinstance(asked, list) and isinstance(value.get("id"), str) else {}



def restore(text: str, spans: list[dict], kept: dict, *, reviewed: bool, teacher: str | None) -> dict:
    """The row that `keep` was given, with the spans it has now.

    reviewed (bool): a human has answered; labels that were asked and have no span are absent now.
    """
    row = {"id": kept["id"], "text": text, "spans": spans, "absent": []} | {name: value for name, value in kept.items() if name != "asked"}
    if reviewed:
        found = [span.get("label") for span in spans if isinstance(span, dict)]
        row = {name: value for name, value in row.items() if name not in OF_AN_ANSWER}
        row |= {"absent": [label for label in kept["asked"] if label not in found], "teacher": "human"}
    return row | ({"teacher": teacher} if teacher else {})



def plain_span(span: Any, *, score: bool = True) -> Any:
    """A span with the names that rows know; what is no object stays, for the check to name it."""
    names = ("start", "end", "label", "score") if score else ("start", "end", "label")
    return {name: span[name] for name in names if name in span} if isinstance(span, dict) else span



def decoded(line: bytes) -> str:
    """RAISES (Skipped): the line is not UTF-8."""
    try:
        return line.decode("utf8")
    except UnicodeDecodeError as error:
        raise Skipped("not UTF-8", f"not UTF-8 ({error.reason} at byte {error.start}).") from None



def load_object(line: bytes) -> dict:
    """RAISES (Skipped): the line is no JSON object in UTF-8."""
    text = decoded(line)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Skipped("not JSON", f"not JSON ({error}).") from None
    if not isinstance(value, dict):
        raise Skipped("bad row", f"expected an object, not {type(value).__name__}.")
    return value
