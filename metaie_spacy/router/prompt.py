"""The question that a large model is asked: a closed set of labels, and its answer as spans of a doc."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterable, Mapping, Sequence

from spacy.tokens import Doc

from ..data.shipped import shipped
from ..schema import Label, same_label
from ..spans import Answer
from ..teacher.client import Teacher
from ..teacher.prompts import read_prompt
from ..teacher.reply.parse import SCHEMA, read_answer, render

if TYPE_CHECKING:
    from jinja2 import Template

PROMPT = "assets/closed.jinja"
SAMPLE = {
    "labels": [{"name": "", "description": ""}],
    "examples": [{"text": "", "answer": ""}],
    "text": "",
    "form": "json",
}


@lru_cache(8)
def closed_prompt(path: str | Path = PROMPT) -> "Template":
    """The template of a path, which is given `labels`, `examples`, `text` and `form`.

    RAISES (ValueError): there is no such template.
    """
    return read_prompt(shipped(path), **SAMPLE)[0]


def ask_closed(
    teacher: Teacher,
    template: "Template",
    text: str,
    labels: Sequence[Label],
    examples: Sequence[Mapping[str, Any]] = (),
) -> tuple[list[tuple[int, int, str]], dict]:
    """Ask a large model for the spans of a text that answer labels.

    examples (Sequence): "text" and "spans", as start, end and name of a label, of texts that were asked the same.
    RETURNS (tuple): start, end and name of a label of each span, in characters, and the usage, as `Teacher.ask`.
    RAISES (QuestionError, TeacherError, BudgetSpent, StoreError): as `Teacher.ask`.
    """
    shown = [{"name": _wording(label), "description": label.description or ""} for label in labels]

    def messages(form: str) -> list[dict[str, str]]:
        told = [{"text": own["text"], "answer": _answer(own, labels, form)} for own in examples]
        content = template.render(labels=shown, examples=told, text=text, form=form)
        return [{"role": "user", "content": content}]

    return teacher.ask(messages, lambda content: read_closed(content, text, labels), schema=SCHEMA)


def read_closed(content: str, text: str, labels: Sequence[Label]) -> list[tuple[int, int, str]]:
    """The spans of an answer whose labels were asked. RAISES (ValueError): nothing in it can be used."""
    names: dict[str, list[str]] = {}
    for label in labels:
        for wording in {same_label(label.name), same_label(_wording(label))}:
            names.setdefault(wording, []).append(label.name)
    spans, _, _ = read_answer(content, text)
    found = [(span["start"], span["end"], name) for span in spans for name in names.get(same_label(span["label"]), ())]
    return list(dict.fromkeys(found))


def answers_on(doc: Doc, found: Iterable[tuple[int, int, str]]) -> list[Answer]:
    """Spans in characters on the tokens of a doc that they touch, each with score 1."""
    answers: dict[tuple[int, int, str], Answer] = {}
    for start, end, label in found:
        span = doc.char_span(start, end, alignment_mode="expand")
        if span is not None and len(span):
            answers.setdefault((span.start, span.end, label), Answer(label, span.start, span.end, 1.0))
    return list(answers.values())


def _wording(label: Label) -> str:
    """What a label is called in the question: the small model's wording, or its name where it has none."""
    return label.query or label.name


def _answer(example: Mapping[str, Any], labels: Sequence[Label], form: str) -> str:
    wordings = {label.name: _wording(label) for label in labels}
    spans = [
        {"start": start, "end": end, "label": wordings[label]}
        for start, end, label in example["spans"]
        if label in wordings
    ]
    present = {span["label"] for span in spans}
    absent = [wording for wording in wordings.values() if wording not in present]
    return render({"text": example["text"], "spans": spans, "absent": absent}, form)
