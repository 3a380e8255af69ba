"""What a teacher has answered, on disk, and what it cost."""

import hashlib
import json
import sqlite3
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, NamedTuple


class Reply(NamedTuple):
    """One answer: its text, why it ended ("stop", "length" ...), and the tokens it cost."""

    content: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


def answer_key(request: dict[str, Any]) -> str:
    """sha256 of all that shapes an answer; the order of the fields does not matter, that of the messages does."""
    return hashlib.sha256(
        json.dumps(request, sort_keys=True, ensure_ascii=False).encode("utf8", "surrogatepass")
    ).hexdigest()


class AnswerStore:
    """Answers by key in SQLite; each is safe on disk before `put` returns, also from `kill -9`.

    path (str | None): the file, shared by processes if need be; None: in memory.
    RAISES (ValueError): the file is no such store.
    """

    def __init__(self, path: str | None):
        self._lock = threading.Lock()
        if path is not None:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = sqlite3.connect(path or ":memory:", check_same_thread=False, timeout=30)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, content TEXT, finish_reason TEXT, "
                "prompt_tokens INTEGER, completion_tokens INTEGER, model TEXT, created REAL)"
            )
        except sqlite3.DatabaseError as error:
            raise ValueError(
                f"'{path}' cannot be used as a store of answers ({error}). Give the teacher's cache another path."
            ) from None

    def get(self, key: str) -> Reply | None:
        with self._lock:
            row = self._db.execute(
                "SELECT content, finish_reason, prompt_tokens, completion_tokens FROM answers WHERE key = ?", (key,)
            ).fetchone()
        return None if row is None else Reply(*row)

    def put(self, key: str, reply: Reply, model: str) -> None:
        with self._lock, self._db:
            content = reply.content.encode("utf8", "replace").decode("utf8")  # a lone surrogate is no text
            row = (key, content, reply.finish_reason, reply.prompt_tokens, reply.completion_tokens, model, time.time())
            self._db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def totals(self, model: str) -> tuple[int, int, int]:
        """Answers, prompt tokens and completion tokens of one model."""
        with self._lock:
            return self._db.execute(
                "SELECT COUNT(*), COALESCE(SUM(prompt_tokens), 0), COALESCE(SUM(completion_tokens), "
                "0) FROM answers WHERE model = ?",
                (model,),
            ).fetchone()


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
        self._reserved = [0, 0]
        self._changed = threading.Condition()

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def cost(self) -> float:
        return self._price(self.prompt_tokens, self.completion_tokens)

    def count(self, reply: Reply) -> None:
        """Add what an answer cost."""
        with self._changed:
            self.answers += 1
            self.prompt_tokens += reply.prompt_tokens
            self.completion_tokens += reply.completion_tokens

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

    def _fits(self, prompt_tokens: int, completion_tokens: int) -> bool:
        n_in = self.prompt_tokens + self._reserved[0] + prompt_tokens
        n_out = self.completion_tokens + self._reserved[1] + completion_tokens
        in_tokens = self.budget_tokens is None or n_in + n_out <= self.budget_tokens
        return in_tokens and (self.budget_money is None or self._price(n_in, n_out) <= self.budget_money)

    def _price(self, prompt_tokens: int, completion_tokens: int) -> float:
        return (prompt_tokens * self.price_in + completion_tokens * self.price_out) / 1e6
