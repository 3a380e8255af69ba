"""Annotation rows to Label Studio."""

import re
from pathlib import Path
from typing import Iterable
from xml.etree import ElementTree

from ..data.files import writing
from ..data.jsonl import json_line
from .links import linked_ids
from .records import Options, Tally, keep

NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def write_label_studio(rows: Iterable[dict], output: Path, options: Options, tally: Tally) -> None:
    """Tasks to import with their spans as predictions; `<output>.xml` is the labeling configuration for them."""
    labels: set[str] = set()
    relations: set[str] = set()
    with writing(output) as file:
        for number, row in enumerate(rows):
            kept = keep(row)
            labels.update(kept["asked"])
            relations.update(link["label"] for link in row.get("links", []))
            file.write((b",\n" if number else b"[\n") + json_line(_task(row, kept, tally)).rstrip(b"\n"))
        file.write(b"\n]\n")
        with writing(output.with_name(output.name + ".xml")) as config:
            config.write(_label_config(sorted(labels), sorted(relations)))


def _task(row: dict, kept: dict, tally: Tally) -> dict:
    result = [_region(span, row["text"], f"s{i}") for i, span in enumerate(row["spans"])]
    scores = [region["score"] for region in result if "score" in region]
    prediction = {"model_version": row["teacher"]} if row.get("teacher") else {}
    if result and len(scores) == len(result):
        prediction["score"] = sum(scores) / len(scores)
    if row.get("links"):
        result += [
            {"from_id": head, "to_id": tail, "type": "relation", "direction": "right", "labels": [label]}
            for head, label, tail in linked_ids(row, [region["id"] for region in result], tally)
        ]
    return {"data": {"text": row["text"], "meta": kept}, "predictions": [prediction | {"result": result}]}


def _region(span: dict, text: str, id: str) -> dict:
    start, end = span["start"], span["end"]
    value = {"start": start, "end": end, "text": text[start:end], "labels": [span["label"]]}
    score = {"score": span["score"]} if isinstance(span.get("score"), (int, float)) else {}
    return {"id": id, "from_name": "label", "to_name": "text", "type": "labels", "value": value} | score


def _label_config(labels: list[str], relations: list[str]) -> bytes:
    """RAISES (ValueError): a label holds a character that no XML file can."""
    bad = [label for label in [*labels, *relations] if NOT_IN_XML.search(label)]
    if bad:
        raise ValueError(
            f"The label {bad[0]!r} holds a control character, which a labeling configuration cannot. Rename it."
        )
    view = ElementTree.Element("View")
    group = ElementTree.SubElement(view, "Labels", name="label", toName="text")
    for label in labels:
        ElementTree.SubElement(group, "Label", value=label)
    if relations:
        group = ElementTree.SubElement(view, "Relations")
        for label in relations:
            ElementTree.SubElement(group, "Relation", value=label)
    ElementTree.SubElement(view, "Text", name="text", value="$text")
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode").encode("utf8") + b"\n"
