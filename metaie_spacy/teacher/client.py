"""The one door to a large language model: any OpenAI-compatible endpoint, with every answer kept on disk.

Errors: `TeacherError` ends a run (no key, no server, no such model, no quota); `QuestionError` ends one question (its
text is too long, its answers cannot be read); `BudgetSpent` ends a run in good order.
"""

import inspect
import json
import logging
import os
import random
import re
import threading
import time
from typing import Any, Callable, TypeVar

from .server_errors import error_message, is_about_schema, is_about_text, is_unreachable, passes, read_body, retry_after
from .store import AnswerStore, Meter, Reply, answer_key

logger = logging.getLogger("metaie_spacy")
T = TypeVar("T")
Messages = list[dict[str, str]]
FORMS = ("auto", "json", "lines")
LIMITS = ("max_tokens", "max_completion_tokens")
DEAD_AFTER = 5  # refusals, or questions in a row that no retry could save: the endpoint is gone


class TeacherError(ValueError):
    """Nothing more can be asked; the message says what to change."""


class QuestionError(ValueError):
    """This question has no usable answer; others may have one."""


class BudgetSpent(ValueError):
    """The next request could cost more than the budget has left."""


class Teacher:
    """`metaie-spacy.Teacher.v1`: asks an LLM, also from several threads. Nothing is sent before the first question.

    model (str): the model's name at the endpoint.
    base_url (str | None): the endpoint, such as "http://localhost:11434/v1"; None: OpenAI's.
    api_key_env (str | None): NAME of the environment variable that holds the key; None: no key.
    form (str): "json" asks for JSON that follows a schema, "lines" for the paper's `- label: span`;
        "auto" begins with json and falls back to lines where the endpoint refuses schemas.
    in_flight (int): requests at a time. timeout (float): seconds a request may take.
    retries (int): per request, for time-outs, broken connections and 5xx, with growing waits.
    patience (float): seconds for which a rate limit (429) is waited out, beside the retries;
        `Retry-After` is honoured, by all requests in flight.
    attempts (int): answers asked for when one cannot be read or was cut at `max_tokens`.
    max_tokens (int): of an answer; doubled when an answer was cut.
    options (dict | None): further fields of the request, also such as only this endpoint knows; a
        None leaves a field out, as in {"max_tokens": None, "max_completion_tokens": 2048}.
    price_in, price_out (float): money per million tokens.
    budget_tokens, budget_money: no request is sent that is expected to exceed them, with `max_tokens`
        of answer; what this model's earlier answers in the cache cost counts too.
    cache (str | None): SQLite file of all answers; None: in memory.
    http_client: replaces the openai client's own, as its argument of that name.
    RAISES (ValueError): a setting that cannot work.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key_env: str | None = "OPENAI_API_KEY",
        form: str = "auto",
        in_flight: int = 8,
        timeout: float = 60.0,
        retries: int = 8,
        patience: float = 600.0,
        attempts: int = 3,
        max_tokens: int = 2048,
        temperature: float = 0.0,
        options: dict | None = None,
        price_in: float = 0.0,
        price_out: float = 0.0,
        budget_tokens: int | None = None,
        budget_money: float | None = None,
        cache: str | None = None,
        http_client: Any = None,
    ):
        if form not in FORMS:
            raise ValueError(f"The teacher's form is '{form}'; use one of {', '.join(FORMS)}.")
        if budget_money is not None and not (price_in or price_out):
            raise ValueError(
                "budget_money needs prices: set the teacher's price_in and price_out (money per million tokens)."
            )
        if "n" in (options or {}):
            raise ValueError(
                "The teacher's options cannot hold 'n': use samples of [annotate], "
                "which are counted and cached one by one."
            )
        if min(in_flight, attempts) < 1 or retries < 0:
            raise ValueError("The teacher's in_flight and attempts must be at least 1, its retries at least 0.")
        self.model, self.base_url, self.api_key_env = model, base_url, api_key_env
        self.in_flight, self.timeout, self.attempts = in_flight, timeout, attempts
        self.retries, self.patience = retries, patience
        self.max_tokens, self.temperature, self.options = max_tokens, temperature, dict(options or {})
        self.form = "lines" if form == "lines" else "json"
        self.may_fall_back = form == "auto"
        self.store = AnswerStore(cache)
        self.meter = Meter(self.store.totals(model), price_in, price_out, budget_tokens, budget_money)
        self.http_client = http_client
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._client, self._key = None, None
        self._answered, self._dead, self._refused, self._resume_at = self.meter.answers > 0, 0, 0, 0.0

    def ask(
        self,
        render: Callable[[str], Messages],
        read: Callable[[str], T],
        *,
        schema: dict | None = None,
        sample: int = 0,
    ) -> tuple[T, dict]:
        """One question, asked again while its answer cannot be read.

        render (Callable): form ("json" or "lines") -> messages.
        read (Callable): the answer's text -> what the caller wants of it; ValueError: unusable.
        schema (dict | None): JSON schema of the answer. sample (int): number of the sample, for
            several answers to one question.
        RETURNS (tuple): what `read` made of the answer, and the usage: `prompt_tokens`,
            `completion_tokens`, `answers`, and `cut` if the answer ended at its longest allowed length.
        RAISES (QuestionError): no answer could be read. (TeacherError): nothing can be asked.
            (BudgetSpent): the budget is used up.
        """
        usage, partial, why = {"prompt_tokens": 0, "completion_tokens": 0, "answers": 0}, None, ""
        for attempt in range(self.attempts):
            try:
                reply = self._reply(render, schema, sample, attempt, is_cut=partial is not None)
            except QuestionError:
                if partial is None:
                    raise
                break
            usage["prompt_tokens"] += reply.prompt_tokens
            usage["completion_tokens"] += reply.completion_tokens
            usage["answers"] += 1
            try:
                value = read(reply.content)
            except ValueError as error:
                why = str(error)
                continue
            if reply.finish_reason != "length":
                return value, usage
            partial = (value,)
        if partial is None:
            raise QuestionError(f"no usable answer in {self.attempts} attempts: {self.redact(why)}")
        return partial[0], usage | {"cut": True}

    def redact(self, message: str) -> str:
        """The message without the key."""
        return message.replace(self._key, "[key]") if self._key else message

    def _reply(self, render: Callable, schema: dict | None, sample: int, attempt: int, *, is_cut: bool) -> Reply:
        """The stored or new answer of one attempt, in the form that the endpoint takes."""
        request = self._request(render, schema, sample, attempt, is_cut)
        try:
            return self._one_reply(request)
        except _SchemaRefused as error:
            if not self.may_fall_back or "response_format" not in request:
                raise TeacherError(
                    f"{self._where()} refuses a JSON schema ({error}). Set the teacher's form to 'lines' or 'auto'."
                ) from None
            if self.form == "json":
                logger.warning("%s refuses a JSON schema; asking for lines instead.", self._where())
            self.form = "lines"
            return self._reply(render, schema, sample, attempt, is_cut=is_cut)

    def _request(self, render: Callable, schema: dict | None, sample: int, attempt: int, is_cut: bool) -> dict:
        """Everything that shapes an answer. A later attempt is another question to a sampling model."""
        form = self.form
        request = {
            "model": self.model,
            "messages": render(form),
            "max_tokens": self.max_tokens,
            "temperature": self.temperature if attempt == 0 else max(self.temperature, 0.3),
        }
        if sample or attempt:
            request["seed"] = 1000 * sample + attempt
        if form == "json" and schema:
            request["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": schema},
            }
        request = {name: value for name, value in (request | self.options).items() if value is not None}
        return request | {name: 2 * request[name] for name in LIMITS if is_cut and name in request}

    def _one_reply(self, request: dict) -> Reply:
        # The client takes a missing base_url from the environment.
        key = answer_key({"base_url": self.base_url or os.environ.get("OPENAI_BASE_URL"), **request})
        known = self.store.get(key)
        if known is not None:
            return known
        estimate = (
            len(json.dumps([request["messages"], request.get("response_format")], ensure_ascii=False).encode("utf8"))
            // 2
        )
        longest = next((request[name] for name in LIMITS if name in request), self.max_tokens)
        with self.meter.reserve(estimate, longest, self.stopping) as fits:
            if not fits:
                raise BudgetSpent(
                    f"the budget is spent ({self.meter.line()}). Raise budget_tokens "
                    "or budget_money; the same call goes on"
                )
            reply = self._send(request)
            if not reply.prompt_tokens + reply.completion_tokens:  # a server that does not count
                reply = reply._replace(prompt_tokens=estimate, completion_tokens=len(reply.content.encode("utf8")) // 2)
            self.store.put(key, reply, self.model)
            self.meter.count(reply)
        return reply

    def _send(self, request: dict) -> Reply:
        """One request with its retries, by tenacity."""
        import tenacity

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(passes),
            wait=self._wait,
            reraise=True,
            stop=tenacity.stop_any(self._gives_up, tenacity.stop_when_event_set(self.stopping)),
            sleep=self.stopping.wait,
        )
        try:
            reply = retrying(self._post, request)
        except (TeacherError, QuestionError, _SchemaRefused):
            raise
        except Exception as error:
            raise self._blame(error) from None
        self._answered, self._dead, self._refused = True, 0, 0
        return reply

    def _post(self, request: dict) -> Reply:
        while (delay := self._resume_at - time.monotonic()) > 0 and not self.stopping.is_set():
            self.stopping.wait(min(60.0, delay) + random.uniform(0, 0.1))  # not all in the same moment
        if self.stopping.is_set():
            raise QuestionError("the run was stopped")
        client = self._openai().chat.completions
        known = _known_fields(client)
        own = {name: value for name, value in request.items() if name not in known}
        raw = client.with_raw_response.create(
            **{name: value for name, value in request.items() if name in known}, extra_body=own or None
        )
        return read_body(raw.http_response.content)

    def _openai(self) -> Any:
        """The client, made at the first question.

        RAISES (TeacherError): the openai package or the key is missing.
        """
        with self._lock:
            if self._client is None:
                try:
                    import openai
                except ImportError:
                    raise TeacherError(
                        "Asking a teacher needs the openai client: pip install 'metaie-spacy[project]'."
                    ) from None
                self._key = _read_key(self.api_key_env)
                self._client = openai.OpenAI(
                    api_key=self._key or "none",
                    base_url=self.base_url,
                    timeout=self.timeout,
                    max_retries=0,
                    http_client=self.http_client,
                )
            return self._client

    def _wait(self, state: Any) -> float:
        """Seconds to the next try: what the server asks for, else growing and random."""
        import tenacity

        asked = retry_after(state.outcome.exception())
        if asked is None:
            return tenacity.wait_random_exponential(multiplier=0.25, max=30)(state)
        if asked > 10:
            logger.warning("%s asks to wait %.0f seconds.", self._where(), asked)
        self._resume_at = max(self._resume_at, time.monotonic() + asked)  # a limit holds for all requests
        return asked

    def _gives_up(self, state: Any) -> bool:
        """After `retries`, or sooner where a further try would hardly help; of a rate limit, after `patience`."""
        error = state.outcome.exception()
        if getattr(error, "status_code", None) == 429:
            return time.monotonic() - state.start_time + (retry_after(error) or 0.0) > self.patience
        unreached = not self._answered and is_unreachable(error)
        return state.attempt_number > (min(2, self.retries) if unreached else self.retries)

    def _blame(self, error: Exception) -> Exception:
        """What went wrong, as one of this module's errors, without the key."""
        import openai

        status, text = getattr(error, "status_code", None), self.redact(error_message(error))[:500]
        if status == 401 or (status == 403 and not self._answered):
            return TeacherError(f"{self._where()} refuses the key in {self.api_key_env or 'no variable'}: {text}")
        if status == 404:
            return TeacherError(f"{self._where()} has no model '{self.model}', or no such address: {text}")
        if status == 402 or getattr(error, "code", None) == "insufficient_quota":
            return TeacherError(f"{self._where()}: the quota is used up: {text}")
        if status in (400, 413, 422) and is_about_schema(text) and not is_about_text(error, text):
            return _SchemaRefused(text)
        if status is not None and 400 <= status < 500 and status not in (408, 409, 429):
            return self._refusal(status, text, is_of_text=is_about_text(error, text))
        with self._lock:
            self._dead += 1
        if self.stopping.is_set():
            return QuestionError("the run was stopped")
        if status == 429:
            return TeacherError(
                f"{self._where()} has refused requests for {self.patience:.0f} s: "
                f"{text}. Start again later: nothing is lost."
            )
        if isinstance(error, openai.APITimeoutError) and self._dead < DEAD_AFTER:
            return QuestionError(
                f"no answer within {self.timeout:g} s, {self.retries + 1} times. Raise "
                "the teacher's timeout, or lower its max_tokens"
            )
        if not self._answered or self._dead >= DEAD_AFTER:
            return TeacherError(
                f"{self._where()} does not answer: {text}. Check base_url, or wait and start again: nothing is lost."
            )
        return QuestionError(f"no answer after {self.retries} retries: {text}")

    def _refusal(self, status: int, text: str, *, is_of_text: bool) -> Exception:
        """Of one text, or, if nothing was ever taken or many were refused in a row, of all."""
        with self._lock:
            self._refused += not is_of_text
        if not is_of_text and (not self._answered or self._refused >= DEAD_AFTER):
            return TeacherError(
                f"{self._where()} refuses the request ({status}): {text}. Check the teacher's model and options."
            )
        return QuestionError(f"refused ({status}): {text}")

    def _where(self) -> str:
        """The endpoint without a password or a key that its URL may hold."""
        if not self.base_url:
            return "the default endpoint"
        return (
            self.base_url.split("?")[0].partition("//")[0]
            + "//"
            + self.base_url.split("?")[0].partition("//")[2].rpartition("@")[2]
        )


class _SchemaRefused(Exception):
    """The endpoint does not take `response_format`."""


def _known_fields(client: Any) -> frozenset[str]:
    """What the openai client takes; other fields go into the request's body as they are."""
    return frozenset(inspect.signature(client.create).parameters)


def _read_key(name: str | None) -> str | None:
    """RAISES (TeacherError): the variable is not set, or its name looks like a key itself."""
    if name is None:
        return None
    if not re.fullmatch(r"[A-Z][A-Z0-9_]{0,60}", name):
        raise TeacherError(
            "The teacher's api_key_env must be the NAME of an environment "
            "variable, such as OPENAI_API_KEY, not the key."
        )
    key = os.environ.get(name, "").strip()
    if not key and "_" not in name:
        raise TeacherError(
            "The environment variable that the teacher's api_key_env names is not set. It "
            "must be a NAME such as OPENAI_API_KEY, not the key."
        )
    if not key:
        raise TeacherError(
            f"The environment variable {name} is not set. Put the key there, "
            "or set api_key_env to null if there is none."
        )
    return key
