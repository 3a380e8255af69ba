"""The spaCy component: a small model's answers, and a large model's where they are likely to be better."""

import copyreg
import hashlib
import inspect
import logging
import os
import threading
from collections import deque
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Iterable, Iterator, Mapping, NamedTuple, Sequence

import numpy as np
from spacy import util
from spacy.language import Language
from spacy.pipeline.pipe import Pipe
from spacy.tokens import Doc

from ..component import MetaIE
from ..notes import Note, take_note
from ..schema import Label
from ..spans import Answer
from ..teacher.client import Teacher
from ..teacher.failures import BudgetSpent, NotStored, QuestionError, TeacherError
from ..teacher.pool import DaemonPool, drain
from ..teacher.store import StoreError
from .features import facts_of
from .fit import mixed_labels
from .fitted import FILES, Fitted, Table, from_files, read_folder, to_files
from .limits import REST, Limits
from .policies import Policy, check_ask, cut_of, make_errors, make_learned
from .prompt import answers_on, ask_closed, closed_prompt

logger = logging.getLogger("metaie_spacy")
BATCH = 64  # docs that are decided on together
TOLD = 10  # neighbours that a doc names

if not Doc.has_extension("metaie_route"):
    Doc.set_extension("metaie_route", default=None)

DEFAULT_CONFIG = {
    "small": "metaie",
    "teacher": None,
    "policy": None,
    "ask": {},
    "fitted": None,
    "examples": 3,
    "max_cost": None,
    "max_share": None,
    "per_minute": None,
}


class Decision(NamedTuple):
    """What is done with a doc: the route that it takes, why, its score, its neighbours, and what the LLM is asked."""

    large: bool
    why: str
    score: float
    neighbours: list[str]
    labels: tuple[Label, ...] = ()
    examples: Sequence[Mapping[str, Any]] = ()


@Language.factory("metaie_router", assigns=["doc._.metaie_route"], default_config=DEFAULT_CONFIG)
def make_router(
    nlp: Language,
    name: str,
    small: str,
    teacher: dict[str, Any] | None,
    policy: Any,
    ask: dict[str, float],
    fitted: str | None,
    examples: int,
    max_cost: float | None,
    max_share: float | None,
    per_minute: int | None,
) -> "Router":
    return Router(
        _small_pipe(nlp, small, name),
        name,
        teacher=teacher,
        policy=policy,
        ask=ask,
        fitted=fitted,
        examples=examples,
        max_cost=max_cost,
        max_share=max_share,
        per_minute=per_minute,
    )


def _small_pipe(nlp: Language, small: str, name: str) -> MetaIE:
    """RAISES (ValueError): the pipeline has no such component yet."""
    if small not in nlp.component_names or not isinstance(nlp.get_pipe(small), MetaIE):
        raise ValueError(
            f"'{name}' stands behind the component '{small}', which this pipeline does not have: "
            f"{nlp.component_names}. Add it first, nlp.add_pipe('metaie'), or give its name as 'small'."
        )
    return nlp.get_pipe(small)


class Router(Pipe):
    """Asks a large model about the docs whose answers it is likely to better (OrchestraLLM, arXiv 2311.09758).

    `doc._.metaie_route` says what became of each: "route" ("small" or "large": whose answers the doc has), "why",
    "score" (of the policy), "neighbours" (ids of exemplars, where the policy looks at them) and "cost" (of the answer,
    in the money of the teacher's prices). Answers of the large model have score 1. Whatever goes wrong on the way to
    the large model, the doc keeps the small model's answers, and "why" tells.

    small (MetaIE): the component before this one; it leaves a note on every doc from now on.
    teacher (dict | None): arguments of `teacher.client.Teacher`, made at the first question; None: nothing is asked.
    policy (Policy | None): scores docs; None: `learned` where the router is fitted, else `errors`.
    ask (dict | None): above which score they are asked, see `policies.cut_of`.
    fitted (str | None): folder that `metaie route fit` wrote. examples (int): shown in each question, where there are.
    max_cost (float | None): money for new answers, from the first question to the last one of this object; needs
        prices of the teacher. max_share (float | None): of the docs so far, that may be asked. per_minute (int | None):
        questions in any 60 seconds. Docs beyond a limit stay small. In worker processes each has limits of its own.
    RAISES (ValueError): a setting that cannot work.
    """

    def __init__(
        self,
        small: MetaIE,
        name: str = "metaie_router",
        *,
        teacher: dict[str, Any] | None,
        policy: Policy | None = None,
        ask: Mapping[str, float] | None = None,
        fitted: str | None = None,
        examples: int = 3,
        max_cost: float | None = None,
        max_share: float | None = None,
        per_minute: int | None = None,
    ):
        self.small, self.name, self.settings = small, name, teacher
        self._policy, self._ask, self.source = policy, check_ask(ask or {}), fitted
        self.examples, self.max_cost = examples, max_cost
        if policy is not None and not isinstance(policy, Policy):
            raise ValueError(f"'{name}' needs a policy such as {{'@misc': 'metaie-spacy.errors.v1'}}, not {policy!r}.")
        limits = {"max_cost": max_cost, "max_share": max_share, "per_minute": per_minute, "examples": examples}
        for key, value in limits.items():
            if value is not None and value < 0:
                raise ValueError(f"{key} of '{name}' is {value}; give 0 or more, or null for no limit.")
        if teacher is not None:
            check_teacher(teacher, name)
        prices = [(teacher or {}).get(key) for key in ("price_in", "price_out")]
        if max_cost is not None and teacher is not None and not any(prices):
            raise ValueError(
                f"max_cost of '{name}' needs prices: set price_in and price_out (money per million tokens) of its "
                "teacher."
            )
        small.notes = True
        self._fitted: Fitted | None = None
        self._checked: Any = None
        self._cut: float | None = None
        self._teacher: Teacher | None = None
        self._pid, self._start = 0, 0.0  # of the process that made it, and what its cache had cost then
        self._limits = Limits(max_share, per_minute)
        self._lock = threading.Lock()

    @property
    def policy(self) -> Policy:
        """What scores docs. Set it at any time."""
        return self._policy or (make_errors() if self.fitted is None else make_learned())

    @policy.setter
    def policy(self, value: Policy | None) -> None:
        self._policy, self._cut = value, None

    @property
    def ask(self) -> dict[str, float]:
        """How much is asked. Set it at any time."""
        return dict(self._ask)

    @ask.setter
    def ask(self, value: Mapping[str, float]) -> None:
        self._ask, self._cut = check_ask(value), None

    @property
    def fitted(self) -> Fitted | None:
        """What the router was fitted to, read on first use. Set it to use another.

        RAISES (ValueError): it cannot be read, or belongs to other weights than the small component's.
        """
        if self._fitted is None and self.source is not None:
            self._fitted = from_files(read_folder(self.source), f"'{self.source}'")
        if self._fitted is not None and self._checked is not self._fitted:
            found = weights_of(self.small)
            if self._fitted.weights != found:
                raise ValueError(
                    f"'{self.name}' was fitted to other weights of '{self.small.name}' ({self._fitted.weights[:12]}) "
                    f"than those that are loaded ({found[:12]}): what it knows of their answers does not hold. Run "
                    "'metaie route fit' with this pipeline."
                )
            self._checked = self._fitted
        return self._fitted

    @fitted.setter
    def fitted(self, value: Fitted | None) -> None:
        self._fitted, self._checked, self._cut = value, None, None

    @property
    def cut(self) -> float:
        """The score above which docs are asked."""
        if self._cut is None:
            is_own = not self._ask and self.policy.cut is not None
            self._cut = cut_of(self.policy, self._ask, None if is_own else self.fitted)
        return self._cut

    @property
    def cost(self) -> float:
        """What new answers have cost so far, in the money of the teacher's prices."""
        return 0.0 if self._teacher is None else self._teacher.meter.cost - self._start

    @property
    def teacher(self) -> Teacher:
        """Who is asked; made on first use, and anew in another process. RAISES (ValueError): there is none."""
        with self._lock:
            if self._teacher is None or self._pid != os.getpid():
                if self.settings is None:
                    raise TeacherError(f"'{self.name}' has no teacher: set its model, base_url and api_key_env.")
                try:
                    teacher = Teacher(**self.settings)
                except (ValueError, TypeError) as error:
                    raise TeacherError(f"The teacher of '{self.name}' cannot be made: {error}") from error
                self._start = teacher.meter.cost
                if self.max_cost is not None:
                    given = teacher.meter.budget_money
                    own = self._start + self.max_cost
                    teacher.meter.budget_money = own if given is None else min(own, given)
                self._teacher, self._pid = teacher, os.getpid()
            return self._teacher

    def __reduce__(self) -> tuple:
        # For copies and worker processes: a lock and a connection to the cache are no one else's.
        return copyreg.__newobj__, (type(self),), {**self.__dict__, "_lock": None, "_teacher": None}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def __call__(self, doc: Doc) -> Doc:
        return next(iter(list(self.pipe([doc], batch_size=1))), doc)

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = BATCH) -> Iterator[Doc]:
        """Route a stream of docs in order, with as many questions at a time as the teacher's in_flight."""
        waiting: deque[tuple[Doc, Note, Decision, Future | None]] = deque()
        in_flight = int((self.settings or {}).get("in_flight", 8))
        if self._teacher is not None:
            self._teacher.stopping.clear()
        with DaemonPool(in_flight) as pool:
            try:
                for docs in util.minibatch(stream, size=min(batch_size, BATCH)):
                    waiting.extend(self._begin(docs, pool))
                    while waiting and (len(waiting) > 4 * max(BATCH, in_flight) or _is_done(waiting[0][-1])):
                        yield from self._end(*waiting.popleft())
                while waiting:
                    yield from self._end(*waiting.popleft())
            except BaseException as error:
                if self._teacher is not None and not isinstance(error, GeneratorExit):
                    self._teacher.stopping.set()
                # Answers that are on their way are paid for, and go into the cache.
                drain([future for *_, future in waiting if future is not None], error)
                raise

    def _begin(
        self, docs: list[Doc], pool: DaemonPool
    ) -> list[tuple[Doc, Note | None, Decision | None, Future | None]]:
        """Decide on docs, and ask where that was decided. A doc that fails goes to the error handler alone."""
        notes = [take_note(doc, self.small.name) for doc in docs]
        try:
            decisions = self._decide(docs, notes)
        except Exception as error:
            if len(docs) == 1:
                self.get_error_handler()(self.name, self, docs, error)
                return []
            return [one for doc, note in zip(docs, notes) for one in self._begin_alone(doc, note, pool)]
        return [
            (doc, note, decision, pool.submit(self._question, doc.text, decision) if decision.large else None)
            for doc, note, decision in zip(docs, notes, decisions)
        ]

    def _begin_alone(self, doc: Doc, note: Note | None, pool: DaemonPool) -> list:
        if note is not None:
            doc.user_data["metaie_note", self.small.name] = note
        return self._begin([doc], pool)

    def _decide(self, docs: Sequence[Doc], notes: Sequence[Note | None]) -> list[Decision]:
        """What is done with each doc.

        RAISES (ValueError): the small component left no note, or the policy needs what there is not.
        """
        if any(note is None for note in notes):
            raise ValueError(
                f"'{self.small.name}' left no note on a doc for '{self.name}'. It must run right before it, and must "
                "be the component that it was made with: load or add both anew."
            )
        table = Table(facts_of(docs, notes, self.small.spans_key), self.fitted)
        scores = self.policy.scores(table)
        wanted = scores > self.cut
        decisions = [
            Decision(False, "score", score, near)
            for score, near in zip(scores.tolist(), self._neighbours(table, len(docs)))
        ]
        with self._lock:
            self._limits.seen += len(docs)
            for i in np.argsort(-scores, kind="stable").tolist():
                if not wanted[i]:
                    continue
                labels = self._labels_to_ask(notes[i].ask.labels, table.facts.labels[i])
                limit = self._limits.refusal() if labels else "no labels"
                if limit:
                    decisions[i] = decisions[i]._replace(why=limit)
                    continue
                self._limits.ask()
                decisions[i] = decisions[i]._replace(large=True, labels=labels, examples=self._shown(table, i))
        return decisions

    def _labels_to_ask(self, labels: tuple[Label, ...], names: tuple[str, ...]) -> tuple[Label, ...]:
        labels = tuple(label for label in labels if label.queries)  # the others are answered by a rule alone
        if not self.policy.only_weak or self.fitted is None:
            return labels
        at = int(self.fitted.places([names])[0])
        return labels if at < 0 else tuple(label for label in labels if label.name in self.fitted.weak[at])

    def _neighbours(self, table: Table, n: int) -> list[list[str]]:
        """The ids of the nearest exemplars, where they were looked at."""
        if table.near is None:
            return [[] for _ in range(n)]
        rows = self.fitted.pools.rows
        return [[str(rows[at]["id"]) for at in own] for own in table.near[:, :TOLD].tolist()]

    def _shown(self, table: Table, i: int) -> list[Mapping[str, Any]]:
        """Exemplars of the doc's own label set for its question: the nearest where there are states, else the first."""
        if not self.examples or self.fitted is None:
            return []
        pools, at = self.fitted.pools, int(self.fitted.places([table.facts.labels[i]])[0])
        own = np.flatnonzero(pools.of_set == at)
        if at < 0 or not len(own):
            return []
        if table.facts.states is not None and pools.states.shape[1]:
            part = pools._replace(states=pools.states[own])
            own = own[part.neighbours(table.facts.states[i : i + 1], self.examples)[0]]
        text = table.facts.texts[i]
        return [pools.rows[j] for j in own[: self.examples].tolist() if pools.rows[j]["text"] != text]

    def _question(self, text: str, decision: Decision) -> tuple[list[tuple[int, int, str]], dict]:
        """Called from a thread of the pool."""
        return ask_closed(self.teacher, closed_prompt(), text, decision.labels, decision.examples)

    def _end(self, doc: Doc, note: Note, decision: Decision, future: Future | None) -> Iterator[Doc]:
        """Write what became of a doc."""
        try:
            route, why, cost = "small", decision.why, 0.0
            if future is not None:
                found, usage, why = self._answer_of(future)
                cost = self._price(usage)
                if found is not None:
                    route = "large"
                    asked = [label.name for label in decision.labels]
                    self.small.replace(doc, self._answers(doc, found, decision, note), note, asked)
            doc._.metaie_route = {
                "route": route,
                "why": why,
                "score": float(decision.score),
                "neighbours": decision.neighbours,
                "cost": cost,
            }
        except Exception as error:
            self.get_error_handler()(self.name, self, [doc], error)
            return
        yield doc

    def _answer_of(self, future: Future) -> tuple[list[tuple[int, int, str]] | None, dict, str]:
        """The large model's spans or None, the usage, and why."""
        try:
            found, usage = future.result()
            return found, usage, "score"
        except NotStored as error:
            logger.warning("%s: %s", self.name, error)
            if error.result is not None:
                found, usage = error.result
                return found, usage, "score, but the answer was not kept"
            why = f"failed: {error}"
        except QuestionError as error:
            why = f"failed: {error}"
        except BudgetSpent as error:
            why = f"budget: {error}"
        except (TeacherError, StoreError, ImportError) as error:
            self._limits.rest()
            logger.warning("%s asks nothing for %.0f s: %s", self.name, REST, error)
            why = f"failed: {error}"
        return None, {}, why

    def _answers(self, doc: Doc, found: list[tuple[int, int, str]], decision: Decision, note: Note) -> list[Answer]:
        if not self.policy.only_weak:
            return answers_on(doc, found)
        scores = {
            (span.start_char, span.end_char, span.label_): score
            for span, score in note.strong_spans(doc.spans[self.small.spans_key])
        }
        mixed = mixed_labels(scores, found, [label.name for label in decision.labels])
        return [
            answer._replace(score=scores.get((*_chars(doc, answer), answer.label), 1.0))
            for answer in answers_on(doc, mixed)
        ]

    def _price(self, usage: Mapping[str, int]) -> float:
        tokens = [usage.get(key, 0) for key in ("prompt_tokens", "completion_tokens")]
        return self.teacher.meter.price(*tokens) if any(tokens) else 0.0

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        writers = {name: lambda p, content=content: p.write_bytes(content) for name, content in self._files().items()}
        util.to_disk(path, writers, exclude)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "Router":
        """RAISES (ValueError): the folder holds a damaged router. An empty one is of a router that was not fitted."""
        path = util.ensure_path(path)
        if "router.json" not in exclude and (path / FILES[0]).exists():
            self.fitted = from_files(read_folder(path), f"'{path}'")
        return self

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        return util.to_bytes(
            {name: lambda content=content: content for name, content in self._files().items()}, exclude
        )

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "Router":
        """RAISES (ValueError): the bytes are damaged."""
        files: dict[str, bytes] = {}
        util.from_bytes(
            bytes_data, {name: lambda data, name=name: files.update({name: bytes(data)}) for name in FILES}, exclude
        )
        if files:
            self.fitted = from_files(files, "the bytes given")
        return self

    def _files(self) -> dict[str, bytes]:
        return {} if self.fitted is None else to_files(self.fitted)


def check_teacher(settings: Mapping[str, Any], name: str) -> None:
    """RAISES (ValueError): these are no settings of a teacher; its values it checks itself, when it is made."""
    known = inspect.signature(Teacher).parameters
    unknown = [key for key in settings if key not in known]
    if unknown or not settings.get("model"):
        why = f"has the unknown settings {unknown}" if unknown else 'names no "model"'
        raise ValueError(f"The teacher of '{name}' {why}; known are {', '.join(known)}.")
    in_flight = settings.get("in_flight", 8)
    if type(in_flight) is not int or in_flight < 1:
        raise ValueError(f"in_flight of the teacher of '{name}' is {in_flight!r}; give a whole number from 1 on.")


def weights_of(small: MetaIE) -> str:
    """What tells the weights of a component, and what its scores mean, from others."""
    from ..model.adapters import hash_of

    small.load()
    shim = small.model.shims[0]
    known = f"{hash_of(shim.module, calibrated=True)} {shim.threshold} {shim.tag_threshold}"
    return hashlib.sha256(known.encode()).hexdigest()


def _is_done(future: Future | None) -> bool:
    return future is None or future.done()


def _chars(doc: Doc, answer: Answer) -> tuple[int, int]:
    span = doc[answer.start : answer.end]
    return span.start_char, span.end_char
