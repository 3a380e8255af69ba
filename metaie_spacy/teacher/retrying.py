"""When a request is sent again, and how long is waited for that: never longer than `patience`."""

import logging
import random
import threading
import time
from typing import Any, Callable

from .server_errors import is_unreachable, passes, retry_after
from .store import Reply

logger = logging.getLogger("metaie_spacy")
LONGEST_PAUSE = 30.0  # seconds, of waits that no server asks for


class Stopped(Exception):
    """The run ended while a request waited."""


class OutOfPatience(Exception):
    """A server asks to wait longer than is left of the patience. asked (float): seconds. Its cause says the rest."""

    def __init__(self, asked: float):
        super().__init__(asked)
        self.asked = asked


class Retries:
    """Sends a request, and sends it again where a later try may go better, by tenacity.

    retries (int): for time-outs, broken connections and 5xx. patience (float): seconds, of each wait, and of all that
        a server asks of one request; for a rate limit (429), which uses up no retries, of all its time. What a server
        asks to wait is honoured by all requests; one that asks for more is not waited for.
    stopping (Event): set when a run ends, waits then end too. where (str): the endpoint, in messages.
    """

    def __init__(self, retries: int, patience: float, stopping: threading.Event, where: str):
        self.retries, self.patience, self.stopping, self.where = retries, patience, stopping, where
        self._resume_at = 0.0

    def send(self, post: Callable[[], Reply], *, is_new: bool) -> Reply:
        """One request with its retries.

        is_new (bool): whether the endpoint has not answered yet; one that cannot be reached is then given up soon.
        RAISES (Stopped): the run ended meanwhile. (OutOfPatience). Else what the last try raised.
        """
        import tenacity

        until = time.monotonic() + self.patience
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(passes),
            wait=self._wait,
            reraise=True,
            stop=tenacity.stop_any(
                lambda state: self._gives_up(state, is_new), tenacity.stop_when_event_set(self.stopping)
            ),
            sleep=self.stopping.wait,
        )
        return retrying(self._in_turn, post, until)

    def _in_turn(self, post: Callable[[], Reply], until: float) -> Reply:
        """Post, but not before the time that a server named to any request."""
        while not self.stopping.is_set() and (delay := min(self._resume_at, until) - time.monotonic()) > 0:
            self.stopping.wait(min(60.0, delay) + random.uniform(0, 0.1))  # not all in the same moment
        if self.stopping.is_set():
            raise Stopped
        return post()

    def _wait(self, state: Any) -> float:
        """Seconds to the next try: what the server asks for, else growing and random."""
        import tenacity

        left = self._left(state)
        growing = tenacity.wait_random_exponential(multiplier=0.25, max=min(LONGEST_PAUSE, self.patience))(state)
        asked = retry_after(state.outcome.exception())
        if asked is None or asked > left:
            return min(growing, left) if _is_limit(state) else growing
        if asked > 10:
            logger.warning("%s asks to wait %.0f seconds.", self.where, asked)
        self._resume_at = max(self._resume_at, time.monotonic() + asked)  # a limit holds for all requests
        return max(asked, min(growing, 1.0))  # a server that always asks for a moment is not run against

    def _gives_up(self, state: Any, is_new: bool) -> bool:
        """After `retries`, or sooner where a further try would hardly help; of a rate limit, after `patience`."""
        error = state.outcome.exception()
        left, asked = self._left(state), retry_after(error) or 0.0
        if passes(error) and asked > left:
            raise OutOfPatience(asked) from error
        if _is_limit(state):
            return left <= 0
        unreached = is_new and is_unreachable(error)
        return state.attempt_number > (min(2, self.retries) if unreached else self.retries)

    def _left(self, state: Any) -> float:
        """What is left of the patience. A rate limit uses it up by all its time, another fault by its waits."""
        used = time.monotonic() - state.start_time if _is_limit(state) else state.idle_for
        return max(0.0, self.patience - used)


def _is_limit(state: Any) -> bool:
    return getattr(state.outcome.exception(), "status_code", None) == 429
