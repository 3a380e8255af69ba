"""The benchmark of links: schemas, rules, questions in words and cells, on data made here."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import spacy
import srsly

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.lib import link_data, link_report, link_shots, link_ways  # noqa: E402
from benchmarks.lib.link_ways import RULES, Given, Knobs, Scored, by_rule, kept_by, nearest_of_same  # noqa: E402
from benchmarks.quality import links as bench  # noqa: E402
from metaie_spacy.linking import decode  # noqa: E402
from metaie_spacy.linking.follow import Followed, Mention, Weighed  # noqa: E402
from metaie_spacy.measure.links import choices_of  # noqa: E402
from metaie_spacy.schema import parse_schema  # noqa: E402

EMPLOYER = link_data.Relation("works for", ("Person",), ("employer",), ("employee",), ("Organization",))
TEXT = "Ada of KLM met Bob of Shell ."
SPANS = [(0, 3, "Person"), (7, 10, "Organization"), (15, 18, "Person"), (22, 27, "Organization")]
ADA, KLM, BOB, SHELL = SPANS
ROW = {
    "id": "a",
    "text": TEXT,
    "spans": [{"start": s, "end": e, "label": label} for s, e, label in SPANS],
    "relations": [{"head": 0, "tail": 1, "label": "works for"}, {"head": 2, "tail": 3, "label": "works for"}],
}
GIVEN = Given({"Person": [ADA, BOB]}, {"Organization": [KLM, SHELL]})


@pytest.mark.parametrize("name", bench.DATASETS)
def test_schemas_are_in_the_components_own_form(name):
    schema = link_data.read_schema(name)
    labels, links = parse_schema(schema.plain)
    assert [label.name for label in labels] == list(schema.labels)
    assert {(r.name, r.heads, r.queries, r.inverse, r.tails) for r in links.relations} == set(schema.relations)
    assert {name for one in links.attributes for name, _ in one.options} == set(schema.signs)


def test_a_dataset_without_schema_is_refused_by_name():
    with pytest.raises(ValueError, match="no dataset 'nowhere', only conll2004"):
        link_data.read_schema("nowhere")


def test_texts_are_drawn_by_the_seed_and_keep_relations_and_triplets(tmp_path):
    rows = [ROW | {"id": str(i)} for i in range(30)]
    triplet = {"triplets": [{"aspect": 0, "opinion": 1, "sentiment": "positive"}], "relations": []}
    srsly.write_jsonl(tmp_path / "test.jsonl", [*rows, ROW | triplet])
    drawn = link_data.read_texts(tmp_path, "test", 10)
    assert len(drawn) == 10 and drawn == link_data.read_texts(tmp_path, "test", 10)
    assert [text.id for text in drawn] != [str(i) for i in range(10)]
    *_, last = link_data.read_texts(tmp_path, "test", 0)
    assert last.triplets == {(ADA[:2], KLM[:2], "positive")} and last.links == {(ADA[:2], KLM[:2], "opinion")}


def test_events_carry_the_type_of_their_trigger():
    text = link_data.text_of(ROW)
    assert ((*ADA[:2], "Person"), KLM[:2], "works for") in link_data.gold_of(text, is_event=True)
    assert (ADA[:2], KLM[:2], "works for") in link_data.gold_of(text, is_event=False)


def test_rules_bind_the_nearest_or_all():
    found = {name: {link[:2] for link, _ in by_rule(GIVEN, [EMPLOYER], name)} for name in RULES}
    ada, bob = (ADA[:2], KLM[:2]), (BOB[:2], SHELL[:2])
    assert found["nearest tail of each head"] == {ada, bob}
    # KLM is 4 characters from Ada and 5 from Bob.
    assert found["nearest head of each tail"] == {ada, bob}
    assert len(found["all typed pairs"]) == 4


def test_no_head_is_its_own_tail():
    killed = link_data.Relation("killed", ("Person",), ("victim",), (), ("Person",))
    given = Given({"Person": [ADA, BOB]}, {"Person": [ADA, BOB]})
    assert {link[:2] for link, _ in by_rule(given, [killed], "all typed pairs")} == {
        (ADA[:2], BOB[:2]),
        (BOB[:2], ADA[:2]),
    }


def scored(head, tail, answer, inverse=1.0):
    return Scored((head[:2], tail[:2], "works for"), "Person", answer, inverse, link_ways.between(head, tail))


def test_knobs_weigh_distance_inverse_and_heads():
    near, far = scored(ADA, KLM, 0.5, 0.2), scored(BOB, KLM, 0.6)
    keep = lambda *knobs: {link[0] for link, _ in kept_by([near, far], Knobs(*knobs))}  # noqa: E731
    assert keep(0.4, 0, False, False) == {ADA[:2], BOB[:2]}
    assert keep(0.4, 0, False, True) == {BOB[:2]}
    assert keep(0.4, 0, True, False) == {BOB[:2]}
    assert Knobs(0.4, 30, False, False).score(near) == pytest.approx(0.5 * np.exp(-4 / 30))


def test_the_same_answers_are_bound_to_the_nearest_head():
    found = {((BOB[:2], KLM[:2], "works for"), "Person")}
    assert nearest_of_same(found, GIVEN, [EMPLOYER]) == {((ADA[:2], KLM[:2], "works for"), "Person")}


def test_settings_give_gold_or_found_spans():
    text = link_data.text_of(ROW)
    schema = link_data.Schema({"Person": ("person",), "Organization": ("company",)}, (EMPLOYER,), {}, {})
    found = [[(0, 10, "Person")]]
    by_setting = {s: link_ways.given_of([text], found, schema, s)[0] for s in link_ways.SETTINGS}
    assert by_setting["gold_heads"] == Given({"Person": [ADA, BOB]}, {}), "free tails are not given as spans"
    assert by_setting["gold_spans"].tails["Organization"] == [KLM, SHELL]
    assert by_setting["end_to_end"].heads == {"Person": [(0, 10, "Person")], "Organization": []}


def folder_of(path):
    path.mkdir()
    for split in ("test", "dev"):
        srsly.write_jsonl(path / f"{split}.jsonl", [ROW | {"id": str(i)} for i in range(4)])
    return path


@pytest.fixture
def saved(make_nlp, tmp_path):
    make_nlp(["person"]).to_disk(tmp_path / "model")
    return tmp_path / "model"


def test_cells_are_written_and_not_run_again(saved, tmp_path, monkeypatch):
    folder_of(tmp_path / "conll2004")
    command = ["links.py", "--data", str(tmp_path), "--model", str(saved), "--dataset", "conll2004", "--texts", "3"]
    monkeypatch.setattr(sys, "argv", [*command, "--output", str(tmp_path / "out")])
    bench.main()
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(names) == 12 and "rule__model__conll2004__gold_spans__first3.json" in names
    rule = srsly.read_json(tmp_path / "out" / "rule__model__conll2004__gold_spans__first3.json")
    assert rule["per_label"]["works for"]["f"] == 1 and rule["links"] == 6 and rule["texts"] == 3
    assert rule["counts"]["tp"] == "2 2 2" and rule["r"] == 1
    assert rule["rule"] == "nearest tail of each head" and set(rule["data_sha256"]) == {"test.jsonl", "dev.jsonl"}
    choice = srsly.read_json(tmp_path / "out" / "rule__model__conll2004__head_choice__first3.json")
    assert (choice["cases"], choice["share"], choice["chance"]) == (6, 1, 0.5)
    words = srsly.read_json(tmp_path / "out" / "words__model__conll2004__gold_spans__first3.json")
    assert set(words["knobs"]) == set(Knobs._fields) and "nearest_of_same" in words
    assert str(tmp_path) not in json.dumps(rule)
    monkeypatch.setattr(bench.Bench, "run", lambda *_: pytest.fail("was run again"))
    bench.main()
    monkeypatch.setattr(sys, "argv", [*command, "--output", str(tmp_path / "out"), "--again"])
    with pytest.raises(pytest.fail.Exception, match="run again"):
        bench.main()


def test_rows_with_links_are_measured_by_the_heads_that_they_ask(saved, tmp_path, monkeypatch):
    asked = [{"head": [*ADA[:2]], "label": "employer", "tails": [[*KLM[:2]]]},
             {"head": [*BOB[:2]], "label": "employer", "tails": [[*SHELL[:2]]]},
             {"head": [*KLM[:2]], "label": "founder", "tails": []}]  # fmt: skip
    row = {"id": "a", "text": TEXT, "spans": ROW["spans"], "links": asked}
    srsly.write_jsonl(tmp_path / "held.jsonl", [row, row | {"id": "b"}, {"id": "c", "text": "No.", "spans": []}])
    texts, schemas = link_data.read_row_texts(tmp_path / "held.jsonl", 0)
    assert len(texts) == 2 and len(choices_of(link_data.known(texts[0], schemas[0]))) == 2
    command = ["links.py", "--rows", str(tmp_path / "held.jsonl"), "--model", str(saved), "--texts", "0"]
    monkeypatch.setattr(sys, "argv", [*command, "--output", str(tmp_path / "out")])
    bench.main()
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        f"{way}__model__held__{setting}__all.json"
        for way, setting in [("rule", "head_choice"), *((w, s) for w in ("words", "links") for s in ("gold_heads", "head_choice"))]
    }  # fmt: skip
    words = srsly.read_json(tmp_path / "out" / "words__model__held__gold_heads__all.json")
    assert words["links"] == 4 and len(words["knobs"]) == 2


def test_the_report_shows_ways_side_by_side(tmp_path):
    def cell(way, setting, **more):
        facts = {"dataset": "conll2004", "way": way, "setting": setting, "split": "test", "first": 200, "texts": 200}
        scores = {"f": 0.5, "f_low": 0.4, "f_high": 0.6, "links": 7}
        name = f"{way}__en_metaie_sm__conll2004__{setting}__first200.json"
        srsly.write_json(tmp_path / name, facts | scores | more)

    cell("rule", "gold_spans", rule="all typed pairs")
    cell(
        "words",
        "gold_spans",
        nearest_of_same={"f": 0.45},
        triplets={"f": 0.25, "f_low": 0.2, "f_high": 0.3, "links": 9},
    )
    cell("words", "head_choice", cases=10, share=0.5, chance=0.4)
    shown = "\n".join(link_report.links_block(tmp_path))
    assert "| conll2004, gold heads and tails | 200 | 7 | **50.0** (40.0 to 60.0) all typed pairs |" in shown
    assert "**50.0** (40.0 to 60.0); nearest head 45.0" in shown
    assert "| conll2004, first 200 texts | 10 | 40% |  | 50% |" in shown
    assert not link_report.links_block(tmp_path / "nothing")


def test_cells_are_named_by_model_without_version_split_and_size():
    assert bench.cell_name("en_metaie_sm-0.3.0", {"way": "rule", "dataset": "ade", "setting": "gold_heads", "split": "dev", "first": 0}) == (
        "rule__en_metaie_sm__ade__gold_heads__dev__all"
    )  # fmt: skip


def test_few_shot_rows_ask_every_gold_head_and_signs_are_answered_by_opinions():
    row = link_data.text_of(ROW | {"relations": ROW["relations"][:1]})
    plain = link_data.Schema({"Person": ("person",), "Organization": ("company",)}, (EMPLOYER,), {}, {})
    assert link_shots.shot_row(row, plain)["links"] == [
        {"head": [0, 3], "label": "works for", "tails": [[7, 10]]},
        {"head": [15, 18], "label": "works for", "tails": []},
    ]
    signed = [{"aspect": 0, "opinion": 1, "sentiment": "positive"}]
    text = link_data.text_of(ROW | {"relations": [], "triplets": signed})
    schema = plain._replace(
        labels={"Person": ("person",)},
        relations=(),
        signs={"positive": ("good", "fine"), "negative": ("bad",)},
        signed=("Person",),
    )
    row = link_shots.shot_row(text, schema)
    assert {span["label"] for span in row["spans"]} == {"Person"}  # what is not asked is not learned
    answers = {(*link["head"], link["label"]): link["tails"] for link in row["links"]}
    assert answers[0, 3, "good"] == answers[0, 3, "fine"] == [[7, 10]] and len(answers) == 6
    assert not any(tails for (start, _, name), tails in answers.items() if start or name == "bad")


def test_a_dataset_without_few_shot_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="has no few-shot file: train.5shot.perlabel or train.5shot.jsonl"):
        link_shots.shots_file(tmp_path)


def pair(head, tail, answer, gap=0.0, text=0):
    parts = dict.fromkeys(decode.WEIGHTS, 0.0) | {"answer": answer, "distance": gap}
    return text, (head[:2], tail[:2], "works for"), "Person", parts


def test_of_equal_heads_a_tail_takes_the_first_and_texts_do_not_mix():
    found = [pair(BOB, KLM, 2.0), pair(ADA, KLM, 2.0), pair(BOB, KLM, 1.0, text=1), pair(BOB, SHELL, -3.0)]
    pairs = link_shots.pairs_of_weighed(found)
    choices = link_shots.Choices(0.5, 0.3, True, dict(decode.WEIGHTS) | {"bias": 0.0})
    kept = pairs.by_text(pairs.kept(choices, pairs.scores(choices)), 3)
    assert kept == [{((ADA[:2], KLM[:2], "works for"), "Person")}, {((BOB[:2], KLM[:2], "works for"), "Person")}, set()]
    both = choices._replace(one_head=False)
    assert len(pairs.by_text(pairs.kept(both, pairs.scores(both)), 1 + 1)[0]) == 2


def test_what_is_best_on_dev_is_chosen():
    schema = link_data.Schema({}, (EMPLOYER._replace(tails=()),), {}, {})
    asked = []

    def weigh_at(tag):
        asked.append(tag)
        return link_shots.pairs_of_weighed([pair(ADA, KLM, 1.0, gap=1.0), pair(BOB, KLM, 1.1, gap=3.0)])

    right = np.array([True, False])
    choices, f = link_shots.choose(weigh_at, lambda _: right, 1, schema, "end_to_end")
    assert f == 1 and set(choices.weights) == set(decode.WEIGHTS) and asked == list(link_shots.TAGS)
    _, f = link_shots.choose(weigh_at, lambda _: np.array([False, False]), 3, schema, "end_to_end")
    assert f == 0


def test_that_an_answer_is_a_given_head_says_nothing_for_it(saved, monkeypatch):
    nlp, text = spacy.load(saved), link_data.text_of(ROW)
    plain = {"links": {"works for": {"head": "Person", "query": "employer", "tail": "Organization"}}}
    schema = link_data.Schema({"Person": ("person",), "Organization": ("company",)}, (EMPLOYER,), {}, plain)
    calibrations = []

    def follow(wanted, score, calibration, weighed=None):
        calibrations.append(calibration)
        head, tail = (Mention(*place, "Person", 1.0) for place in ((0, 1), (2, 3)))
        parts = dict.fromkeys(decode.WEIGHTS, 0.0) | {"tail": 9.0}
        if weighed is not None:
            weighed += [Weighed(0, head, "works for", tail, parts, 0.5)]
        return [Followed([], [], [], [], [], ()) for _ in wanted]

    monkeypatch.setattr(link_shots, "follow", follow)
    monkeypatch.setattr(link_ways, "follow", follow)
    for setting, said in (("gold_heads", 0.0), ("gold_spans", 9.0)):
        given = link_ways.given_of([text], [[]], schema, setting)
        pairs = link_shots.weigh(nlp, [text], given, schema, setting, 0.3)
        assert pairs.parts["tail"].tolist() == [said]
        link_ways.ask_links(nlp, [text], given, schema, setting)
    assert calibrations[1]["tail"] == 0 and not (calibrations[3] or {}).get("tail") == 0


def test_weights_are_adapted_to_the_few_shot_file_before_they_are_asked(saved, tmp_path, monkeypatch):
    folder = folder_of(tmp_path / "conll2004")
    srsly.write_jsonl(folder / "train.5shot.jsonl", [ROW])
    monkeypatch.setattr(bench, "TRAINING", link_shots.TRAINING.__class__(steps=3, rehearsal=0.0))
    monkeypatch.setattr(link_shots.train_on, "__defaults__", (bench.TRAINING,))
    command = ["links.py", "--data", str(tmp_path), "--model", str(saved), "--dataset", "conll2004", "--way", "shots"]
    monkeypatch.setattr(sys, "argv", [*command, "--about", "weights of a test", "--output", str(tmp_path / "out")])
    bench.main()
    cell = srsly.read_json(tmp_path / "out" / "shots__model__conll2004__gold_spans__first200.json")
    assert cell["weights"] == "weights of a test" and cell["training"]["steps"] == 3
    assert set(cell["choices"]) == set(link_shots.Choices._fields) and 0 <= cell["dev_f"] <= 1
    assert set(cell["data_sha256"]) == {"test.jsonl", "dev.jsonl", "train.5shot.jsonl"}
    shown = "\n".join(link_report.links_block(tmp_path / "out"))
    assert "links, 5-shot (development weights model)" in shown


def test_rare_sentiments_must_be_said_louder_where_dev_says_so():
    odds = [{(0, 1): {"positive": 1.0, "neutral": 1.4}, (5, 6): {"positive": -2.0, "neutral": 3.0}}]
    gold = {(0, 1): "positive", (5, 6): "neutral"}
    priors = link_shots.choose_priors(
        odds, ["positive", "neutral"], lambda found: sum(found[0][place] == sign for place, sign in gold.items()) / 2
    )
    assert priors["positive"] == 0 and priors["neutral"] < -0.4
    assert link_shots.likeliest(odds, priors) == [gold]
    assert link_shots.likeliest(odds, {"positive": 0.0, "neutral": 0.0}) == [dict.fromkeys(gold, "neutral")]
