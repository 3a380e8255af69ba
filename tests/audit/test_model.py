"""The audit of a model finds for whom it fails; names are swapped with exact offsets."""

import json
import random

import pytest
import spacy
from helpers import CORPUS
from planted import LABELS, row_of, rows_of_all, write
from spacy.language import Language
from spacy.tokens import SpanGroup

from metaie_spacy.audit.answers import Answered, answer
from metaie_spacy.audit.counterfactual import distracted, name_swaps, other_wordings
from metaie_spacy.audit.slices import calibration, slices
from metaie_spacy.curate.names import GENDERS, PERSON, make_name, origin_of, read_names, swap_names, swapped
from metaie_spacy.data.known import known_of
from metaie_spacy.data.rows import check_row, places, read_rows


class Reader:
    """Finds the words that it is taught for each label; misses a share of the names of one origin."""

    spans_key = "metaie"

    def __init__(self, name, answers, misses=None, share=0.0):
        self.name, self.answers, self.misses, self.share = name, answers, misses, share

    def __call__(self, doc):
        ask = doc.user_data.pop(("metaie_labels", self.name))
        asked = list(ask["labels"] if isinstance(ask, dict) and "labels" in ask else ask)
        spans = []
        for words, label in self.answers:
            start = doc.text.find(words)
            if start < 0 or label not in asked:
                continue
            if origin_of(words) != self.misses or random.Random(doc.text).random() >= self.share:
                span = doc.char_span(start, start + len(words), label, alignment_mode="expand")
                spans.append(span)
        doc.spans["metaie"] = SpanGroup(
            doc, name="metaie", spans=spans, attrs={"scores": [0.9] * len(spans), "asked": asked}
        )
        return doc


@pytest.fixture
def reader():
    names = {
        (make_name(origin, gender, number).full, "person")
        for origin in read_names()
        for gender in GENDERS
        for number in range(96)
    }

    def make(misses=None, share=0.0):
        answers = [*sorted(names, key=lambda pair: -len(pair[0]))]
        Language.factory("audit_reader", func=lambda nlp, name: Reader(name, answers, misses, share))
        nlp = spacy.blank("en")
        nlp.add_pipe("audit_reader", name="metaie")
        return nlp

    return make


@pytest.mark.parametrize(
    "name", ["San Diego", "San Diego Chargers", "the English Club of San Diego", "Half Moon resort", "Moon", ""]
)
def test_a_place_is_no_name_for_one_of_its_words(name):
    assert origin_of(name) is None


@pytest.mark.parametrize("name, origin", [("Diego", "Spanish"), ("Choi Hye-jin", "Korean"), ("Robert Kang", None)])
def test_a_name_tells_its_origin_by_its_first_word_or_its_family(name, origin):
    assert origin_of(name) == (origin or "Korean")


def test_names_are_swapped_with_exact_offsets_in_every_row_of_the_corpus():
    done = 0
    for number, row in enumerate(read_rows(CORPUS)):
        origin, gender = list(read_names())[number % 12], GENDERS[number % 2]
        new = swapped(row, origin, gender, number)
        if new is None:
            continue
        done += 1
        check_row(new)
        assert len(new["spans"]) == len(row["spans"])
        before = [(row["text"][s:e], label) for s, e, label in places(row)]
        after = [(new["text"][s:e], label) for s, e, label in places(new)]
        people = {words: other for (words, label), (other, _) in zip(before, after) if label in PERSON}
        for (words, label), (other, _) in zip(before, after):
            if words not in people and not any(name in words for name in people):
                assert other == words, (row["id"], label)
    assert done > 500


def test_a_name_of_which_a_part_is_a_span_or_a_label_is_swapped_everywhere_or_nowhere():
    text = "Ada Lovelace wrote to Babbage. Lovelace's notes were long; Lovelaces are many."
    row = {"id": "1", "text": text, "asked": ["person", "notes of Ada Lovelace"], "links": []}
    row["spans"] = [
        {"start": 0, "end": 12, "label": "person"},
        {"start": 22, "end": 29, "label": "person"},
        {"start": 31, "end": 39, "label": "person"},
        {"start": 31, "end": 47, "label": "notes of Ada Lovelace"},
    ]
    new = swap_names(row, {"Ada Lovelace": "Zhang Wei", "Lovelace": "Zhang", "Babbage": "Kofi Adjei"})
    assert new["text"] == "Zhang Wei wrote to Kofi Adjei. Zhang's notes were long; Lovelaces are many."
    assert [new["text"][s:e] for s, e, _ in places(new)] == ["Zhang Wei", "Kofi Adjei", "Zhang", "Zhang's notes"]
    assert new["asked"] == ["person", "notes of Zhang Wei"] and new["spans"][3]["label"] == "notes of Zhang Wei"
    inside = row | {"spans": [*row["spans"], {"start": 4, "end": 12, "label": "surname"}]}
    assert swap_names(inside, {"Ada Lovelace": "Zhang Wei"}) is None


def test_names_have_the_forms_of_their_origins():
    made = {origin: [make_name(origin, gender, n) for gender in GENDERS for n in range(8)] for origin in read_names()}
    assert all(name.full == name.short for name in made["Indonesian"])
    assert any(" bin " in name.full for name in made["Malay"]) and any(" binti " in name.full for name in made["Malay"])
    assert all(name.full.startswith(name.short + " ") for name in made["Chinese"])
    assert all(name.full.endswith(" " + name.short) for name in made["English"])
    assert any(" von " in name.full for name in made["German"])


def test_a_reader_that_misses_names_of_one_origin_is_found_out_by_swaps(reader):
    rows = [row_of(i, "English") for i in range(80)]
    found = name_swaps(reader("Yoruba", 0.4), rows)
    assert found["rows"] == 80 and len(found["cells"]) == 24
    assert {cell["origin"] for cell in found["cells"] if cell["is_found"] and cell["gap"] < 0} == {"Yoruba"}
    assert {cell["origin"] for cell in found["cells"][:2]} == {"Yoruba"}
    worst = found["cells"][0]
    assert worst["low"] <= worst["gap"] <= worst["high"] < 0


def test_a_reader_that_misses_nobody_has_no_gap(reader):
    found = name_swaps(reader(), [row_of(i, "English") for i in range(30)])
    assert found["recall"] == 1.0 and not any(cell["is_found"] for cell in found["cells"])
    assert found["genders"]["gap"] == 0.0


def answered_by_chance(rows, rate, seed=0, score=0.9):
    """Rows of which each span is found at a rate that depends on row and span."""
    rng = random.Random(seed)
    return [
        Answered(row, known_of(row), {spot: score for spot in places(row) if rng.random() < rate(row, spot)})
        for row in rows
    ]


def test_slices_rank_a_planted_gap_first_and_show_small_cells_untested():
    rows = rows_of_all(720)
    rng = random.Random(3)
    for row in rows:
        row["source"] = "mail" if rng.random() < 0.25 else "news"
    found = slices(answered_by_chance(rows, lambda row, spot: 0.5 if row["source"] == "mail" else 0.9))
    assert (found[0]["trait"], found[0]["is_found"]) == ("domain", True)
    assert {one["trait"] for one in found if one.get("is_found")} == {"domain"}
    few = slices(answered_by_chance(rows[:30], lambda row, spot: 0.9))
    origins = [one for one in few if one["trait"] == "origin of the name" and one["value"] != "not known"]
    assert origins and all(one["p"] is None and one["spans"] < 30 for one in origins)


def test_no_gap_is_found_where_none_is_in_most_samples():
    rows = rows_of_all(240)
    wrong = sum(
        any(one.get("is_found") for one in slices(answered_by_chance(rows, lambda row, spot: 0.8, seed)))
        for seed in range(20)
    )
    assert wrong <= 2


def test_labels_that_a_row_was_not_asked_are_in_no_slice():
    row = row_of(0, "English") | {"asked": ["person"]}
    known = known_of(row)
    assert {label for _, _, label in known.spans} == {"person"}
    found = answer_with_everything(row, known)
    assert {spot[2] for spot in found.found} == {"person"}


def answer_with_everything(row, known):
    spots = dict.fromkeys(places(row), 0.9)
    return Answered(row, known, {spot: score for spot, score in spots.items() if known.decides(spot)})


def test_calibration_shows_the_domain_whose_scores_are_too_high():
    rows = [row_of(i, "English", source="news" if i % 2 else "mail") for i in range(200)]
    rng = random.Random(0)
    answered = []
    for row in rows:
        right = {spot: 0.8 for spot in places(row) if row["source"] == "news" or rng.random() < 0.5}
        wrong = {(0, 2 + i, LABELS[0]): 0.8 for i in range(1 if row["source"] == "news" else 3)}
        answered.append(Answered(row, known_of(row), right | wrong))
    found = calibration(answered)
    assert [one["domain"] for one in found] == ["all", "mail", "news"] and found[1]["ece"] > 0.2 > found[2]["ece"]


def test_a_domain_of_few_spans_is_not_called_badly_calibrated_by_chance():
    rng = random.Random(0)
    errors = []
    for _ in range(40):
        answered = []
        for i in range(45):
            row = row_of(i, "English", source="small")
            score = rng.uniform(0.3, 0.95)
            spot = sorted(places(row))[0]
            is_right = rng.random() < score
            answered.append(Answered(row, known_of(row), {spot if is_right else (0, 2, LABELS[0]): score}))
        errors.append(calibration(answered)[1]["ece"])
    assert sum(errors) / len(errors) < 0.1  # of 15 bins of three spans it is above 0.2


def test_the_packaged_model_is_audited_on_the_command_line(call, tmp_path):
    rows = [row for row in read_rows(CORPUS) if any(span["label"] == "person" for span in row["spans"])][:25]
    path = write(tmp_path / "rows.jsonl", rows)
    wordings = tmp_path / "wordings.jsonl"
    wordings.write_text(json.dumps({"label": "person", "wordings": ["human being"]}), encoding="utf8")
    args = [
        "audit",
        "model",
        "en_metaie_sm",
        path,
        "--output",
        tmp_path / "out",
        "--probes",
        "4",
        "--wordings",
        wordings,
    ]
    result = call(*args)
    assert result.code == 0, result.err
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf8"))
    assert report["rows"] == 25 and 0 < report["f"] < 1 and report["slices"]
    assert report["distractors"]["rows"] == 4 and report["wordings"]["f"] >= 0
    assert report["names"]["rows"] and len(report["names"]["cells"]) == 24
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf8")
    assert "Yoruba" in page and "http" not in page and not any(row["text"] in page for row in rows)


def test_rewording_and_distracting_ask_what_they_say(reader):
    rows = [row_of(i, "English") for i in range(10)]
    nlp = reader()
    assert other_wordings(nlp, rows, {"person": ("human being",)})["labels"] == 1
    found = distracted(nlp, rows)
    assert found["f"] == found["f_distracted"] and found["gap"] == 0.0
    assert [len(one.found) for one in answer(nlp, rows)] == [1] * 10
