"""No regular expression of the package takes the square of its input, or worse: the ways that it tries are counted."""

import re
import sys
from pathlib import Path

import pytest
from counting import pattern_steps

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.lib.patterns import UNITS, patterns_of_package  # noqa: E402

PATTERNS = patterns_of_package()
HEADS, TAIL = ("", "- "), "\0"
SHORT = 30  # characters


def fastest_growth(pattern, how):
    """How many times as many steps twice the input takes, at most, and on what."""
    worst = 0.0, ""
    for head in HEADS:
        for unit in UNITS:
            texts = [head + unit * (SHORT * n // len(unit)) + TAIL for n in (1, 2, 4)]
            if pattern_steps(pattern, texts[2], how, 10**5) > 20 * len(texts[2]):
                counts = [pattern_steps(pattern, text, how) for text in texts]
                worst = max(worst, (counts[2] / counts[1], texts[2][:20]))
    return worst


@pytest.mark.parametrize("used", PATTERNS, ids=lambda used: used.place)
def test_a_pattern_tries_ways_that_grow_with_its_input(used):
    growth, text = fastest_growth(used.pattern, used.how)
    assert growth <= 2.5, f"twice {text!r}... takes {growth:.1f} times as many steps"


@pytest.mark.parametrize(
    "pattern, how", [(r"\s+:", "finditer"), (r"a*a*b", "match"), (r"(?:a+)+b", "match"), (r"(?:a|a)*b", "match"), (r"-.*x", "finditer")]
)  # fmt: skip
def test_a_pattern_that_takes_the_square_or_more_is_told(pattern, how):
    try:
        growth, _ = fastest_growth(re.compile(pattern), how)
    except AssertionError:
        return  # steps without end
    assert growth > 2.5


def test_the_patterns_of_the_package_are_found():
    places = {used.place for used in PATTERNS}
    assert {"teacher.reply.parse.SEPARATOR.finditer", "curate.label_names.CAMEL.fullmatch"} <= places
    assert any(place.startswith("teacher.rounds:") for place in places) and len(places) > 30
