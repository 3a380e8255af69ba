"""Processes that ask questions: whether one still lives, by a file lock, which the system takes from the dead."""

import os
import re
import uuid
import weakref
from pathlib import Path
from typing import Any


class Owner:
    """This process in the eyes of others, as long as it lives or this object does.

    store (Path): the file of the answers; an empty file beside it carries the lock.
    RAISES (OSError): no lock can be had there.
    """

    def __init__(self, store: Path):
        from filelock import FileLock

        self.name = uuid.uuid4().hex
        path = _path(store, self.name)
        lock = FileLock(path, timeout=0, thread_local=False)
        lock.acquire()
        weakref.finalize(self, _release, lock, path, os.getpid())


def lives(store: Path, name: str) -> bool:
    """Whether the process of this name lives."""
    from filelock import FileLock, Timeout

    if not _is_name(name) or not (path := _path(store, name)).exists():  # it is there as long as there are claims
        return False
    lock = FileLock(path, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return True
    lock.release()
    return False


def forget(store: Path, name: str) -> None:
    """Take away what a dead process left."""
    if _is_name(name):
        _path(store, name).unlink(missing_ok=True)


def _release(lock: Any, path: Path, pid: int) -> None:
    if os.getpid() == pid:  # a fork shares the lock, and does not own it
        lock.release()
        path.unlink(missing_ok=True)


def _is_name(name: Any) -> bool:
    """Names are read from a file that others write; none may lead to another path."""
    return isinstance(name, str) and re.fullmatch("[0-9a-f]{32}", name) is not None


def _path(store: Path, name: str) -> Path:
    return store.with_name(f"{store.name}.{name}.asking")
