"""Questions by a provider's batch API: files of requests, answered within a day, at a part of the price.

What was sent stands in the store before the provider has it, and a batch carries its name there; so a run that was
killed at any moment finds its batches again, and pays for none twice.
"""

import hashlib
import json
import logging
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator, NamedTuple

from .failures import QuestionError, TeacherError
from .server_errors import BadBody, is_about_schema, read_body
from .store import Reply, counted

if TYPE_CHECKING:
    from .client import Teacher

logger = logging.getLogger("metaie_spacy")
PATH = "/v1/chat/completions"
WINDOW = "24h"
NAME = "metaie_batch"  # of the entry in a batch's metadata by which it is found again
MOST_REQUESTS, MOST_BYTES = 10_000, 90 * 10**6  # of a batch; providers take 50,000 and 200 MB
MOST_ANSWER = 2**29  # bytes of a file of answers
TRIES = 2  # of a question in batches that ended too early
SECONDS = 600.0  # that a file may take
ENDED = ("completed", "expired", "cancelled")


class Question(NamedTuple):
    """One answer that is wanted. render (Callable): form -> messages. schema (dict | None). sample (int)."""

    render: Callable[[str], list[dict[str, str]]]
    schema: dict | None
    sample: int


class _Batch(NamedTuple):
    token: str
    id: str


class Batches:
    """The batches of a teacher. teacher (Teacher): whose store takes the answers, and whose budget holds."""

    def __init__(self, teacher: "Teacher"):
        self.teacher, self.store, self.meter = teacher, teacher.store, teacher.meter
        self.endpoint = hashlib.sha256(str(teacher.address).encode("utf8")).hexdigest()[:16]
        self._tries: Counter[str] = Counter()
        self._prompts: dict[str, int] = {}  # tokens, estimated
        self._given_up: set[str] = set()  # what a batch said that it cannot answer
        self._is_refused = False  # whether the endpoint took no JSON schema

    def fetch(self, questions: Iterable[Question]) -> None:
        """Have the store hold answers to as many questions as the budget allows.

        What no batch answers is left to who asks one by one. Batches of earlier calls are taken in first.

        RAISES (TeacherError): the provider takes no batches. (StoreError): answers cannot be kept.
        """
        questions = list(questions)
        self._collect(self._open())
        while pending := self._pending(questions):
            sent = [self._send(part) for part in self._parts(pending)]
            if not sent:
                return
            self._collect(sent)
            if self._is_refused:
                self.teacher.falls_back()  # which makes other questions of them

    def _pending(self, questions: list[Question]) -> dict[str, dict]:
        """The requests without an answer that may be sent, by key."""
        found = {}
        for question in questions:
            request = self.teacher.request_of(question.render, question.schema, question.sample)
            key = self.teacher.key_of(request)
            is_open = key not in self._given_up and self._tries[key] < TRIES
            if is_open and key not in found and self.store.get(key) is None:
                found[key] = request
        return found

    def _parts(self, pending: dict[str, dict]) -> Iterator[dict[str, bytes]]:
        """The lines of each batch by key, as long as the budget has room for all that is sent."""
        part: dict[str, bytes] = {}
        n_bytes = n_in = n_out = 0
        for key, request in pending.items():
            body = {"custom_id": key, "method": "POST", "url": PATH, "body": request}
            line = json.dumps(body, ensure_ascii=False).encode("utf8", "replace") + b"\n"
            prompt, longest = self.teacher.cost_of(request)
            n_in, n_out = n_in + prompt, n_out + longest
            if not self.meter.has_room(n_in, n_out, self.teacher.batch_price):
                break
            if part and (len(part) == MOST_REQUESTS or n_bytes + len(line) > MOST_BYTES):
                yield part
                part, n_bytes = {}, 0
            part[key], self._prompts[key] = line, prompt
            n_bytes += len(line)
        if part:
            yield part

    def _send(self, lines: dict[str, bytes]) -> _Batch:
        """Upload requests and have them worked on; noted before, so that a kill leaves no batch that nobody knows."""
        token = uuid.uuid4().hex
        self.store.begin_batch(token, list(lines), self.teacher.model, self.endpoint)
        client = self._client()
        file = ("requests.jsonl", b"".join(lines.values()))
        uploaded = self._call(lambda: client.files.create(file=file, purpose="batch"))
        is_again = False

        def create() -> str:
            nonlocal is_again
            if is_again and (known := self._find(token)):  # it was taken, and only its answer was lost
                return known
            is_again = True
            metadata = {NAME: token}
            made = client.batches.create(
                input_file_id=uploaded.id, endpoint=PATH, completion_window=WINDOW, metadata=metadata
            )
            return made.id

        batch = _Batch(token, self._call(create))
        self.store.name_batch(*batch)
        self._tries.update(lines.keys())
        logger.info("Batch %s: %d questions.", batch.id, len(lines))
        return batch

    def _open(self) -> list[_Batch]:
        """The batches of earlier calls that were not taken in."""
        found = []
        for token, id in self.store.open_batches(self.teacher.model, self.endpoint):
            id = id or self._call(lambda token=token: self._find(token))
            if id is None:  # the run died before the provider had it
                self.store.end_batch(token, [], self.teacher.model)
            else:
                found.append(_Batch(token, id))
        return found

    def _find(self, token: str) -> str | None:
        known = self._client().batches.list(limit=100)
        return next((batch.id for batch in known if (batch.metadata or {}).get(NAME) == token), None)

    def _collect(self, batches: list[_Batch]) -> None:
        """Wait for batches, and take in what they bring, also those that ended too early."""
        left = list(batches)
        while left:
            for batch in list(left):
                state = self._call(lambda batch=batch: self._client().batches.retrieve(batch.id))
                if state.status in ENDED:
                    self._take_in(batch, state)
                    left.remove(batch)
                elif state.status == "failed":
                    self.store.end_batch(batch.token, [], self.teacher.model)
                    raise TeacherError(f"{self.teacher.where} has refused the batch {batch.id}: {self._why(state)}")
            if left and self.teacher.stopping.wait(self.teacher.batch_poll):
                raise TeacherError(f"The run was stopped; {len(left)} batches go on, and the same call takes them in.")

    def _take_in(self, batch: _Batch, state: Any) -> None:
        expected = set(self.store.batch_keys(batch.token))
        answers: dict[str, Reply] = {}
        for id in filter(None, (state.output_file_id, state.error_file_id)):
            content = self._call(lambda id=id: self._client().files.content(id).content)
            for line in content.splitlines():
                key, reply, is_expired = self._read(line)
                if key not in expected or key in answers:
                    continue
                if reply is not None:
                    answers[key] = reply
                elif not is_expired:
                    self._given_up.add(key)
        self.store.end_batch(batch.token, list(answers.items()), self.teacher.model)
        for reply in answers.values():
            self.meter.count(reply, self.teacher.batch_price)
        logger.info("Batch %s, %s: %d of %d answers.", batch.id, state.status, len(answers), len(expected))

    def _read(self, line: bytes) -> tuple[str | None, Reply | None, bool]:
        """The key of a line, its answer if it has one, and whether the batch had no time for it."""
        try:
            data = json.loads(line)
            response, error = data.get("response") or {}, data.get("error") or {}
            key = str(data["custom_id"])
        except (ValueError, KeyError, TypeError, AttributeError):
            return None, None, False
        body = json.dumps(response.get("body"), ensure_ascii=False)
        if response.get("status_code") != 200:
            self._is_refused |= response.get("status_code") in (400, 422) and is_about_schema(body)
            return key, None, error.get("code") == "batch_expired"
        try:
            return key, self._counted(key, body), False
        except BadBody:
            return key, None, False

    def _counted(self, key: str, body: str) -> Reply:
        """RAISES (BadBody): it is no answer."""
        reply = read_body(body.encode("utf8", "replace"), self.teacher.redactor)
        return counted(reply, self._prompts.get(key, 0))

    def _why(self, state: Any) -> str:
        errors = getattr(state.errors, "data", None) or []
        words = "; ".join(str(error.message) for error in errors[:3]) or "it does not say why"
        return self.teacher.redact(words)[:500]

    def _client(self) -> Any:
        return self.teacher.client(SECONDS, MOST_ANSWER)

    def _call(self, post: Callable[[], Any]) -> Any:
        """RAISES (TeacherError): the provider cannot be reached, or has no batch API."""
        try:
            return self.teacher.send(post)
        except (QuestionError, TeacherError) as error:
            raise TeacherError(
                f"{error} This was a call of the batch API: set the teacher's batch to false if the endpoint has none. "
                "Batches that were sent are taken in by the same call."
            ) from None
