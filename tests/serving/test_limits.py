"""What of a request is looked at before it waits, in a time that grows with it."""

import time

import pytest

from metaie_spacy.serving.asking import wanted
from metaie_spacy.serving.bodies import Extract
from metaie_spacy.serving.limits import Limits, Refusal


def ask(text):
    return wanted(Extract(text=text, labels=["person"]), {"model": None}, {}, Limits())


def test_stretches_just_below_the_limit_do_not_hold_the_server_up():
    began = time.process_time()
    assert ask(("x" * 19_999 + " ") * 10).texts
    assert time.process_time() - began < 1


def test_a_stretch_beyond_the_limit_is_refused_with_its_place():
    assert ask("a b " + "x" * 20_000).texts
    with pytest.raises(Refusal, match="more than 20000 characters without white space, from character 4 on"):
        ask("a b " + "x" * 20_001)
