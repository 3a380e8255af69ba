"""Threads that nobody has to wait for."""

from concurrent.futures import Future, wait
from queue import SimpleQueue
from threading import Thread
from typing import Any, Callable, Iterable

GRACE = 3.0  # seconds after Ctrl-C in which an answer that is on its way, and paid for, may still arrive


class DaemonPool:
    """Runs calls in threads, as ThreadPoolExecutor does, whose threads the end of a block and of the program wait for.

    Here neither waits: a request that hangs does not hold up Ctrl-C.

    size (int): threads, made when they are needed.
    """

    def __init__(self, size: int):
        self._size, self._threads, self._calls = size, 0, SimpleQueue()

    def submit(self, call: Callable, *args: Any) -> Future:
        """RETURNS (Future): takes what the call gives or raises."""
        future: Future = Future()
        self._calls.put((future, call, args))
        if self._threads < self._size:
            self._threads += 1
            Thread(target=self._work, name=f"teacher_{self._threads}", daemon=True).start()
        return future

    def __enter__(self) -> "DaemonPool":
        return self

    def __exit__(self, *error: Any) -> None:
        """Let the threads end when they have done what they do."""
        for _ in range(self._threads):
            self._calls.put(None)

    def _work(self) -> None:
        while (task := self._calls.get()) is not None:
            future, call, args = task
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = call(*args)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
                del result
            del task, future, call, args  # a thread that waits keeps nothing alive


def drain(futures: Iterable[Future], error: BaseException) -> set[Future]:
    """Cancel the calls that have not begun, and wait for the others: after Ctrl-C for a moment, else to their end.

    error (BaseException): why the run ends. RETURNS (set[Future]): those that have given an answer, or an error.
    """
    futures = list(futures)
    running = [future for future in futures if not future.cancel()]
    is_left_by_user = isinstance(error, (KeyboardInterrupt, GeneratorExit))
    return wait(running, timeout=GRACE if is_left_by_user else None).done
