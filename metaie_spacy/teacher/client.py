"""The one door to a large language model: any OpenAI-compatible endpoint, with every answer kept on disk."""

import inspect
import json
import logging
import os
import threading
from typing import Any, Callable, TypeVar

from .failures import BudgetSpent, Endpoint, NotStored, QuestionError, SchemaRefused, TeacherError
from .keys import KeyMissing, Redactor, read_key
from .meter import Meter
from .retrying import OutOfPatience, Retries, Stopped
from .server_errors import read_body
from .store import AnswerStore, Reply, StillAsked, StoreError, answer_key, counted
from .transport import bounded

logger = logging.getLogger("metaie_spacy")
T = TypeVar("T")
Messages = list[dict[str, str]]
FORMS = ("auto", "json", "lines")
LIMITS = ("max_tokens", "max_completion_tokens")
STOPPED = "the run was stopped"
LONGEST = 1e7  # seconds that a setting may name: four months


class Teacher:
    """`metaie-spacy.Teacher.v1`: asks an LLM, also from several threads. Nothing is sent before the first question.

    model (str): the model's name at the endpoint.
    base_url (str | None): the endpoint, such as "http://localhost:11434/v1"; None: OpenAI's.
    api_key_env (str | None): NAME of the environment variable that holds the key; None: no key.
    form (str): "json" asks for JSON that follows a schema, "lines" for the paper's `- label: span`;
        "auto" begins with json and falls back to lines where the endpoint refuses schemas.
    in_flight (int): requests at a time. timeout (float): seconds a request may take, in all.
    retries (int): per request, for time-outs, broken connections and 5xx, with growing waits.
    patience (float): seconds for which a rate limit (429) is waited out, beside the retries, and the most that a
        server may ask to wait; `Retry-After` is honoured, by all requests in flight.
    max_bytes (int): of an answer, as it comes and inflated.
    attempts (int): answers asked for when one cannot be read or was cut at `max_tokens`.
    max_tokens (int): of an answer; doubled when an answer was cut.
    options (dict | None): further fields of the request, also such as only this endpoint knows; a
        None leaves a field out, as in {"max_tokens": None, "max_completion_tokens": 2048}.
    price_in, price_out (float): money per million tokens.
    budget_tokens, budget_money: no request is sent that is expected to exceed them, with `max_tokens`
        of answer; what this model's earlier answers in the cache cost counts too.
    batch (bool): whether `annotate` asks by the endpoint's batch API first: files of questions, answered within a
        day; what no batch answers is asked one by one. batch_price (float): share of the prices that it takes.
    batch_poll (float): seconds between two looks at a batch.
    cache (str | None): SQLite file of all answers, which processes may share; None: in memory.
    http_client: sends in place of the openai client's own, as its argument of that name, within the same bounds.
    RAISES (ValueError): a setting that cannot work, or a cache that cannot be used.
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
        max_bytes: int = 8 * 2**20,
        attempts: int = 3,
        max_tokens: int = 2048,
        temperature: float = 0.0,
        options: dict | None = None,
        price_in: float = 0.0,
        price_out: float = 0.0,
        budget_tokens: int | None = None,
        budget_money: float | None = None,
        batch: bool = False,
        batch_price: float = 0.5,
        batch_poll: float = 30.0,
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
        if min(in_flight, attempts, max_bytes) < 1 or retries < 0:
            raise ValueError(
                "The teacher's in_flight, attempts and max_bytes must be at least 1, its retries at least 0."
            )
        if not (0 < timeout <= LONGEST and 0 <= patience <= LONGEST):
            raise ValueError(
                f"The teacher's timeout is {timeout} and its patience {patience}; give seconds above 0, of patience "
                f"at least 0, and at most {LONGEST:.0f}."
            )
        if not (0 <= batch_price <= 1 and 0 < batch_poll <= LONGEST):
            raise ValueError(
                f"The teacher's batch_price is {batch_price} and its batch_poll {batch_poll}; give a share of the "
                f"prices from 0 to 1, and seconds above 0 and at most {LONGEST:.0f}."
            )
        self.batch, self.batch_price, self.batch_poll = batch, batch_price, batch_poll
        self.model, self.base_url, self.api_key_env = model, base_url, api_key_env
        self.in_flight, self.timeout, self.attempts = in_flight, timeout, attempts
        self.retries, self.patience, self.max_bytes = retries, patience, max_bytes
        self.max_tokens, self.temperature, self.options = max_tokens, temperature, dict(options or {})
        self.form = "lines" if form == "lines" else "json"
        self.may_fall_back = form == "auto"
        self.store = AnswerStore(cache)
        self.meter = Meter(self.store.totals(model), price_in, price_out, budget_tokens, budget_money)
        self.meter.grant(*self.store.batched_tokens(model), batch_price)
        self.http_client = http_client
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._client, self.redactor = None, Redactor(None, base_url)
        self._endpoint = Endpoint(self, is_known=self.meter.answers > 0)
        self._resending = Retries(retries, patience, self.stopping, self.where)

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
            (BudgetSpent): the budget is used up. (StoreError): answers cannot be kept; its kind `NotStored` carries
            the one that came.
        """
        usage, partial, why = {"prompt_tokens": 0, "completion_tokens": 0, "answers": 0}, None, ""
        for attempt in range(self.attempts):
            unsaved = None
            try:
                reply = self._reply(render, schema, sample, attempt, is_cut=partial is not None)
            except QuestionError:
                if partial is None:
                    raise
                break
            except NotStored as error:
                reply, unsaved = error.reply, error
            usage["prompt_tokens"] += reply.prompt_tokens
            usage["completion_tokens"] += reply.completion_tokens
            usage["answers"] += 1
            try:
                value = read(reply.content)
            except ValueError as error:
                why = str(error)
                if unsaved is not None:
                    raise NotStored(f"{unsaved} The last answer cannot be read either: {self.redact(why)}") from None
                continue
            if unsaved is not None:
                raise NotStored(str(unsaved), reply, (value, usage))
            if reply.finish_reason != "length":
                return value, usage
            partial = (value,)
        if partial is None:
            raise QuestionError(f"no usable answer in {self.attempts} attempts: {self.redact(why)}")
        return partial[0], usage | {"cut": True}

    def redact(self, message: str) -> str:
        """The message without the key."""
        return self.redactor.message(message)

    def _reply(self, render: Callable, schema: dict | None, sample: int, attempt: int, *, is_cut: bool) -> Reply:
        """The stored or new answer of one attempt, in the form that the endpoint takes."""
        request = self._request(render, schema, sample, attempt, is_cut)
        try:
            return self._one_reply(request)
        except SchemaRefused as error:
            if not self.may_fall_back or "response_format" not in request:
                raise TeacherError(
                    f"{self.where} refuses a JSON schema ({error}). Set the teacher's form to 'lines' or 'auto'."
                ) from None
            self.falls_back()
            return self._reply(render, schema, sample, attempt, is_cut=is_cut)

    @property
    def address(self) -> str | None:
        """The endpoint; the client takes a missing one from the environment."""
        return self.base_url or os.environ.get("OPENAI_BASE_URL")

    @property
    def where(self) -> str:
        """The endpoint in messages."""
        return self._endpoint.where

    def falls_back(self) -> None:
        """Ask for lines from now on, where that is allowed, of an endpoint that takes no JSON schema."""
        if self.may_fall_back and self.form == "json":
            logger.warning("%s refuses a JSON schema; asking for lines instead.", self.where)
            self.form = "lines"

    def request_of(self, render: Callable[[str], Messages], schema: dict | None, sample: int) -> dict:
        """The request of a question's first attempt, as `ask` sends it."""
        return self._request(render, schema, sample, 0, False)

    def key_of(self, request: dict) -> str:
        """By which the store knows the answer to a request."""
        return answer_key({"base_url": self.address, **request})

    def cost_of(self, request: dict) -> tuple[int, int]:
        """Prompt tokens of a request, estimated, and the most that its answer may have."""
        shown = [request["messages"], request.get("response_format")]
        estimate = len(json.dumps(shown, ensure_ascii=False).encode("utf8", "surrogatepass")) // 2
        return estimate, next((request[name] for name in LIMITS if name in request), self.max_tokens)

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
        key = self.key_of(request)
        known = self.store.get(key)
        if known is not None:
            return known
        try:
            with self.store.asking(key, self.stopping, max(self.patience, self.timeout)) as known:
                return known if known is not None else self._buy(key, request)
        except StillAsked:
            raise QuestionError(
                STOPPED
                if self.stopping.is_set()
                else f"another process has been asking this question for {max(self.patience, self.timeout):g} s. Wait "
                "for it, or end it, and start again"
            ) from None

    def _buy(self, key: str, request: dict) -> Reply:
        """A new answer, counted and kept.

        RAISES (NotStored): it came and could not be kept.
        """
        estimate, longest = self.cost_of(request)
        with self.meter.reserve(estimate, longest, self.stopping) as fits:
            if not fits:
                raise BudgetSpent(
                    f"the budget is spent ({self.meter.line()}). Raise budget_tokens "
                    "or budget_money; the same call goes on"
                )
            reply = counted(self._send(request), estimate)
            self.meter.count(reply)
            try:
                self.store.put(key, reply, self.model)
            except StoreError as error:
                raise NotStored(str(error), reply) from None
        return reply

    def _send(self, request: dict) -> Reply:
        """One request with its retries."""
        client = self._openai().chat.completions

        def post() -> Reply:
            known = _known_fields(client)
            own = {name: value for name, value in request.items() if name not in known}
            raw = client.with_raw_response.create(
                **{name: value for name, value in request.items() if name in known}, extra_body=own or None
            )
            return read_body(raw.http_response.content, self.redactor)

        return self.send(post)

    def send(self, post: Callable[[], T]) -> T:
        """What a call of the endpoint gives, with its retries.

        RAISES (QuestionError): it failed, or the run was stopped. (TeacherError): so would every other one.
        """
        try:
            result = self._resending.send(post, is_new=not self._endpoint.answered)
        except Stopped:
            raise QuestionError(STOPPED) from None
        except OutOfPatience as error:
            raise self._blame(error.__cause__, asked=error.asked) from None
        except Exception as error:
            raise self._blame(error) from None
        self._endpoint.has_answered()
        return result

    def _blame(self, error: Exception, asked: float | None = None) -> Exception:
        found = self._endpoint.blame(error, self.redactor, asked)
        return QuestionError(STOPPED) if self.stopping.is_set() and type(found) is QuestionError else found

    def client(self, seconds: float, max_bytes: int) -> Any:
        """A client with the key whose requests have bounds of their own."""
        own = self._openai()
        return own.with_options(timeout=seconds, http_client=bounded(self._http, seconds=seconds, max_bytes=max_bytes))

    def _openai(self) -> Any:
        """The client, made at the first question.

        RAISES (TeacherError): the openai package or the key is missing.
        """
        with self._lock:
            if self._client is None:
                try:
                    import openai
                    import tenacity  # noqa: F401 (of the retries, whose errors are taken for the endpoint's)
                except ImportError as error:
                    raise TeacherError(
                        f"Asking a teacher needs the package '{error.name}': pip install 'metaie-spacy[project]'."
                    ) from None
                try:
                    key = read_key(self.api_key_env)
                except KeyMissing as error:
                    raise TeacherError(str(error)) from None
                self.redactor = Redactor(key, self.base_url)
                # Redirects are refused below too, where a client of the user's would follow them.
                http = self.http_client
                if http is None:
                    http = openai.DefaultHttpxClient(timeout=self.timeout, follow_redirects=False)
                self._http = http
                self._client = openai.OpenAI(
                    api_key=key or "none",
                    base_url=self.base_url,
                    timeout=self.timeout,
                    max_retries=0,
                    http_client=bounded(http, seconds=self.timeout, max_bytes=self.max_bytes),
                )
                self.redactor.guard_logs()
            return self._client


def _known_fields(client: Any) -> frozenset[str]:
    """What the openai client takes; other fields go into the request's body as they are."""
    return frozenset(inspect.signature(client.create).parameters)
