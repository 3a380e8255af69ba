"""JSON lines: the one reader of them, and writing them."""

import json
import math
import re
from pathlib import Path
from typing import Any, Iterable, Iterator, NamedTuple

from ..encodings import numbered_lines as numbered_lines
from ..encodings import read_text as read_text
from .files import writing

UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
UNREADABLE = ("not JSON", "cut line", "not UTF-8", "NUL bytes", "half a character")  # why a line holds no value


class BadLine(ValueError):
    """A line that holds no value. reason (str): one of UNREADABLE. detail (str): what exactly is wrong."""

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason} ({detail})")
        self.reason, self.detail = reason, detail


class Line(NamedTuple):
    """A line that is not blank.

    number (int): counted from 1. raw (bytes): as it came, without its end and a byte order mark.
    value (Any): what it holds; None if it holds none. error (BadLine | None): why it holds none.
    """

    number: int
    raw: bytes
    value: Any
    error: BadLine | None


def read_jsonl(path: str | Path, encoding: str | None = None) -> Iterator[Line]:
    """The lines of a JSONL file, one by one; one that cannot be read comes with the reason.

    encoding (str | None): of a file without a byte order mark; None: UTF-8.
    RAISES (OSError): the file cannot be opened. (ValueError): it is in another encoding.
    """
    for number, line in numbered_lines(path, encoding):
        raw = line.rstrip(b"\r\n")
        if raw.strip():
            try:
                yield Line(number, raw, parse_json(raw, is_whole=line.endswith(b"\n")), None)
            except BadLine as error:
                yield Line(number, raw, None, error)


def read_json_file(path: str | Path) -> Any:
    """The value of a JSON file.

    RAISES (ValueError): it holds none, or is in another encoding. (OSError): there is no such file.
    """
    text = read_text(path)
    try:
        return parse_json(text.encode("utf8"))
    except BadLine as error:
        raise ValueError(f"{path}: {error}") from None


def parse_json(raw: bytes, *, is_whole: bool = True) -> Any:
    """The value of a line.

    is_whole (bool): whether the line has its end; what cannot be read is cut rather than wrong if it has not.
    RAISES (BadLine): it holds none that a UTF-8 file of JSON can hold.
    """
    text = decoded(raw)
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise BadLine("not JSON" if is_whole else "cut line", f"{error.msg} at column {error.colno}") from None
    except (ValueError, RecursionError) as error:
        raise BadLine(
            "not JSON", "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        ) from None
    if b"\\ud" in raw.lower() and not _is_writable(value):
        raise BadLine("half a character", "it holds half of a surrogate pair, which is no character")
    return value


def decoded(raw: bytes) -> str:
    """A line as text. RAISES (BadLine): it is not UTF-8, or has a NUL, which no text has."""
    if b"\0" in raw:
        raise BadLine("NUL bytes", f"the first at byte {raw.index(0)}; no text has any, but UTF-16 has")
    try:
        return raw.decode("utf8")
    except UnicodeDecodeError as error:
        raise BadLine("not UTF-8", f"{error.reason} at byte {error.start}") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _finite(number: str) -> float:
    if math.isinf(value := float(number)):
        raise ValueError(f"{number} is too large")
    return value


def _is_writable(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf8")
    except UnicodeEncodeError:
        return False
    return True


def json_text(value: Any) -> str:
    """A value as JSON on one line.

    What a terminal or a page might obey, controls and marks that turn the direction of writing, is written as its
    escape, which means the same to whoever reads JSON; so is half of a surrogate pair, which a bad record may hold.

    RAISES (ValueError): a number is NaN or infinite, which JSON has not.
    """
    return UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, ensure_ascii=False, allow_nan=False))


def json_line(value: Any) -> bytes:
    """`json_text` as a line of a file."""
    return json_text(value).encode("utf8") + b"\n"


def jsonl(rows: Iterable[dict]) -> str:
    """Rows as the text of a file, in the order of their fields."""
    return "".join(json_text(row) + "\n" for row in rows)


def write_jsonl(path: str | Path, rows: Iterable[dict]) -> int:
    """Rows as a file, all or nothing. RETURNS (int): how many."""
    written = 0
    with writing(path) as file:
        for row in rows:
            file.write(json_line(row))
            written += 1
    return written
