"""How much may be asked: shares of docs, questions a minute, and a rest for an endpoint that fails."""

import time
from collections import deque

REST = 60.0  # seconds for which an endpoint that fails for all texts is left alone
MINUTE = 60.0  # seconds over which per_minute counts


class Limits:
    """What was asked so far, against what may be.

    max_share (float | None): of the docs so far. per_minute (int | None): questions in any 60 seconds.
    """

    def __init__(self, max_share: float | None, per_minute: int | None):
        self.max_share, self.per_minute = max_share, per_minute
        self.seen = self.asked = 0
        self._sent: deque[float] = deque()  # when questions of the last minute were sent
        self._rests_until = 0.0

    def refusal(self) -> str:
        """Which limit forbids a further question; "" if none does."""
        now = time.monotonic()
        while self._sent and self._sent[0] < now - MINUTE:
            self._sent.popleft()
        if now < self._rests_until:
            return "endpoint rests"
        if self.max_share is not None and self.asked + 1 > self.max_share * self.seen + 1e-9:
            return "max_share"
        if self.per_minute is not None and len(self._sent) >= self.per_minute:
            return "per_minute"
        return ""

    def ask(self) -> None:
        """Count a question."""
        self.asked += 1
        if self.per_minute is not None:
            self._sent.append(time.monotonic())

    def rest(self) -> None:
        """Let nothing be asked for a while."""
        self._rests_until = time.monotonic() + REST
