"""Who annotates a text: a large language model with a prompt, or rules."""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Callable, NamedTuple, Protocol

from ..data.known import Stretches
from ..data.rows import Place, Span, longest_first, place, spans_at
from ..data.tokens import make_doc
from .batches import Batches, Question
from .client import Teacher
from .failures import NotStored
from .prompts import read_prompt
from .reply.parse import SCHEMA, read_answer
from .rules import read_rules


class Annotation(NamedTuple):
    """The answers of one text.

    spans (list[dict]): `{"start", "end", "label"}`. absent (list[str]): labels without an answer.
    dropped (list[dict]): `{"label", "span", "why"}`. usage (dict): tokens, empty without an LLM.
    agreement (float | None): share of the samples that agree, averaged over all spans that any found.
    asked (list[str] | None), unsure (list[dict] | None): as in a row, which has none if they are None.
    """

    spans: list[dict]
    absent: list[str]
    dropped: list[dict]
    usage: dict
    agreement: float | None = None
    asked: list[str] | None = None
    unsure: list[dict] | None = None


class Annotator(Protocol):
    """Who annotates texts, called from several threads.

    name, prompt_sha (str): what rows say of their origin. in_flight (int): calls at a time. kind (str): of the rows.
    start: a run begins. prepare: these texts will be asked about. stop: it ends early, calls that wait may give up.
    status: what it cost so far, in words.
    """

    name: str
    prompt_sha: str
    in_flight: int
    kind: str

    def __call__(self, text: str) -> Annotation: ...

    def start(self) -> None: ...

    def prepare(self, texts: list[str]) -> None: ...

    def stop(self) -> None: ...

    def status(self) -> str: ...


class PromptAnnotator:
    """Asks a teacher for all (label, span) pairs of a text, with MetaIE's open prompt.

    teacher (Teacher): who is asked. prompt (Path): a Jinja template with `text` and `form`.
    samples (int): answers asked for each text; only what most of them agree on is kept.
    name (str | None): what rows call the teacher; None: the model's name.
    RAISES (ValueError): no such prompt, or samples that would all be the same. (ImportError): rapidfuzz is missing.
    """

    kind = "open"

    def __init__(self, teacher: Teacher, prompt: str | Path, *, samples: int = 1, name: str | None = None):
        if samples < 1:
            raise ValueError(f"samples is {samples}; ask at least once.")
        if samples > 1 and teacher.temperature <= 0:
            raise ValueError(
                "Samples differ only at a temperature above 0: set the teacher's temperature, such as 0.7."
            )
        import rapidfuzz  # noqa: F401  near matches need it, which is told before an answer is paid for

        self.teacher, self.samples, self.name = teacher, samples, name or teacher.model
        self.template, self.prompt_sha = read_prompt(prompt, text="", form="json")
        self.in_flight = teacher.in_flight

    def prepare(self, texts: list[str]) -> None:
        """Have the answers to all texts fetched in batches, if the teacher is to work so."""
        if self.teacher.batch:
            questions = [Question(self._renderer(text), SCHEMA, n) for text in texts for n in range(self.samples)]
            Batches(self.teacher).fetch(questions)

    def _renderer(self, text: str) -> Callable[[str], list[dict[str, str]]]:
        return lambda form: [{"role": "user", "content": self.template.render(text=text, form=form)}]

    def __call__(self, text: str) -> Annotation:
        render = self._renderer(text)
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

    patterns (Path): JSONL of `{"label", "pattern"}`, as spaCy's SpanRuler takes them.
    exhaustive (bool): the rules find every mention, so that a label which the file has and a text has not is absent
        from it. Else they find some: what they found is right, and all else is left open.
    RAISES (ValueError): no such file, or a pattern that is malformed or can never match.
    """

    kind, in_flight = "entity", 1

    def __init__(self, patterns: str | Path, *, lang: str = "en", exhaustive: bool = False):
        import spacy

        path = Path(patterns)
        if not path.exists():
            raise ValueError(f"There is no file of patterns '{path}'.")
        # Rows that leave the rest open are not of one make with those that do not.
        digest = hashlib.sha256(b"" if exhaustive else b"not exhaustive\n")
        digest.update(path.read_bytes())
        self.name, self.prompt_sha, self.exhaustive = f"rules:{path.name}", digest.hexdigest(), exhaustive
        self.nlp = spacy.blank(lang)
        self.nlp.max_length = 10**9
        rules = read_rules(path, self.nlp)
        try:
            self.nlp.add_pipe("span_ruler", config={"spans_key": "rules"}).add_patterns(rules)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        self.labels = sorted({rule["label"] for rule in rules})

    def __call__(self, text: str) -> Annotation:
        doc = self.nlp(make_doc(self.nlp, text))
        kept = longest_first([(span.start, span.end, span.label_) for span in doc.spans["rules"]])
        places = [(doc[start].idx, doc[start:end].end_char, label) for start, end, label in kept]
        found = {label for _, _, label in kept}
        if self.exhaustive:
            return Annotation(spans_at(places), [label for label in self.labels if label not in found], [], {})
        asked = sorted(found)
        rest = {label: Stretches((s, e) for s, e, of in places if of == label).gaps(len(text)) for label in asked}
        unsure = spans_at((start, end, label) for label in asked for start, end in rest[label])
        return Annotation(spans_at(places), [], [], {}, asked=asked, unsure=unsure)

    def start(self) -> None:
        """Nothing: rules are ready at once."""

    def prepare(self, texts: list[str]) -> None:
        """Nothing: rules need no preparation."""

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
