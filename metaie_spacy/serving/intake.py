"""What stands before the application: the key, and bodies within their size and time."""

import asyncio
from time import monotonic
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from .errors import CLOSE, answer
from .limits import Refusal
from .service import Service

READ = 4  # times the largest body are read of one that is refused, so that its client sees why
OPEN = ("/", "/health", "/openapi.json")  # paths that tell nothing


class Intake:
    """Middleware (ASGI) that asks for the key before it reads, and bounds the bytes of a body and its time."""

    def __init__(self, app: Any, service: Service):
        self.app, self.service = app, service

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if scope["path"] not in OPEN:
            try:
                self.service.check_key(headers.get("authorization"))
            except Refusal as refusal:
                await answer(refusal)(scope, receive, send)
                return
        body = _Body(receive, self.service.limits.body, self.service.limits.seconds, headers.get("content-length"))
        await self.app(scope, body.receive, send)


class _Body:
    """A body as it comes. seconds (float): in which all of it must."""

    def __init__(self, receive: Any, most: int, seconds: float, announced: str | None):
        self._receive, self.most, self.seconds = receive, most, seconds
        self.announced = int(announced[:20]) if announced and announced.isdecimal() else 0
        self.until, self.size, self.is_whole = monotonic() + seconds, 0, False

    async def receive(self) -> Any:
        """RAISES (HTTPException): it is larger than the limit, or comes too slowly."""
        if self.is_whole:
            return await self._receive()
        message = await self._next()
        while self.size > self.most:  # a client that is still sending would not see the answer, so it may end
            if self.is_whole or self.size > READ * self.most or self.announced > READ * self.most:
                raise self._too_large()
            await self._next()
        return message

    async def _next(self) -> Any:
        try:
            message = await asyncio.wait_for(self._receive(), max(0.001, self.until - monotonic()))
        except asyncio.TimeoutError:
            raise HTTPException(408, f"The body did not come within {self.seconds:g} seconds", CLOSE) from None
        self.size += len(message.get("body", b""))
        self.is_whole = not message.get("more_body", False)
        return message

    def _too_large(self) -> HTTPException:
        return HTTPException(
            413,
            f"The body has more than {self.most} bytes, which is the limit. Send fewer texts at once, or raise "
            "--most-characters",
            None if self.is_whole else CLOSE,
        )
