"""Annotation rows from and to Label Studio."""

import json
import re
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, NamedTuple
from xml.etree import ElementTree

from ..data.files import writing
from ..data.jsonl import json_line
from .opinions import Opinion
from .records import OPINION, Options, Skipped, Tally, foreign_row, keep, kept_in, restore

MAX_SPACING = 10  # times as many characters as its own words, and 1,000 more, that a region may count
NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


class TaskAnswer(NamedTuple):
    """One annotation or prediction of a Label Studio task.

    result (list): its regions. maker (str): who made it. several (bool): others did the task too.
    is_human (bool): an annotation. cancelled (bool): the annotator skipped the task.
    """

    result: list
    maker: str
    several: bool
    is_human: bool
    cancelled: bool

    def teacher(self, given: str | None, is_kept: bool) -> str | None:
        """What the row calls its teacher; None: as it was kept."""
        if self.is_human:
            return given or "human"
        return given or (None if is_kept and not self.several else self.maker)


def read_label_studio(path: Path, options: Options, tally: Tally) -> Iterator[dict]:
    """Rows of a Label Studio export, "JSON" or "JSON-MIN": one for each annotation of a task, see `opinions.united`.

    A task without annotations gives its predictions instead.
    RAISES (ValueError): no such export, or its regions are not of plain text.
    """
    try:
        tasks = json.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"'{path}' is not UTF-8 ({error.reason} at byte {error.start}).") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"'{path}' is not JSON ({error}). Export it again as JSON or JSON-MIN.") from None
    if not isinstance(tasks, list):
        raise ValueError(f"'{path}' holds no list of tasks. Export it from Label Studio as JSON or JSON-MIN.")
    for number, task in _merged(tasks):
        place = f"task {number}"
        answers = _answers(task)
        for answer in answers or [None]:
            yield from tally.take(place, task, _task_row, task, answer, options, tally, f"{path}, {place}")


def _merged(tasks: list) -> Iterator[tuple[int, Any]]:
    """Number and task; JSON-MIN, where an object is one annotation, in the form of the full export."""
    merged: dict[Any, tuple[int, Any]] = {}
    for number, task in enumerate(tasks, 1):
        if not isinstance(task, dict) or "data" in task:
            merged[number, "full"] = number, task
            continue
        lists = [
            value
            for name, value in task.items()
            if isinstance(value, list) and (name == "label" or _are_regions(value))
        ]
        result = [{"type": "labels", "value": region} for value in lists for region in value]
        annotation = {"result": result, "completed_by": task.get("annotator")}
        id = task.get("id")
        key = (id, "min") if isinstance(id, (int, str)) else (number, "none")
        if key in merged and merged[key][1]["data"].get("text") == task.get("text"):
            merged[key][1]["annotations"].append(annotation)
        else:
            merged[key] = number, {"id": id, "data": task, "annotations": [annotation]}
    yield from merged.values()


def _are_regions(value: list) -> bool:
    return any(
        isinstance(item, dict) and ("start" in item or any(name.endswith("labels") for name in item)) for item in value
    )


def _answers(task: Any) -> list[TaskAnswer]:
    """The annotations of a task, or else its predictions."""
    if not isinstance(task, dict):
        return []
    for name, made_by in (("annotations", "completed_by"), ("predictions", "model_version")):
        found = [item for item in _listed(task.get(name)) if isinstance(item, dict)]
        several = sum(not item.get("was_cancelled") for item in found) > 1
        is_human = name == "annotations"
        if found:
            return [
                TaskAnswer(
                    _listed(item.get("result")),
                    _maker(item.get(made_by), is_human),
                    several,
                    is_human,
                    bool(item.get("was_cancelled")),
                )
                for item in found
            ]
    return []


def _listed(value: Any) -> list:
    return value if isinstance(value, list) else []


def _maker(value: Any, is_human: bool) -> str:
    """Of an annotator the number, never the name or the address that may stand beside it."""
    value = value.get("id") if isinstance(value, dict) else value
    return str(value) if value not in (None, "") else "unknown" if is_human else "model"


def _task_row(task: Any, answer: TaskAnswer | None, options: Options, tally: Tally, where: str) -> dict:
    if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
        raise Skipped("bad row", 'expected a task with an object "data".')
    if answer is None or answer.cancelled:
        raise Skipped("cancelled" if answer else "not annotated")
    data = task["data"]
    text = _text_of(data)
    spans = _regions_of(answer, text, tally, where)
    kept = kept_in(data.get("meta"))
    teacher = answer.teacher(options.teacher, bool(kept))
    if kept:
        row = restore(text, spans, kept, reviewed=answer.is_human, teacher=teacher)
    else:
        id = data.get("id", task.get("id"))
        row = foreign_row(text, spans, source="label-studio", teacher=teacher or "unknown", id=id)
    return row | ({OPINION: Opinion(answer.maker, kept=kept.get("id"))} if answer.is_human else {})


def _text_of(data: dict) -> str:
    texts = [data["text"]] if "text" in data else [value for value in data.values() if isinstance(value, str)]
    if len(texts) != 1 or not isinstance(texts[0], str):
        raise Skipped("bad row", f'no field "text" with the text, only {sorted(data)}.')
    return texts[0]


def _regions_of(answer: TaskAnswer, text: str, tally: Tally, where: str) -> list[dict]:
    """The labelled regions as spans, in characters whatever the export counts in.

    RAISES (Skipped): a region's offsets lead to other words than its own. (ValueError): it lies in HTML.
    """
    regions = []
    for item in answer.result:
        value = item.get("value") if isinstance(item, dict) else None
        value = value if isinstance(value, dict) else {}
        if isinstance(value.get("start"), str) or value.keys() & {"hypertextlabels", "paragraphlabels", "startOffset"}:
            raise ValueError(
                f"{where}: a region of HTML or of a dialogue, which has no place in a plain text. Make a project with "
                '<Text name="text" value="$text"/> of the plain texts and export that.'
            )
        if isinstance(item, dict) and item.get("type") == "labels":
            regions.append((value, item.get("score")))
    tally.seen += len(answer.result) - len(regions)
    tally.lose("no labelled text", len(answer.result) - len(regions))
    spans = []
    for (value, score), (start, end) in zip(regions, _offsets([value for value, _ in regions], text)):
        labels = value.get("labels")
        if not isinstance(labels, list) or not labels:
            raise Skipped("bad row", f'the region {start}:{end} has no list "labels".')
        scored = {} if score is None or answer.is_human else {"score": score}
        spans += [{"start": start, "end": end, "label": label, **scored} for label in labels]
    return spans


def _offsets(regions: list[dict], text: str) -> list[tuple[int, int]]:
    """Start and end character of regions that count characters or, as some versions do, UTF-16 code units.

    What most regions' own words fit is taken, also for regions that do not repeat their words.
    """
    for region in regions:
        if not all(isinstance(region.get(name), int) for name in ("start", "end")):
            raise Skipped(
                "bad row", f'the region {json.dumps(region)[:200]} must have whole numbers "start" and "end".'
            )
    units = [i for i, char in enumerate(text) for _ in range(1 + (ord(char) > 0xFFFF))]
    rulers = [list(range(len(text))), units] if len(units) > len(text) else [units]

    def place(region: dict, ruler: list[int]) -> tuple[int, int] | None:
        start, end = region["start"], region["end"]
        return (ruler[start], ruler[end - 1] + 1) if 0 <= start < end <= len(ruler) else None

    def fits(region: dict, ruler: list[int], view: Callable[[str], str] = _lines) -> bool:
        at, words = place(region, ruler), region.get("text")
        if at is None or not isinstance(words, str) or at[1] - at[0] > MAX_SPACING * len(words) + 1000:
            return False
        return view(text[slice(*at)]) == view(words)

    rulers.sort(key=lambda ruler: -sum(fits(region, ruler) for region in regions))
    found = []
    for region in regions:
        ruler = next((ruler for ruler in rulers if fits(region, ruler)), rulers[0])
        at, name = place(region, ruler), f"the region {region['start']}:{region['end']}"
        if at is None:
            raise Skipped("bad row", f"{name} lies outside its text of {len(text)} characters or is empty.")
        if isinstance(region.get("text"), str) and not fits(region, ruler, _without_spacing):
            raise Skipped("bad offsets", f"{name} is {text[slice(*at)]!r}, not {region['text']!r}.")
        found.append(at)
    return found


def _lines(text: str) -> str:
    """Label Studio writes line ends in several ways."""
    return text.replace("\\n", "\n").replace("\r", "\n")


def _without_spacing(text: str) -> str:
    """It may also repeat a region's words with less white space than it counts."""
    return " ".join(_lines(text).split())


def write_label_studio(rows: Iterable[dict], output: Path, options: Options, tally: Tally) -> None:
    """Tasks to import with their spans as predictions; `<output>.xml` is the labeling configuration for them."""
    labels: set[str] = set()
    with writing(output) as file:
        for number, row in enumerate(rows):
            kept = keep(row)
            labels.update(kept["asked"])
            file.write((b",\n" if number else b"[\n") + json_line(_task(row, kept)).rstrip(b"\n"))
        file.write(b"\n]\n")
        with writing(output.with_name(output.name + ".xml")) as config:
            config.write(_label_config(sorted(labels)))


def _task(row: dict, kept: dict) -> dict:
    result = [_region(span, row["text"], f"s{i}") for i, span in enumerate(row["spans"])]
    scores = [region["score"] for region in result if "score" in region]
    prediction = {"model_version": row["teacher"]} if row.get("teacher") else {}
    if result and len(scores) == len(result):
        prediction["score"] = sum(scores) / len(scores)
    return {"data": {"text": row["text"], "meta": kept}, "predictions": [prediction | {"result": result}]}


def _region(span: dict, text: str, id: str) -> dict:
    start, end = span["start"], span["end"]
    value = {"start": start, "end": end, "text": text[start:end], "labels": [span["label"]]}
    score = {"score": span["score"]} if isinstance(span.get("score"), (int, float)) else {}
    return {"id": id, "from_name": "label", "to_name": "text", "type": "labels", "value": value} | score


def _label_config(labels: list[str]) -> bytes:
    """RAISES (ValueError): a label holds a character that no XML file can."""
    bad = [label for label in labels if NOT_IN_XML.search(label)]
    if bad:
        raise ValueError(
            f"The label {bad[0]!r} holds a control character, which a labeling configuration cannot. Rename it."
        )
    view = ElementTree.Element("View")
    group = ElementTree.SubElement(view, "Labels", name="label", toName="text")
    for label in labels:
        ElementTree.SubElement(group, "Label", value=label)
    ElementTree.SubElement(view, "Text", name="text", value="$text")
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode").encode("utf8") + b"\n"
