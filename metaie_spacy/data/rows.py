"""Annotation rows: what one is, and reading files of them."""
import json
from pathlib import Path
from typing import Iterator


def read_rows(path: str | Path) -> Iterator[dict]:
    """Annotation rows of a JSONL file, checked one by one.

    path (str | Path): rows `{"id"?, "text", "spans": [{"start", "end", "label"}], "absent"?}`,
        offsets in characters, end exclusive.
    YIELDS (dict): the rows.
    RAISES (ValueError): a line is no such row; the message says which line and what is wrong.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"There is no corpus file '{path}'.")
    with path.open(encoding="utf-8-sig") as file:  # Windows tools begin a file with a mark
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    row = json.loads(line)
                    check_row(row)
                except (ValueError, TypeError) as error:
                    raise ValueError(f"{path}, line {number}: {error}") from None
                row.setdefault("id", str(number))
                yield row



def read_chosen(path: str | Path, only: str | Path | None) -> list[dict]:
    """The rows of a file, or those of them whose ids stand in the JSONL file `only`. RAISES (ValueError): as `read_rows`."""
    import srsly

    rows = list(read_rows(path))
    if only is None:
        return rows
    chosen = {row["id"] for row in srsly.read_jsonl(only)}
    return [row for row in rows if row["id"] in chosen]



def own_and_absent(row: dict) -> list[str]:
    """The labels that a row answers: those of its spans, then those noted as absent, each once."""
    return list(dict.fromkeys([span["label"] for span in row["spans"]] + list(row.get("absent", []))))



def check_row(row: dict) -> None:
    """RAISES (ValueError): the row breaks the annotation contract."""
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise ValueError('expected an object with a string "text".')
    if not isinstance(row.get("spans"), list):
        raise ValueError('"spans" must be a list of {"start", "end", "label"}.')
    for span in row["spans"]:
        if not isinstance(span, dict) or not all(isinstance(span.get(key), int) for key in ("start", "end")):
            raise ValueError(f'the span {span} must have whole numbers "start" and "end".')
        if not isinstance(span.get("label"), str) or not span["label"].strip():
            raise ValueError(f'the span {span} must have a non-empty string "label".')
        if not 0 <= span["start"] < span["end"] <= len(row["text"]):
            raise ValueError(
                f"the span {span['start']}:{span['end']} ({span['label']!r}) lies outside its text of "
                f"{len(row['text'])} characters or is empty."
            )
    absent = row.get("absent", [])
    if not isinstance(absent, list) or not all(isinstance(label, str) and label.strip() for label in absent):
        raise ValueError('"absent" must be a list of non-empty strings.')



def longest_first(spans: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """The spans without those that overlap a longer (then earlier) one of their own label."""
    kept, taken = [], set()
    for start, end, label in sorted(set(spans), key=lambda s: (s[0] - s[1], s)):
        places = {(i, label) for i in range(start, end)}
        if not places & taken:
            taken |= places
            kept.append((start, end, label))
    return sorted(kept)
