"""A server of the application, until it is told to stop."""

import signal
import socket
from typing import TYPE_CHECKING, Any, Callable

import uvicorn
from fastapi import FastAPI

if TYPE_CHECKING:
    from .service import Service

BACKLOG = 2048  # connections that wait to be accepted
IDLE = 30  # seconds after which a connection without requests is closed


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    port (int): 0: any that is free.
    RAISES (ValueError): there is no such place, or it is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        raise ValueError(f"Cannot listen on {host}, port {port}: {error}. Give another --host or --port.") from None


def serve(service: "Service", listening: socket.socket, ready: Callable[[], Any]) -> None:
    """Answer requests until SIGTERM or SIGINT; those that were taken by then are answered first.

    ready (Callable): called when requests are taken.
    """
    from .app import make_app  # loads spaCy, which `run` does without

    run(make_app(service), listening, ready)


def run(app: FastAPI, listening: socket.socket, ready: Callable[[], Any]) -> None:
    """`serve` for any application."""
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_keep_alive=IDLE, backlog=BACKLOG)
    server = _Server(config, ready)
    before = signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it again when all is answered
    try:
        server.run(sockets=[listening])
    finally:
        signal.signal(signal.SIGTERM, before)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], Any]):
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()
