"""What the application answers from: models, schemas, limits, the queue and its worker."""

import asyncio
import hmac
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Awaitable, Callable, Mapping

from .asking import Wanted
from .limits import Limits, Refusal
from .metrics import Metrics
from .models import Served
from .queue import Entry, Queue
from .worker import Worker


@dataclass
class Service:
    """What the application answers from.

    models (Mapping): by name, the first one for requests that name none. schemas (Mapping): by name, checked.
    key (str | None): what requests must bring; None: nothing. patterns (bool): whether requests may bring regular
    expressions of their own. delay (float): seconds that a batch waits for more requests.
    """

    models: Mapping[str, Served]
    schemas: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    key: str | None = None
    patterns: bool = False
    delay: float = 0.002

    def __post_init__(self) -> None:
        self.metrics = Metrics()
        self.queue = Queue(self.limits, self.delay)
        self.worker = Worker(self.queue, self.models, self.metrics)
        self.metrics.waiting.set_function(lambda: self.queue.waiting)

    def check_key(self, header: str | None) -> None:
        """RAISES (Refusal): the header "Authorization" does not bring the key."""
        if self.key is None:
            return
        kind, _, given = (header or "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(given.strip().encode("utf8"), self.key.encode("utf8")):
            raise Refusal(401, "key", "The key is missing or wrong. Send the header 'Authorization: Bearer KEY'.")

    async def answers(self, asked: Wanted, receive: Callable[[], Awaitable[Any]]) -> list[dict[str, Any]]:
        """What was found in each text.

        receive (Callable): ASGI's; what comes from it, now that the body is read, is that the client is gone.
        RAISES (Refusal): nothing, for the reason that it gives.
        """
        if not asked.texts:
            return []
        loop = asyncio.get_running_loop()
        future: asyncio.Future = loop.create_future()

        def settle(result: list[dict[str, Any]] | Exception) -> None:
            if future.done():
                return
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

        def done(result: list[dict[str, Any]] | Exception) -> None:
            with suppress(RuntimeError):  # the loop ended without waiting
                loop.call_soon_threadsafe(settle, result)

        entry = Entry(asked.model, asked.ask, asked.names, asked.texts, asked.wordings, asked.n_links, done)
        self.queue.add(entry)
        self.metrics.characters.inc(entry.characters)
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({future, gone}, timeout=self.limits.seconds, return_when=asyncio.FIRST_COMPLETED)
            if future.done():
                return future.result()
            if gone.done():
                raise Refusal(499, "gone", "The client is gone.")
        finally:
            self.queue.drop(entry)
            gone.cancel()
            future.cancel()
        raise Refusal(
            503,
            "timeout",
            f"There was no answer in {self.limits.seconds:g} seconds. Send less at once, or later, or raise --timeout.",
            retry_after=1,
        )


async def _gone(receive: Callable[[], Awaitable[Any]]) -> None:
    """Return when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
