"""What texts answer to their labels; labels below another one are asked of the texts in which that one was found."""

from typing import Any, Iterable, Iterator, Sequence

from spacy.tokens import Doc

from .decoding import Decoder
from .rules import kept_answers, rule_answers
from .schema import Label
from .spans import Answer, tidied

Labels = tuple[Label, ...]
Dropped = list[Answer]


def answers_of(
    pipe: Any,
    docs: list[Doc],
    wanted: Sequence[Labels],
    decoders: Sequence[Decoder],
    states: Any = None,
    dropped: Sequence[Dropped | None] | None = None,
) -> list[tuple[list[Answer], list[str]]]:
    """The answers of docs before overlap is settled, and the names of the labels that were asked.

    A label with a parent is asked of the docs in which the parent has an answer. Where scores do not depend on what
    else is asked, all labels are asked in one pass, and the answers to those that need not have been are left out; else
    in a pass for each level.

    pipe (MetaIE): loaded. wanted (Sequence): labels of each doc, parents first. decoders (Sequence): of each doc.
    states (Kept | None): takes what the head pass goes on from. dropped (Sequence | None): lists that take the spans
        below their threshold.
    """
    found: list[list[Answer]] = [[] for _ in docs]
    dropped = [None] * len(docs) if dropped is None else dropped
    is_blind = pipe.model.shims[0].module.is_blind
    different = {id(labels): labels for labels in wanted}
    nested = {key for key, labels in different.items() if any(label.parent is not None for label in labels)}
    levels = {
        key: by_level(labels) if key in nested and not is_blind else [labels] for key, labels in different.items()
    }
    for depth in range(max(map(len, levels.values()), default=0)):
        level = [own[depth] if depth < len(own) else () for own in (levels[id(labels)] for labels in wanted)]
        if depth:
            level = [_below(labels, answers) for labels, answers in zip(level, found)]
        if any(level):
            for answers, new in zip(found, _ask(pipe, docs, level, decoders, states, dropped)):
                answers += new
    all_names = {key: [label.name for label in labels] for key, labels in different.items()}
    results = []
    for labels, answers, low in zip(wanted, found, dropped):
        names = all_names[id(labels)]
        if id(labels) in nested:
            names = asked_names(labels, {answer.label for answer in answers})
            known = set(names)
            answers = [answer for answer in answers if answer.label in known]
            if low is not None:
                low[:] = [answer for answer in low if answer.label in known]
        results.append((answers, names))
    return results


def asked_names(labels: Iterable[Label], found: set[str]) -> list[str]:
    """The names of the labels that are asked of a text: those without a parent, and those whose parent was found.

    labels (Iterable): parents first. found (set[str]): names of labels that have an answer.
    """
    labels = list(labels)
    names, asked = {label.name for label in labels}, {}
    for label in labels:
        if label.parent not in names or (label.parent in asked and label.parent in found):
            asked[label.name] = None
    return list(asked)


def by_level(labels: Labels) -> list[Labels]:
    """The labels by the number of labels above them. labels (tuple): parents first."""
    depth: dict[str, int] = {}
    levels: list[list[Label]] = []
    for label in labels:
        depth[label.name] = depth.get(label.parent, -1) + 1 if label.parent is not None else 0
        levels += [[] for _ in range(depth[label.name] + 1 - len(levels))]
        levels[depth[label.name]].append(label)
    return [tuple(level) for level in levels]


def _below(labels: Labels, answers: Iterable[Answer]) -> Labels:
    """Those of a level whose parent has an answer."""
    found = {answer.label for answer in answers}
    return tuple(label for label in labels if label.parent in found)


def _ask(
    pipe: Any,
    docs: list[Doc],
    wanted: Sequence[Labels],
    decoders: Sequence[Decoder],
    states: Any,
    dropped: Sequence[Dropped | None],
) -> Iterator[list[Answer]]:
    """The answers of docs to some of their labels, cut and filtered; arguments as of `answers_of`."""
    answers: list[list[Answer]] = [[] for _ in docs]
    for scored in pipe.score_labels(docs, wanted, states):
        answers[scored.text] += decoders[scored.text](scored, dropped[scored.text])
    for doc, labels, found in zip(docs, wanted, answers):
        found = tidied([token.text for token in doc], found) if found else []
        yield kept_answers(doc, [*rule_answers(doc, labels), *found], labels)
