"""Who gets which entry: one at a time for each browser, and none twice unless it is to be answered twice."""

from dataclasses import dataclass
from threading import RLock
from time import monotonic
from typing import Any, Callable, Iterator, NamedTuple, Sequence

from ..curate.reviews import SKIP
from ..data.documents import is_dev, text_id
from ..data.rows import Row
from .answers import Answers
from .entries import Entry

LEASE = 120.0  # seconds after which an entry that nobody reports to have open goes to others
BOTH = 2  # answers that an entry of the overlap gets
STATES = ("open", "answered", "skipped")


class Filters(NamedTuple):
    """What is shown; "" shows all. state: "open", or what the reviewer has "answered" or "skipped"."""

    label: str = ""
    slice: str = ""
    teacher: str = ""
    why: str = ""
    state: str = "open"

    def take(self, entry: Entry) -> bool:
        """Whether an entry passes, whatever its state."""
        return (
            (not self.label or self.label in entry.labels)
            and (not self.slice or self.slice in entry.slices)
            and (not self.teacher or self.teacher in entry.teachers)
            and (not self.why or any(reason["why"] == self.why for reason in entry.reasons))
        )


@dataclass
class Lease:
    """Who has an entry open, in which browser, and until when."""

    reviewer: str
    browser: str
    until: float


class Queue:
    """Entries in order, and who has which. Its methods may be called from any thread.

    entries (Sequence[Entry]): in the file's order. answers (Answers): what was answered before counts.
    overlap (float): share of the entries, from 0 to 1, that two reviewers answer. now (Callable): seconds.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        answers: Answers,
        *,
        overlap: float = 0.0,
        now: Callable[[], float] = monotonic,
    ):
        self.entries, self.answers, self.overlap, self._now = entries, answers, overlap, now
        self.order: list[int] = list(range(len(entries)))
        self.wanted = [BOTH if is_dev(text_id(one.row["text"]), overlap, 0) else 1 for one in entries]
        self._by_text = {one.row["text"]: one for one in entries}
        self._leases: dict[int, list[Lease]] = {}
        self._lock = RLock()

    def next(self, reviewer: str, browser: str, filters: Filters = Filters(), after: int | None = None) -> Entry | None:
        """The first entry in order that the reviewer may answer, now open in this browser and in no other.

        after (int | None): number of the entry behind which to look on, for entries that are answered or skipped.
        """
        with self._lock:
            self.release(browser)
            order = self.order
            if filters.state != "open" and after in order:
                at = order.index(after) + 1
                order = [*order[at:], *order[:at]]
            for number in order:
                if filters.take(self.entries[number]) and self._is_for(number, reviewer, filters.state):
                    self.lease(number, reviewer, browser)
                    return self.entries[number]
            return None

    def lease(self, number: int, reviewer: str, browser: str) -> None:
        """Open an entry in a browser, or keep it open."""
        with self._lock:
            self._leases[number] = [
                *(lease for lease in self._live(number) if lease.browser != browser),
                Lease(reviewer, browser, self._now() + LEASE),
            ]

    def keep(self, number: int, reviewer: str, browser: str) -> bool:
        """Keep an entry open that a browser has. RETURNS (bool): False: it has it no longer, and others may."""
        with self._lock:
            if not any(lease.browser == browser for lease in self._live(number)):
                if not self._is_for(number, reviewer, "open"):
                    return False
            self.lease(number, reviewer, browser)
            return True

    def release(self, browser: str) -> None:
        """Whatever a browser has open goes to others."""
        with self._lock:
            for number in list(self._leases):
                left = [lease for lease in self._live(number) if lease.browser != browser]
                self._leases[number] = left
                if not left:
                    del self._leases[number]

    def progress(self, reviewer: str, filters: Filters = Filters()) -> dict[str, Any]:
        """Entries that pass the filters: "total", "done" (nobody needs to answer them), "left" (for this reviewer),
        "own" (answered by this reviewer), "skipped" (by this reviewer), "open" (reviewer -> entries that others have
        open), "by" (reviewer -> answered)."""
        with self._lock:
            counts: dict[str, Any] = dict.fromkeys(("total", "done", "left", "own", "skipped"), 0)
            by: dict[str, int] = {}
            for number, entry in enumerate(self.entries):
                if not filters.take(entry):
                    continue
                said = self._said(number)
                given = [name for name, row in said.items() if row["answer"] != SKIP]
                counts["total"] += 1
                counts["done"] += len(given) >= self.wanted[number]
                counts["own"] += reviewer in given
                counts["skipped"] += reviewer in said and reviewer not in given
                counts["left"] += reviewer not in said and len(given) < self.wanted[number]
                for name in given:
                    by[name] = by.get(name, 0) + 1
            others: dict[str, int] = {}
            for number in list(self._leases):
                for lease in self._live(number):
                    if lease.reviewer != reviewer:
                        others[lease.reviewer] = others.get(lease.reviewer, 0) + 1
            return counts | {"by": by, "open": others}

    def find(self, text: str) -> Entry | None:
        """The entry of a text."""
        return self._by_text.get(text)

    def _said(self, number: int) -> dict[str, Row]:
        return self.answers.standing.get(self.entries[number].row["text"], {})

    def _is_for(self, number: int, reviewer: str, state: str) -> bool:
        """Whether a reviewer may get an entry now."""
        said = self._said(number)
        own = said.get(reviewer)
        if any(lease.reviewer == reviewer for lease in self._live(number)):  # in another browser
            return False
        if state == "answered":
            return own is not None and own["answer"] != SKIP
        if (own is not None) != (state == "skipped") or (own is not None and own["answer"] != SKIP):
            return False
        taken = {name for name, row in said.items() if row["answer"] != SKIP}
        taken |= {lease.reviewer for lease in self._live(number)}
        return len(taken) < self.wanted[number]

    def _live(self, number: int) -> list[Lease]:
        now = self._now()
        return [lease for lease in self._leases.get(number, ()) if lease.until > now]


def choices(entries: Sequence[Entry]) -> dict[str, list[list[Any]]]:
    """What can be filtered by, the most frequent first: values with the number of their entries.

    RETURNS (dict): "label", "slice", "teacher", "why", each [[value, entries], ...].
    """

    def values(name: str, entry: Entry) -> Iterator[str]:
        if name == "why":
            yield from {reason["why"] for reason in entry.reasons}
        else:
            yield from {"label": entry.labels, "slice": entry.slices, "teacher": filter(None, entry.teachers)}[name]

    found: dict[str, list[list[Any]]] = {}
    for name in ("label", "slice", "teacher", "why"):
        counts: dict[str, int] = {}
        for entry in entries:
            for value in values(name, entry):
                counts[value] = counts.get(value, 0) + 1
        found[name] = [[value, n] for value, n in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))]
    return found
