"""What a label says beside its wording: a pattern whose matches are answers, and what an answer must be to stay."""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Callable, Iterable, Iterator

from .schema import REGISTERED, Label
from .spans import Answer, flatten

if TYPE_CHECKING:
    from spacy.tokens import Doc


def rule_answers(doc: "Doc", labels: Iterable[Label]) -> Iterator[Answer]:
    """The matches of the labels' patterns, with score 1 and before all others; on the tokens that they touch."""
    for label in labels:
        if label.pattern is None:
            continue
        found = (match.span() for match in re.finditer(label.pattern, doc.text))
        spans = (doc.char_span(*place, alignment_mode="expand") for place in found if place[0] < place[1])
        for start, end in dict.fromkeys((span.start, span.end) for span in spans if span is not None):
            yield Answer(label.name, start, end, 1.0, float("inf"))


def kept_answers(doc: "Doc", answers: list[Answer], labels: Iterable[Label]) -> list[Answer]:
    """The answers without those that their label does not keep, and of one label without those that a rule's covers."""
    tests = tests_of(labels)
    ruled = {label.name for label in labels if label.pattern is not None and label.queries}
    if ruled:
        answers = _without_ruled(answers, ruled)
    if not tests:
        return answers
    return [a for a in answers if a.label not in tests or tests[a.label](doc[a.start : a.end].text)]


def tests_of(labels: Iterable[Label]) -> dict[str, Callable[[str], bool]]:
    """By the name of a label with `keep`, what says whether the text of an answer stays.

    RAISES (ValueError): the registry has no such function.
    """
    return {label.name: _test(label.keep) for label in labels if label.keep is not None}


def _without_ruled(answers: list[Answer], labels: set[str]) -> list[Answer]:
    own = {label: flatten(answer for answer in answers if answer.label == label) for label in sorted(labels)}
    return [answer for answer in answers if answer.label not in labels] + [a for found in own.values() for a in found]


@lru_cache(256)
def _test(keep: str) -> Callable[[str], bool]:
    """What says whether a text stays.

    RAISES (ValueError): the registry has no such function.
    """
    if not keep.startswith(REGISTERED):
        pattern = re.compile(keep)
        return lambda text: pattern.fullmatch(text) is not None
    from catalogue import RegistryError
    from spacy.util import registry

    name = keep[len(REGISTERED) :]
    try:
        return registry.misc.get(name)()
    except RegistryError:
        raise ValueError(
            f"keep = '{keep}': spaCy's registry misc has no '{name}'. Import the module that registers it first: "
            f'@spacy.registry.misc("{name}"), a function without arguments that makes one from text to True or False.'
        ) from None
