"""An endpoint on loopback that attacks its client: it sends what no honest server does, or never stops sending."""

import base64
import gzip
import html
import json
import re
import socket
import threading
import time
import zlib
from contextlib import contextmanager
from typing import Callable, Iterator
from urllib.parse import quote, quote_plus

MB = bytes(2**20)
KEY = 'sk-very/secret+01"23&45<67>89'  # what URLs, JSON, HTML and base64 escape
USAGE = {"prompt_tokens": 3, "completion_tokens": 2}
Behaviour = Callable[["Call"], None]


class Call:
    """One request, and the way back. number (int): counted from 1, over all connections."""

    def __init__(self, connection: socket.socket, head: str, body: bytes, number: int, stop: threading.Event):
        self.connection, self.head, self.body, self.number, self.stop = connection, head, body, number, stop
        self.is_last = False

    def send(self, data: bytes) -> None:
        """RAISES (OSError): the client has left, or the server ends."""
        if self.stop.is_set():
            raise OSError("the server ends")
        self.connection.sendall(data)

    def answer(self, body: bytes = b"", status: int = 200, **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def begin(self, *headers: str, status: int = 200) -> None:
        """A head without a length: the answer ends with the connection."""
        self.is_last = True
        self.send("\r\n".join([f"HTTP/1.1 {status} Status", *headers, "Connection: close", "", ""]).encode())

    def drip(self, data: bytes, seconds: float = 0.05) -> None:
        for byte in data:
            self.send(bytes([byte]))
            self.stop.wait(seconds)

    def hang(self) -> None:
        self.is_last = True
        self.stop.wait(600)


class Hostile:
    """A running server. url (str): with /v1. calls (list[Call]): the requests that came."""

    def __init__(self, url: str):
        self.url, self.calls, self.stop = url, [], threading.Event()

    @property
    def bodies(self) -> list[dict]:
        return [json.loads(call.body) for call in self.calls]

    def wait_for(self, calls: int, seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while len(self.calls) < calls:
            assert time.monotonic() < until, f"{len(self.calls)} of {calls} requests came"
            time.sleep(0.01)


@contextmanager
def hostile(behave: Behaviour) -> Iterator[Hostile]:
    """The server in threads of this process; `behave` gets every request."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    server = Hostile(f"http://127.0.0.1:{listener.getsockname()[1]}/v1")

    def serve(connection: socket.socket) -> None:
        buffer = b""
        try:
            while not server.stop.is_set():
                while (end := buffer.find(b"\r\n\r\n")) < 0:
                    if not (data := connection.recv(65536)):
                        return
                    buffer += data
                head = buffer[:end].decode("latin-1")
                lengths = [
                    line.split(":")[1] for line in head.split("\r\n") if line.lower().startswith("content-length")
                ]
                size = end + 4 + int(lengths[0] if lengths else 0)
                while len(buffer) < size:
                    buffer += connection.recv(65536)
                call = Call(connection, head, buffer[end + 4 : size], len(server.calls) + 1, server.stop)
                server.calls.append(call)
                buffer = buffer[size:]
                behave(call)
                if call.is_last:
                    return
        except OSError:
            pass  # the client left
        finally:
            connection.close()

    def accept() -> None:
        try:
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
        except OSError:
            pass  # the server ended

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server
    finally:
        server.stop.set()
        listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        listener.close()


def completion(content: str = "{}", usage: object = USAGE, **choice: object) -> bytes:
    """A good answer. usage (object): None leaves it out."""
    data = {"choices": [{"message": {"content": content}, "finish_reason": "stop"} | choice]}
    return json.dumps(data | ({} if usage is None else {"usage": usage})).encode()


def good(call: Call) -> None:
    call.answer(completion())


def zipped(pieces: Iterator[bytes], bits: int) -> Iterator[bytes]:
    packer = zlib.compressobj(9, zlib.DEFLATED, bits)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


def bomb(name: str, bits: int, megabytes: int) -> Behaviour:
    packed = b"".join(zipped((MB for _ in range(megabytes)), bits))
    return lambda call: call.answer(packed, Content_Encoding=name)


def endless(*headers: str, before: bytes = b"", piece: bytes = MB, status: int = 200) -> Behaviour:
    def behave(call: Call) -> None:
        call.begin(*headers, status=status)
        call.send(before)
        while True:
            call.send(piece)

    return behave


def endless_head(line: bytes, pause: float = 0.0) -> Behaviour:
    def behave(call: Call) -> None:
        call.is_last = True
        call.send(b"" if line.startswith(b"HTTP") else b"HTTP/1.1 200 OK\r\n")
        while True:
            call.send(line)
            call.stop.wait(pause)

    return behave


def dripped(data: bytes, head: str = "") -> Behaviour:
    def behave(call: Call) -> None:
        call.send(head.encode())
        call.drip(data)

    return behave


def half(call: Call) -> None:
    call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
    call.hang()


def sizes(megabytes: int = 64) -> dict[str, Behaviour]:
    """Answers without end, or that grow: name -> behaviour. megabytes (int): what a bomb inflates to."""
    chunked = ("Transfer-Encoding: chunked",)
    chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
    empty = b"\x00\x00\x00\xff\xff" * 1000  # deflate's way to say nothing
    twice = gzip.compress(b"".join(zipped((MB for _ in range(megabytes)), 31)))
    return {
        "endless body": endless(),
        "endless chunks": endless(*chunked, piece=chunk),
        "endless chunks of a byte": endless(*chunked, piece=b"1;" + b"x" * 16000 + b"\r\nx\r\n"),
        "endless trailers": endless(*chunked, before=b"0\r\n", piece=b"x: " + b"y" * 1000 + b"\r\n"),
        "endless error page 500": endless(status=500),
        "endless refusal 400": endless(status=400),
        "a length of 10 TB": lambda call: call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000000\r\n\r\n" + MB),
        "a length of 5000 digits": lambda call: call.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n" % (b"9" * 5000)
        ),
        "endless headers": endless_head(b"x: " + b"y" * 1000 + b"\r\n"),
        "endless 100 Continue": endless_head(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
        "gzip bomb": bomb("gzip", 31, megabytes),
        "deflate bomb": bomb("deflate", 15, megabytes),
        "deflate bomb without a header": bomb("deflate", -15, megabytes),
        "gzip in gzip": lambda call: call.answer(twice, Content_Encoding="gzip, gzip"),
        "gzip ten times": lambda call: call.answer(twice, Content_Encoding=", ".join(["gzip"] * 10)),
        "endless gzip": endless("Content-Encoding: gzip", before=gzip.compress(b"")[:10], piece=empty),
        "br": lambda call: call.answer(b"\x1b" * 100, Content_Encoding="br"),
        "zstd": lambda call: call.answer(b"\x28\xb5\x2f\xfd" + bytes(100), Content_Encoding="zstd"),
        "an encoding that is none": lambda call: call.answer(b"no gzip", Content_Encoding="gzip"),
    }


def delays() -> dict[str, Behaviour]:
    """Answers that never end in time: name -> behaviour."""
    line = "HTTP/1.1 200 OK\r\n"
    zipped_head = line + "Content-Encoding: gzip\r\nConnection: close\r\n\r\n"
    return {
        "silence": Call.hang,
        "half a body": half,
        "dripping body": dripped(bytes(10**6), line + "Content-Length: 9000\r\n\r\n"),
        "dripping chunks": dripped(b"1\r\nx\r\n" * 10**5, line + "Transfer-Encoding: chunked\r\n\r\n"),
        "dripping head": dripped(b"x: y\r\n" * 10**5, line),
        "dripping 100 Continue": endless_head(b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.05),
        "dripping error page": dripped(bytes(10**6), "HTTP/1.1 500 No\r\nContent-Length: 9000\r\n\r\n"),
        "dripping gzip": dripped(gzip.compress(bytes(10**5)) * 100, zipped_head),
    }


RETRY_AFTER = {
    "100000000": True,
    "1e9": True,
    "inf": True,
    "Infinity": True,
    "9" * 60: True,
    "Fri, 31 Dec 9999 23:59:59 GMT": True,
    "-5": False,
    "nan": False,
    "0": False,
    "": False,
    "soon": False,
    "Mon, 01 Jan 1990 00:00:00 GMT": False,
    "Fri, 99 Dec 99999 99:99:99 GMT": False,
    "9" * 5000: False,
    "1,5": False,
}
"""What a server may ask: whether it is a wait that no patience covers."""

BAD_USAGE = {
    "negative": {"prompt_tokens": -(10**9), "completion_tokens": -5},
    "beyond int64": {"prompt_tokens": 10**30, "completion_tokens": 2**63},
    "huge": {"prompt_tokens": 2**62, "completion_tokens": 10**17},
    "strings": {"prompt_tokens": "many", "completion_tokens": "12"},
    "lists": {"prompt_tokens": [1], "completion_tokens": {}},
    "booleans": {"prompt_tokens": True, "completion_tokens": False},
    "not a number": {"prompt_tokens": float("nan"), "completion_tokens": float("inf")},
    "fractions": {"prompt_tokens": 1.5, "completion_tokens": 0.5},
    "nulls": {"prompt_tokens": None, "completion_tokens": None},
    "a list": [1, 2],
    "a string": "none",
    "a number": 7,
    "absent": None,
    "empty": {},
    "zeros": {"prompt_tokens": 0, "completion_tokens": 0},
    "one of two": {"prompt_tokens": -1, "completion_tokens": 2},
}


def echoes() -> dict[str, str]:
    """The key as servers and proxies write it: name -> text."""
    named = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}
    forms = {
        "plain": KEY,
        "bearer": f"Bearer {KEY}",
        "url": quote(KEY, safe=""),
        "path": quote(KEY),
        "form": quote_plus(KEY),
        "lower case hex": re.sub("%..", lambda match: match[0].lower(), quote(KEY, safe="")),
        "in a URL": f"https://x.example/v1?api_key={quote_plus(KEY)}&x=1",
        "json": json.dumps(KEY),
        "json of Go": "".join(named.get(c, c) for c in json.dumps(KEY)),
        "json of PHP": json.dumps(KEY).replace("/", "\\/"),
        "json twice": json.dumps(json.dumps(KEY)),
        "html": html.escape(KEY),
        "html by numbers": "".join(f"&#{ord(c)};" for c in KEY),
        "python": repr(KEY),
        "base64 for URLs": base64.urlsafe_b64encode(b"Basic " + KEY.encode()).decode(),
    }
    for n in range(5):
        forms[f"base64 at {n}"] = base64.b64encode(b"u:xyz"[:n] + KEY.encode() + b":rest").decode()
    return forms


def shows_key(text: str) -> bool:
    """Whether a part of the key stands there, or most of its base64."""
    cores = [base64.b64encode(bytes(n) + KEY.encode()).decode()[4:30] for n in range(3)]
    return "secret" in text or any(core in text.replace("-", "+").replace("_", "/") for core in cores)
