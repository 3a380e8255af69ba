"""The application: paths, and what is answered on them."""

import asyncio
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any, AsyncIterator

from fastapi import Depends, FastAPI, Request, Response
from fastapi.security import HTTPBearer

from .. import __version__
from ..data.jsonl import json_line
from .asking import wanted
from .bodies import Answer, Answers, Extract, Health, Schemas
from .errors import JSON, described, handle_errors
from .intake import Intake
from .limits import Refusal
from .page import HEADERS, PAGE
from .service import Service

ABOUT = "Open-label information extraction: ask for any label in plain words, get the spans that answer it."
EXTRACT = "/extract"


def make_app(service: Service) -> FastAPI:
    """The application; its worker starts and ends with it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.worker.start()
        yield
        await asyncio.to_thread(service.worker.stop)

    # The interactive pages of FastAPI load scripts from elsewhere.
    app = FastAPI(
        title="metaie-spacy", version=__version__, description=ABOUT, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    app.add_middleware(Intake, service=service)

    def count(path: str, refusal: Refusal) -> None:
        if path == EXTRACT:
            service.metrics.requests.labels(str(refusal.status), refusal.code).inc()

    handle_errors(app, count)
    add_extract(app, service)
    _add_pages(app, service)
    return app


# What checks the key is `Intake`, before a body is read; this tells OpenAPI.
BEARER = Depends(HTTPBearer(auto_error=False, description="Where the server was started with a key"))


def add_extract(app: FastAPI, service: Service) -> None:
    """Have an application answer `/extract`; whoever calls starts and stops the service's worker."""
    responses = described()
    for status in (429, 503):
        responses[status]["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds"}}

    @app.post(EXTRACT, response_model=Answer | Answers, responses=responses, dependencies=[BEARER])
    async def extract(body: Extract, request: Request) -> Any:
        """The spans that answer the labels, and links between them, of one text or many."""
        began = perf_counter()
        asked = wanted(body, service.models, service.schemas, service.limits, patterns=service.patterns)
        answers = await service.answers(asked, request.receive)
        service.metrics.seconds.observe(perf_counter() - began)
        service.metrics.requests.labels("200", "ok").inc()
        return Response(json_line(answers[0] if body.texts is None else {"results": answers}), media_type=JSON)


def _add_pages(app: FastAPI, service: Service) -> None:
    @app.get("/schemas", response_model=Schemas, responses=described(401), dependencies=[BEARER])
    async def schemas() -> Any:
        """What may be asked for by name: schemas, models, and the adapters of each."""
        models = {
            name: {
                "version": str(one.nlp.meta.get("version", "")),
                "adapters": list(one.pipe.adapters),
                "schema": one.own_schema,
            }
            for name, one in service.models.items()
        }
        return Response(json_line({"schemas": dict(service.schemas), "models": models}), media_type=JSON)

    @app.get("/health", response_model=Health)
    async def health() -> Any:
        """Whether requests are taken."""
        return {"status": "stopping" if service.queue.is_closed else "ok"}

    text = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}

    @app.get("/metrics", response_class=Response, responses=text | described(401), dependencies=[BEARER])
    async def metrics() -> Any:
        """Counters in Prometheus' form."""
        return Response(service.metrics.text(), headers={"content-type": "text/plain; version=0.0.4; charset=utf-8"})

    @app.get("/", include_in_schema=False)
    async def page() -> Any:
        return Response(PAGE, headers=HEADERS)
