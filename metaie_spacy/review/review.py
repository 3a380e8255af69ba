"""What the page asks for: the next entry, an answer that is saved, one that is undone."""

import hmac
import logging
import secrets
from datetime import datetime, timezone
from threading import Event, Thread
from typing import Any, Callable, Sequence

from ..data.ledger import Sourced
from ..data.rows import Row
from ..serving.limits import Refusal
from .agreement import reviewers_agreement
from .answers import Answers
from .decisions import Decision, answered, draft, skipped, undone
from .doubt import by_doubt
from .entries import Entry
from .queue import Filters, Queue, choices

logger = logging.getLogger("metaie_spacy")
TOKEN = 24  # bytes of chance in a reviewer's token


class Review:
    """A review that goes on.

    queue (Queue), answers (Answers): of it. reviewers (Sequence[str]): who may answer; each has a token.
    words (Callable): text -> places of its words, in code points, or None while that is not known. labels
        (Sequence[str]): looked for in every row. name (str): of what is reviewed.
    """

    def __init__(
        self,
        queue: Queue,
        answers: Answers,
        reviewers: Sequence[str],
        words: Callable[[str], Sequence[tuple[int, int]] | None],
        *,
        labels: Sequence[str] = (),
        name: str = "",
    ):
        self.queue, self.answers, self.words, self.name = queue, answers, words, name
        self.tokens = {reviewer: secrets.token_urlsafe(TOKEN) for reviewer in reviewers}
        self.is_ordered = Event()
        self.choices = choices(queue.entries)
        self._given = list(labels)

    def order(self, items: Sequence[Sourced], entry_of: Sequence[int]) -> Thread:
        """Put the entries in order of doubt, beside all else: until then they are in the file's order."""

        def work() -> None:
            try:
                order = by_doubt(self.queue.entries, items, entry_of)
                self.choices = choices(self.queue.entries)
                self.queue.order = order
            except Exception:
                logger.exception("The rows cannot be ordered by doubt; they stay in the order of the file.")
            self.is_ordered.set()

        thread = Thread(target=work, name="metaie-doubt", daemon=True)
        thread.start()
        return thread

    def reviewer_of(self, token: str) -> str | None:
        """Whose token it is, found in a time that does not depend on it."""
        found = None
        for reviewer, own in self.tokens.items():
            if hmac.compare_digest(own.encode("utf8"), token.encode("utf8")):
                found = reviewer
        return found

    def state(self, reviewer: str) -> dict[str, Any]:
        """What the page shows around the entries."""
        labels = list(dict.fromkeys([*self._given, *(label for label, _ in self.choices["label"])]))
        links = {link["label"]: None for entry in self.queue.entries for link in entry.row.get("links", [])}
        return {
            "reviewer": reviewer,
            "reviewers": list(self.tokens),
            "name": self.name,
            "answers": str(self.answers.path),
            "labels": [label for label in labels if label not in links or label in self._given],
            "given": self._given,
            "links": list(links),
            "choices": self.choices,
            "is_ordered": self.is_ordered.is_set(),
            "overlap": self.queue.overlap,
        }

    def next(self, reviewer: str, browser: str, filters: Filters, after: int | None = None) -> dict[str, Any]:
        """The next entry for a browser, or None, and the progress."""
        entry = self.queue.next(reviewer, browser, filters, after)
        return {"entry": entry and self._shown(entry, reviewer), "progress": self.queue.progress(reviewer, filters)}

    def save(self, reviewer: str, number: int, decision: Decision | None, reason: str, seconds: float | None) -> None:
        """Write an answer to the file. decision (Decision | None): None: skipped, for a reason.

        RAISES (Refusal): the answer is malformed, or cannot be written.
        """
        entry = self._entry(number)
        try:
            if decision is None:
                row = skipped(entry, reason, reviewer, _now(), seconds)
            else:
                row = answered(entry, decision, reviewer, _now(), seconds)
        except ValueError as error:
            raise Refusal(422, "malformed", str(error)) from None
        self._add(row)

    def undo(self, reviewer: str, browser: str) -> dict[str, Any]:
        """Take the reviewer's last answer back, and open its entry as it was answered.

        RAISES (Refusal): there is none, or it is of another file.
        """
        row = self.answers.last_of(reviewer)
        if row is None:
            raise Refusal(409, "nothing_to_undo", "There is no answer of yours to undo.")
        entry = self.queue.find(row["text"])
        if entry is None:
            raise Refusal(
                409, "elsewhere", "Your last answer is of a text that this queue does not hold: review its own file."
            )
        self._add(undone(row, _now()))
        self.queue.release(browser)
        self.queue.lease(entry.number, reviewer, browser)
        return {"entry": self._shown(entry, reviewer, row), "progress": self.queue.progress(reviewer)}

    def agreement(self) -> dict[str, Any]:
        """How far the reviewers agree."""
        return reviewers_agreement(self.answers)

    def _entry(self, number: int) -> Entry:
        if not 0 <= number < len(self.queue.entries):
            raise Refusal(422, "malformed", f"There is no entry {number}: open the address that the command printed.")
        return self.queue.entries[number]

    def _add(self, row: Row) -> None:
        try:
            self.answers.add(row)
        except OSError as error:
            raise Refusal(
                507, "not_saved", f"Not saved in '{self.answers.path}': {error}. Mend that, and answer again."
            ) from None

    def _shown(self, entry: Entry, reviewer: str, row: Row | None = None) -> dict[str, Any]:
        own = row or self.answers.standing.get(entry.row["text"], {}).get(reviewer)
        words = self.words(entry.row["text"])
        return {
            "number": entry.number,
            "id": entry.row["id"],
            "text": entry.row["text"],
            "teachers": [name for name in entry.teachers if name],
            "reasons": entry.reasons,
            "words": None if words is None else [place for spot in words for place in spot],
            "wanted": self.queue.wanted[entry.number],
            "answer": own and own["answer"],
            "reason": (own or {}).get("reason"),
        } | draft(entry, own)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
