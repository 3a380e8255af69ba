"""Dialogue state: what a user wants so far, slot by slot, from spans found in each turn (OrchestraLLM's own task)."""

import re
from typing import Any, Iterable, Mapping, NamedTuple, Sequence

from spacy.language import Language
from spacy.tokens import Doc

from .pipelines import active_pipe
from .schema import parse_labels, plain
from .streams import pipe_with_labels

HISTORY = 60  # words of the turns before that are read along
# What takes a slot back, if its name follows in the same sentence: "never mind the city".
TAKES_BACK = re.compile(
    r"\b(?:never ?mind|forget(?: about)?|drop|remove|clear|scratch|any|no preference (?:for|on|about)"
    r"|(?:do(?:es)?n't|do(?:es)? not) (?:care|matter)(?: about)?) (?:the |my |that |your )?",
    re.IGNORECASE,
)


class Turn(NamedTuple):
    """What the assistant said last, and what the user answers.

    history (Sequence[str]): the turns before, the oldest first.
    """

    user: str
    assistant: str = ""
    history: Sequence[str] = ()


class Change(NamedTuple):
    """What one turn changes.

    given (dict[str, str]): slot -> its new value. cleared (list[str]): slots that the user takes back. doc (Doc): what
    was read, with all spans, and `doc._.metaie_route` where a router stands in the pipeline.
    """

    given: dict[str, str]
    cleared: list[str]
    doc: Doc


class Dialogue:
    """The state of one dialogue.

    nlp (Language): a pipeline with a `metaie` component, maybe with a router behind it.
    slots: names of what is asked, with descriptions, as `MetaIE.labels` takes them. name (str): of the component.
    """

    def __init__(self, nlp: Language, slots: Iterable[str] | Mapping[str, Any], *, name: str = "metaie"):
        self.nlp, self.name, self.labels = nlp, name, plain(parse_labels(slots))
        self.state: dict[str, str] = {}
        self.history: list[str] = []

    def turn(self, user: str, assistant: str = "") -> Change:
        """Read a turn and carry the state on: set what is new, correct what is given anew, clear what is taken back."""
        (change,) = changes(self.nlp, [(Turn(user, assistant, self.history), self.labels)], name=self.name)
        self.state = updated(self.state, change)
        self.history += [f"S: {assistant}"] * bool(assistant) + [f"U: {user}"]
        return change


def changes(nlp: Language, turns: Iterable[tuple[Turn, Any]], *, name: str = "metaie") -> list[Change]:
    """What each of several turns changes, which may be of several dialogues.

    turns (Iterable): with the slots of each, as `MetaIE.labels` takes them.
    """
    turns = list(turns)
    read = [turn_text(turn) for turn, _ in turns]
    docs = pipe_with_labels(nlp, [(text, slots) for (text, _), (_, slots) in zip(read, turns)], name=name)
    key = active_pipe(nlp, name).spans_key
    return [
        Change(given_in(doc, key, start), taken_back(turn.user, [label.name for label in parse_labels(slots)]), doc)
        for doc, (_, start), (turn, slots) in zip(docs, read, turns)
    ]


def turn_text(turn: Turn, most: int = HISTORY) -> tuple[str, int]:
    """The end of the history and the turn as one text, and the character at which the turn begins.

    most (int): words of the history; whole turns only.
    """
    kept: list[str] = []
    for line in reversed(turn.history):
        most -= len(line.split())
        if most < 0:
            break
        kept.insert(0, line)
    before = "".join(f"{line}\n" for line in kept)
    return before + (f"{turn.assistant}\n" if turn.assistant else "") + turn.user, len(before)


def given_in(doc: Doc, key: str, start: int) -> dict[str, str]:
    """Slot -> value: of the spans that begin at a character or later, the best-scored of each slot, then the last."""
    best: dict[str, tuple[float, int, str]] = {}
    group = doc.spans[key]
    for span, score in zip(group, group.attrs["scores"].tolist()):
        own = (score, span.start_char, span.text)
        if span.start_char >= start and own > best.get(span.label_, (-1.0, 0, "")):
            best[span.label_] = own
    return {slot: text for slot, (_, _, text) in best.items()}


def taken_back(user: str, slots: Iterable[str]) -> list[str]:
    """The slots that a user does not want any more, by the words for it; English only."""
    found = [user[match.end() :].casefold() for match in TAKES_BACK.finditer(user)]
    return [slot for slot in slots if any(re.match(rf"{re.escape(slot.casefold())}\b", rest) for rest in found)]


def updated(state: Mapping[str, str], change: Change) -> dict[str, str]:
    """The state after a turn: a value that is given wins over one that is taken back."""
    kept = {slot: value for slot, value in state.items() if slot not in change.cleared}
    return {**kept, **change.given}


def same_value(value: str, accepted: Iterable[str]) -> bool:
    """Whether a value is one of the accepted forms, but for case and a leading article."""
    return _plain(value) in {_plain(form) for form in accepted}


def _plain(value: str) -> str:
    return re.sub(r"^(?:the|a|an)\s+", "", " ".join(value.casefold().split()))
