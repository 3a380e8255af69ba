"""How the work of a function grows with its input: counted in lines of Python that run, or in bytes, never in seconds."""

import re
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


def pattern_steps(pattern, text, how, budget=10**6):
    """How many parts of a pattern are tried on a text when every way back is tried, as `re` does it.

    how (str): "match", "fullmatch" or "finditer". RAISES (AssertionError): more than a budget.
    """
    tried = _Tried(pattern, text, budget)
    at = 0
    while at <= len(text):
        ends = tried.sequence(tried.parts, 0, at)
        end = next((end for end in ends if how != "fullmatch" or end == len(text)), None)
        if how != "finditer":
            break
        at = at + 1 if end is None or end == at else end
    return tried.count


class _Tried:
    """A pattern's parts, tried one after another; what has one width is left to `re`, and counted as one step."""

    def __init__(self, pattern, text, budget):
        self.parts, self.text, self.budget, self.count = (
            re._parser.parse(pattern.pattern, pattern.flags),
            text,
            budget,
            0,
        )
        self.state, self.single = self.parts.state, {}

    def sequence(self, parts, number, at):
        """Every end that the parts from a number on have, when they begin at an offset."""
        if number == len(parts):
            yield at
            return
        for end in self.one(parts[number], at):
            yield from self.sequence(parts, number + 1, end)

    def one(self, part, at):
        self.count += 1
        assert self.count <= self.budget, f"more than {self.budget} steps on {self.text[:20]!r}..."
        name, value = str(part[0]), part[1]
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            yield from self.repeat(*value, at, name)
        elif name == "SUBPATTERN":
            yield from self.sequence(value[3], 0, at)
        elif name == "BRANCH":
            for branch in value[1]:
                yield from self.sequence(branch, 0, at)
        elif name in ("ASSERT", "ASSERT_NOT") and value[0] > 0:
            if (next(self.sequence(value[1], 0, at), None) is not None) == (name == "ASSERT"):
                yield at
        elif name == "GROUPREF":
            yield from range(at, len(self.text) + 1)  # whatever it stands for
        elif match := self.compiled(part).match(self.text, at):
            yield match.end()

    def repeat(self, least, most, body, at, name):
        """The ends of a repetition: the longest first, or the shortest."""
        if len(body) == 1 and str(body[0][0]) in ("LITERAL", "NOT_LITERAL", "ANY", "IN", "CATEGORY"):
            number, match = 0, self.compiled(body[0]).match
            ends = [at] if least == 0 else []
            while number < most and at < len(self.text) and match(self.text, at):
                self.count, number, at = self.count + 1, number + 1, at + 1
                ends += [at] if number >= least else []
            yield from ends[::-1][: 1 if name == "POSSESSIVE_REPEAT" else None] if name != "MIN_REPEAT" else ends
            return
        stack = [(at, self.sequence(body, 0, at) if most else iter(()))]
        if name == "MIN_REPEAT" and least == 0:
            yield at
        while stack:
            begin, ends = stack[-1]
            end = next(ends, None)
            if end is None or end == begin:
                stack.pop()
                if len(stack) >= least and name != "MIN_REPEAT":
                    yield begin
                    if name == "POSSESSIVE_REPEAT":
                        return
                continue
            if name == "MIN_REPEAT" and len(stack) >= least:
                yield end
            stack.append((end, self.sequence(body, 0, end) if len(stack) < most else iter(())))

    def compiled(self, part):
        key = repr(part)
        if key not in self.single:
            self.single[key] = re._compiler.compile(re._parser.SubPattern(self.state, [part]), self.state.flags)
        return self.single[key]
