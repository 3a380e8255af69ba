"""What answers cost, and what may be spent."""

import threading
from contextlib import contextmanager
from typing import Iterator

from .store import Reply


class Meter:
    """Tokens and money, spent and reserved by requests in flight.

    totals (tuple): answers, prompt and completion tokens so far. price_in, price_out (float): money
        per million tokens. budget_tokens, budget_money: what may be spent in all; None: no limit.
    """

    def __init__(
        self,
        totals: tuple[int, int, int],
        price_in: float,
        price_out: float,
        budget_tokens: int | None,
        budget_money: float | None,
    ):
        self.answers, self.prompt_tokens, self.completion_tokens = totals
        self.price_in, self.price_out = price_in, price_out
        self.budget_tokens, self.budget_money = budget_tokens, budget_money
        self.saved = 0.0  # money that batches cost less
        self._reserved = [0, 0]
        self._changed = threading.Condition()

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def cost(self) -> float:
        return self.price(self.prompt_tokens, self.completion_tokens) - self.saved

    def count(self, reply: Reply, share: float = 1.0) -> None:
        """Add what an answer cost. share (float): of the prices."""
        self.grant(reply.prompt_tokens, reply.completion_tokens, share)
        with self._changed:
            self.answers += 1
            self.prompt_tokens += reply.prompt_tokens
            self.completion_tokens += reply.completion_tokens

    def grant(self, prompt_tokens: int, completion_tokens: int, share: float) -> None:
        """Note that so many tokens cost a share of the prices only."""
        with self._changed:
            self.saved += (1 - share) * self.price(prompt_tokens, completion_tokens)

    def has_room(self, prompt_tokens: int, completion_tokens: int, share: float) -> bool:
        """Whether so many more tokens fit into the budget at a share of the prices."""
        with self._changed:
            return self._fits(prompt_tokens, completion_tokens, share)

    @contextmanager
    def reserve(self, prompt_tokens: int, completion_tokens: int, stopping: threading.Event) -> Iterator[bool]:
        """Hold what a request may cost while it is in flight; waits for others where the budget is nearly spent.

        YIELDS (bool): whether the request fits into the budget.
        """
        with self._changed:
            while (
                not (fits := self._fits(prompt_tokens, completion_tokens))
                and any(self._reserved)
                and not stopping.is_set()
            ):
                self._changed.wait(0.5)
            held = (prompt_tokens, completion_tokens) if fits else (0, 0)
            self._reserved = [a + b for a, b in zip(self._reserved, held)]
        try:
            yield fits
        finally:
            with self._changed:
                self._reserved = [a - b for a, b in zip(self._reserved, held)]
                self._changed.notify_all()

    def line(self) -> str:
        """The spending in words."""
        return f"{self.answers} answers, {self.tokens} tokens" + (
            f", cost {self.cost:.4f}" if self.price_in or self.price_out else ""
        )

    def _fits(self, prompt_tokens: int, completion_tokens: int, share: float = 1.0) -> bool:
        n_in = self.prompt_tokens + self._reserved[0] + prompt_tokens
        n_out = self.completion_tokens + self._reserved[1] + completion_tokens
        in_tokens = self.budget_tokens is None or n_in + n_out <= self.budget_tokens
        saved = self.saved + (1 - share) * self.price(prompt_tokens, completion_tokens)
        return in_tokens and (self.budget_money is None or self.price(n_in, n_out) - saved <= self.budget_money)

    def price(self, prompt_tokens: int, completion_tokens: int) -> float:
        """What so many tokens cost."""
        return (prompt_tokens * self.price_in + completion_tokens * self.price_out) / 1e6
