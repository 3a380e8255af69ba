"""Bounds of one HTTP request: bytes, raw and inflated, total time, and no redirect, under any httpx client."""

import copy
import threading
import time
import zlib
from typing import Any
from urllib.parse import urljoin, urlsplit

ENCODINGS = {"gzip": 47, "x-gzip": 47, "deflate": 47}  # for zlib: a header of gzip or zlib
KEPT_HEADERS = ("retry-after", "retry-after-ms")
LONGEST_HEADER = 100
_flying = threading.local()  # the request that this thread is sending


class NoAnswer(Exception):
    """What came can be no answer, also when asked for again; the message says what to change.

    is_final (bool): whether no other question would get one.
    """

    def __init__(self, message: str, *, is_final: bool = False):
        super().__init__(message)
        self.is_final = is_final


class Overdue(TimeoutError):
    """The time of the whole request is over, though bytes still come."""


def bounded(client: Any, *, seconds: float, max_bytes: int) -> Any:
    """A copy of an httpx client, with the same connections, whose requests end.

    client (httpx.Client): of httpx, or of the library that the openai client has put in its place. It is not changed.
    seconds (float): of a request, from its connection to the last byte of its answer.
    max_bytes (int): of an answer, as it comes and inflated.
    """
    client = copy.copy(client)
    # Neither library has a public way to what it sends through; to make transports anew would lose the proxies that
    # it has read from the environment.
    client._transport = _Bounded(client._transport, seconds, max_bytes)
    client._mounts = {
        pattern: transport and _Bounded(transport, seconds, max_bytes) for pattern, transport in client._mounts.items()
    }
    return client


class _Flight:
    """What one request may still take."""

    def __init__(self, seconds: float, room: int):
        self.seconds, self.until, self.room = seconds, time.monotonic() + seconds, room

    def time_left(self) -> float:
        left = self.until - time.monotonic()
        if left <= 0:
            raise Overdue(f"the request took longer than {self.seconds:g} s")
        return left


class _Bounded:
    """A transport that reads an answer whole, within its bounds; of the headers it keeps what is needed.

    So no charset, cookie or encoding of a server reaches the code behind it.
    """

    def __init__(self, inner: Any, seconds: float, max_bytes: int):
        self._inner, self._seconds, self._max_bytes = inner, seconds, max_bytes
        pool = getattr(inner, "_pool", None)
        backend = getattr(pool, "_network_backend", None)
        if backend is not None and not isinstance(backend, _Network):
            pool._network_backend = _Network(backend)

    def handle_request(self, request: Any) -> Any:
        request.headers["accept-encoding"] = "gzip, deflate"  # what zlib can inflate piece by piece
        # Frames and headers come on top of the answer; the network counts them, so that they end too.
        _flying.request = flight = _Flight(self._seconds, 2 * self._max_bytes + 2**20)
        try:
            response = self._inner.handle_request(request)
            try:
                _refuse_redirect(request, response)
                body = self._inflate(self._read(response, flight), response.headers.get("content-encoding", ""))
            finally:
                response.close()
        finally:
            _flying.request = None
        kept = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
        kept = {name: value for name, value in kept.items() if len(value) <= LONGEST_HEADER}
        return type(response)(response.status_code, headers=kept, content=body)

    def close(self) -> None:
        self._inner.close()

    def __enter__(self) -> "_Bounded":
        self._inner.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._inner.__exit__(*error)

    def _read(self, response: Any, flight: _Flight) -> bytes:
        announced = response.headers.get("content-length", "")
        if announced.isdecimal() and (len(announced) > 18 or int(announced) > self._max_bytes):
            raise self._too_large(f"an answer of {announced[:30]} bytes")
        body = bytearray()
        for chunk in response.stream:
            flight.time_left()
            body += chunk
            if len(body) > self._max_bytes:
                raise self._too_large(f"more than {self._max_bytes} bytes for one answer")
        return bytes(body)

    def _inflate(self, body: bytes, encodings: str) -> bytes:
        names = [name for part in encodings.lower().split(",") if (name := part.strip()) not in ("", "identity")]
        unasked = [name for name in names if name not in ENCODINGS] or names[2:]
        if unasked:
            raise NoAnswer(
                f"the server sent an answer in the encoding '{', '.join(names)[:60]}', which was not asked for. "
                "Have it send 'gzip', 'deflate' or none, or check base_url"
            )
        for name in reversed(names):
            body = self._unzip(body, name)
        return body

    def _unzip(self, body: bytes, name: str) -> bytes:
        for bits in (ENCODINGS[name], -zlib.MAX_WBITS):  # some servers' deflate has no header
            try:
                result = zlib.decompressobj(bits).decompress(body, self._max_bytes + 1)
            except zlib.error as error:
                problem = error
                continue
            if len(result) > self._max_bytes:
                raise self._too_large(f"{len(body)} bytes of {name} that inflate to more than {self._max_bytes}")
            return result
        raise NoAnswer(f"the server sent an answer that is no {name} ({problem}). Check base_url")

    def _too_large(self, what: str) -> NoAnswer:
        return NoAnswer(f"the server sent {what}. Check base_url, or raise the teacher's max_bytes")


def _refuse_redirect(request: Any, response: Any) -> None:
    """RAISES (NoAnswer): a redirect; passages go to no address that the user has not named."""
    target = response.headers.get("location")
    if target is None or not 300 <= response.status_code < 400:
        return
    try:
        parts = urlsplit(urljoin(str(request.url), target))
        # Without a password or a key that a URL may hold.
        base = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    except ValueError:
        base = "what it names, which is no URL"
    base = base.rstrip("/").removesuffix("/chat/completions")[:200]
    raise NoAnswer(
        f"it redirects ({response.status_code}) to {base}, and texts are sent to no address but base_url. If you trust "
        "that one, set the teacher's base_url to it",
        is_final=True,
    )


class _Network:
    """A network backend of httpcore whose connections know the request that a thread is sending."""

    def __init__(self, inner: Any):
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def connect_tcp(self, *args: Any, timeout: float | None = None, **kwargs: Any) -> "_Stream":
        return _Stream(self._inner.connect_tcp(*args, timeout=_at_most(timeout), **kwargs))

    def connect_unix_socket(self, *args: Any, timeout: float | None = None, **kwargs: Any) -> "_Stream":
        return _Stream(self._inner.connect_unix_socket(*args, timeout=_at_most(timeout), **kwargs))


class _Stream:
    """A connection whose single reads and writes end with the whole request, and which counts every byte of it."""

    PIECE = 2**14  # a write waits as often as the other side takes a part of it

    def __init__(self, inner: Any):
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self._inner.read(max_bytes, _at_most(timeout))
        flight = getattr(_flying, "request", None)
        if flight is not None:
            flight.room -= len(data)
            if flight.room < 0:
                raise NoAnswer(
                    "the server sends bytes without end around its answer. Check base_url, or raise the teacher's "
                    "max_bytes"
                )
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), self.PIECE):
            self._inner.write(buffer[start : start + self.PIECE], _at_most(timeout))

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> "_Stream":
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, _at_most(timeout)))


def _at_most(timeout: float | None) -> float | None:
    """The time that a single step may take. RAISES (Overdue): none is left."""
    flight = getattr(_flying, "request", None)
    if flight is None:  # sent by the owner of the client, not through its bounded copy
        return timeout
    return flight.time_left() if timeout is None else min(timeout, flight.time_left())
