"""Files of other tools for tests, and what `convert` makes of them."""

import json

from metaie_spacy.convert.convert import convert
from metaie_spacy.data.rows import read_rows


def save(path, value):
    if isinstance(value, list):
        value = "\n".join(row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in value) + "\n"
    path.write_bytes(value if isinstance(value, bytes) else value.encode("utf8"))
    return path


def load(path):
    return [json.loads(line) for line in path.read_text(encoding="utf8").split("\n") if line]


def rows_of(tmp_path, name, value, **options):
    """What `convert` makes of a file, and its counts. The rows keep the contract."""
    output = tmp_path / "out.jsonl"
    counts = convert(
        save(tmp_path / name, value), output, to_format="rows", errors=tmp_path / "errors.jsonl", **options
    )
    rows = list(read_rows(output))
    left = sum(counts["skipped"].values()) + counts.get("united", 0)
    assert counts["written"] == len(rows) and counts["read"] == len(rows) + left
    assert counts["spans"] == sum(len(row["spans"]) for row in rows)
    return rows, counts


def words_of(row):
    return [(row["text"][span["start"] : span["end"]], span["label"]) for span in row["spans"]]


def task(text, *results, **more):
    """A Label Studio task with one annotation for each list of (start, end, text, label)."""
    annotations = [
        {"completed_by": number, "result": [region(*place) for place in result]}
        for number, result in enumerate(results, 1)
    ]
    return {"id": 41, "data": {"text": text}, "annotations": annotations, "predictions": []} | more


def region(start, end, text, *labels, type="labels"):
    value = {"start": start, "end": end, "labels": list(labels)} | ({} if text is None else {"text": text})
    return {"id": "x", "from_name": "label", "to_name": "text", "type": type, "value": value}
