"""Feedback rounds: which texts the teacher should see next, and annotations that a student corrects."""

import json
import re
from concurrent.futures import wait
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, Sequence

from spacy.language import Language
from tqdm import tqdm

from ..data.documents import document_of
from ..data.known import known_of
from ..data.rows import Place, asked_of, places, read_rows, spans_at
from ..measure.scores import exact_matches
from ..streams import pipe_with_labels
from .client import Teacher
from .failures import NotStored, QuestionError
from .pool import DaemonPool, drain
from .prompts import read_prompt
from .store import StoreError


def most_disputed(
    rows: Iterable[dict],
    first: Language,
    second: Language,
    labels: Sequence[str] | dict,
    count: int,
    *,
    name: str = "metaie",
) -> list[dict]:
    """The texts on which two generations of a student disagree most (EAGLE, arXiv 2306.15766).

    rows (Iterable[dict]): texts `{"id", "text", "meta"?}`. labels: asked of every text by both.
    count (int): texts to give.
    RETURNS (list[dict]): rows, the most disputed first; `meta["disagreement"]` is 1 minus the F of
        one student's spans against the other's.
    """
    rows = list(rows)
    pairs = [(row["text"], labels) for row in rows]
    one, other = (
        _found(nlp, pairs, name, note) for nlp, note in ((first, "first student"), (second, "second student"))
    )
    disputes = [_distance({s[:3] for s in a}, {s[:3] for s in b}) for a, b in zip(one, other)]
    return _ranked(rows, disputes, "disagreement", count)


def most_failed(rows: Iterable[dict], nlp: Language, count: int, *, name: str = "metaie") -> list[dict]:
    """The annotated texts on which a student fails most: seeds for new texts (LLM2LLM, arXiv 2403.15042).

    Each text is asked its own and its absent labels. RETURNS (list[dict]): as `most_disputed`;
    `meta["failure"]` is 1 minus the F against the annotation.
    """
    rows = [row for row in rows if row["spans"] or row.get("absent")]
    found = _found(nlp, [(row["text"], asked_of(row)) for row in rows], name, "student")
    known = [known_of(row) for row in rows]
    failures = [_distance(given.spans, given.counted(s[:3] for s in spans)) for given, spans in zip(known, found)]
    return _ranked(rows, failures, "failure", count)


def write_similar(seeds: Iterable[dict], teacher: Teacher, prompt: str | Path, *, n: int = 2) -> Iterator[dict]:
    """New texts like the seeds, written by the teacher (LLM2LLM). Give seeds of the train split only.

    n (int): new texts for each seed.
    YIELDS (dict): texts with ids that belong to their seed's document, so that a later split keeps
        them on one side.
    """
    template, sha = read_prompt(prompt, text="", n=n)

    def ask(row: dict) -> list[str]:
        message = template.render(text=row["text"], n=n)
        return teacher.ask(lambda form: [{"role": "user", "content": message}], read_texts)[0]

    for row, texts in _ask_all(teacher, ask, list(seeds), "similar", id_of=lambda row: row["id"]):
        stem = row["id"] if "#" in row["id"] else row["id"] + "#"
        for i, text in enumerate((texts or [])[:n]):
            yield {
                "id": f"{stem}s{i}",
                "text": text,
                "meta": {"like": row["id"], "prompt_sha": sha},
                "source": f"teacher:{teacher.model}",
            }


def correct(
    rows: Iterable[dict],
    nlp: Language,
    teacher: Teacher,
    prompt: str | Path,
    *,
    min_score: float = 0.5,
    name: str = "metaie",
) -> Iterator[dict]:
    """Rows in which a student's proposals that the re-asked teacher confirms replace the annotation
    (CLEAR, arXiv 2403.12776).

    The student is asked a row's labels. A span of its own that overlaps one of the row's for the
    same label replaces it if the teacher confirms the new one and not the old one; any other is
    added if confirmed.

    min_score (float): of a proposal.
    YIELDS (dict): every row, in order; changes stand in `corrected`: `{"label", "old"?, "new"}`.
    """
    template, _ = read_prompt(prompt, text="", candidates=[])
    rows = list(rows)
    found = _found(nlp, [(row["text"], asked_of(row)) for row in rows], name, "student")
    cases = [(row, _candidates(row, [s[:3] for s in spans if s[3] >= min_score])) for row, spans in zip(rows, found)]

    def ask(case: tuple[dict, list[Place]]) -> set[int]:
        row, candidates = case
        shown = [
            {"id": i, "label": label, "span": row["text"][start:end]}
            for i, (start, end, label) in enumerate(candidates, 1)
        ]
        message = template.render(text=row["text"], candidates=shown)
        return teacher.ask(lambda form: [{"role": "user", "content": message}], read_confirmed)[0]

    asked = _ask_all(teacher, ask, [c for c in cases if c[1]], "correct", id_of=lambda case: case[0]["id"])
    answers = {id(row): confirmed for (row, _), confirmed in asked}
    for row, candidates in cases:
        confirmed = answers.get(id(row)) or set()
        yield _corrected(row, candidates, {candidates[i - 1] for i in confirmed if 0 < i <= len(candidates)})


def read_confirmed(content: str) -> set[int]:
    """The numbers of an answer `{"confirmed": [1, 3]}`, or of lines `1: yes`.

    RAISES (ValueError): it is neither.
    """
    match = re.search(r'"confirmed"\s*:\s*\[([^\[\]]*)\]', content)
    if match:
        return {int(number) for number in re.findall(r"\d+", match.group(1))}
    lines = re.findall(r"^[^\w\n]*(\d+)\W+(yes|no|right|wrong|true|false)\b", content, re.IGNORECASE | re.MULTILINE)
    if not lines:
        raise ValueError(f"the answer names no confirmed candidates: {content[:80]!r}")
    return {int(number) for number, verdict in lines if verdict.lower() in ("yes", "right", "true")}


def read_texts(content: str) -> list[str]:
    """The texts of an answer `{"texts": [...]}`.

    RAISES (ValueError): it holds none.
    """
    start = content.find("{")
    try:
        data, _ = json.JSONDecoder().raw_decode(content[max(0, start) :])
        texts = [text.strip() for text in data["texts"] if text.strip()]
    except (ValueError, KeyError, TypeError, AttributeError):
        texts = []
    if not texts:
        raise ValueError(f"the answer holds no texts: {content[:80]!r}")
    return texts


def unseen(rows: Iterable[dict], files: Iterable[str | Path]) -> Iterator[dict]:
    """The rows that these annotation files hold neither as a text nor as a document cut into passages."""
    texts, documents = set(), set()
    for row in (row for file in files for row in read_rows(file)):
        texts.add(row["text"])
        documents.add(document_of(row))
    return (row for row in rows if row["text"] not in texts and str(row["id"]) not in documents)


def _found(
    nlp: Language, pairs: list[tuple[str, Any]], name: str, note: str
) -> list[list[tuple[int, int, str, float]]]:
    """Per text the student's spans: start and end character, label, score."""
    key = nlp.get_pipe(name).spans_key
    docs = tqdm(pipe_with_labels(nlp, pairs, name=name), total=len(pairs), desc=note, mininterval=5)
    return [
        [
            (s.start_char, s.end_char, s.label_, float(score))
            for s, score in zip(doc.spans[key], doc.spans[key].attrs["scores"])
        ]
        for doc in docs
    ]


def _distance(a: set, b: set) -> float:
    return 1 - exact_matches([a], [b]).fscore if a or b else 0.0


def _ranked(rows: list[dict], values: list[float], name: str, count: int) -> list[dict]:
    """The rows of the highest values as texts; ties by id."""
    order = sorted(range(len(rows)), key=lambda i: (-values[i], str(rows[i]["id"])))[:count]
    result = []
    for i in order:
        row = {key: rows[i][key] for key in ("id", "text", "source") if key in rows[i]}
        result.append(row | {"meta": {**rows[i].get("meta", {}), name: round(values[i], 4)}})
    return result


def _candidates(row: dict, proposed: list[Place]) -> list[Place]:
    """The student's new spans, and the row's spans that they would replace."""
    own = places(row)
    new = [span for span in proposed if span not in own]
    rivals = [old for old in own if any(_rivals(old, span) for span in new)]
    return sorted(set(new + rivals))


def _rivals(a: Place, b: Place) -> bool:
    return a[2] == b[2] and a[0] < b[1] and b[0] < a[1]


def _corrected(row: dict, candidates: list[Place], confirmed: set[Place]) -> dict:
    """The row with what was confirmed; without a change, the row itself."""
    spans = set(places(row))
    changes = []
    for new in candidates:
        if new in spans or new not in confirmed:
            continue
        old = [span for span in spans if _rivals(span, new)]
        if any(span in confirmed for span in old):
            continue
        spans = (spans - set(old)) | {new}
        text = row["text"]
        changes.append(
            {
                "label": new[2],
                **({"old": [text[s:e] for s, e, _ in sorted(old)]} if old else {}),
                "new": text[new[0] : new[1]],
            }
        )
    if not changes:
        return row
    found = {label for _, _, label in spans}
    ordered = spans_at(sorted(spans))
    return row | {
        "spans": ordered,
        "absent": [a for a in row.get("absent", []) if a not in found],
        "corrected": changes,
    }


def _ask_all(
    teacher: Teacher, ask: Callable[[Any], Any], items: list, note: str, *, id_of: Callable[[Any], str]
) -> Iterator[tuple[Any, Any]]:
    """(item, answer) in order, asked `in_flight` at a time; None where a question has no usable answer.

    What was answered before an error is in the teacher's cache: the same call goes on from there.
    """
    teacher.stopping.clear()
    with DaemonPool(teacher.in_flight) as pool:
        futures = [pool.submit(ask, item) for item in items]
        try:
            for item, future in zip(items, tqdm(futures, desc=note, mininterval=5)):
                while not future.done():
                    wait([future], timeout=1)  # a time-out lets Ctrl-C through where waiting would not
                try:
                    yield item, future.result()
                except QuestionError:
                    yield item, None
                except NotStored as error:
                    raise StoreError(
                        f"The text '{id_of(item)}' was answered, and its answer is lost: {error}"
                    ) from None
        except BaseException as error:
            teacher.stopping.set()
            drain(futures, error)
            raise
