"""What a component knows of a doc beside its answers, left on the doc for a component behind it that asks for it."""

from contextlib import contextmanager
from typing import Any, Iterator, NamedTuple, Sequence

import numpy as np
from spacy.tokens import Doc, Span, SpanGroup

from .schema import Ask
from .spans import Answer


class Note(NamedTuple):
    """What was asked of a doc and what its answers do not show.

    ask (Ask): its labels, links and settings. state (ndarray | None): the mean of the states that the head pass starts
    from, float32 (width,); None: the weights have no such pass, or texts see labels. dropped (list): the spans that
    scored below their threshold, before stray signs are cut off. ents (list): start, end and label of `doc.ents` before
    the answers were written there. weak (list): spans below their threshold that are spans of the doc all the same,
    since a link holds that begins or ends at them.
    """

    ask: Ask
    state: np.ndarray | None
    dropped: list[Answer]
    ents: list[tuple[int, int, str]] = []
    weak: list[Answer] = []

    def strong_spans(self, group: SpanGroup) -> Iterator[tuple[Span, float]]:
        """The spans of the doc's group, with their scores, without those that are there by a link."""
        weak = {(one.start, one.end, one.label) for one in self.weak}
        for span, score in zip(group, group.attrs["scores"].tolist()):
            if (span.start, span.end, span.label_) not in weak:
                yield span, score


@contextmanager
def noting(pipe: Any) -> Iterator[None]:
    """While it lasts, docs that a component reads get a note. pipe (MetaIE)."""
    before, pipe.notes = pipe.notes, True
    try:
        yield
    finally:
        pipe.notes = before


def leave_note(doc: Doc, name: str, note: Note) -> None:
    """Leave what the component `name` knows of a doc."""
    ents = [(ent.start, ent.end, ent.label_) for ent in doc.ents]
    doc.user_data["metaie_note", name] = note._replace(ents=ents) if ents else note


def note_of(doc: Doc, name: str) -> Note | None:
    """The note that the component `name` left, which stays; None: it left none."""
    return doc.user_data.get(("metaie_note", name))


def take_note(doc: Doc, name: str) -> Any:
    """The note (Note) that the component `name` left, which the doc has no more; None: it left none."""
    return doc.user_data.pop(("metaie_note", name), None)


def states_of(notes: Sequence[Note]) -> np.ndarray | None:
    """The states of N notes, float32 (N, width), zeros where nothing was read; None: none of them has any."""
    width = next((len(note.state) for note in notes if note.state is not None), None)
    if width is None:
        return None
    nothing = np.zeros(width, dtype=np.float32)
    return np.stack([nothing if note.state is None else note.state for note in notes])
