"""What becomes of an answer by its score: it is accepted, a person is asked, or it is dropped."""

from typing import Any, Iterable, Mapping, NamedTuple

from spacy.tokens import Doc, Span

from .spans import Answer

ATTR = "ask_about"  # of a group of ours: numbers of the spans that a person should be asked about


class Band(NamedTuple):
    """Scores that decide. accept (float | None): the least score that is accepted; None: none is. drop (float): spans
    that score less are dropped. labels (Mapping): accept and drop of labels that have their own. precision,
    confidence (float): what was promised of the accepted spans."""

    accept: float | None
    drop: float
    labels: Mapping[str, tuple[float | None, float]] = {}
    precision: float = 0.0
    confidence: float = 0.0

    def of(self, label: str) -> tuple[float | None, float]:
        """Accept and drop of a label."""
        return self.labels.get(label, (self.accept, self.drop))

    def keeps(self, answer: Answer) -> bool:
        return answer.score >= self.of(answer.label)[1]

    def is_unsure(self, label: str, score: float) -> bool:
        """Whether a span that was kept is not accepted."""
        accept = self.of(label)[0]
        return accept is None or score < accept


def check_band(value: Any) -> Band | None:
    """A band from plain data, as `plain_band` gives it; None stays None.

    RAISES (ValueError): it is none, or a score is not from 0 to 1.
    """
    if value is None or isinstance(value, Band):
        return value
    if not isinstance(value, Mapping) or not {"accept", "drop"} <= set(value) <= set(Band._fields):
        raise ValueError(f'band must be null or {{"accept", "drop", "labels"?, ...}}, not {value!r}.')
    own = value.get("labels", {})
    if not isinstance(own, Mapping) or not all(
        isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in own.values()
    ):
        raise ValueError(f'the labels of a band must be {{"label": [accept, drop]}}, not {own!r}.')
    for accept, drop in [(value["accept"], value["drop"]), *own.values()]:
        if (
            not all(one is None or (type(one) in (int, float) and 0 <= one <= 1) for one in (accept, drop))
            or drop is None
        ):
            raise ValueError(f"a band's scores must be from 0 to 1, not {accept!r} and {drop!r}.")
        if accept is not None and accept < drop:
            raise ValueError(f"a band accepts from {accept!r} on, and drops below {drop!r}. Let accept be the larger.")
    return Band(**{**value, "labels": {str(name): tuple(pair) for name, pair in own.items()}})


def plain_band(band: Band | None) -> dict[str, Any] | None:
    """A band as JSON has it."""
    return None if band is None else {**band._asdict(), "labels": {name: [*pair] for name, pair in band.labels.items()}}


def mark(doc: Doc, key: str, band: Band | None) -> None:
    """Note at a group which of its spans a person should be asked about. Without a band nothing is noted."""
    if band is not None:
        group = doc.spans[key]
        scores = group.attrs["scores"].tolist()
        group.attrs[ATTR] = [i for i, span in enumerate(group) if band.is_unsure(span.label_, scores[i])]


def unsure(doc: Doc) -> list[Span]:
    """The spans of all groups of a doc that a person should be asked about: of components with a band. Registered as
    `doc._.metaie_unsure`."""
    return [span for key in doc.spans for span in _noted(doc, key)]


def _noted(doc: Doc, key: str) -> Iterable[Span]:
    group = doc.spans[key]
    if "scores" not in group.attrs:
        return []
    return [group[i] for i in group.attrs.get(ATTR, []) if isinstance(i, int)]


if not Doc.has_extension("metaie_unsure"):
    Doc.set_extension("metaie_unsure", getter=unsure)
