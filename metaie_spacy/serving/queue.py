"""The requests that wait: short ones in the order in which they came, long ones in turn, of both some in a batch."""

from collections import deque
from threading import Condition
from time import monotonic
from typing import Any, Callable, NamedTuple, Sequence

from .limits import Limits, Refusal
from .parts import Found, cut, joined

SLICE = 4000  # cost of the parts of long requests in one batch, and of one part: characters, times what is asked
LEAST = 1000  # characters of a part, whatever is asked
LEAST_COST = 100  # of a part of a long request, however short
BATCH = 16_000  # cost of the short requests of one batch
TEXTS = 64  # short texts of one batch
FREE = 64  # wordings that a text is asked at the cost of reading it
LINKS = 4  # links that cost as much as reading the text


class Entry:
    """One request: its texts in parts, and what was found in them so far.

    model (str): who reads it. ask (dict): what all of its texts are asked, as `pipe_with_labels` takes it.
    names (Sequence[str]): of the labels in it. n_links (int), n_wordings (int): how much that is. done (Callable):
    called once in the worker's thread, with a list of answers, one a text, or with the exception that came instead.
    """

    def __init__(
        self,
        model: str,
        ask: dict[str, Any],
        names: Sequence[str],
        texts: list[str],
        wordings: int,
        n_links: int,
        done: Callable[[Any], None],
    ):
        self.model, self.ask, self.names, self.done = model, ask, names, done
        self.weight = (1 + wordings // FREE) * (1 + n_links / LINKS)
        size = max(LEAST, int(SLICE / self.weight))
        self.parts = [cut(text, size) for text in texts]
        self.found: list[list[Found | None]] = [[None] * len(parts) for parts in self.parts]
        self.waiting = deque((number, at) for number, parts in enumerate(self.parts) for at in range(len(parts)))
        self.left = len(self.waiting)
        self.characters = sum(map(len, texts))
        self.is_dropped = False

    @property
    def is_long(self) -> bool:
        return self.characters * self.weight > SLICE or len(self.parts) > TEXTS

    @property
    def next_cost(self) -> float:
        """Of the part that is read next."""
        number, at = self.waiting[0]
        return max(LEAST_COST, len(self.parts[number][at][1])) * self.weight

    def take(self) -> "Job":
        """The next part that was not read yet."""
        number, at = self.waiting.popleft()
        return Job(self, number, at, self.parts[number][at][1])

    def close(self, job: "Job", found: Found | Exception) -> None:
        """Take what was found in a part; with the last one, or an exception, the request is answered."""
        if self.is_dropped:
            return
        if isinstance(found, Exception):
            self.is_dropped = True
            self.done(found)
            return
        self.found[job.number][job.at] = found
        self.left -= 1
        if not self.left:
            self.is_dropped = True
            starts = [[start for start, _ in parts] for parts in self.parts]
            self.done([joined(zip(*pair), self.names) for pair in zip(starts, self.found)])


class Job(NamedTuple):
    """One part of one text of a request, and its place among them."""

    entry: Entry
    number: int
    at: int
    text: str


class Queue:
    """What waits for the worker. Its methods may be called from any thread.

    limits (Limits): how much may wait. delay (float): seconds that a batch which is not full waits for more requests.
    """

    def __init__(self, limits: Limits, delay: float = 0.002):
        self.limits, self.delay = limits, delay
        self.is_closed = False
        self._short: deque[Entry] = deque()
        self._long: deque[Entry] = deque()
        self._open: dict[int, Entry] = {}
        self._changed = Condition()

    @property
    def waiting(self) -> int:
        """Requests that are not answered yet."""
        return len(self._open)

    def add(self, entry: Entry) -> None:
        """RAISES (Refusal): too much waits, or the server stops."""
        with self._changed:
            if self.is_closed:
                raise Refusal(503, "stopping", "The server stops and takes no more requests. Ask another one.")
            limits, is_long = self.limits, entry.is_long
            if len(self._open) >= limits.waiting:
                raise _full(f"{limits.waiting} requests wait, which is the limit.")
            ahead = sum(one.characters for one in self._open.values() if one.is_long) if is_long else 0
            if ahead and ahead + entry.characters > limits.waiting_characters:
                raise _full(
                    f"Long requests of {ahead} characters wait; with the {entry.characters} of this one the limit of "
                    f"{limits.waiting_characters} is passed."
                )
            self._open[id(entry)] = entry
            (self._long if is_long else self._short).append(entry)
            self._changed.notify()

    def drop(self, entry: Entry) -> None:
        """A request that is answered, or that nobody waits for any more; parts that were not read yet are left."""
        with self._changed:
            entry.is_dropped = True
            self._open.pop(id(entry), None)

    def close(self) -> None:
        """Take no more requests; those that wait are still handed out."""
        with self._changed:
            self.is_closed = True
            self._changed.notify()

    def take(self) -> list[Job]:
        """The next batch, as soon as there is one; empty: the queue is closed, and nothing waits."""
        with self._changed:
            while True:
                while not (self._short or self._long or self.is_closed):
                    self._changed.wait()
                self._gather()
                batch = [*self._of_short(), *self._of_long()]  # none where all that waited was dropped
                if batch or self.is_closed:
                    return batch

    def _gather(self) -> None:
        """Wait a little for a batch to fill."""
        until = monotonic() + self.delay
        while len(self._short) < TEXTS and not self._long and not self.is_closed:
            if not self._changed.wait(max(0.0, until - monotonic())):
                return

    def _of_short(self) -> list[Job]:
        jobs: list[Job] = []
        cost = 0.0
        while self._short and (not jobs or (cost < BATCH and len(jobs) < TEXTS)):
            entry = self._short.popleft()
            if not entry.is_dropped:
                cost += entry.characters * entry.weight
                jobs += [entry.take() for _ in range(len(entry.waiting))]
        return jobs

    def _of_long(self) -> list[Job]:
        """Parts of the long request whose turn it is; then it is the next one's."""
        jobs: list[Job] = []
        left: float = SLICE
        while self._long:
            entry = self._long.popleft()
            while not entry.is_dropped and entry.waiting and (not jobs or entry.next_cost <= left):
                left -= entry.next_cost
                jobs.append(entry.take())
            if entry.is_dropped or not entry.waiting:
                continue
            self._long.append(entry)
            break
        return jobs


def _full(why: str) -> Refusal:
    return Refusal(429, "queue_full", f"{why} Ask again in a second, or less at once.", retry_after=1)
