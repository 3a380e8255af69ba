"""Files of JSON records and of text, whatever tool they are from."""

import json
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping

from ..data.jsonl import BadLine, decoded, numbered_lines, parse_json
from .records import Options, Skipped, Tally


def lines_of(path: Path, options: Options) -> Iterator[tuple[int, bytes]]:
    """Numbered lines in UTF-8; one of them may be damaged. RAISES (ValueError): the file is in another encoding."""
    return numbered_lines(path, options.encoding)


def text_of(path: Path, options: Options) -> str:
    """A file as text, its line ends as they are.

    RAISES (ValueError): it is in another encoding, or a line is damaged.
    """
    lines = []
    for number, line in lines_of(path, options):
        try:
            lines.append(decoded(line))
        except BadLine as error:
            raise ValueError(
                f"'{path}', line {number}: {error}. Pass the encoding that it has (--encoding), such as cp1252."
            ) from None
    return "".join(lines)


def json_value(path: Path, options: Options) -> Any:
    """What a JSON file holds. RAISES (ValueError): it is no JSON, or not in its encoding."""
    try:
        return json.loads(text_of(path, options))
    except (json.JSONDecodeError, RecursionError) as error:
        why = "it is nested too deep" if isinstance(error, RecursionError) else error
        raise ValueError(f"'{path}' is not JSON ({why}). Export it again.") from None


def json_records(path: Path, options: Options) -> Iterator[tuple[str, Any, Any]]:
    """Place, record as it came, and its value or the `BadLine` that says why it has none.

    A file of JSON lines, of one list of records, or of one record.
    RAISES (ValueError): a list is no JSON, or the file is not in the encoding that is declared.
    """
    lines = lines_of(path, options)
    first = next(((number, line) for number, line in lines if line.strip()), None)
    if first is None:
        return
    if first[1].lstrip().startswith(b"["):
        is_lines = _is_json(first[1]) and any(line.strip() for _, line in lines)
    else:
        is_lines = _is_json(first[1]) or not _is_json(b"".join(line for _, line in lines_of(path, options)))
    if not is_lines:
        value = json_value(path, options)
        for number, record in enumerate(value if isinstance(value, list) else [value], 1):
            yield f"record {number}", record, record
        return
    for number, line in lines_of(path, options):
        if line.strip():
            try:
                yield f"line {number}", line, parse_json(line.rstrip(b"\r\n"), is_whole=line.endswith(b"\n"))
            except BadLine as error:
                yield f"line {number}", line, error


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def take_records(path: Path, options: Options, tally: Tally, make: Callable[[Any], dict]) -> Iterator[dict]:
    """The rows that `make` makes of the records of a JSON or JSONL file."""

    def made(value: Any) -> dict:
        if isinstance(value, BadLine):
            raise Skipped(value.reason, f"{value}.")
        return make(value)

    for where, raw, value in json_records(path, options):
        yield from tally.take(where, raw, made, value)


def as_object(value: Any) -> dict:
    """RAISES (Skipped): it is no object."""
    if not isinstance(value, dict):
        raise Skipped("bad row", f"expected an object, not {type(value).__name__}.")
    return value


def listed(record: Mapping, name: str) -> list:
    """A field that must be a list. RAISES (Skipped): it is not there, or something else."""
    if not isinstance(record.get(name), list):
        raise Skipped("bad row", f'expected a list "{name}"; the record has {sorted(record)}.')
    return record[name]


def check_keys(record: Mapping, known: Mapping[str, type]) -> None:
    """A key that is missing while another one looks like it is misspelled, not left out.

    known (Mapping[str, type]): keys of the format and what stands under them.
    RAISES (Skipped): there is such a key.
    """
    for name in record.keys() - known.keys():
        meant = _like(name, tuple(known))
        if meant and meant not in record and isinstance(record[name], known[meant]):
            raise Skipped("bad row", f"it has a key {name!r} and none {meant!r}. Rename it.")


@lru_cache(maxsize=4096)
def _like(name: str, known: tuple[str, ...]) -> str | None:
    return next(iter(get_close_matches(name, known, 1, 0.75)), None)


def whole(value: Any, what: str) -> int:
    """RAISES (Skipped): it is no whole number."""
    if type(value) is not int:
        raise Skipped("bad row", f"{what} is {value!r}, which is no whole number.")
    return value
