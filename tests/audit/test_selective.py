"""A band keeps its promise on scores that are made up, travels with the pipeline, and shows where it misses."""

import json

import numpy as np
import pytest
import spacy
from helpers import CORPUS
from spacy.tokens import DocBin

from metaie_spacy.audit.selective import aurc, fit_band
from metaie_spacy.bands import Band, check_band
from metaie_spacy.data.jsonl import write_jsonl
from metaie_spacy.data.rows import read_rows


def made_up(rng, n):
    """Scores, and whether spans are right: somewhat less often than their scores say."""
    scores = rng.beta(2, 1, n)
    return scores, rng.random(n) < scores**1.5


def precision_above(cut):
    """The true precision of spans that score at least a cut: the mean of score^1.5 there, by a fine sum."""
    x = np.linspace(cut, 1, 20_001)
    density = 2 * x  # Beta(2, 1)
    return float((density * x**1.5).sum() / density.sum())


@pytest.mark.parametrize("precision", [0.8, 0.9])
def test_a_fitted_band_holds_its_precision_with_the_stated_confidence(precision):
    rng = np.random.default_rng(0)
    missed = given = 0
    for _ in range(150):
        scores, correct = made_up(rng, 2000)
        band = fit_band(scores, correct, [str(i % 20) for i in range(2000)], precision=precision)
        given += band.accept is not None
        missed += band.accept is not None and precision_above(band.accept) < precision
    assert missed / 150 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 150)
    assert given > 110  # it promises something


def test_nothing_is_accepted_where_nothing_can_be_promised():
    rng = np.random.default_rng(1)
    scores = rng.random(500)
    band = fit_band(scores, rng.random(500) < 0.5, ["x"] * 500)
    assert band.of("x")[0] is None and band.is_unsure("x", 1.0)
    few = fit_band(scores[:20], np.ones(20, dtype=bool), ["x"] * 20)
    assert few.accept is None


def test_labels_with_enough_spans_have_a_band_of_their_own():
    rng = np.random.default_rng(2)
    scores = rng.random(1200)
    labels = ["good"] * 600 + ["bad"] * 600
    correct = np.where(np.arange(1200) < 600, rng.random(1200) < 0.98, rng.random(1200) < 0.3)
    band = fit_band(scores, correct, labels)
    assert band.of("good")[0] < 0.5 and band.of("bad")[0] is None


def test_the_area_under_risk_and_coverage_is_small_where_scores_rank_well():
    correct = np.array([True] * 80 + [False] * 20)
    scores = np.linspace(1, 0, 100)
    assert aurc(scores, correct) < aurc(np.zeros(100), correct) < aurc(-scores, correct)
    assert aurc(scores[:80], correct[:80]) == 0.0 and aurc(scores[:0], correct[:0]) is None


def test_a_band_drops_and_marks_spans_and_travels_with_pipeline_and_docs(tmp_path):
    nlp = spacy.load("en_metaie_sm")
    pipe = nlp.get_pipe("metaie")
    pipe.labels = ["person", "city"]
    pipe.threshold = 0.01
    text = "Ada Lovelace met Charles Babbage in London, near Paris."
    doc = nlp(text)
    scores = sorted(doc.spans["metaie"].attrs["scores"].tolist())
    assert len(scores) > 3 and doc._.metaie_unsure == []
    pipe.band = {"accept": (scores[-2] + scores[-1]) / 2, "drop": (scores[0] + scores[1]) / 2}
    marked = nlp(text)
    assert len(marked.spans["metaie"]) == len(scores) - 1 and len(marked._.metaie_unsure) == len(scores) - 2
    pipe.band = {"accept": None, "drop": 0.0, "labels": {"city": [0.0, 0.0]}}
    assert {span.label_ for span in nlp(text)._.metaie_unsure} == {"person"}
    nlp.to_disk(tmp_path / "saved")
    again = spacy.load(tmp_path / "saved")
    assert again.get_pipe("metaie").band == pipe.band
    (back,) = DocBin(docs=[again(text)], store_user_data=True).get_docs(again.vocab)
    assert [span.text for span in back._.metaie_unsure] == [span.text for span in nlp(text)._.metaie_unsure]
    pipe.calibrate(1.0, 0.0, 0.5, 0.5)
    assert pipe.band is None


@pytest.mark.parametrize(
    "value",
    [
        {"accept": 2, "drop": 0},
        {"accept": 0.5},
        [1],
        {"accept": 0.5, "drop": 0.1, "labels": {"a": 1}},
        {"accept": 0.2, "drop": 0.5},
        {"accept": 0.5, "drop": 0.1, "labels": {"a": [0.2, 0.5]}},
    ],
)
def test_what_is_no_band_is_refused(value):
    with pytest.raises(ValueError, match="band"):
        check_band(value)
    assert check_band(None) is None and check_band({"accept": 0.5, "drop": 0.1}) == Band(0.5, 0.1)


def test_a_band_is_fitted_on_the_command_line_and_a_foreign_domain_is_shown(call, tmp_path):
    rows = list(read_rows(CORPUS))
    own = [row for row in rows if row.get("kind") == "schema"][:120]
    write_jsonl(tmp_path / "own.jsonl", own)
    write_jsonl(tmp_path / "foreign.jsonl", [row for row in rows if row.get("kind") == "open"][:15])
    result = call(
        "audit", "selective", "en_metaie_sm", tmp_path / "own.jsonl", "--foreign", tmp_path / "foreign.jsonl",
        "--precision", "0.7", "--output", tmp_path / "pipeline", "--report", tmp_path / "report",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert "foreign.jsonl" in result.out
    report = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf8"))
    assert [{"accept", "ask", "drop"} <= set(one) for one in report["shown"]] == [True, True]
    assert sum(report["shown"][0][key] for key in ("accept", "ask", "drop")) == pytest.approx(1)
    assert spacy.load(tmp_path / "pipeline").get_pipe("metaie").band == report["band"]
