"""Adapting to a few examples: what it learns, what it keeps, what it refuses."""

import json

import pytest
import torch
from helpers import CORPUS, LISTENER, TRAIN, annotated, row, scored, shared

from metaie_spacy import fewshot
from metaie_spacy.fewshot import Settings, adapt, adapt_and_score, hold_out, packaged_corpus
from metaie_spacy.measure.evaluate import evaluate_rows

FAST = Settings(steps=120, lr=2e-3, ema=0.9, rehearsal=0.0, blend=1.0)


ROWS = [row(text, spans) for text, spans in TRAIN]


def weights(nlp):
    return {key: value.clone() for key, value in nlp.get_pipe("metaie").model.shims[0].module.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[key], b[key]) for key in a)


def test_adapt_learns_the_examples_and_returns_the_pipeline(make_nlp):
    nlp = make_nlp(["date"])
    words = nlp.get_pipe("metaie").model.shims[0].module.encoder.embeddings.word_embeddings.weight
    before = words.detach().clone()
    assert evaluate_rows(nlp, ROWS, labels=["person", "place", "airline"])["f"] < 0.5
    assert adapt(nlp, ROWS, settings=FAST, progress=False) is nlp
    assert nlp.get_pipe("metaie").labels == ("airline", "person", "place")
    assert evaluate_rows(nlp, ROWS, labels=["person", "place", "airline"])["f"] > 0.95
    assert torch.equal(words, before) and words.requires_grad  # frozen, for that time only


def test_rows_and_examples_are_the_same_and_a_seed_decides(make_nlp, tmp_path):
    corpus, results = tmp_path / "corpus.jsonl", []
    corpus.write_bytes(b"\n".join(CORPUS.read_bytes().splitlines()[:40]))  # a part of what is rehearsed else
    for data, seed in ((ROWS, 0), ("examples", 0), (ROWS, 1)):
        nlp = make_nlp()
        data = [annotated(nlp, text, spans) for text, spans in TRAIN] if data == "examples" else data
        kept = torch.get_rng_state()
        adapt(nlp, data, settings=Settings(steps=5, seed=seed, batch_size=2), corpus=corpus, progress=False)
        assert torch.equal(torch.get_rng_state(), kept)  # whoever trains beside it draws as before
        results.append(weights(nlp))
    assert same(results[0], results[1]) and not same(results[0], results[2])


def test_queries_may_have_other_names(make_nlp):
    rows = [row(text, [(part, label.upper()[:3]) for part, label in spans]) for text, spans in TRAIN]
    nlp = make_nlp()
    adapt(nlp, rows, {"PER": "person", "PLA": "place", "AIR": "airline", "DAT": "date"}, settings=FAST, progress=False)
    assert nlp.get_pipe("metaie").label_data["DAT"] == "date"
    doc = nlp(TRAIN[1][0])
    assert ("KLM", "AIR") in {(span.text, span.label_) for span in doc.spans["metaie"]}


def test_open_labels_ask_each_text_its_own(make_nlp):
    rows = [
        row("Ada met Bob.", [("Bob", "Ada met")]) | {"absent": ["Bob met"]},
        row("Cy met Di.", [("Di", "Cy met")]) | {"absent": ["Di met"]},
    ]
    nlp = make_nlp(["date"])
    adapt(nlp, rows, settings=FAST, open_labels=True, progress=False)
    assert nlp.get_pipe("metaie").labels == ("date",)
    assert evaluate_rows(nlp, rows)["f"] == 1.0


@pytest.mark.parametrize("error", [RuntimeError("full disk"), KeyboardInterrupt()])
def test_a_failure_leaves_the_pipeline_as_it_was(make_nlp, error):
    nlp = make_nlp(["date", "person"], threshold=0.7)
    nlp.get_pipe("metaie").calibrate(2.0, 0.5, 0.3, 0.2)
    nlp.get_pipe("metaie").threshold = 0.4
    shim = nlp.get_pipe("metaie").model.shims[0]
    shim.module.config.metaie["label_counts"] = {"person": 40}
    before, answers, options = (
        weights(nlp),
        scored(nlp("Ada Lovelace was born in London.")),
        dict(shim.module.config.metaie),
    )

    def fail(step):
        assert step == 3
        raise error

    with pytest.raises(type(error)):
        adapt(nlp, ROWS, settings=FAST, progress=False, on_step=fail, at_steps=[3])
    assert same(weights(nlp), before) and scored(nlp("Ada Lovelace was born in London.")) == answers
    assert nlp.get_pipe("metaie").labels == ("date", "person") and nlp.get_pipe("metaie").threshold == 0.4
    assert shim.module.config.metaie == options and shim.tag_threshold == 0.2
    assert all(p.grad is None and p.requires_grad for p in shim.module.parameters())


def test_averaged_weights_answer_between_the_steps(make_nlp):
    nlp, seen = make_nlp(), []
    adapt(
        nlp,
        ROWS,
        settings=Settings(steps=8, rehearsal=0.0),
        progress=False,
        on_step=lambda step: seen.append(weights(nlp)),
        at_steps=range(1, 9),
    )
    assert len(seen) == 8 and same(seen[-1], weights(nlp)) and not same(seen[0], seen[-1])


@pytest.mark.parametrize(
    ("data", "labels", "message"),
    [
        ([], None, "None of the 0 examples has a span"),
        ([row("Nothing here.", [])], None, "has a span to learn"),
        (ROWS, ["person"], "'airline', 'place'"),
        ([{"text": "Ada", "spans": [{"start": 0, "end": 9, "label": "person"}]}], None, "Example 1: .*outside"),
        ([{"spans": []}], None, "Example 1: expected an object"),
        (["Ada"], None, "Example 1: expected an object"),
        (
            [{"text": "Ada left", "spans": [{"start": 0, "end": 2, "label": "person"}]}],
            None,
            "No span .* begins and ends with a token",
        ),
    ],
)
def test_bad_examples(make_nlp, data, labels, message):
    with pytest.raises(ValueError, match=message):
        adapt(make_nlp(), data, labels, progress=False)


def test_spans_under_another_key(make_nlp):
    nlp = make_nlp()
    with pytest.raises(ValueError, match="only in \\['sc'\\]"):
        adapt(nlp, [annotated(nlp, text, spans, key="sc") for text, spans in TRAIN], progress=False)


def test_a_component_that_is_not_there_is_named(make_nlp):
    with pytest.raises(ValueError, match="no active component 'other'"):
        adapt(make_nlp(), ROWS, name="other")


def test_a_component_that_reads_a_tok2vec_of_others_is_refused(encoders):
    nlp = shared(encoders["bert"], LISTENER, ["person", "place", "airline"])
    nlp.initialize(lambda: [annotated(nlp, text, spans) for text, spans in TRAIN])
    with pytest.raises(ValueError, match="'metaie' reads a tok2vec that other components may share"):
        adapt(nlp, ROWS, settings=Settings(steps=1, rehearsal=0.0), progress=False)


def test_settings_that_cannot_work_are_refused(make_nlp):
    with pytest.raises(ValueError, match="held_out"):
        adapt_and_score(make_nlp(), ROWS, held_out=1.0)
    with pytest.raises(ValueError, match="steps"):
        Settings(steps=0)


def test_held_out_examples_leave_every_label_one(make_nlp):
    rows = [{"id": str(i), **row(f"Ada met Bob {i}.", [("Ada", "person")])} for i in range(8)] + [
        {"id": "k", **row("KLM flew.", [("KLM", "airline")])}
    ]
    kept, held = hold_out(rows, 0.5, 0)
    assert len(held) == 5 and len(kept) == 4 and any(r["text"] == "KLM flew." for r in kept)
    assert hold_out(rows[:3], 0.5, 0)[1] == []  # too few to split
    result = adapt_and_score(make_nlp(), rows, held_out=0.3, settings=Settings(steps=3, rehearsal=0.0), progress=False)
    assert result["after"]["texts"] == 3 and result["before"]["spans"] == result["after"]["spans"] == 3


def test_the_estimate_does_not_see_what_it_is_scored_on(make_nlp, monkeypatch):
    nlp, seen = make_nlp(), []
    rows = [row(f"{name} left.", [(name, "person")]) for name in ("Ada", "Bob", "Cy", "Di", "Eve", "Fay", "Guy", "Hal")]
    monkeypatch.setattr(
        fewshot,
        "adapt",
        lambda nlp, examples, *rest, **options: (
            seen.append([r["text"] for r in examples]) or adapt(nlp, examples, *rest, **options)
        ),
    )
    quick = Settings(steps=4, rehearsal=0.0)
    result = adapt_and_score(nlp, rows, held_out=0.3, settings=quick, progress=False)
    held = hold_out([{"id": str(i), **r} for i, r in enumerate(rows, 1)], 0.3, 0)[1]
    assert len(held) == result["after"]["texts"] == 3
    assert len(seen[0]) == 5 and not {r["text"] for r in held} & set(seen[0]) and len(seen[1]) == 8
    again = make_nlp()
    adapt(again, rows, settings=quick, progress=False)
    assert same(weights(nlp), weights(again))  # kept: the one of all examples


def test_scoring_that_fails_leaves_the_pipeline_as_it_was(make_nlp, monkeypatch):
    nlp, calls = make_nlp(["date"]), []
    before = weights(nlp)

    def fail(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise MemoryError
        return evaluate_rows(*args, **kwargs)

    monkeypatch.setattr(fewshot, "evaluate_rows", fail)
    rows = [row(f"{name} left.", [(name, "person")]) for name in ("Ada", "Bob", "Cy", "Di", "Eve")]
    with pytest.raises(MemoryError):
        adapt_and_score(nlp, rows, settings=Settings(steps=2, rehearsal=0.0), progress=False)
    assert same(weights(nlp), before) and nlp.get_pipe("metaie").labels == ("date",)


def test_labels_that_were_learned_give_way_to_none(make_nlp):
    nlp = make_nlp()
    options = nlp.get_pipe("metaie").model.shims[0].module.config.metaie
    options["label_counts"] = {"person": 100, "date": 50}
    adapt(nlp, ROWS, settings=Settings(steps=1, rehearsal=0.0), progress=False)
    assert nlp.get_pipe("metaie").model.shims[0].label_counts == {"date": 50}


def test_the_components_own_queries_are_kept(make_nlp):
    nlp = make_nlp({"PER": "person", "DATE": "date"})
    adapt(nlp, [row("Ada left.", [("Ada", "PER")])], settings=Settings(steps=1, rehearsal=0.0), progress=False)
    assert nlp.get_pipe("metaie").label_data == {"PER": "person", "DATE": "date"}


def test_passages_of_a_document_stay_together():
    rows = [{"id": f"doc{i // 2}#{i}", **row(f"Ada left {i}.", [("Ada", "person")])} for i in range(12)]
    kept, held = hold_out(rows, 0.3, 0)
    assert held and not {r["id"].split("#")[0] for r in kept} & {r["id"].split("#")[0] for r in held}


def test_open_rows_without_any_label_are_left_out(make_nlp):
    rows = [row("Nothing.", []), row("Ada met Bob.", [("Bob", "Ada met")])]
    adapt(make_nlp(), rows, settings=Settings(steps=3, batch_size=1, rehearsal=0.0), open_labels=True, progress=False)


def test_rehearsal_changes_what_is_learned(make_nlp, tmp_path):
    (tmp_path / "corpus.jsonl").write_text(json.dumps(row("KLM flew.", [("KLM", "airline")])), encoding="utf8")
    results = []
    for rehearsal in (0.0, 1.0):
        nlp = make_nlp()
        options = {"corpus": tmp_path / "corpus.jsonl", "progress": False}
        adapt(nlp, ROWS, settings=Settings(steps=2, batch_size=2, rehearsal=rehearsal), **options)
        results.append(weights(nlp))
    assert not same(*results)


def test_the_corpus_comes_along():
    rows = [json.loads(line) for line in packaged_corpus().read_text(encoding="utf8").splitlines()]
    assert len(rows) > 1000 and all(r["spans"] or r["absent"] for r in rows[:20])


def test_scores_of_an_adaptation_are_calibrated_on_texts_that_it_did_not_see(make_nlp, tmp_path):
    """The same spans are found, and their scores come nearer to how often they are right."""
    rows = [*ROWS, *({**one, "spans": []} for one in ROWS)]  # of the spans that are found, every second one is wrong
    dev = tmp_path / "dev.jsonl"
    dev.write_text("".join(json.dumps(one | {"id": str(i)}) + "\n" for i, one in enumerate(rows)), encoding="utf8")
    nlp = make_nlp()
    result = adapt_and_score(nlp, ROWS, dev=dev, settings=FAST, progress=False)
    assert result["calibrated"]["temperature"] > 0
    pipe = nlp.get_pipe("metaie")
    assert pipe.threshold is None
    again = evaluate_rows(nlp, [json.loads(line) for line in dev.read_text().splitlines()], labels=pipe.label_data)
    assert (again["p"], again["r"]) == (result["after"]["p"], result["after"]["r"]) and 0.4 < again["p"] < 0.6
    scores = [score for one in ROWS for score in scored(nlp(one["text"])).values()]
    whole = make_nlp()
    adapt(whole, ROWS, settings=FAST, progress=False)
    before = [score for one in ROWS for score in scored(whole(one["text"])).values()]
    mean, past = sum(scores) / len(scores), sum(before) / len(before)
    assert abs(mean - again["p"]) < abs(past - again["p"]) / 2


def test_few_spans_do_not_calibrate_an_adaptation(make_nlp):
    nlp = make_nlp()
    result = adapt_and_score(nlp, ROWS[:5], settings=Settings(steps=2, rehearsal=0.0), held_out=0.2, progress=False)
    assert "calibrated" not in result and nlp.get_pipe("metaie").effective_threshold == 0.5


def test_weights_that_were_trained_before_stay_between_what_they_were_and_what_was_learned(make_nlp):
    """So they keep their calibration, and a few texts cannot take away what they knew."""
    found = {}
    for share in (0.25, 1.0):
        nlp = make_nlp()
        pipe = nlp.get_pipe("metaie")
        pipe.calibrate(2.0, 0.5, 0.3, 0.2)
        before = weights(nlp)
        adapt(nlp, ROWS, settings=Settings(steps=30, lr=1e-3, rehearsal=0.0, blend=share), progress=False)
        found[share] = weights(nlp)
        options = pipe.model.shims[0].module.config.metaie
        assert options["calibration"] == pytest.approx({"temperature": 2.0, "bias": 0.5})
        assert (pipe.effective_threshold, pipe.model.shims[0].tag_threshold) == (0.3, 0.2)
    moved = [key for key in before if not torch.equal(before[key], found[1.0][key])]
    assert len(moved) > 10
    for key in moved:
        expected = before[key] + 0.25 * (found[1.0][key] - before[key])
        torch.testing.assert_close(found[0.25][key], expected, rtol=1e-3, atol=1e-5)


def test_a_fresh_head_keeps_all_that_it_learned(make_nlp):
    ends = []
    for share in (0.25, 1.0):
        nlp = make_nlp()
        adapt(nlp, ROWS, settings=Settings(steps=5, rehearsal=0.0, blend=share), progress=False)
        ends.append(weights(nlp))
    assert same(*ends)
