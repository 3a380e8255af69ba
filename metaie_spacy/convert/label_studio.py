"""Annotation rows from and to Label Studio."""

from pathlib import Path
from typing import Any, Iterator, NamedTuple

from .label_studio_places import offsets, pairs_between
from .links import Pair, with_links
from .opinions import Opinion
from .records import OPINION, Options, Skipped, Tally, foreign_row, kept_in, restore
from .sources import check_keys, json_value

ANSWERS = {"annotations": "completed_by", "completions": "completed_by", "predictions": "model_version"}  # and who made
OF_JSON_MIN = ("annotator", "annotation_id", "created_at", "updated_at", "lead_time")


class TaskAnswer(NamedTuple):
    """One annotation or prediction of a Label Studio task.

    result (Any): its regions, if they are a list. maker (str): who made it. several (bool): others did the task too.
    is_human (bool): an annotation. cancelled (bool): the annotator skipped the task.
    """

    result: Any
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
    tasks = json_value(path, options)
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
        if not isinstance(task, dict) or "data" in task or not is_json_min(task):
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


def is_json_min(task: dict) -> bool:
    """Whether an object is an annotation of the short export: it has regions, or says when and by whom it was made."""
    values = [value for value in task.values() if isinstance(value, list)]
    return any(map(_are_regions, values)) or any(name in task for name in OF_JSON_MIN)


def _are_regions(value: list) -> bool:
    return any(
        isinstance(item, dict) and (item.keys() >= {"start", "end"} or any(name.endswith("labels") for name in item))
        for item in value
    )


def _answers(task: Any) -> list[TaskAnswer]:
    """The annotations of a task, in old exports its completions, or else its predictions."""
    if not isinstance(task, dict):
        return []
    for name, made_by in ANSWERS.items():
        found = [item for item in _listed(task.get(name)) if isinstance(item, dict)]
        several = sum(not item.get("was_cancelled") for item in found) > 1
        is_human = name != "predictions"
        if found:
            return [
                TaskAnswer(
                    item.get("result"), _maker(item.get(made_by), is_human), several, is_human, _is_cancelled(item)
                )
                for item in found
            ]
    return []


def _is_cancelled(item: dict) -> bool:
    return bool(item.get("was_cancelled") or item.get("skipped"))


def _listed(value: Any) -> list:
    return value if isinstance(value, list) else []


def _maker(value: Any, is_human: bool) -> str:
    """Of an annotator the number, never the name or the address that may stand beside it."""
    value = value.get("id") if isinstance(value, dict) else value
    return str(value) if value not in (None, "") else "unknown" if is_human else "model"


def _task_row(task: Any, answer: TaskAnswer | None, options: Options, tally: Tally, where: str) -> dict:
    if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
        raise Skipped("bad row", 'expected a task with an object "data".')
    _check_task(task)
    if answer is None or answer.cancelled:
        raise Skipped("cancelled" if answer else "not annotated")
    if not isinstance(answer.result, list):
        raise Skipped("bad row", f'an annotation must have a list "result", not {str(answer.result)[:80]}.')
    data = task["data"]
    text = _text_of(data)
    spans, pairs = _regions_of(answer, text, tally, where)
    kept = kept_in(data.get("meta"))
    teacher = answer.teacher(options.teacher, bool(kept))
    if kept:
        row = restore(text, spans, kept, reviewed=answer.is_human, teacher=teacher)
    else:
        id = data.get("id", task.get("id"))
        row = foreign_row(text, spans, source="label-studio", teacher=teacher or "unknown", id=id)
    if answer.is_human or not kept:
        row = with_links(row, pairs, kept)
    return row | ({OPINION: Opinion(answer.maker, kept=kept.get("id"))} if answer.is_human else {})


def _check_task(task: dict) -> None:
    """RAISES (Skipped): it has neither annotations nor predictions, or they are no lists of objects."""
    check_keys(task, dict.fromkeys(ANSWERS, list))
    own = {name: task[name] for name in ANSWERS if name in task}
    bad = [name for name, value in own.items() if not isinstance(value, list)]
    bad += [
        name
        for name, value in own.items()
        if name != "predictions" and any(type(i) is not dict for i in _listed(value))
    ]
    if bad or not own:
        raise Skipped("bad row", f'expected lists such as "annotations"; the task has {bad or sorted(task)}.')


def _text_of(data: dict) -> str:
    texts = [data["text"]] if "text" in data else [value for value in data.values() if isinstance(value, str)]
    if len(texts) != 1 or not isinstance(texts[0], str):
        raise Skipped("bad row", f'no field "text" with the text, only {sorted(data)}.')
    return texts[0]


def _regions_of(answer: TaskAnswer, text: str, tally: Tally, where: str) -> tuple[list[dict], list[Pair]]:
    """The labelled regions as spans, in characters whatever the export counts in, and the relations between them.

    RAISES (Skipped): a region's offsets lead to other words than its own. (ValueError): it lies in HTML.
    """
    regions, relations, others = [], [], 0
    for item in answer.result:
        if not isinstance(item, dict) or "type" not in item:
            raise Skipped("bad row", f'a region must be an object with a "type", not {str(item)[:80]}.')
        value = item.get("value") if isinstance(item.get("value"), dict) else {}
        if isinstance(value.get("start"), str) or value.keys() & {"hypertextlabels", "paragraphlabels", "startOffset"}:
            raise ValueError(
                f"{where}: a region of HTML or of a dialogue, which has no place in a plain text. Make a project with "
                '<Text name="text" value="$text"/> of the plain texts and export that.'
            )
        if item["type"] == "labels":
            regions.append((value, item))
        elif item["type"] == "relation":
            relations.append(item)
        else:
            others += 1
    tally.drop("no labelled text", others)
    spans, at = [], {}
    for (value, item), (start, end) in zip(regions, offsets([value for value, _ in regions], text)):
        labels = value.get("labels")
        if not isinstance(labels, list) or not labels:
            raise Skipped("bad row", f'the region {start}:{end} has no list "labels".')
        scored = {} if item.get("score") is None or answer.is_human else {"score": item["score"]}
        spans += [{"start": start, "end": end, "label": label, **scored} for label in labels]
        if isinstance(item.get("id"), (str, int)):
            at[item["id"]] = start, end
    return spans, pairs_between(relations, at, tally)
