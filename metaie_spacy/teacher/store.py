"""What a teacher has answered, on disk, and which questions are being asked."""

import hashlib
import json
import logging
import os
import sqlite3
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple, TypeVar

from .owners import Owner, forget, lives

logger = logging.getLogger("metaie_spacy")
T = TypeVar("T")
TABLES = {
    "answers": (
        "key TEXT PRIMARY KEY, content TEXT, finish_reason TEXT, prompt_tokens INTEGER, completion_tokens INTEGER, "
        "model TEXT, created REAL"
    ),
    "claims": "key TEXT PRIMARY KEY, owner TEXT",
    "batches": "token TEXT PRIMARY KEY, id TEXT, model TEXT, endpoint TEXT, is_open INTEGER",
    "batched": "key TEXT PRIMARY KEY, token TEXT",
}
OTHER_PATH = "Give the teacher's cache another path"
ALLOW = "Allow writing to the file and its folder, or give the teacher's cache another path"
MAKE_ROOM = "Make room there and start again: what it holds is not lost"
CURES = {  # what SQLite or the system says: what helps
    "locked": "Another program holds it: close that one and start again: what it holds is not lost",
    "is full": MAKE_ROOM,
    "no space left": MAKE_ROOM,
    "readonly": ALLOW,
    "read-only": ALLOW,
    "permission denied": ALLOW,
    "unable to open": ALLOW,
    "disk i/o": "Check the disk, or give the teacher's cache another path",
    "malformed": "It is damaged: move it away, or give the teacher's cache another path; rows that were written stay",
}
GONE = "Put it back and start again; without it, what it held is asked again"
SOUND = "TYPEOF({0}) = 'integer' AND {0} BETWEEN 0 AND 1000000000"


class Reply(NamedTuple):
    """One answer: its text, why it ended ("stop", "length" ...), and the tokens it cost; None: not known."""

    content: str
    finish_reason: str
    prompt_tokens: int | None
    completion_tokens: int | None


class StoreError(ValueError):
    """The store cannot be read or written; the message says what to do."""


class StillAsked(Exception):
    """Somebody else has been asking this question for as long as may be waited."""


def answer_key(request: dict[str, Any]) -> str:
    """sha256 of all that shapes an answer; the order of the fields does not matter, that of the messages does."""
    return hashlib.sha256(
        json.dumps(request, sort_keys=True, ensure_ascii=False).encode("utf8", "surrogatepass")
    ).hexdigest()


class AnswerStore:
    """Answers by key in SQLite; each is safe on disk before `put` returns, also from `kill -9`.

    path (str | None): the file, shared by processes if need be; None: in memory.
    RAISES (StoreError): the file is no such store. All methods: it cannot be read or written any more.
    """

    LOCK_WAIT = 30.0  # seconds for which a file that another program holds is waited for

    def __init__(self, path: str | None):
        self.path = None if path in (None, "", ":memory:") else Path(path)
        self._lock = threading.Lock()
        self._asked: set[str] = set()
        self._claimed: set[str] = set()
        self._answered = threading.Condition()
        self._owner: Owner | None = None
        self._db: sqlite3.Connection | None = None
        try:
            self._open()
        except BaseException:
            if self._db is not None:
                self._db.close()
            raise

    def get(self, key: str) -> Reply | None:
        """The answer, if there is one; a row that is none, of a file that was edited, counts as none."""
        columns = "content, finish_reason, prompt_tokens, completion_tokens"
        row = self._run(lambda db: db.execute(f"SELECT {columns} FROM answers WHERE key = ?", (key,)).fetchone())
        if row is None or not isinstance(row[0], str):
            return None
        return Reply(row[0], str(row[1] or ""), *(n if isinstance(n, int) and n >= 0 else 0 for n in row[2:]))

    def put(self, key: str, reply: Reply, model: str) -> None:
        """Keep an answer, and let go of its question."""
        row = _row_of(key, reply, model)

        def write(db: sqlite3.Connection) -> None:
            db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            db.execute("DELETE FROM claims WHERE key = ?", (key,))

        self._write(write)
        self._claimed.discard(key)

    def totals(self, model: str) -> tuple[int, int, int]:
        """Answers, prompt tokens and completion tokens of one model; what no answer can cost is left out."""
        sums = ", ".join(_sum_of(name) for name in ("prompt_tokens", "completion_tokens"))
        query = f"SELECT COUNT(*), {sums} FROM answers WHERE model = ?"
        return self._run(lambda db: db.execute(query, (model,)).fetchone())

    def begin_batch(self, token: str, keys: list[str], model: str, endpoint: str) -> None:
        """Note which questions are about to be sent together. token (str): a name of the batch."""

        def write(db: sqlite3.Connection) -> None:
            db.execute("INSERT INTO batches VALUES (?, NULL, ?, ?, 1)", (token, model, endpoint))
            db.executemany("INSERT OR REPLACE INTO batched VALUES (?, ?)", [(key, token) for key in keys])

        self._write(write)

    def name_batch(self, token: str, id: str) -> None:
        """Note what the provider calls a batch."""
        self._write(lambda db: db.execute("UPDATE batches SET id = ? WHERE token = ?", (id, token)))

    def open_batches(self, model: str, endpoint: str) -> list[tuple[str, str | None]]:
        """Token and id of the batches that were begun and have not ended."""
        query = "SELECT token, id FROM batches WHERE is_open AND (model, endpoint) = (?, ?)"
        return self._run(lambda db: db.execute(query, (model, endpoint)).fetchall())

    def batch_keys(self, token: str) -> list[str]:
        """The questions of a batch."""
        found = self._run(lambda db: db.execute("SELECT key FROM batched WHERE token = ?", (token,)).fetchall())
        return [key for (key,) in found]

    def end_batch(self, token: str, answers: list[tuple[str, Reply]], model: str) -> None:
        """Keep what a batch brought, all or nothing; its other questions are asked again."""
        rows = [_row_of(key, reply, model) for key, reply in answers]

        def write(db: sqlite3.Connection) -> None:
            db.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            left = "DELETE FROM batched WHERE token = ? AND key NOT IN (SELECT key FROM answers)"
            db.execute(left, (token,))
            db.execute("UPDATE batches SET is_open = 0 WHERE token = ?", (token,))

        self._write(write)

    def batched_tokens(self, model: str) -> tuple[int, int]:
        """Prompt and completion tokens of one model's answers that came in batches."""
        sums = ", ".join(_sum_of(name) for name in ("prompt_tokens", "completion_tokens"))
        query = f"SELECT {sums} FROM answers WHERE model = ? AND key IN (SELECT key FROM batched)"
        return self._run(lambda db: db.execute(query, (model,)).fetchone())

    @contextmanager
    def asking(self, key: str, stopping: threading.Event, patience: float) -> Iterator[Reply | None]:
        """Be the only one, of all threads and processes with this store, who asks a question.

        While another asks it, its answer is waited for; a process that died asks no longer.

        stopping (Event): ends the wait. patience (float): seconds to wait at most.
        YIELDS (Reply | None): the answer that another got meanwhile; None: ask.
        RAISES (StillAsked): the other has no answer yet.
        """
        until, pause = time.monotonic() + patience, 0.02
        while not self._take(key):
            if stopping.is_set() or time.monotonic() > until:
                raise StillAsked
            with self._answered:
                self._answered.wait(pause)
            pause = min(1.5 * pause, 0.5)
        try:
            yield self.get(key)
        finally:
            self._leave(key)

    def _take(self, key: str) -> bool:
        """Whether nobody else asks this question; then it is ours."""
        with self._answered:
            if key in self._asked:
                return False
            self._asked.add(key)
        is_ours = False
        try:
            is_ours = self.path is None or self._claim(key)
        finally:
            if not is_ours:
                self._forget(key)
        return is_ours

    def _claim(self, key: str) -> bool:
        """Write down that this process asks. What cannot be written shows here, before anything is paid for."""

        def write(db: sqlite3.Connection) -> bool:
            self._owner = self._owner or Owner(self.path)
            row = db.execute("SELECT owner FROM claims WHERE key = ?", (key,)).fetchone()
            if row is not None and row[0] != self._owner.name:
                if lives(self.path, row[0]):
                    return False
                db.execute("DELETE FROM claims WHERE owner = ?", row)
                forget(self.path, row[0])
            db.execute("INSERT OR REPLACE INTO claims VALUES (?, ?)", (key, self._owner.name))
            return True

        if is_ours := self._write(write):
            self._claimed.add(key)
        return is_ours

    def _leave(self, key: str) -> None:
        try:
            if key in self._claimed:
                self._claimed.discard(key)
                claim = (key, self._owner.name)
                self._write(lambda db: db.execute("DELETE FROM claims WHERE (key, owner) = (?, ?)", claim))
        except StoreError as error:
            logger.warning("%s", error)  # the claim ends with this process
        finally:
            self._forget(key)

    def _forget(self, key: str) -> None:
        with self._answered:
            self._asked.discard(key)
            self._answered.notify_all()

    def _open(self) -> None:
        try:
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                if self.path.exists() and not self.path.is_file():
                    raise self._error("it is no file")
            # Waits are made here, in steps: SQLite's own do not end with Ctrl-C.
            self._db = sqlite3.connect(
                self.path or ":memory:", check_same_thread=False, timeout=0.1, isolation_level=None
            )
        except (sqlite3.Error, OSError) as error:
            raise self._error(error) from None
        except ValueError as error:  # of a path that is none
            raise error if isinstance(error, StoreError) else self._error(error) from None
        self._run(self._check_tables)
        self._run(lambda db: db.execute("PRAGMA journal_mode=WAL"))
        self._run(lambda db: db.execute("PRAGMA synchronous=NORMAL"))
        for name, columns in TABLES.items():
            self._run(
                lambda db, name=name, columns=columns: db.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns})")
            )
        self._file = self._identity()

    def _check_tables(self, db: sqlite3.Connection) -> None:
        """RAISES (StoreError): the tables are another program's; nothing is written to them."""
        kinds = dict(db.execute("SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view')"))
        if kinds and "answers" not in kinds:
            raise self._error(f"it holds other tables, such as '{min(kinds)[:40]}'")
        for name in kinds.keys() & TABLES.keys():
            found = [(row[1], bool(row[5])) for row in db.execute(f"PRAGMA table_info({name})")]
            wanted = [(column.split()[0], "PRIMARY KEY" in column) for column in TABLES[name].split(", ")]
            if kinds[name] != "table" or found != wanted:
                raise self._error(f"its table '{name}' has other columns than this version writes")

    def _identity(self) -> tuple[int, int] | None:
        if self.path is None:
            return None
        found = os.stat(self.path)
        return found.st_dev, found.st_ino

    def _write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """All that `change` does, or nothing."""

        def transaction(db: sqlite3.Connection) -> T:
            if self._is_gone():
                raise self._error("the file was moved or deleted while it was in use", cure=GONE)
            db.execute("BEGIN IMMEDIATE")
            try:
                result = change(db)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            return result

        return self._run(transaction)

    def _is_gone(self) -> bool:
        """Whether what is written would go into a file that nobody finds again."""
        try:
            return self._identity() != self._file
        except OSError:
            return True

    def _run(self, call: Callable[[sqlite3.Connection], T]) -> T:
        """A call with the database, one at a time, again while another program holds the file."""
        until = time.monotonic() + self.LOCK_WAIT
        if not self._lock.acquire(timeout=self.LOCK_WAIT):
            raise self._error("it is locked")
        try:
            while True:
                try:
                    return call(self._db)
                except (sqlite3.Error, OSError) as error:
                    is_locked = isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
                    if not is_locked or time.monotonic() > until:
                        raise self._error(error) from None
                time.sleep(0.02)
        finally:
            self._lock.release()

    def _error(self, why: Any, *, cure: str | None = None) -> StoreError:
        words = " ".join(str(getattr(why, "strerror", None) or why).split())
        cure = cure or next((cure for part, cure in CURES.items() if part in words.lower()), OTHER_PATH)
        return StoreError(f"'{self.path}' cannot be used as a store of answers ({words}). {cure}.")


def _row_of(key: str, reply: Reply, model: str) -> tuple:
    content, reason = (part.encode("utf8", "replace").decode("utf8") for part in reply[:2])  # lone surrogates
    return key, content, reason, reply.prompt_tokens, reply.completion_tokens, model, time.time()


def _sum_of(name: str) -> str:
    return f"COALESCE(SUM(CASE WHEN {SOUND.format(name)} THEN {name} ELSE 0 END), 0)"


def counted(reply: Reply, prompt_tokens: int) -> Reply:
    """The answer with its tokens, estimated where the server does not count them, or not as one can."""
    n_in, n_out = reply.prompt_tokens, reply.completion_tokens
    is_silent = not (n_in or n_out)
    if n_in is None or is_silent:
        n_in = prompt_tokens
    if n_out is None or is_silent:
        n_out = len(reply.content.encode("utf8", "surrogatepass")) // 2
    return reply._replace(prompt_tokens=n_in, completion_tokens=n_out)
