"""What stands before the application: the key, and bodies within their size and time."""

import asyncio
from time import monotonic
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from .errors import answer
from .limits import Refusal
from .service import Service

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
        self._receive, self.most, self.seconds, self.announced = receive, most, seconds, announced
        self.until, self.size, self.is_whole = monotonic() + seconds, 0, False

    async def receive(self) -> Any:
        """RAISES (HTTPException): it is larger than the limit, or comes too slowly."""
        if self.is_whole:
            return await self._receive()
        if self.announced and self.announced.isdecimal() and int(self.announced[:20]) > self.most:
            raise self._too_large()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.001, self.until - monotonic()))
        except asyncio.TimeoutError:
            raise HTTPException(408, f"The body did not come within {self.seconds:g} seconds") from None
        self.size += len(message.get("body", b""))
        self.is_whole = not message.get("more_body", False)
        if self.size > self.most:
            raise self._too_large()
        return message

    def _too_large(self) -> HTTPException:
        return HTTPException(
            413,
            f"The body has more than {self.most} bytes, which is the limit. Send fewer texts at once, or raise "
            "--most-characters",
        )
