"""Texts -> annotation rows, through a teacher: append-only, resumable after any end."""

import json
import logging
import os
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any, Iterable, Iterator

from tqdm import tqdm

from ..data.jsonl import json_line, read_jsonl
from .annotators import Annotation, Annotator
from .failures import BudgetSpent, NotStored, QuestionError
from .pool import DaemonPool, drain
from .store import StoreError

logger = logging.getLogger("metaie_spacy")


def annotate(texts: Iterable[dict], output: str | Path, annotator: Annotator, *, progress: bool = True) -> dict:
    """Annotate every text that `output` does not hold yet, and append a row for each.

    A second call goes on where the first one ended, however it ended; answers that were paid for
    are read from the teacher's cache. Texts without a usable answer go to `<output>.failed.jsonl`
    and are asked again by the next call.

    texts (Iterable[dict]): rows `{"id", "text", "meta"?, "source"?}` with ids of their own.
    output (Path): takes annotation rows (JSONL).
    annotator (Annotator): called from `annotator.in_flight` threads.
    RETURNS (dict): counts of texts: `done_before`, `annotated`, `failed`, `repeated` (same id and
        text), `twice` (same id, another text) and `left`; of `spans` and `dropped` answers of this
        call; and `stopped`, the reason if it ended early.
    RAISES (ValueError): `output` was begun with another prompt or other passages, holds something
        else than annotation rows, or is being written by another process. (TeacherError): nothing can be asked.
        (StoreError): answers cannot be kept. Rows written so far stay.
    """
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with _alone(output):
        done = resume(output, annotator)
        counts = dict.fromkeys(
            ("done_before", "annotated", "failed", "repeated", "twice", "left", "spans", "dropped"), 0
        )
        failed_path = output.with_name(output.name + ".failed.jsonl")
        texts = list(texts)
        kept = _failed_before(failed_path, annotator.name, {row["id"] for row in texts})
        with output.open("ab") as out, failed_path.open("wb") as failed:
            failed.writelines(kept)
            todo = list(_todo(texts, done, counts, failed))
            bar = tqdm(
                total=counts["done_before"] + len(todo),
                initial=counts["done_before"],
                desc="annotate",
                unit="text",
                mininterval=1,
                disable=not progress,
            )
            annotator.start()
            annotator.prepare([row["text"] for row in todo])
            run = _Run(annotator, out, failed, counts, bar)
            try:
                run.over(todo)
            finally:
                bar.close()
                counts["left"] = len(todo) - counts["annotated"] - counts["failed"]
        if not failed_path.stat().st_size:
            failed_path.unlink()
    return counts | {"stopped": run.stopped}


class _Run:
    """Keeps `in_flight` questions going and writes what comes back, all from one thread."""

    def __init__(self, annotator: Annotator, out: Any, failed: Any, counts: dict, bar: tqdm):
        self.annotator, self.out, self.failed, self.counts, self.bar = annotator, out, failed, counts, bar
        self.stopped: str | None = None

    def over(self, todo: list[dict]) -> None:
        """Ask for every row; on an error what is in flight is still written, on Ctrl-C what comes in a moment."""
        flying: dict[Future, dict] = {}
        rows = iter(todo)
        with DaemonPool(self.annotator.in_flight) as pool:
            try:
                while True:
                    # Twice as many as fly, so that a thread that is done finds the next question at once.
                    while (
                        not self.stopped
                        and len(flying) < 2 * self.annotator.in_flight
                        and (row := next(rows, None)) is not None
                    ):
                        flying[pool.submit(self.annotator, row["text"])] = row
                    if not flying:
                        break
                    # A time-out lets Ctrl-C through where waiting would not.
                    ready = wait(flying, timeout=1, return_when=FIRST_COMPLETED).done
                    # In the order of asking, so that an annotator of one thread gives the same file each time.
                    for future in [future for future in flying if future in ready]:
                        self.settle(future, flying.pop(future))
            except BaseException as error:
                self.annotator.stop()
                # Answers that are on their way are paid for.
                drained = drain(flying, error)
                for future in [future for future in flying if future in drained]:
                    if annotation := _annotation_of(future):
                        self.write(flying[future], annotation)
                raise

    def settle(self, future: Future, row: dict) -> None:
        """Write one result."""
        try:
            annotation = future.result()
        except NotStored as error:
            if annotation := _annotation_of(future):
                self.write(row, annotation)
            fate = "its row is written" if annotation else "its answer is lost"
            raise StoreError(f"The text '{row['id']}' was answered, and {fate}: {error}") from None
        except QuestionError as error:
            self.counts["failed"] += 1
            _append_row(self.failed, {**row, "why": str(error), "teacher": self.annotator.name})
        except BudgetSpent as error:
            self.stopped = str(error)
            return
        else:
            self.write(row, annotation)
        self.bar.update()
        if self.bar.n % 20 == 0:
            self.bar.set_postfix_str(self.annotator.status(), refresh=False)

    def write(self, row: dict, annotation: Annotation) -> None:
        self.counts["annotated"] += 1
        self.counts["spans"] += len(annotation.spans)
        self.counts["dropped"] += len(annotation.dropped)
        _append_row(self.out, annotation_row(row, annotation, self.annotator))


def _annotation_of(future: Future) -> Annotation | None:
    """What a call gave, also one whose answer the store could not take; None: an error."""
    error = future.exception()
    if error is None:
        return future.result()
    return error.result if isinstance(error, NotStored) and isinstance(error.result, Annotation) else None


def annotation_row(row: dict, annotation: Annotation, annotator: Annotator) -> dict:
    """The row that is written: the annotation contract."""
    result = {"id": row["id"], "text": row["text"], "spans": annotation.spans, "absent": annotation.absent}
    result |= {
        name: value for name, value in (("asked", annotation.asked), ("unsure", annotation.unsure)) if value is not None
    }
    result |= {name: row[name] for name in ("source", "meta") if name in row}
    result |= {"teacher": annotator.name, "kind": annotator.kind, "prompt_sha": annotator.prompt_sha}
    if annotation.agreement is not None:
        result["agreement"] = annotation.agreement
    if annotation.dropped:
        result["dropped"] = annotation.dropped
    return result | ({"usage": annotation.usage} if annotation.usage else {})


def resume(output: Path, annotator: Annotator) -> dict[str, str]:
    """Id -> text of what this annotator has done. A last line that was cut is taken off; its answer is in the cache.

    RAISES (ValueError): the file holds rows that this teacher made with another prompt, or no annotation rows.
    """
    if not output.exists() or not output.stat().st_size:
        return {}
    with output.open("rb") as file:
        if b'"spans"' not in file.readline() and file.read(1):
            raise ValueError(
                f"'{output}' exists and does not hold annotation rows. Give another "
                "output file: SOURCE comes first, then OUTPUT."
            )
    _cut_tail(output)
    done, unreadable = {}, []
    for line in read_jsonl(output):
        row = line.value
        if not isinstance(row, dict) or "id" not in row or "text" not in row:
            unreadable.append(line.number)
            continue
        if row.get("teacher") == annotator.name and row.get("prompt_sha") != annotator.prompt_sha:
            raise ValueError(
                f"{output}, line {line.number}: a row of '{annotator.name}' made "
                "with another prompt, or other rules. Give another output "
                "file, or the prompt or rules (and --exhaustive) of this one; 'curate' takes several files."
            )
        if row.get("teacher") == annotator.name:
            done[str(row["id"])] = row["text"]
    if unreadable:
        logger.warning(
            "%s: lines %s cannot be read; they stay, their texts are annotated again.", output, unreadable[:10]
        )
    return done


def _cut_tail(output: Path) -> None:
    """Take off what stands after the last line end: a row that was being written when the process died."""
    with output.open("rb+") as file:
        end, tail = file.seek(0, os.SEEK_END), b""
        while end and b"\n" not in tail:
            step = min(1 << 16, end)
            end = file.seek(end - step)
            tail = file.read(step) + tail
            file.seek(end)
        last = tail[tail.rfind(b"\n") + 1 :]
        if not last:
            return
        try:
            json.loads(last.decode("utf8"))
        except ValueError:
            logger.info("%s: the last row was cut and is made again.", output)
            file.truncate(end + len(tail) - len(last))
        else:
            file.seek(0, os.SEEK_END)
            file.write(b"\n")  # whole, but for its line end


def _failed_before(path: Path, teacher: str, ids: set[str]) -> list[bytes]:
    """Lines about texts that another teacher failed on, or that this call does not ask about."""
    if not path.exists():
        return []
    kept = []
    for line in read_jsonl(path):
        row = line.value
        if not isinstance(row, dict) or "id" not in row:
            continue  # cut by a kill; the text has no row and is asked again
        if row["id"] not in ids or row.get("teacher", teacher) != teacher:
            kept.append(line.raw + b"\n")
    return kept


def _todo(texts: Iterable[dict], done: dict[str, str], counts: dict, failed: Any) -> Iterator[dict]:
    """The texts that are not done; of an id that is used twice, the first text.

    RAISES (ValueError): an id is done with another text.
    """
    seen: dict[str, str] = {}
    for row in texts:
        if row["id"] in seen:
            is_same = seen[row["id"]] == row["text"]
            counts["repeated" if is_same else "twice"] += 1
            if not is_same:
                _append_row(failed, {**row, "why": "another text has this id"})
            continue
        seen[row["id"]] = row["text"]
        if row["id"] in done:
            if done[row["id"]] != row["text"]:
                raise ValueError(
                    f"The text '{row['id']}' was annotated with other words before: "
                    "it was changed, or cut into other passages "
                    "(max_words). Give another output file, or the ids and settings of the first call."
                )
            counts["done_before"] += 1
        else:
            yield row
    if counts["twice"]:
        logger.warning(
            "%d texts have the id of another text and are left out; give them ids of their own.", counts["twice"]
        )


def _append_row(file: Any, row: dict) -> None:
    """One line, handed to the system at once, so that only a crash of the machine can lose it."""
    file.write(json_line(row))
    file.flush()


def _alone(output: Path) -> Any:
    """A lock on the output for as long as it is written.

    RAISES (ValueError): another process holds it.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(output.with_name(output.name + ".lock"), timeout=0)
    try:
        return lock.acquire()
    except Timeout:
        raise ValueError(f"Another process is writing '{output}'. Wait for it, or give another output file.") from None
