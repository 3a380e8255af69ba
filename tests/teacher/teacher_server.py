"""An OpenAI-compatible endpoint on loopback that replays annotations and injects faults: a real process, for tests.

    python tests/teacher/teacher_server.py --corpus assets/corpus.jsonl --faults 0.3 --delay 0.2

Standard library only. It prints `{"port": N}` when it listens. Tests use the context manager `teacher_server`.
"""

import argparse
import asyncio
import codecs
import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Iterator, NamedTuple

from teacher_answers import Replay, chance, content_of, dumps
from teacher_batches import BatchDesk

FAULTS = ("429", "500", "503", "timeout", "cut", "truncated", "prose", "invented", "encoding", "html")
AT_ONCE = ("429", "500", "503", "html")  # faults that do not wait for an answer to be written
WAITS = (0.05, 0.1, 0.2, 0.5, 1)  # seconds of Retry-After
PROSE = "I'm sorry, but I can't help with that. If you have another text, I'd be happy to look at it."
HTML = "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"

# What an encoding lacks is escaped, so that a client which guesses cp1252 right loses nothing.
codecs.register_error("json_escape", lambda error: (json.dumps(error.object[error.start : error.end])[1:-1], error.end))


class Refused(Exception):
    """A request that the server does not take; its error in OpenAI's words."""

    def __init__(self, status: int, message: str, code: str | None = None, type: str = "invalid_request_error"):
        super().__init__(message)
        self.status, self.body = status, {"error": {"message": message, "type": type, "code": code}}


class Reply(NamedTuple):
    """What goes back after `wait` seconds, and its line in the log.

    kind (str): "ok", a fault or "rejected". status (int | None): None sends nothing and closes.
    usage (tuple | None): prompt and completion tokens of a body that names them.
    """

    kind: str
    status: int | None
    body: bytes = b""
    content_type: str = "application/json; charset=utf-8"
    usage: tuple[int, int] | None = None
    wait: float = 0.0
    retry_after: float | None = None
    entry: dict | None = None


class Desk:
    """Answers requests, and counts and logs the questions among them. args: the command line's."""

    def __init__(self, args: argparse.Namespace):
        self.args, self.replay = args, Replay(args.corpus)
        self.shares = {kind: args.faults / len(FAULTS) for kind in FAULTS} | dict(args.fault)
        if min(self.shares.values()) < 0 or sum(self.shares.values()) > 1 + 1e-9:
            raise ValueError(f"The shares of the faults must be at least 0 and at most 1 together: {self.shares}.")
        self.came, self.counts, self.kinds = Counter(), Counter(), Counter()
        self.began = time.monotonic()
        self.batches = BatchDesk(self._answer_in_batch, args.batch_looks, args.batch_limit)
        self.log = open(args.log, "a", encoding="utf8") if args.log else None

    def reply(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        path = path.split("?")[0].rstrip("/")
        entry = self._arrived(body) if (method, path) == ("POST", "/v1/chat/completions") else None
        try:
            if (method, path) == ("GET", "/stats"):
                return Reply("ok", 200, _body(self.stats()))
            self._check_key(headers.get("authorization", ""))
            if (method, path) == ("GET", "/v1/models"):
                model = {"id": self.args.model or "test", "object": "model", "created": 0, "owned_by": "tests"}
                return Reply("ok", 200, _body({"object": "list", "data": [model]}))
            if entry is None and not self.args.no_batches and path.startswith(("/v1/files", "/v1/batches")):
                made = self.batches.reply(method, path, headers, body)
                if made is not None:
                    return Reply("ok", 200, made if isinstance(made, bytes) else _body(made))
            if entry is None:
                raise Refused(404, f"Invalid URL ({method} {path})")
            return self._answer(body, entry)._replace(entry=entry)
        except Refused as error:
            refused = error
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            refused = Refused(400, f"The request is malformed: {type(error).__name__} {error}")
        return Reply("rejected", refused.status, _body(refused.body), entry=entry)

    def _answer_in_batch(self, body: bytes) -> tuple[int, object]:
        """Status and body of a question's answer; a fault that is no status is a server error there."""
        entry = self._arrived(body)
        try:
            reply = self._answer(body, entry)
        except Refused as error:
            reply = Reply("rejected", error.status, _body(error.body))
        self.record(reply._replace(entry=entry), is_sent=True)
        if reply.kind in ("timeout", "cut", "html", "encoding", "503"):
            return 500, {"error": {"message": "The server had an error.", "type": "server_error"}}
        return reply.status, json.loads(reply.body)

    def record(self, reply: Reply, *, is_sent: bool) -> None:
        """Log a question when its answer was sent, or its client left."""
        if reply.entry is None:
            return
        self.counts["in_flight"] -= 1
        is_complete = is_sent and reply.status == 200 and reply.usage is not None and reply.kind != "cut"
        n_in, n_out = reply.usage or (0, 0)
        self.kinds[reply.kind] += 1
        self.counts["finished"] += 1
        if is_complete:
            self.counts.update({"completed": 1, "prompt_tokens": n_in, "completion_tokens": n_out})
        if self.log:
            status = reply.status if is_sent else None
            line = {
                "kind": reply.kind,
                "status": status,
                "completed": is_complete,
                "prompt_tokens": n_in,
                "completion_tokens": n_out,
            }
            wait = {} if reply.retry_after is None else {"retry_after": reply.retry_after}
            self.log.write(json.dumps(reply.entry | line | wait) + "\n")
            self.log.flush()

    def stats(self) -> dict:
        names = (
            "requests",
            "finished",
            "completed",
            "prompt_tokens",
            "completion_tokens",
            "in_flight",
            "most_in_flight",
            "connections",
        )
        return {name: self.counts[name] for name in names} | {"kinds": dict(self.kinds)}

    def _arrived(self, body: bytes) -> dict:
        key = hashlib.sha256(body).hexdigest()
        self.came[key] += 1
        self.counts.update({"requests": 1, "in_flight": 1})
        self.counts["most_in_flight"] = max(self.counts["most_in_flight"], self.counts["in_flight"])
        return {"n": self.counts["requests"], "key": key, "at": round(time.monotonic() - self.began, 4)}

    def _check_key(self, given: str) -> None:
        if self.args.key is None or given == f"Bearer {self.args.key}":
            return
        key = given.removeprefix("Bearer ").strip()
        shown = key[: min(4, len(key) // 4)] + "*" * 8
        message = f"Incorrect API key provided: {shown}." if key else "You didn't provide an API key."
        raise Refused(401, message, "invalid_api_key")

    def _check(self, body: bytes) -> tuple[dict, list[str]]:
        """The request, and the texts of its messages, the last user's last."""
        request = json.loads(body)
        messages = [(m["role"], _text(m["content"])) for m in request["messages"]]
        last = [text for role, text in messages if role == "user"][-1]
        if self.args.model is not None and request["model"] != self.args.model:
            raise Refused(
                404,
                f"The model `{request['model']}` does not exist or you do not have access to it.",
                "model_not_found",
            )
        if request.get("stream"):
            raise Refused(400, "stream is not supported")
        if _asks_json(request) and self.args.no_json_schema:
            raise Refused(400, "response_format is not supported")
        return request, [text for _, text in messages] + [last]

    def _answer(self, body: bytes, entry: dict) -> Reply:
        request, (*texts, message) = self._check(body)
        n_in = _tokens(sum(map(len, texts)))
        if self.args.max_input is not None and n_in > self.args.max_input:
            problem = f"This model's maximum context length is {self.args.max_input} tokens; your messages resulted in {n_in} tokens."
            raise Refused(400, problem, "context_length_exceeded")
        fault = self._draw(entry["key"])
        if fault in AT_ONCE:
            return self._error(fault, entry["key"])
        if fault == "timeout":
            return Reply(fault, None, wait=self.args.hang)
        choices = [self._choice(request, message, i, fault) for i in range(int(request.get("n") or 1))]
        n_out = sum(_tokens(len(choice["message"]["content"])) for choice in choices)
        data = {
            "id": f"chatcmpl-{entry['key'][:20]}{self.came[entry['key']]}", "object": "chat.completion", "created": int(time.time()),
            "model": request["model"], "choices": choices,
            "usage": {"prompt_tokens": n_in, "completion_tokens": n_out, "total_tokens": n_in + n_out},
        }  # fmt: skip
        if fault == "encoding":  # an é before a quotation mark is never UTF-8, whatever the answer holds
            encoded = _body(data | {"system_fingerprint": "fp_é"}, "cp1252")
        else:
            encoded = _body(data)
        return Reply(fault or "ok", 200, encoded, usage=(n_in, n_out), wait=self.args.delay)

    def _choice(self, request: dict, message: str, index: int, fault: str) -> dict:
        salt = f"{request.get('seed')}:{index}" if float(request.get("temperature") or 0) > 0 else ""
        content = content_of(message, self.replay, as_json=_asks_json(request), salt=salt, invented=fault == "invented")
        content = PROSE if fault == "prose" else content[: len(content) // 2] if fault == "truncated" else content
        limit = 4 * int(request.get("max_completion_tokens") or request.get("max_tokens") or 0) or len(content)
        is_cut = fault == "truncated" or len(content) > limit
        answer = {"role": "assistant", "content": content[:limit]}
        return {"index": index, "message": answer, "finish_reason": "length" if is_cut else "stop", "logprobs": None}

    def _draw(self, key: str) -> str:
        """The fault of this request, or "": drawn afresh each time that it comes."""
        left = chance(self.args.seed, key, self.came[key])
        for kind, share in self.shares.items():
            if left < share:
                return kind
            left -= share
        return ""

    def _error(self, kind: str, key: str) -> Reply:
        if kind == "html":
            return Reply(kind, 200, HTML.encode(), "text/html; charset=utf-8")
        if kind == "503":
            return Reply(kind, 503)
        if kind == "500":
            return Reply(kind, 500, _body(Refused(500, "The server had an error.", type="server_error").body))
        wait = WAITS[int(chance("wait", key, self.came[key]) * len(WAITS))]
        error = Refused(429, f"Rate limit reached. Please try again in {wait} s.", "rate_limit_exceeded", "requests")
        return Reply(kind, 429, _body(error.body), retry_after=wait)


def _body(data: dict, encoding: str = "utf8") -> bytes:
    return dumps(data).encode(encoding, "json_escape")


def _text(content: str | list) -> str:
    """A message's text: a string, or a list of parts."""
    return content if isinstance(content, str) else "".join(part["text"] for part in content if part["type"] == "text")


def _asks_json(request: dict) -> bool:
    return (request.get("response_format") or {}).get("type", "text") != "text"


def _tokens(characters: int) -> int:
    return math.ceil(characters / 4)


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, one request at a time; asyncio sets TCP_NODELAY itself."""

    def __init__(self, desk: Desk):
        self.desk, self.buffer = desk, bytearray()
        self.pending: Reply | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.is_last = False

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        transport.set_write_buffer_limits(high=0)  # so that resume_writing means: all is in the socket
        self.desk.counts["connections"] += 1

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if self.pending is not None:
            self.timer.cancel()
            self.desk.record(self.pending, is_sent=False)
            self.pending = None

    def resume_writing(self) -> None:
        self._finish()

    def _next(self) -> None:
        """Take the next whole request, if there is one and none is being answered."""
        end = self.buffer.find(b"\r\n\r\n")
        if self.pending is not None or end < 0 or self.transport.is_closing():
            return
        try:
            first, *lines = self.buffer[:end].decode("latin-1").split("\r\n")
            method, path, version = first.split(" ")
            headers = {name.strip().lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
            stop = end + 4 + int(headers.get("content-length", 0))
        except ValueError:
            self._start(Reply("rejected", 400), is_last=True)
            return
        if "transfer-encoding" in headers:
            self._start(Reply("rejected", 411), is_last=True)
        elif len(self.buffer) >= stop:
            body = bytes(self.buffer[end + 4 : stop])
            del self.buffer[:stop]
            reply = self.desk.reply(method, path, headers, body)
            self._start(reply, is_last=version == "HTTP/1.0" or headers.get("connection", "").lower() == "close")

    def _start(self, reply: Reply, *, is_last: bool) -> None:
        self.pending, self.is_last = reply, is_last or reply.kind in ("cut", "timeout")
        self.timer = asyncio.get_running_loop().call_later(reply.wait, self._send)

    def _send(self) -> None:
        reply = self.pending
        if reply.status is not None:
            head = f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\nContent-Length: {len(reply.body)}\r\n"
            head += f"Content-Type: {reply.content_type}\r\n" if reply.body else ""
            head += f"Retry-After: {reply.retry_after}\r\n" if reply.retry_after is not None else ""
            head += "Connection: close\r\n" if self.is_last and reply.kind != "cut" else ""
            body = reply.body[: len(reply.body) // 2] if reply.kind == "cut" else reply.body
            self.transport.write(f"{head}\r\n".encode() + body)
        if not self.transport.get_write_buffer_size():
            self._finish()

    def _finish(self) -> None:
        """All was sent: note it, and take what came meanwhile."""
        if self.pending is None or self.transport.is_closing():  # the client left: connection_lost notes it
            return
        reply, self.pending = self.pending, None
        self.desk.record(reply, is_sent=True)
        if self.is_last:
            self.transport.close()
        else:
            self._next()


async def serve(args: argparse.Namespace) -> None:
    desk = Desk(args)
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(desk), "127.0.0.1", args.port, backlog=1024
    )
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


def _share(value: str) -> tuple[str, float]:
    kind, _, share = value.partition("=")
    if kind not in FAULTS:
        raise argparse.ArgumentTypeError(f"'{kind}' is none of {', '.join(FAULTS)}")
    return kind, float(share)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", nargs="*", default=[], metavar="FILE", help="annotation rows (JSONL) to replay")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--key", help="asked for as 'Authorization: Bearer KEY'")
    parser.add_argument("--model", help="the only model; without it every name will do")
    parser.add_argument("--max-input", type=int, help="prompt tokens (characters / 4)")
    parser.add_argument("--no-json-schema", action="store_true", help="refuse response_format")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before an answer")
    parser.add_argument(
        "--faults", type=float, default=0.0, help=f"share of requests with a fault, over all kinds: {', '.join(FAULTS)}"
    )
    parser.add_argument(
        "--fault", type=_share, action="append", default=[], metavar="KIND=SHARE", help="share of one kind"
    )
    parser.add_argument("--batch-looks", type=int, default=2, help="at a batch, until it has ended")
    parser.add_argument("--batch-limit", type=int, default=0, help="questions that a batch has time for; 0: all")
    parser.add_argument("--no-batches", action="store_true", help="have no batch API")
    parser.add_argument("--hang", type=float, default=5.0, help="seconds until a time-out's connection is closed")
    parser.add_argument("--seed", type=int, default=0, help="of the faults")
    parser.add_argument("--log", metavar="FILE", help="one JSON line for each finished question, appended")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input closes")
    args = parser.parse_args()
    if args.with_parent:  # a test run that is killed leaves no server behind
        threading.Thread(target=lambda: (os.read(0, 1), os._exit(0)), daemon=True).start()
    try:
        asyncio.run(serve(args))
    except KeyboardInterrupt:
        pass
    except (ValueError, OSError) as error:
        raise SystemExit(f"teacher_server: {error}") from None


class Running(NamedTuple):
    """A running server: url (str): with /v1. log_path (Path): one JSON line for each finished question."""

    url: str
    log_path: Path
    process: subprocess.Popen

    def stats(self) -> dict:
        with urllib.request.urlopen(self.url.removesuffix("/v1") + "/stats", timeout=10) as answer:
            return json.load(answer)

    def log(self) -> list[dict]:
        """What was logged so far; after a question to a server that lives, so that what clients have seen is in it."""
        if self.process.poll() is None:
            self.stats()
        return [json.loads(line) for line in self.log_path.read_text(encoding="utf8").split("\n")[:-1]]


@contextmanager
def teacher_server(**options) -> Iterator[Running]:
    """The server in a process of its own, killed at the end.

    options: those of the command line: `corpus=[path]`, `fault={"429": 0.5}`, `no_json_schema=True` ...
    RAISES (RuntimeError): it did not start; its words stand in standard error.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = {"log": Path(folder) / "log.jsonl", **options}
        command = [sys.executable, str(Path(__file__).resolve()), "--with-parent"]
        for name, value in options.items():
            flag = f"--{name.replace('_', '-')}"
            if isinstance(value, dict):
                command += [part for kind, share in value.items() for part in (flag, f"{kind}={share}")]
            elif isinstance(value, (list, tuple)):
                command += [flag, *map(str, value)]
            elif value is not None and value is not False:
                command += [flag] if value is True else [flag, str(value)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"The server did not start (exit {process.wait()}): {' '.join(command)}")
            yield Running(f"http://127.0.0.1:{json.loads(line)['port']}/v1", Path(options["log"]), process)
        finally:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()


if __name__ == "__main__":
    main()
