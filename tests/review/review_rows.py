"""Rows to review, and reading what became of them."""

import json


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf8")
    return path


def read_rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf8").splitlines()]


def row_of(text, *spans, **more):
    """A row; spans are (words, label), of the words' first place."""
    placed = [
        {"start": text.index(words), "end": text.index(words) + len(words), "label": label} for words, label in spans
    ]
    return {"id": text[:12], "text": text, "spans": placed, **more}


def people(count):
    """Rows that differ in their texts."""
    return [
        row_of(
            f"Person{n} Lovelace lives in City{n}.", (f"Person{n} Lovelace", "person"), (f"City{n}", "city"), id=f"r{n}"
        )
        for n in range(count)
    ]


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds
