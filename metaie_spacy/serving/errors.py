"""Refusals and errors as answers, all in one form."""

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from ..data.jsonl import json_line
from .bodies import Error
from .limits import Refusal

JSON = "application/json"
MEANINGS = {
    400: "The body is not JSON",
    401: "The key is missing or wrong",
    408: "The body came too slowly",
    413: "The request is larger than the limits",
    422: "The request is malformed, or asks for what is not there",
    429: "Too many requests wait; Retry-After says when to ask again",
    500: "Reading failed; the server's log says why",
    503: "It was not answered in time, or the server stops",
}
CODES = {400: "not_json", 404: "not_found", 405: "method_not_allowed", 408: "slow_body", 413: "body_too_large"}
CLOSE = {"Connection": "close"}  # where a body was not read: a client might send for ever
PLACE = 200  # characters of a place that a message names


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The refusals of a path for OpenAPI; without any status all of them."""
    return {status: {"model": Error, "description": MEANINGS[status]} for status in statuses or MEANINGS}


def answer(refusal: Refusal) -> Response:
    """The answer that says why there is none."""
    headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
    if refusal.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
        headers |= CLOSE
    return Response(json_line(refusal.plain()), refusal.status, headers, JSON)


def handle_errors(app: FastAPI, count: Any) -> None:
    """Have the application answer all that is raised. count (Callable): is told of each refusal."""

    async def refuse(request: Request, error: Refusal) -> Response:
        count(request.url.path, error)
        return answer(error)

    async def malformed(request: Request, error: RequestValidationError) -> Response:
        return await refuse(request, _malformed(error.errors()[0]))

    async def http(request: Request, error: HTTPException) -> Response:
        code = CODES.get(error.status_code, "http")
        made = await refuse(request, Refusal(error.status_code, code, f"{error.detail}. See /openapi.json."))
        made.headers.update(error.headers or {})
        return made

    async def failed(request: Request, error: Exception) -> Response:
        return await refuse(request, Refusal(500, "failed", "Answering this failed; the server's log says why."))

    app.add_exception_handler(Refusal, refuse)
    app.add_exception_handler(RequestValidationError, malformed)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, failed)


def _malformed(first: dict[str, Any]) -> Refusal:
    """What is wrong with the form of a body, without its values."""
    if first["type"] == "json_invalid":
        why = first.get("ctx", {}).get("error", "")
        return Refusal(400, "not_json", f"The body is not JSON: {why} at character {first['loc'][-1]}.")
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"][1:])
    name = place.lstrip(".")[:PLACE] or "The body"
    cure = "/openapi.json has examples."
    if not place:
        cure = "Send a JSON object with the header 'Content-Type: application/json'; " + cure
    return Refusal(422, "malformed", f"{name}: {first['msg']}. {cure}")
