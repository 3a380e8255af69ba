"""JSON lines: reading and writing them."""
import codecs
import json
from pathlib import Path
from typing import Any, Iterable, Iterator


def jsonl(rows: Iterable[dict]) -> str:
    """One line of JSON a row, in the order of their fields."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)



def json_line(value: Any) -> bytes:
    """One line; half of a surrogate pair, which a bad record may hold, is written as its JSON escape."""
    return json.dumps(value, ensure_ascii=False).encode("utf8", "backslashreplace") + b"\n"



def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines as bytes, since a file may hold some that are not UTF-8; without a byte order mark."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            yield number, line.removeprefix(codecs.BOM_UTF8) if number == 1 else line



def write_rows(path: Path, rows: Any) -> int:
    """Rows as JSONL, all or nothing. RETURNS (int): how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new, n = path.with_name(path.name + ".new"), 0
    with new.open("w", encoding="utf8") as file:
        for n, row in enumerate(rows, 1):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    new.replace(path)
    return n
