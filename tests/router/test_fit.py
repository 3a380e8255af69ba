"""From rows that both models answered to a fitted router, its files, and a pipeline that uses it."""

import json

import numpy as np
import pytest
import spacy
from helpers import FLOAT32
from routed import LABELS, ROWS, TEXTS, gold_of, spots

from metaie_spacy import pipe_with_labels
from metaie_spacy.router.component import weights_of
from metaie_spacy.router.evaluate import evaluate
from metaie_spacy.router.features import Facts
from metaie_spacy.router.fit import by_agreement, fit, mixed_labels
from metaie_spacy.router.fitted import Table, from_files, read_fitted, to_files, write_fitted
from metaie_spacy.router.outcomes import Outcomes
from metaie_spacy.router.policies import MAKERS, make_errors, make_knn, make_learned
from metaie_spacy.router.pools import agreement_errors, assign
from metaie_spacy.router.recorded import Answered, read_recorded, read_small
from metaie_spacy.router.retriever import nearest, state_of, task_similarity, train_projection, unit


def world(n=240, seed=0):
    """Texts of two kinds that lie apart: of the first the small model is right, of the second the large one.

    There are two label sets, and scores say little."""
    rng = np.random.default_rng(seed)
    kind = rng.random(n) < 0.5
    text = [f"text {i} of {seed}" for i in range(n)]
    labels = [("a", "b") if i % 3 else ("c",) for i in range(n)]
    gold = [{(0, 4, own[0])} for own in labels]
    good = [bool(own) if rng.random() < 0.9 else not own for own in kind]
    small = [spot if ok else {(5, 6, own[0])} for spot, ok, own in zip(gold, good, labels)]
    large = [spot if not ok or rng.random() < 0.5 else set() for spot, ok in zip(gold, good)]
    states = rng.normal(size=(n, 16)).astype("float32")
    states[:, 0] += np.where(kind, 2.5, -2.5)
    found = [[(own[0], float(0.6 + 0.3 * rng.random()))] for own in labels]
    facts = Facts(text, [4] * n, labels, found, [[] for _ in range(n)], states)
    rows = [
        {
            "id": str(i),
            "text": one,
            "spans": [dict(zip(("start", "end", "label"), spot)) for spot in spans],
            "asked": [*own],
        }
        for i, (one, spans, own) in enumerate(zip(text, gold, labels))
    ]
    return Answered(rows, small, large, facts)


@pytest.fixture(scope="module")
def fitted():
    return fit(world(), "hash", "llm", seed=1)


def test_neighbours_tell_what_scores_do_not(fitted):
    result = evaluate(world(seed=7), fitted, [make() for make in MAKERS.values()], against="cascade", draws=50)
    figures = result["policies"]
    assert figures["knn"]["f_at_half"] > figures["cascade"]["f_at_half"] + 0.1
    assert figures["learned"]["f_at_half"] > figures["cascade"]["f_at_half"] + 0.1
    assert figures["knn"]["difference"]["f_at_half"][0] > 0
    assert all(own["aiq"] <= figures["oracle"]["aiq"] + 1e-3 for own in figures.values() if "aiq" in own)
    assert figures["small"]["decisions"] == [
        {"ask": {}, "share": 0.0, "f": result["small"], "worse": pytest.approx(0.5, abs=0.1)}
    ]
    assert figures["large"]["decisions"][0]["f"] == result["large"]
    low, high = figures["knn"]["aiq_interval"]
    assert low < figures["knn"]["aiq"] < high and fitted.reliable.all()
    json.dumps(result)


def test_the_figures_of_a_row_are_made_without_it(fitted):
    rng = np.random.default_rng(0)
    noise = world()
    noise = noise._replace(facts=noise.facts._replace(states=rng.normal(size=(240, 16)).astype("float32")))
    own = fit(noise, "hash", "llm")
    result = evaluate(noise, own, [make_knn(), make_learned()], is_held=True, draws=0)
    # States that say nothing say nothing about the rows themselves either.
    assert abs(result["policies"]["knn"]["f_at_half"] - result["random_at_half"]) < 0.08


def test_files_of_a_fitted_router_hold_all_of_it_and_no_pickle(fitted, tmp_path):
    write_fitted(fitted, tmp_path / "fit")
    again = read_fitted(tmp_path / "fit")
    assert to_files(again) == to_files(fitted)
    table, other = Table(world(seed=3).facts, fitted), Table(world(seed=3).facts, again)
    for name in ("vote", "reliable", "learned", "effect", "weak", "errors"):
        assert (table[name] == other[name]).all()
    assert sorted(path.name for path in (tmp_path / "fit").iterdir()) == sorted(to_files(fitted))
    files = to_files(fitted)
    for name in files:
        for damaged in (b"", b"{}", files[name][:-5], b"\x80\x04."):
            with pytest.raises(ValueError, match="no fitted router"):
                from_files({**files, name: damaged}, "x")
    (tmp_path / "fit" / "router.json").unlink()
    with pytest.raises(ValueError, match=r"router\.json"):
        read_fitted(tmp_path / "fit")


def test_two_fits_of_the_same_rows_are_the_same_bytes():
    assert to_files(fit(world(), "hash", "llm", projection="both")) == to_files(
        fit(world(), "hash", "llm", projection="both")
    )


def test_label_sets_that_the_pools_do_not_hold_are_refused_by_policies_that_ask_them(fitted):
    facts = world(seed=3).facts._replace(labels=[("x", "y")] * 240)
    table = Table(facts, fitted)
    with pytest.raises(ValueError, match="x, y.*metaie route fit"):
        make_knn().scores(table)
    assert len(make_errors().scores(table)) == len(make_learned().scores(table)) == 240
    known = Table(world(seed=3).facts, fitted)
    assert (make_knn(any_labels=True).scores(table) == make_knn().scores(known)).all()


def test_without_states_there_are_no_neighbours_but_all_else():
    rows = world()
    own = fit(rows._replace(facts=rows.facts._replace(states=None)), "hash", "llm")
    assert "vote" not in own.held and "any_vote" not in own.learned["features"] and len(own.pools.rows)
    table = Table(world(seed=3).facts._replace(states=None), own)
    assert len(make_learned().scores(table)) == 240
    with pytest.raises(ValueError, match=r"errors\.v1"):
        make_knn().scores(table)


def test_pools_hold_who_is_right():
    outcomes = Outcomes(
        np.array([[1, 1], [0, 1], [1, 1], [0, 0], [0, 2]]), np.array([[1, 1], [1, 1], [0, 0], [0, 0], [0, 1]]), np.ones(5, int)
    )  # fmt: skip
    at, large = assign(outcomes)
    assert at.tolist() == [0, 1, 2] and large.tolist() == [False, True, False]
    at, large = assign(outcomes, "errors")
    assert at.tolist() == [0, 1, 2, 3, 4] and large.tolist() == [False, True, False, False, True]
    with pytest.raises(ValueError, match="right"):
        assign(outcomes, "best")


def test_agreement_of_three_annotators_tells_who_errs():
    rng = np.random.default_rng(0)
    gold = [{(i, i + 1, "a") for i in range(6)} for _ in range(300)]

    def noisy(share):
        return [{(s + 50 * int(rng.random() < share), e + 50, label) for s, e, label in own} for own in gold]

    errors = agreement_errors([noisy(0.4), noisy(0.1), noisy(0.25), noisy(0.25)]).mean(1)
    assert errors[1] < errors[2] < errors[0] and errors[1] < errors[3] < errors[0]
    with pytest.raises(ValueError, match="three"):
        agreement_errors([gold, gold])
    rows = world()
    third = [[{tuple(span.values()) for span in row["spans"]}] for row in rows.rows]
    large = by_agreement(rows, third)
    only = np.array([small != gold[0] and big == gold[0] for small, big, gold in zip(rows.small, rows.large, third)])
    assert (large == only).mean() > 0.95


def test_rows_may_have_answers_of_different_numbers_of_annotators():
    rows = world(40)
    third = [[{tuple(span.values()) for span in row["spans"]}] for row in rows.rows]
    more = [own * 2 if i % 2 else own for i, own in enumerate(third)]
    assert by_agreement(rows, more)[::2].tolist() == by_agreement(rows, third)[::2].tolist()
    assert by_agreement(rows, more)[1::2].tolist() == by_agreement(rows, [own * 2 for own in third])[1::2].tolist()
    assert by_agreement(rows.take([]), []).tolist() == []


@pytest.mark.parametrize("row", [{"gold": None}, {"spans": None, "answers": {}}, {"answers": {}}])
def test_a_row_without_gold_and_without_other_answers_is_named(tmp_path, row):
    good = {"text": "Ada.", "gold": [], "llm": []}
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, (good, {"text": "Bo.", "llm": [], **row}))), encoding="utf8")
    with pytest.raises(ValueError, match='rows.jsonl, line 2: it has no gold spans, and no "answers"'):
        read_recorded([path])


def test_rows_without_gold_fill_the_pools_too():
    gold, free = world(60), world(100, seed=5)
    third = [[{tuple(span.values()) for span in row["spans"]}] for row in free.rows]
    large = by_agreement(free, third)
    free = free._replace(rows=[{**row, "spans": []} for row in free.rows])
    own = fit(gold, "hash", "llm", free=(free, large))
    assert (
        len(own.pools.rows) > 100
        and len(own.outcomes.gold) == 60
        and all(row["spans"] for row in own.pools.rows[-100:])
    )
    own = fit(gold.take([]), "hash", "llm", free=(free, large))
    assert len(own.pools.rows) == 100 and (MAKERS["knn"]().scores(Table(world(seed=9).facts, own)) > 0.5).any()


@pytest.mark.parametrize("kind", ["task", "expert", "both"])
def test_a_projection_brings_those_together_that_should_be(kind):
    rng = np.random.default_rng(0)
    group = np.arange(80) % 2
    states = rng.normal(size=(80, 24)).astype("float32")
    states[:, 0] += np.where(group, 1.0, -1.0)
    tasks = [(frozenset(), frozenset(["a" if one else "b"])) for one in group]

    def purity(matrix):
        vectors = unit(states, matrix)
        return (group[nearest(vectors, vectors, 11)[:, 1:]] == group[:, None]).mean()

    matrix = train_projection(kind, states, tasks, group.astype(bool))
    assert purity(matrix) > purity(None) + 0.03
    assert (train_projection(kind, states, tasks, group.astype(bool)) == matrix).all()
    with pytest.raises(ValueError, match="plain"):
        train_projection("best", states, tasks, group.astype(bool))


def test_states_of_texts_are_alike_as_their_answers_are():
    texts = [
        ("Ada sees Oslo", {(0, 3, "person"), (9, 13, "place")}),
        ("Oslo", {(0, 4, "place")}),
        ("x", set()),
        ("y", set()),
    ]
    similar = task_similarity([state_of(*own) for own in texts])
    assert similar[0, 0] == 1 and similar[2, 3] == 1 and similar[0, 2] == -1
    assert similar[0, 1] == pytest.approx(2 / 3 + 2 / 3 - 1) and (similar == similar.T).all()


def test_weak_labels_come_from_the_large_model_and_others_stay():
    small, large = {(0, 4, "a"), (5, 9, "b"), (20, 22, "b")}, {(0, 3, "a"), (6, 8, "a"), (30, 31, "b")}
    assert mixed_labels(small, large, ["a"]) == {(0, 3, "a"), (6, 8, "a"), (20, 22, "b")}


@pytest.fixture
def recorded(tmp_path):
    """Rows with answers of a large model that is right where the number is even."""
    rows = []
    for i, row in enumerate(ROWS):
        gold = [span for span in row["spans"] if span["label"] in LABELS]
        llm = gold if i % 2 else gold[:1]
        rows.append({"id": row["id"], "text": row["text"], "gold": gold, "llm": llm, "llm_name": "m"})
    path = tmp_path / "dev.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf8")
    return path


def test_recorded_rows_are_read_and_bad_ones_told(recorded, tmp_path):
    found = read_recorded([recorded])
    assert found.llm == "m" and found.rows[0]["asked"] == LABELS and not any(found.free)
    assert found.large[1] == gold_of(ROWS[1]) and read_recorded([recorded], ["person"]).rows[0]["asked"] == ["person"]
    bad = tmp_path / "bad.jsonl"
    for line in (
        '{"text": "x", "spans": []}',
        '{"text": "x", "llm": [], "gold": [{"start": 0}]}',
        "[",
        '{"llm": [], "gold": []}',
    ):
        bad.write_text(line)
        with pytest.raises(ValueError, match="line 1"):
            read_recorded([bad])
    bad.write_text('{"text": "x", "spans": [], "llm": [], "llm_name": "other"}')
    with pytest.raises(ValueError, match="several"):
        read_recorded([recorded, bad])


def test_a_fitted_router_works_in_a_pipeline_and_travels_with_it(make_routed, server, recorded, tmp_path):
    nlp = make_routed("knn", server=server, small={"threshold": 0.3})
    pipe, found = nlp.get_pipe("metaie"), read_recorded([recorded])
    small, facts = read_small(nlp, found.rows)
    own = fit(Answered(found.rows, small, found.large, facts), weights_of(pipe), found.llm, way="errors", k=1)
    # The nearest exemplar of each text is the text itself.
    own = own._replace(pools=own.pools._replace(large=np.arange(40) % 3 == 0))
    nlp.get_pipe("metaie_router").fitted = own
    docs = list(nlp.pipe(TEXTS))
    assert [doc._.metaie_route["route"] for doc in docs] == ["small" if i % 3 else "large" for i in range(40)]
    assert [doc._.metaie_route["neighbours"] for doc in docs] == [[row["id"]] for row in ROWS]
    assert TEXTS[0] not in str(docs[0]._.metaie_route)
    nlp.to_disk(tmp_path / "saved")
    again = spacy.load(tmp_path / "saved", config=FLOAT32)
    assert [spots(doc) for doc in again.pipe(TEXTS)] == [spots(doc) for doc in docs]
    strange = list(pipe_with_labels(make_routed("errors", server=server), [(TEXTS[0], ["airline"])]))
    assert strange[0]._.metaie_route["route"] in ("small", "large")
    with pytest.raises(ValueError, match="airline"):
        list(pipe_with_labels(again, [(TEXTS[0], ["airline"])]))


def test_a_router_that_was_fitted_to_other_weights_is_refused(make_routed, server, fitted, tmp_path):
    write_fitted(fitted, tmp_path / "fit")
    nlp = make_routed("knn", server=server, fitted=str(tmp_path / "fit"))
    with pytest.raises(ValueError, match=r"other weights.*metaie route fit"):
        nlp(TEXTS[0])


def test_the_commands_fit_compare_and_show(make_nlp, recorded, tmp_path, call):
    nlp = make_nlp(LABELS, model={"text_sees_labels": False}, threshold=0.3)
    nlp.get_pipe("metaie").model.shims[0].add_links()
    nlp.to_disk(tmp_path / "pipe")
    result = call("route", "fit", tmp_path / "pipe", recorded, "--output", tmp_path / "fit", "--pools", "errors")
    assert result.code == 0 and "40 exemplars" in result.out.replace("\n", " ")
    free = tmp_path / "free.jsonl"  # no gold spans, but a third annotator
    rows = [json.loads(line) for line in recorded.read_text().splitlines()]
    told = [
        {"text": f"{row['text']}!", "llm": row["llm"], "llm_name": "m", "answers": {"x": row["gold"]}} for row in rows
    ]
    free.write_text("\n".join(map(json.dumps, told)))
    result = call("route", "fit", tmp_path / "pipe", recorded, free, "--output", tmp_path / "both", "--pools", "errors")
    assert result.code == 0 and "80 exemplars" in result.out.replace("\n", " ")
    result = call(
        "route", "evaluate", tmp_path / "pipe", recorded, "--fitted", tmp_path / "fit", "--draws", "20",
        "--output", tmp_path / "figures.json",
    )  # fmt: skip
    assert result.code == 0 and "learned" in result.out
    figures = (tmp_path / "figures.json").read_text()
    assert json.loads(figures)["texts"] == 40 and not any(text in figures for text in TEXTS)
    page = tmp_path / "page.html"
    result = call("route", "report", tmp_path / "pipe", recorded, "--fitted", tmp_path / "fit", "--output", page)
    assert result.code == 0 and TEXTS[0] in page.read_text() and "<svg" in page.read_text()
    nlp.get_pipe("metaie").model.shims[0].module.token_head[0].weight.data += 1
    nlp.to_disk(tmp_path / "other")
    result = call("route", "evaluate", tmp_path / "other", recorded, "--fitted", tmp_path / "fit")
    assert result.code == 1 and "other weights" in result.err
    result = call("route", "evaluate", tmp_path / "pipe", recorded, "--fitted", tmp_path / "fit", "--policies", "best")
    assert result.code == 1 and "no policy 'best'" in result.err
