"""The application: the page, what it asks for, and who may ask."""

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, AsyncIterator

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr
from starlette.datastructures import Headers

from .. import __version__
from ..data.jsonl import json_line
from ..serving.errors import JSON, answer, handle_errors
from ..serving.limits import Refusal
from ..serving.page import HEADERS, REVIEW
from .decisions import Decision
from .queue import Filters
from .review import Review

if TYPE_CHECKING:
    from ..serving.service import Service

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
LARGEST = 4_000_000  # bytes of a body
ENDED = "The token is missing or wrong: it ends with the review that gave it. Open the address that was printed last."


class Shown(BaseModel):
    """Which entries are wanted."""

    model_config = ConfigDict(extra="forbid")

    label: StrictStr = ""
    slice: StrictStr = ""
    teacher: StrictStr = ""
    why: StrictStr = ""
    state: StrictStr = Field("open", pattern="^(open|answered|skipped)$")


class Next(BaseModel):
    """The next entry. browser: a name that a tab gives itself. after: the entry that is shown there."""

    model_config = ConfigDict(extra="forbid")

    browser: StrictStr = Field(max_length=100)
    shown: Shown = Shown()
    after: StrictInt | None = None


class Answer(Next):
    """An answer to an entry, and the wish for the next one: a decision, or a reason to skip it."""

    entry: StrictInt
    decision: Decision | None = None
    skip: StrictStr | None = Field(None, max_length=500)
    seconds: StrictFloat | StrictInt | None = Field(None, ge=0)


class Kept(BaseModel):
    """An entry that is still open in a browser."""

    model_config = ConfigDict(extra="forbid")

    browser: StrictStr = Field(max_length=100)
    entry: StrictInt


class Guard:
    """Middleware (ASGI): requests come to this machine's own name, with a reviewer's token, and are of a sane size.

    A page elsewhere whose name was made to point here (DNS rebinding) sends its own name as the host.
    """

    def __init__(self, app: Any, review: Review):
        self.app, self.review = app, review

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            scope["reviewer"] = self._checked(Headers(scope=scope), scope["path"])
        except Refusal as refusal:
            await answer(refusal)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _checked(self, headers: Headers, path: str) -> str | None:
        """Who asks; None: anyone, for the page itself. RAISES (Refusal): it is not allowed."""
        host = headers.get("host", "")
        name = host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
        if name.lower() not in LOOPBACK:
            raise Refusal(421, "host", "This review answers on 127.0.0.1 alone. Open the address that was printed.")
        if path == "/":
            return None
        kind, _, given = headers.get("authorization", "").partition(" ")
        reviewer = self.review.reviewer_of(given.strip()) if kind.lower() == "bearer" else None
        if reviewer is None:
            raise Refusal(401, "key", ENDED)
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdecimal() or int(length[:20]) > LARGEST:
            raise Refusal(413, "body_too_large", f"A request may have {LARGEST} bytes, and must say how many it has.")
        return reviewer


def make_app(review: Review, service: "Service | None" = None) -> FastAPI:
    """The application of a review. service (Service | None): what the page's "try" asks; None: nothing."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if service is not None:
            service.worker.start()
        yield
        if service is not None:
            await asyncio.to_thread(service.worker.stop)

    app = FastAPI(
        title="metaie-spacy review", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
        openapi_url=None,
    )  # fmt: skip
    app.add_middleware(Guard, review=review)
    handle_errors(app, lambda path, refusal: None)
    if service is not None:
        from ..serving.app import add_extract  # loads spaCy, which a review without a model does beside all else

        add_extract(app, service)
    _add_review(app, review, service)
    return app


def _add_review(app: FastAPI, review: Review, service: "Service | None") -> None:
    @app.get("/")
    async def page() -> Any:
        return Response(REVIEW, headers=HEADERS)

    @app.get("/review/state")
    def state(request: Request) -> Any:
        models = [] if service is None else list(service.models)
        return _plain(review.state(request.scope["reviewer"]) | {"models": models})

    @app.post("/review/next")
    def next_entry(body: Next, request: Request) -> Any:
        return _plain(review.next(request.scope["reviewer"], body.browser, _filters(body.shown), body.after))

    @app.post("/review/answer")
    def save(body: Answer, request: Request) -> Any:
        reviewer = request.scope["reviewer"]
        if (body.decision is None) == (body.skip is None):
            raise Refusal(422, "malformed", 'Give either "decision" or "skip".')
        review.save(reviewer, body.entry, body.decision, body.skip or "", body.seconds)
        return _plain(review.next(reviewer, body.browser, _filters(body.shown), body.entry))

    @app.post("/review/undo")
    def undo(body: Next, request: Request) -> Any:
        return _plain(review.undo(request.scope["reviewer"], body.browser))

    @app.post("/review/keep")
    def keep(body: Kept, request: Request) -> Any:
        return _plain({"kept": review.queue.keep(body.entry, request.scope["reviewer"], body.browser)})

    @app.get("/review/agreement")
    def agreement() -> Any:
        return _plain(review.agreement())


def _filters(shown: Shown) -> Filters:
    return Filters(**shown.model_dump())


def _plain(value: Any) -> Response:
    return Response(json_line(value), media_type=JSON, headers={"cache-control": "no-store"})
