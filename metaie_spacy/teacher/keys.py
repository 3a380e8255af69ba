"""The teacher's key: where it is read, and that it is written nowhere."""

import base64
import logging
import os
import re
from typing import Iterable
from urllib.parse import parse_qsl, unquote, urlsplit

SHORTEST_SECRET = 8  # characters; what is shorter is a placeholder such as "none", and a word of other answers
CLIENTS = ("openai", "httpx", "httpx2", "httpcore", "httpcore2")  # whose logs may show what a server sends
SECRET_NAMES = "key|token|secret|pass|sig|auth|cred"  # of values in a URL
NAMED = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}


class KeyMissing(ValueError):
    """There is no key, or none that can be sent; the message says what to change."""


def read_key(name: str | None) -> str | None:
    """The key out of the environment variable of this name; None: there is none.

    RAISES (KeyMissing): the variable is not set, or its name looks like a key itself.
    """
    if name is None:
        return None
    if not re.fullmatch(r"[A-Z][A-Z0-9_]{0,60}", name):
        raise KeyMissing(
            "The teacher's api_key_env must be the NAME of an environment "
            "variable, such as OPENAI_API_KEY, not the key."
        )
    key = os.environ.get(name, "").strip()
    if not key and "_" not in name:
        raise KeyMissing(
            "The environment variable that the teacher's api_key_env names is not set. It "
            "must be a NAME such as OPENAI_API_KEY, not the key."
        )
    if not key:
        raise KeyMissing(
            f"The environment variable {name} is not set. Put the key there, "
            "or set api_key_env to null if there is none."
        )
    if not (key.isascii() and key.isprintable()):
        raise KeyMissing(
            f"The key in the environment variable {name} holds a line break or another character that no HTTP header "
            "can carry. Put the key alone there."
        )
    return key


class Redactor:
    """Takes secrets out of texts that come from a server, however they are escaped there.

    key (str | None): the teacher's. url (str | None): its base_url, which may hold a password or a key too.
    """

    def __init__(self, key: str | None, url: str | None):
        secrets = {secret for secret in (key, *_in_url(url or "")) if secret}
        long = {secret for secret in secrets if len(secret) >= SHORTEST_SECRET}
        self._all, self._long = _pattern(secrets), _pattern(long)

    def message(self, text: str) -> str:
        """A message without the secrets."""
        return self._all.sub("[key]", text) if self._all else text

    def answer(self, text: str) -> str:
        """An answer without the secrets; one as short as a word may stand there as the word."""
        return self._long.sub("[key]", text) if self._long else text

    def guard_logs(self) -> None:
        """Take the secrets out of what the HTTP libraries log, such as a header that echoes one."""
        if self._long is None:
            return
        names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in CLIENTS]
        for logger in map(logging.getLogger, names):
            if not any(isinstance(other, _LogFilter) and other.pattern == self._long for other in logger.filters):
                logger.addFilter(_LogFilter(self._long))


class _LogFilter(logging.Filter):
    def __init__(self, pattern: re.Pattern):
        super().__init__()
        self.pattern = pattern

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if self.pattern.search(message):
            record.msg, record.args = self.pattern.sub("[key]", message), ()
        return True


def _in_url(url: str) -> Iterable[str]:
    try:
        parts = urlsplit(url)
        values = [value for name, value in parse_qsl(parts.query) if re.search(SECRET_NAMES, name, re.IGNORECASE)]
        return [unquote(parts.password or ""), *values]
    except ValueError:
        return []


def _pattern(secrets: Iterable[str]) -> re.Pattern | None:
    """The secrets as they are, as URLs, JSON, HTML and Python escape them, and inside base64."""
    forms = [form for secret in sorted(secrets, key=len, reverse=True) for form in _forms(secret)]
    return re.compile("|".join(forms)) if forms else None


def _forms(secret: str) -> list[str]:
    forms = [_escaped(secret[0], is_first=True) + "".join(map(_escaped, secret[1:]))]
    data = secret.encode()
    for shift in range(3):  # where the secret begins in a group of three bytes
        encoded = base64.b64encode(bytes(shift) + data).rstrip(b"=").decode()
        # Its first and last characters depend on what stands beside the secret.
        core = encoded[(0, 2, 3)[shift] : len(encoded) - bool((shift + len(data)) % 3)]
        if len(core) >= SHORTEST_SECRET:
            forms.append("".join({"+": "[+-]", "/": "[/_]"}.get(c, c) for c in core))
    return forms


def _escaped(c: str, *, is_first: bool = False) -> str:
    """One character in every form. Backslashes are counted, so that a long row of them costs no time."""
    slashes = r"\\{1,8}" if not is_first else r"(?<!\\)\\{1,8}"
    percent = "".join(f"%{byte:02x}" for byte in c.encode())
    codes = [f"{slashes}(?:u{ord(c):04x}|x{ord(c):02x})", percent, f"&#0{{0,4}}{ord(c)};", f"&#x0{{0,4}}{ord(c):x};"]
    if c in NAMED:
        codes.append(f"&{NAMED[c]};")
    if c == " ":
        codes.append(r"\+")
    literal = re.escape(c)
    if c == "\\":
        literal = slashes
    elif c in "\"'/" and not is_first:
        literal = rf"\\{{0,8}}{literal}"
    return f"(?:{literal}|(?i:{'|'.join(codes)}))"
