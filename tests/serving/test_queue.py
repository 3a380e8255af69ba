"""What waits for the worker: fair batches, limits, and the parts of long texts."""

from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaie_spacy.serving.limits import Limits, Refusal
from metaie_spacy.serving.metrics import Metrics
from metaie_spacy.serving.parts import Found, cut, joined
from metaie_spacy.serving.queue import SLICE, TEXTS, Entry, Queue
from metaie_spacy.serving.worker import Worker

SENTENCE = "Ada Lovelace met Charles Babbage in London. "


def entry(*texts, wordings=2, n_links=0, answers=None):
    return Entry("m", {}, ["P"], list(texts), wordings, n_links, (answers if answers is not None else []).append)


def read(jobs, answer=None):
    for job in jobs:
        job.entry.close(job, answer or Found([], None, [], ["P"]))


def queue(**limits):
    return Queue(Limits(**limits), delay=0.0)


@given(st.text("ab .\n。", max_size=300), st.integers(10, 60))
def test_parts_of_a_text_are_all_of_it_and_none_is_too_long(text, size):
    parts = cut(text, size)
    assert "".join(part for _, part in parts) == text
    assert all(text.startswith(part, start) and len(part) <= size for start, part in parts)


@pytest.mark.parametrize("border", ["\n\n", "\n", ". ", "。", " "])
def test_a_part_ends_at_the_best_border_of_its_second_half(border):
    text = "x" * 60 + border + "y" * 60
    assert [part for _, part in cut(text, 100)] == ["x" * 60 + border, "y" * 60]


def test_answers_of_parts_have_their_places_in_the_text_and_links_their_spans():
    person = {"start": 0, "end": 3, "text": "Ada", "label": "P", "score": 0.9}
    record = {"record": "P", **person, "fields": {"employer": [{"start": 9, "end": 12}], "mood": "good"}}
    links = [{"head": 0, "label": "employer", "tail": 1}]
    part = Found([person, {**person, "start": 9, "end": 12}], links, [record], ["P"])
    found = joined([(0, part), (100, part)], ["P"])
    assert [span["start"] for span in found["spans"]] == [0, 9, 100, 109]
    assert [(link["head"], link["tail"]) for link in found["links"]] == [(0, 1), (2, 3)]
    moved = found["records"][1]
    assert moved["start"] == 100 and moved["fields"] == {"employer": [{"start": 109, "end": 112}], "mood": "good"}
    assert joined([(0, Found([], None, [], ["P"]))], ["P"]) == {"spans": []}, "no links were asked"


def test_what_was_asked_of_any_part_was_asked_of_the_text():
    names = ["A", "below A", "B", "below B"]

    def parts(*asked):
        return [(100 * i, Found([], None, [], one)) for i, one in enumerate(asked)]

    assert joined(parts(["A", "B"]), names) == {"spans": [], "asked": ["A", "B"]}
    assert joined(parts(["A", "B"], ["A", "B", "below B"]), names)["asked"] == ["A", "B", "below B"]
    assert joined(parts(["A", "below A", "B"], ["A", "B", "below B"]), names) == {"spans": []}, "all were"
    assert joined(parts(None), names) == {"spans": []}, "another component wrote the spans"


def test_a_giant_text_gives_a_part_to_each_batch_and_the_short_ones_go_along():
    waiting, giant = queue(), entry(SENTENCE * 1000)
    waiting.add(giant)
    assert len(giant.waiting) > 10
    for _ in range(3):
        short = [entry("Ada.") for _ in range(5)]
        for one in short:
            waiting.add(one)
        batch = waiting.take()
        assert {id(job.entry) for job in batch} == {*map(id, short), id(giant)}
        assert sum(len(job.text) for job in batch if job.entry is giant) <= SLICE
        read(batch)


def test_giant_texts_take_turns():
    waiting, giants = queue(), [entry(SENTENCE * 1000) for _ in range(3)]
    for giant in giants:
        waiting.add(giant)
    served = [waiting.take()[0].entry for _ in range(6)]
    assert served[:3] == giants and served[3:] == giants


def test_what_is_asked_of_a_text_makes_its_parts_smaller():
    few, many = entry(SENTENCE * 1000), entry(SENTENCE * 1000, wordings=200)
    assert max(len(part) for _, part in many.parts[0]) < max(len(part) for _, part in few.parts[0])
    assert entry(SENTENCE * 30, wordings=200).is_long and not entry(SENTENCE * 30).is_long


def test_many_short_texts_of_one_request_are_long():
    assert entry(*["Ada."] * (TEXTS + 1)).is_long and not entry(*["Ada."] * TEXTS).is_long


def test_an_answer_comes_once_with_all_parts_in_order():
    waiting, answers = queue(), []
    waiting.add(entry(SENTENCE * 300, "Ada.", answers=answers))
    while not answers:
        batch = waiting.take()
        for job in reversed(batch):
            span = {"start": 0, "end": 3, "text": job.text[:3], "label": "P", "score": 1.0}
            job.entry.close(job, Found([span], None, [], ["P"]))
    ((first, second),) = answers
    starts = [span["start"] for span in first["spans"]]
    assert len(starts) > 2 and starts == sorted(starts) and [span["start"] for span in second["spans"]] == [0]


def test_a_part_that_fails_answers_the_request_once():
    waiting, answers = queue(), []
    waiting.add(entry(SENTENCE * 300, answers=answers))
    read(waiting.take(), Refusal(422, "refused", "no"))
    waiting.close()
    read(waiting.take())
    assert [answer.code for answer in answers] == ["refused"]


def test_a_request_that_nobody_waits_for_is_not_read_on():
    waiting, giant, short = queue(), entry(SENTENCE * 1000), entry("Ada.")
    waiting.add(giant)
    waiting.take()
    waiting.drop(giant)
    waiting.add(short)
    assert [job.entry for job in waiting.take()] == [short] and waiting.waiting == 1


def test_too_many_requests_are_refused_with_the_limit_and_when_to_come_again():
    waiting = queue(waiting=2)
    first, second = entry("Ada."), entry("Bob.")
    waiting.add(first)
    waiting.add(second)
    with pytest.raises(Refusal, match="2 requests wait, which is the limit") as refused:
        waiting.add(entry("Cy."))
    assert refused.value.status == 429 and refused.value.retry_after
    waiting.drop(first)
    waiting.add(entry("Cy."))


def test_long_requests_are_refused_while_short_ones_are_still_taken():
    waiting = queue(waiting_characters=10_000)
    waiting.add(entry(SENTENCE * 200))
    with pytest.raises(Refusal, match="the limit of 10000 is passed"):
        waiting.add(entry(SENTENCE * 200))
    waiting.add(entry("Ada."))


def test_a_closed_queue_hands_out_what_waits_and_takes_no_more():
    waiting, taken = queue(), []
    waiting.add(entry("Ada."))
    waiting.close()
    with pytest.raises(Refusal, match="The server stops") as refused:
        waiting.add(entry("Bob."))
    assert refused.value.status == 503

    def work():
        while batch := waiting.take():
            taken.extend(batch)

    thread = Thread(target=work)
    thread.start()
    thread.join(60)
    assert not thread.is_alive() and [job.text for job in taken] == ["Ada."]


class Failing:
    """A model whose reading fails, with the text in the message."""

    def read(self, asked):
        for text, _ in asked:
            try:
                raise RuntimeError(f"cannot read {text}")
            except RuntimeError as error:
                yield error


def test_a_failure_is_logged_with_its_place_and_without_the_text(caplog):
    answers, own = [], queue()
    worker = Worker(own, {"m": Failing()}, Metrics())
    worker.start()
    own.add(entry(SENTENCE, answers=answers))
    worker.stop()
    assert isinstance(answers[0], Refusal) and answers[0].status == 500
    assert "RuntimeError" in caplog.text and __file__ in caplog.text and "Babbage" not in caplog.text
