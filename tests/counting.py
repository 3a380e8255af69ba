"""How the work of a function grows with its input: counted in lines of Python that run, or in bytes, never in seconds."""

import sys
import tracemalloc


def steps(run, *args):
    """How many lines of Python a call runs. What is raised is passed over: an input may be refused."""
    count = 0

    def line(frame, event, arg):
        nonlocal count
        count += event == "line"
        return line

    before = sys.gettrace()
    sys.settrace(line)
    try:
        run(*args)
    except ValueError:
        pass
    finally:
        sys.settrace(before)
    return count


def peak(run, *args):
    """How many bytes a call holds at most, beyond those held before it."""
    tracemalloc.start()
    try:
        run(*args)
    except ValueError:
        pass
    finally:
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return most


def assert_grows_evenly(run, size, *, count=steps, most=2.5):
    """A call on an input of twice the size takes at most `most` times as much: 2 would be even, 4 is the square."""
    counts = [count(run, size * factor) for factor in (1, 2, 4)]
    assert counts[0] > 0, "nothing was counted"
    growth = [after / before for before, after in zip(counts, counts[1:])]
    assert max(growth) <= most, f"{counts}: {growth}"
