"""What the answers and errors of an OpenAI-compatible server mean."""

import json
import re
import time
from email.utils import parsedate_to_datetime

from .store import Reply


class BadBody(Exception):
    """The server answered 200 with something that is no answer, such as an error page."""


def read_body(body: bytes) -> Reply:
    """An answer; text in a wrong encoding is read as well as it can be, so that a paid answer is not lost.

    RAISES (BadBody): it is no answer.
    """
    try:
        text = body.decode("utf8")
    except UnicodeDecodeError:
        text = body.decode("cp1252", errors="replace")
    try:
        data = json.loads(text)
        choice, usage = data["choices"][0], data.get("usage") or {}
        content = choice["message"].get("content") or choice["message"].get("refusal") or ""
        tokens = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise BadBody(f"a body that is no answer: {text!r}") from None
    return Reply(str(content), choice.get("finish_reason") or "", *tokens)


def passes(error: BaseException) -> bool:
    """Whether a later try may go better."""
    import openai

    if isinstance(error, (openai.APIConnectionError, openai.InternalServerError, BadBody)):
        return True
    status = getattr(error, "status_code", None)
    return status in (408, 409, 429) and getattr(error, "code", None) != "insufficient_quota"


def is_unreachable(error: BaseException) -> bool:
    # By name: the openai client has changed the library under it, and importing either here can race with its import.
    return type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout", "UnsupportedProtocol")


def retry_after(error: BaseException) -> float | None:
    """Seconds that the server asks to wait: `retry-after-ms`, or `Retry-After` in seconds or as a date."""
    response = getattr(error, "response", None)
    if response is None:
        return None
    try:
        if "retry-after-ms" in response.headers:
            return max(0.0, float(response.headers["retry-after-ms"]) / 1000)
        value = response.headers.get("retry-after")
        if value is None:
            return None
        if re.fullmatch(r"[\d.]+", value.strip()):
            return float(value)
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def error_message(error: Exception) -> str:
    """The server's own words if there are some, and the cause of a broken connection."""
    body = getattr(error, "body", None)
    if isinstance(body, dict) and body.get("message"):
        return str(body["message"])
    cause = f" ({error.__cause__})" if error.__cause__ else ""
    return f"{error}{cause}"


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
