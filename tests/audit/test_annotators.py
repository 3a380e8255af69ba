"""The alternative annotator test on annotators that are made up."""

import json
import random

import numpy as np
import pytest
from planted import at_random, careless, rows_of_all, write

from metaie_spacy.audit.annotators import advantages, passing, power_table, read_answers, simulated, verdict
from metaie_spacy.data.known import known_of

NAMES = ["a", "b", "c"]
EPSILON = 0.2


def shares(advantage, ties=0.3):
    return [(1 - ties + advantage) / 2, ties, (1 - ties - advantage) / 2]


def passes(advantage, size, draws, seed):
    return passing(simulated(np.random.default_rng(seed), shares(advantage), (draws, 3, size)), EPSILON).mean()


@pytest.mark.parametrize("size", [30, 100])
def test_a_model_that_is_worse_by_epsilon_passes_falsely_in_at_most_five_percent(size):
    assert passes(-EPSILON, size, 2000, seed=size) <= 0.05


def test_power_is_as_the_table_predicts():
    ties = np.array([[1.0, 1.0]] * 30 + [[1.0, 0.0]] * 35 + [[0.0, 1.0]] * 35)
    seen = [ties] * 3
    table = power_table(seen, epsilon=EPSILON, sizes=(50, 100), advantages=(0.0,), draws=1000)
    for row in table:
        measured = passes(row["advantage"], row["texts"], 1000, seed=9)
        error = np.sqrt(2 * 0.25 / 1000)  # of the difference of two shares of 1000, at most
        assert abs(measured - row["passes"]) < 4 * error
    by_size = {row["texts"]: row["passes"] for row in table if row["advantage"] == 0.0}
    assert by_size[100] > by_size[50] > 0.2


@pytest.fixture
def people(tmp_path):
    rng = random.Random(0)
    rows = rows_of_all(80)
    files = [write(tmp_path / f"{name}.jsonl", [careless(row, rng, name) for row in rows]) for name in NAMES]
    return rows, files


def test_a_model_as_careful_as_people_may_stand_in_and_one_at_random_may_not(call, people, tmp_path):
    rows, files = people
    rng = random.Random(3)
    good = write(tmp_path / "good.jsonl", [careless(row, rng, "good") for row in rows])
    bad = write(tmp_path / "bad.jsonl", [at_random(row, rng, "bad") for row in rows])
    result = call("audit", "annotators", *files, "--llm", good, "--draws", "5", "--output", tmp_path / "out.json")
    assert result.code == 0 and "good may stand in" in result.out, result.err
    told = json.loads((tmp_path / "out.json").read_text(encoding="utf8"))
    assert told["passes"] and told["winning_rate"] == 1.0 and len(told["people"]) == 3 and told["power"]
    result = call("audit", "annotators", *files, "--llm", bad, "--draws", "0")
    assert "bad may not stand in" in result.out


def test_what_a_person_was_not_asked_counts_neither_for_nor_against_the_model(people, tmp_path):
    rows, files = people
    only = write(tmp_path / "only.jsonl", [row | {"spans": row["spans"][:1], "asked": ["person"]} for row in rows])
    _, read = read_answers([only, only, only], write(tmp_path / "all.jsonl", rows))
    assert all((pairs == 1).all() and len(pairs) == len(rows) for pairs in advantages(read))


def test_texts_of_some_people_only_are_taken_as_far_as_they_go(people, tmp_path):
    rows, files = people
    part = write(tmp_path / "part.jsonl", rows[:40])
    _, read = read_answers([*files[:2], part], write(tmp_path / "llm.jsonl", rows))
    assert [len(pairs) for pairs in advantages(read)] == [80, 80, 40]


def test_two_people_are_too_few_and_other_texts_are_told(people, tmp_path):
    rows, files = people
    with pytest.raises(ValueError, match="3 people or more, not with 2"):
        read_answers(files[:2], files[2])
    other = write(tmp_path / "other.jsonl", [row | {"text": "Nobody was there.", "spans": []} for row in rows[:1]])
    with pytest.raises(ValueError, match=r"other.jsonl.*same texts"):
        read_answers(files, other)


def test_rows_of_one_text_in_one_file_become_one(people, tmp_path):
    rows, files = people
    halves = [
        row | {"spans": [span for span in row["spans"] if span["label"] in asked], "asked": asked}
        for row in rows
        for asked in (["person"], ["organization", "city"])
    ]
    twice = write(tmp_path / "twice.jsonl", [*halves, *halves[:5]])
    _, read = read_answers([twice, *files[:2]], write(tmp_path / "llm.jsonl", rows))
    assert [(row["spans"], set(row["asked"])) for row in read[0]] == [(row["spans"], set(row["asked"])) for row in rows]
    _, once = read_answers([tmp_path / "llm.jsonl", *files[:2]], tmp_path / "llm.jsonl")
    assert all((a == b).all() for a, b in zip(advantages(read), advantages(once)))


def test_what_one_row_leaves_open_is_open_for_its_own_labels(people, tmp_path):
    rows, files = people
    first = rows[0] | {"spans": [], "asked": ["person"], "unsure": [{"start": 0, "end": len(rows[0]["text"])}]}
    second = rows[0] | {"spans": [], "asked": ["person", "city"]}
    two = write(tmp_path / "two.jsonl", [first, second])
    _, read = read_answers([two, *files[:2]], write(tmp_path / "llm.jsonl", rows))
    known = known_of(read[0][0])
    assert [known.decides((0, 2, label)) for label in ("person", "city", "organization")] == [False, True, False]


def test_rows_of_one_text_that_contradict_each_other_are_refused_with_their_lines(people, tmp_path):
    rows, files = people
    other = rows[7] | {"id": "again", "spans": rows[7]["spans"][1:]}
    path = tmp_path / "two.jsonl"
    path.write_text("\n\n".join(map(json.dumps, [*rows, other])), encoding="utf8")  # a blank line after each
    for people in ([path, *files[:2]], files):
        with pytest.raises(
            ValueError,
            match=r"two.jsonl', lines 15 and 161:.*asked for 'person', and line 15 alone.*a file of their own",
        ):
            read_answers(people, path)
    unlike = {"asked": ["city"], "spans": [span for span in other["spans"] if span["label"] == "city"]}
    write(path, [*rows, other | unlike])
    assert len(read_answers([path, *files[:2]], files[2])[1][0]) == len(rows), (
        "what it was not asked is no contradiction"
    )


def test_of_the_answers_of_a_reviewer_the_last_one_stands(people, tmp_path):
    rows, files = people
    signed = [row | {"answer": "edit", "reviewer": "ada"} for row in rows]
    answers = write(tmp_path / "answers.jsonl", [signed[0] | {"spans": []}, *signed])
    _, read = read_answers([answers, *files[:2]], write(tmp_path / "llm.jsonl", rows))
    assert [row["spans"] for row in read[0]] == [row["spans"] for row in rows]
    write(answers, [signed[0] | {"spans": [], "reviewer": "ben"}, *signed])
    with pytest.raises(ValueError, match="lines 1 and 2.*a file of their own"):
        read_answers([answers, *files[:2]], tmp_path / "llm.jsonl")


def test_one_text_on_which_all_agree_lets_no_model_stand_in():
    result = verdict(NAMES, [np.array([[1.0, 1.0]])] * 3)
    assert not result["passes"] and [one["p"] for one in result["people"]] == [1.0] * 3
