"""Who annotates a text: a large language model with a prompt, or rules."""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple, Protocol

from ..data.rows import Place, Span, longest_first, place, spans_at
from ..data.tokens import make_doc
from .client import Teacher
from .failures import NotStored
from .prompts import read_prompt
from .reply.parse import SCHEMA, read_answer


class Annotation(NamedTuple):
    """The answers of one text.

    spans (list[dict]): `{"start", "end", "label"}`. absent (list[str]): labels without an answer.
    dropped (list[dict]): `{"label", "span", "why"}`. usage (dict): tokens, empty without an LLM.
    agreement (float | None): share of the samples that agree, averaged over all spans that any found.
    """

    spans: list[dict]
    absent: list[str]
    dropped: list[dict]
    usage: dict
    agreement: float | None = None


class Annotator(Protocol):
    """Who annotates texts, called from several threads.

    name, prompt_sha (str): what rows say of their origin. in_flight (int): calls at a time. kind (str): of the rows.
    start: a run begins. stop: it ends early, calls that wait may give up. status: what it cost so far, in words.
    """

    name: str
    prompt_sha: str
    in_flight: int
    kind: str

    def __call__(self, text: str) -> Annotation: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def status(self) -> str: ...


class PromptAnnotator:
    """Asks a teacher for all (label, span) pairs of a text, with MetaIE's open prompt.

    teacher (Teacher): who is asked. prompt (Path): a Jinja template with `text` and `form`.
    samples (int): answers asked for each text; only what most of them agree on is kept.
    name (str | None): what rows call the teacher; None: the model's name.
    RAISES (ValueError): no such prompt, or samples that would all be the same.
    """

    kind = "open"

    def __init__(self, teacher: Teacher, prompt: str | Path, *, samples: int = 1, name: str | None = None):
        if samples < 1:
            raise ValueError(f"samples is {samples}; ask at least once.")
        if samples > 1 and teacher.temperature <= 0:
            raise ValueError(
                "Samples differ only at a temperature above 0: set the teacher's temperature, such as 0.7."
            )
        self.teacher, self.samples, self.name = teacher, samples, name or teacher.model
        self.template, self.prompt_sha = read_prompt(prompt, text="", form="json")
        self.in_flight = teacher.in_flight

    def __call__(self, text: str) -> Annotation:
        def render(form: str) -> list[dict[str, str]]:
            return [{"role": "user", "content": self.template.render(text=text, form=form)}]

        found, usage = [], Counter()
        for sample in range(self.samples):
            try:
                answer, cost = self.teacher.ask(
                    render, lambda content: read_answer(content, text), schema=SCHEMA, sample=sample
                )
            except NotStored as error:
                if self.samples == 1 and error.result is not None:
                    answer, cost = error.result
                    error.result = Annotation(*answer, cost)
                raise
            found.append(answer)
            usage.update(cost)
        usage = {name: int(n) for name, n in usage.items()}
        if self.samples == 1:
            return Annotation(*found[0], usage)
        return agreed(found, text)._replace(usage=usage)

    def start(self) -> None:
        self.teacher.stopping.clear()

    def stop(self) -> None:
        self.teacher.stopping.set()

    def status(self) -> str:
        return self.teacher.meter.line()


class RulesAnnotator:
    """SpanRuler patterns as a teacher that needs no network.

    patterns (Path): JSONL of `{"label", "pattern"}`, as spaCy's SpanRuler takes them. A label that
        the file has and a text has not is absent from it: rules ask everything of every text.
    RAISES (ValueError): no such file, or a malformed pattern.
    """

    kind, in_flight = "entity", 1

    def __init__(self, patterns: str | Path, *, lang: str = "en"):
        import spacy

        path = Path(patterns)
        if not path.exists():
            raise ValueError(f"There is no file of patterns '{path}'.")
        data = path.read_bytes()
        self.name, self.prompt_sha = f"rules:{path.name}", hashlib.sha256(data).hexdigest()
        self.nlp = spacy.blank(lang)
        self.nlp.max_length = 10**9
        rules = []
        for number, line in enumerate(data.decode("utf8", "replace").splitlines(), 1):
            if line.strip():
                rules.append(_read_pattern(line, f"{path}, line {number}"))
        try:
            self.nlp.add_pipe("span_ruler", config={"spans_key": "rules"}).add_patterns(rules)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        self.labels = sorted({rule["label"] for rule in rules})

    def __call__(self, text: str) -> Annotation:
        doc = self.nlp(make_doc(self.nlp, text))
        kept = longest_first([(span.start, span.end, span.label_) for span in doc.spans["rules"]])
        found = {label for _, _, label in kept}
        spans = spans_at((doc[start].idx, doc[start:end].end_char, label) for start, end, label in kept)
        return Annotation(spans, [label for label in self.labels if label not in found], [], {})

    def start(self) -> None:
        """Nothing: rules are ready at once."""

    def stop(self) -> None:
        """Nothing: no call waits."""

    def status(self) -> str:
        return ""


def agreed(found: list[tuple[list[dict], list[str], list[dict]]], text: str) -> Annotation:
    """What more than half of several answers to one question say (self-consistency, CLEAR, arXiv 2403.12776).

    Labels are compared without case; what the minority says goes to `dropped`.
    """
    votes = Counter(key for spans, _, _ in found for key in {_caseless(span) for span in spans})
    wording = {_caseless(span): span["label"] for spans, _, _ in reversed(found) for span in spans}
    kept = sorted(key for key, n in votes.items() if 2 * n > len(found))
    kept = longest_first([(start, end, wording[start, end, label]) for start, end, label in kept])
    chosen = {(start, end, label.casefold()) for start, end, label in kept}
    spans = spans_at(kept)
    dropped = [row for _, _, part in found[:1] for row in part]
    for start, end, label in sorted(votes.keys() - chosen):
        why = f"{votes[start, end, label]} of {len(found)} samples"
        dropped.append({"label": wording[start, end, label], "span": text[start:end], "why": why})
    with_spans = {label.casefold() for _, _, label in votes}
    silent = Counter(
        label for _, absent, _ in found for label in dict.fromkeys(absent) if label.casefold() not in with_spans
    )
    absent = [label for label, n in silent.items() if 2 * n > len(found)]
    agreement = sum(votes.values()) / (len(found) * len(votes)) if votes else 1.0
    return Annotation(spans, absent, dropped, {}, round(agreement, 4))


def _caseless(span: Span) -> Place:
    start, end, label = place(span)
    return start, end, label.casefold()


def _read_pattern(line: str, place: str) -> dict:
    try:
        rule = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{place}: not JSON ({error.msg} at column {error.colno}).") from None
    if (
        not isinstance(rule, dict)
        or not isinstance(rule.get("label"), str)
        or not isinstance(rule.get("pattern"), (str, list))
    ):
        raise ValueError(
            f'{place}: expected {{"label": ..., "pattern": ...}} with a string or a list of token patterns.'
        )
    return rule
