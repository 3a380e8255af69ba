"""From what a reviewer decided on the page to an annotation row, and back."""

from typing import Annotated, Any, Iterable, Literal, Mapping

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from ..curate.reviews import SKIP, UNDO
from ..data.known import Stretches, as_unsure, known_of
from ..data.rows import Place, Row, asked_of, check_row, place, places, trimmed
from .entries import Entry

YES, NO, OPEN = "yes", "no", "open"
State = Literal["yes", "no", "open"]
Spot = Annotated[list[StrictInt], Field(min_length=2, max_length=2)]
MOST = 5_000  # spans or links of one answer


class SpanDecision(BaseModel):
    """A span as the reviewer left it. was: start, end and label of the proposal that it replaces."""

    model_config = ConfigDict(extra="forbid")

    start: StrictInt
    end: StrictInt
    label: StrictStr
    state: State
    was: tuple[StrictInt, StrictInt, StrictStr] | None = None


class LinkDecision(BaseModel):
    """A link as the reviewer left it. tail: None says that its head has no answer."""

    model_config = ConfigDict(extra="forbid")

    head: Spot
    label: StrictStr
    tail: Spot | None
    state: State


class Decision(BaseModel):
    """All that a reviewer said of a text. Places are code points. complete: labels that are annotated completely."""

    model_config = ConfigDict(extra="forbid")

    spans: list[SpanDecision] = Field([], max_length=MOST)
    links: list[LinkDecision] = Field([], max_length=MOST)
    complete: list[StrictStr] = Field([], max_length=MOST)


def answered(entry: Entry, decision: Decision, reviewer: str, time: str, seconds: float | None = None) -> Row:
    """The annotation row that a decision makes of an entry.

    What was not decided stays unknown: of a label that is not complete only the places of its accepted and rejected
    spans are known, and of a label without these nothing is. Links are kept for a head and a label all of whose links
    were decided, and one was accepted: these are all its answers.
    RAISES (ValueError): a place lies outside the text, or a label is empty.
    """
    text = entry.row["text"]
    yes = {_place(span): None for span in decision.spans if span.state == YES}
    open_ = {_place(span): None for span in decision.spans if span.state == OPEN and _place(span) not in yes}
    no = {_place(span): None for span in decision.spans if span.state == NO}
    no |= {span.was: None for span in decision.spans if span.was is not None and span.state != OPEN}
    no = {spot: None for spot in no if spot not in yes and spot not in open_}
    complete = list(dict.fromkeys(decision.complete))
    asked = list(dict.fromkeys([*complete, *(label for *_, label in (*yes, *no))]))
    unsure = list(open_)
    for label in asked:
        if label not in complete:
            decided = Stretches((start, end) for start, end, own in (*yes, *no) if own == label)
            unsure += [(*gap, label) for gap in decided.gaps(len(text)) if (*gap, label) not in open_]
    found = {label for *_, label in (*yes, *unsure)}
    links = _links(decision.links)
    row: dict[str, Any] = entry.kept | {
        "spans": [{"start": start, "end": end, "label": label} for start, end, label in sorted(yes)],
        "absent": [label for label in complete if label not in found],
        "asked": asked,
    }
    row |= {"unsure": as_unsure(sorted(unsure))} if unsure else {}
    row |= {"links": links} if links else {}
    check_row(row | {"spans": [*row["spans"], *({"start": s, "end": e, "label": name} for s, e, name in no)]})
    if any(not label.strip() for label in asked):
        raise ValueError("a label is empty. Give each span and each complete label a name.")
    return trimmed(row) | {"complete": complete} | _signed(_kind(entry, yes, links), reviewer, time, seconds)


def skipped(entry: Entry, reason: str, reviewer: str, time: str, seconds: float | None = None) -> Row:
    """The line that says that a reviewer has no answer, and why. It asks nothing."""
    nothing = {"spans": [], "absent": [], "asked": []}
    return entry.kept | nothing | {"reason": reason} | _signed(SKIP, reviewer, time, seconds)


def undone(row: Row, time: str) -> Row:
    """The line that takes an answer back."""
    nothing = {"spans": [], "absent": [], "asked": []}
    return {"id": row["id"], "text": row["text"]} | nothing | _signed(UNDO, row["reviewer"], time, None)


def draft(entry: Entry, row: Row | None) -> dict[str, Any]:
    """An entry for the page, as its rows propose it or as a reviewer has answered it.

    RETURNS (dict): "spans" and "links" with "state" and, of proposals, "score" and "by" (teachers, where not all gave
        it); "complete"; "labels" (all that it has or was asked).
    """
    own = entry.row
    known = None if row is None or row["answer"] == SKIP else known_of(row)
    spans = []
    for span in own["spans"]:
        told = {name: span[name] for name in ("start", "end", "label", "score") if name in span}
        told |= {"by": entry.by[place(span)]} if place(span) in entry.by else {}
        spans.append(told | {"state": _state(known, place(span))})
    given = set(places(own))
    if row is not None:
        spans += [span | {"state": YES} for span in row["spans"] if place(span) not in given]
    complete = [] if row is None else row.get("complete", [])
    labels = dict.fromkeys([*asked_of(own), *(span["label"] for span in spans), *complete])
    return {
        "spans": sorted(spans, key=lambda span: (span["start"], -span["end"], span["label"])),
        "links": _draft_links(own, row if known is not None else None),
        "complete": complete,
        "labels": list(labels),
    }


def _place(span: SpanDecision) -> Place:
    return span.start, span.end, span.label


def _signed(answer: str, reviewer: str, time: str, seconds: float | None) -> dict[str, Any]:
    signed = {"teacher": "human", "answer": answer, "reviewer": reviewer, "time": time}
    return signed | ({} if seconds is None else {"seconds": round(seconds, 1)})


def _kind(entry: Entry, yes: Iterable[Place], links: Iterable[dict]) -> str:
    """ "accept": all proposals stand and nothing was added; "reject": none does; else "edit"."""
    proposed, kept = set(places(entry.row)), set(yes)
    if kept == proposed and _pairs(links) == _pairs(entry.row.get("links", [])):
        return "accept"
    return "reject" if proposed and not kept else "edit"


def _pairs(links: Iterable[Mapping[str, Any]]) -> set[tuple]:
    return {(*link["head"], link["label"], *tail) for link in links for tail in link["tails"]}


def _links(decisions: Iterable[LinkDecision]) -> list[dict[str, Any]]:
    groups: dict[tuple, list[LinkDecision]] = {}
    for one in decisions:
        groups.setdefault((*one.head, one.label), []).append(one)
    found = []
    for own in groups.values():
        yes = [one for one in own if one.state == YES]
        if yes and all(one.state != OPEN for one in own):
            tails = [one.tail for one in yes if one.tail is not None]
            found.append({"head": own[0].head, "label": own[0].label, "tails": tails})
    return found


def _state(known: Any, spot: Place) -> str:
    if known is None or not known.decides(spot):
        return OPEN
    return YES if spot in known.spans else NO


def _draft_links(own: Row, row: Row | None) -> list[dict[str, Any]]:
    proposed = [
        (link["head"], link["label"], tail) for link in own.get("links", []) for tail in link["tails"] or [None]
    ]
    answers = {(*link["head"], link["label"]): link["tails"] for link in (row or {}).get("links", [])}
    found = []
    for head, label, tail in proposed:
        tails = answers.get((*head, label))
        state = OPEN if tails is None else YES if tail in tails or (tail is None and not tails) else NO
        found.append({"head": head, "label": label, "tail": tail, "state": state})
    for (*head, label), tails in answers.items():
        for tail in tails or [None]:
            if (head, label, tail) not in proposed:
                found.append({"head": head, "label": label, "tail": tail, "state": YES})
    return found
