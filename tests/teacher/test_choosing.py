"""Texts are chosen as the strategies say, on states and scores that are made up and with the packaged model."""

import json

import numpy as np
import pytest
import spacy

from metaie_spacy.teacher.choosing import STRATEGIES, Read, choose, doubts, picks


def pool(n_often=180, n_rare=20, seed=0):
    """Two kinds of text far apart, one of them rare; the doubt is greatest in one text of each kind."""
    rng = np.random.default_rng(seed)
    states = np.concatenate([rng.normal((5, 0), 0.3, (n_often, 2)), rng.normal((0, 5), 0.3, (n_rare, 2))])
    scores = [{"person": [0.95]} for _ in range(n_often + n_rare)]
    scores[7], scores[-3] = {"person": [0.5, 0.5]}, {"person": [0.5]}
    return Read(states.astype("float32"), scores)


def test_density_takes_rare_texts_more_often_than_chance():
    drawn = [picks(pool(), 40, "density", np.random.default_rng(seed)) for seed in range(20)]
    rare = np.mean([sum(i >= 180 for i in one) for one in drawn])
    assert rare > 2 * 40 * 20 / 200 and all(len(set(one)) == 40 for one in drawn)


def test_clusters_take_both_kinds_and_mixed_the_most_doubtful_of_each():
    near = picks(pool(), 2, "cluster", np.random.default_rng(0))
    assert sorted(i >= 180 for i in near) == [False, True]
    assert set(picks(pool(), 2, "mixed", np.random.default_rng(0))) == {7, 197}
    assert picks(pool(), 2, "doubt", np.random.default_rng(0)) == [7, 197]


def test_doubt_counts_every_label_alike():
    scores = [{"often": [0.5] * 5}, {"often": [0.5] * 5}, {"rare": [0.6]}, {"often": [0.99]}]
    assert np.argmax(doubts(scores)) == 2


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_strategy_chooses_the_same_texts_whatever_their_order(strategy):
    nlp = spacy.load("en_metaie_sm")
    rows = [{"id": str(i), "text": f"{name} went to {city} on day {i}."} for i, (name, city) in enumerate(
        zip(["Ada", "Ben", "Cy", "Dee", "Eve", "Flo"], ["Oslo", "Rome", "Lagos", "Turin", "Paris", "Bonn"]))]  # fmt: skip
    one = choose(rows, nlp, ["person", "city"], 3, strategy)
    other = choose(rows[::-1], nlp, ["person", "city"], 3, strategy)
    assert one == other and len({row["id"] for row in one}) == 3
    assert all(row["meta"]["chosen"] == strategy for row in one)


def test_a_strategy_on_the_command_line(call, tmp_path):
    path = tmp_path / "pool.jsonl"
    path.write_text("\n".join(json.dumps({"id": str(i), "text": f"Ada met Ben {i} times."}) for i in range(6)))
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps({"labels": {"person": 3}}))
    args = ["select", path, tmp_path / "out.jsonl", "--student", "en_metaie_sm", "--labels", labels, "--count", "2"]
    assert call(*args, "--strategy", "mixed").code == 0
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2
    assert call(*args).code == 0
    assert {json.loads(line)["meta"]["chosen"] for line in (tmp_path / "out.jsonl").read_text().splitlines()} == {
        "doubt"
    }
    assert "nearest" in call(*args, "--strategy", "nearest").err
    assert "either" in call(*args, "--strategy", "mixed", "--other", "en_metaie_sm").err
