"""What a failed request means: for its question, or for the whole run.

Errors: `TeacherError` ends a run (no key, no server, no such model, no quota), as the `StoreError` of the store does
(answers cannot be kept); `QuestionError` ends one question (its text is too long, its answers cannot be read);
`BudgetSpent` ends a run in good order.
"""

import threading
from typing import Any, Protocol

from .keys import Redactor
from .server_errors import error_message, is_about_schema, is_about_text, is_timeout, no_answer
from .store import Reply, StoreError

DEAD_AFTER = 5  # refusals, or questions in a row that no retry could save: the endpoint is gone


class TeacherError(ValueError):
    """Nothing more can be asked; the message says what to change."""


class QuestionError(ValueError):
    """This question has no usable answer; others may have one."""


class BudgetSpent(ValueError):
    """The next request could cost more than the budget has left."""


class NotStored(StoreError):
    """An answer came that the store cannot take. result (Any): what its question gave; None: nothing usable."""

    def __init__(self, message: str, reply: Reply | None = None, result: Any = None):
        super().__init__(message)
        self.reply, self.result = reply, result


class SchemaRefused(Exception):
    """The endpoint does not take `response_format`."""


class Settings(Protocol):
    """The settings of the teacher that messages name."""

    model: str
    base_url: str | None
    api_key_env: str | None
    timeout: float
    retries: int
    patience: float


class Endpoint:
    """Where a teacher is asked, and how it has fared there.

    settings (Settings): the teacher. is_known (bool): whether it has answered in earlier runs.
    """

    def __init__(self, settings: Settings, *, is_known: bool):
        self.settings, self.answered, self.where = settings, is_known, _without_secrets(settings.base_url)
        self._lock, self._dead, self._refused = threading.Lock(), 0, 0

    def has_answered(self) -> None:
        self.answered, self._dead, self._refused = True, 0, 0

    def blame(self, error: Exception, redact: Redactor, asked: float | None) -> Exception:
        """What went wrong, as one of this module's errors, without the key.

        asked (float | None): seconds that the server asks to wait, where the patience is too short for them.
        """
        status, text = getattr(error, "status_code", None), error_message(error, redact)
        if status == 401 or (status == 403 and not self.answered):
            return TeacherError(f"{self.where} refuses the key in {self.settings.api_key_env or 'no variable'}: {text}")
        if status == 404:
            return TeacherError(f"{self.where} has no model '{self.settings.model}', or no such address: {text}")
        if status == 402 or getattr(error, "code", None) == "insufficient_quota":
            return TeacherError(f"{self.where}: the quota is used up: {text}")
        if status in (400, 413, 422) and is_about_schema(text) and not is_about_text(error, text):
            return SchemaRefused(text)
        if status is not None and 400 <= status < 500 and status not in (408, 409, 429):
            return self._refusal(status, text, is_of_text=is_about_text(error, text))
        with self._lock:
            self._dead += 1
        is_dead = not self.answered or self._dead >= DEAD_AFTER
        if (bound := no_answer(error)) is not None:
            message = f"{self.where}: {redact.message(str(bound))}."
            return TeacherError(message) if is_dead or bound.is_final else QuestionError(message)
        return self._delay(status, text, asked, is_dead) or self._silence(error, text, is_dead)

    def _refusal(self, status: int, text: str, *, is_of_text: bool) -> Exception:
        """Of one text, or, if nothing was ever taken or many were refused in a row, of all."""
        with self._lock:
            self._refused += not is_of_text
        if not is_of_text and (not self.answered or self._refused >= DEAD_AFTER):
            return TeacherError(
                f"{self.where} refuses the request ({status}): {text}. Check the teacher's model and options."
            )
        return QuestionError(f"refused ({status}): {text}")

    def _delay(self, status: int | None, text: str, asked: float | None, is_dead: bool) -> Exception | None:
        """Of a server that asks to wait for too long."""
        patience = self.settings.patience
        if status == 429 and (asked is None or asked <= patience or not patience):
            return TeacherError(
                f"{self.where} has refused requests for {patience:.0f} s: {text}. Start again later: nothing is lost."
            )
        if asked is None:
            return None
        kind = TeacherError if status == 429 or is_dead else QuestionError
        return kind(
            f"{self.where} asks to wait {asked:g} s ({status}), longer than is left of the teacher's patience of "
            f"{patience:g} s: {text}. Start again later, or raise patience: nothing is lost."
        )

    def _silence(self, error: Exception, text: str, is_dead: bool) -> Exception:
        if is_timeout(error) and self._dead < DEAD_AFTER:
            return QuestionError(
                f"no answer within {self.settings.timeout:g} s, {self.settings.retries + 1} times. Raise "
                "the teacher's timeout, or lower its max_tokens"
            )
        if is_dead:
            return TeacherError(
                f"{self.where} does not answer: {text}. Check base_url, or wait and start again: nothing is lost."
            )
        return QuestionError(f"no answer after {self.settings.retries} retries: {text}")


def _without_secrets(base_url: str | None) -> str:
    """The endpoint without a password or a key that its URL may hold."""
    if not base_url:
        return "the default endpoint"
    scheme, _, rest = base_url.split("?")[0].partition("//")
    return f"{scheme}//{rest.rpartition('@')[2]}"
