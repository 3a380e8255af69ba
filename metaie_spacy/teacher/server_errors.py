"""What the answers and errors of an OpenAI-compatible server mean."""

import json
import time
from email.utils import parsedate_to_datetime
from typing import Any

from .keys import Redactor
from .store import Reply
from .transport import NoAnswer, Overdue

MOST_TOKENS = 10**8  # that one answer may cost; a server that names more has miscounted
SHOWN = 2000  # characters of what a server says


class BadBody(Exception):
    """The server answered 200 with something that is no answer, such as an error page."""


def read_body(body: bytes, redact: Redactor) -> Reply:
    """An answer; text in a wrong encoding is read as well as it can be, so that a paid answer is not lost.

    redact (Redactor): takes an echoed key out of it.
    RETURNS (Reply): tokens that the server does not count, or counts as no server can, are None.
    RAISES (BadBody): it is no answer.
    """
    try:
        text = body.decode("utf8")
    except UnicodeDecodeError:
        text = body.decode("cp1252", errors="replace")
    try:
        data = json.loads(text, parse_int=_integer)
        choice, usage = data["choices"][0], data.get("usage")
        content = choice["message"].get("content") or choice["message"].get("refusal") or ""
        reason = choice.get("finish_reason") or ""
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        shown = redact.message(text)[:SHOWN]  # before it is quoted, which may split or escape the key
        raise BadBody(f"a body that is no answer: {shown!r}") from None
    usage = usage if isinstance(usage, dict) else {}
    tokens = believable(usage.get("prompt_tokens")), believable(usage.get("completion_tokens"))
    return Reply(redact.answer(str(content)), redact.answer(str(reason))[:100], *tokens)


def believable(tokens: Any) -> int | None:
    """A number of tokens that one answer may cost; None where the server says anything else."""
    if isinstance(tokens, bool) or not isinstance(tokens, (int, float)):
        return None
    return int(tokens) if 0 <= tokens <= MOST_TOKENS and tokens == int(tokens) else None


def _integer(digits: str) -> int | float:
    """Python refuses to read an integer of thousands of digits, and the answer beside it is paid for."""
    return int(digits) if len(digits) < 100 else float(digits)


def passes(error: BaseException) -> bool:
    """Whether a later try may go better."""
    import openai

    if no_answer(error) is not None:
        return False
    if isinstance(error, (openai.APIConnectionError, openai.InternalServerError, BadBody)) or is_timeout(error):
        return True
    status = getattr(error, "status_code", None)
    return status in (408, 409, 429) and getattr(error, "code", None) != "insufficient_quota"


def no_answer(error: BaseException) -> NoAnswer | None:
    """The bound that an answer broke, if that is what went wrong; openai clients wrap it or do not."""
    return next((e for e in (error, error.__cause__) if isinstance(e, NoAnswer)), None)


def is_timeout(error: BaseException) -> bool:
    import openai

    return isinstance(error, openai.APITimeoutError) or any(isinstance(e, Overdue) for e in (error, error.__cause__))


def is_unreachable(error: BaseException) -> bool:
    # By name: the openai client has changed the library under it, and importing either here can race with its import.
    return type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout", "UnsupportedProtocol")


def retry_after(error: BaseException) -> float | None:
    """Seconds that the server asks to wait: `retry-after-ms`, or `Retry-After` in seconds or as a date.

    None: it asks for nothing, for a time that is over, or in words that say no time. Infinity is a time.
    """
    headers = getattr(getattr(error, "response", None), "headers", {})
    asked = None
    if "retry-after-ms" in headers:
        asked = _number(headers["retry-after-ms"], 1000)
    if asked is None and "retry-after" in headers:
        value = headers["retry-after"]
        asked = _number(value, 1)
        if asked is None:
            try:
                asked = parsedate_to_datetime(value).timestamp() - time.time()
            except (ValueError, TypeError, OverflowError, IndexError, OSError):
                return None
    return asked if asked is not None and asked > 0 else None  # also of NaN


def _number(text: str, divisor: float) -> float | None:
    try:
        return float(text) / divisor
    except ValueError:
        return None


def error_message(error: Exception, redact: Redactor) -> str:
    """The server's own words if there are some, and the cause of a broken connection; one line, without secrets."""
    body = getattr(error, "body", None)
    if isinstance(body, dict) and body.get("message"):
        text = str(body["message"])
    else:
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        text = f"{error}{cause}"
    shown = redact.message(text)[:SHOWN]
    return " ".join("".join(c if c.isprintable() else " " for c in shown).split())[:500]


def is_about_schema(text: str) -> bool:
    return any(word in text.lower() for word in ("response_format", "json_schema", "json schema", "structured output"))


def is_about_text(error: Exception, text: str) -> bool:
    """Whether a refusal is about this text, which is too long or not allowed, and says nothing of others."""
    if getattr(error, "code", None) in (
        "context_length_exceeded",
        "content_filter",
        "exceed_context_size_error",
        "string_above_max_length",
    ):
        return True
    words = (
        "context length",
        "context_length",
        "context size",
        "context window",
        "too long",
        "maximum context",
        "too many tokens",
        "number of tokens",
        "content filter",
        "content_filter",
        "content policy",
        "content management policy",
        "flagged",
        "moderation",
        "safety",
    )
    return any(word in text.lower() for word in words)
