"""Distillation: resumes exactly, keeps dev apart, and its result loads."""

import json

import pytest
import spacy
import torch
from helpers import answers, row
from safetensors.torch import load_file

from metaie_spacy.data.items import Item, blank_tokenizer
from metaie_spacy.model.links import Headed
from metaie_spacy.model.modules import LabelToSpan
from metaie_spacy.model.weights import architecture_of
from metaie_spacy.train.distill import Run, Settings, batch_stream, distill, ramp


def rows(n=40):
    for i in range(n):
        spans = [(f"Ada{i}", "person"), (f"Rome{i}", "place")]
        yield row(f"Ada{i} flew to Rome{i} on Monday.", spans, id=str(i), absent=["drug"])


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows())), encoding="utf8")
    return path


def run(corpus, output, encoders, **changes):
    settings = Settings(encoders["bert"], **{"epochs": 3, "batch_size": 4, **changes})
    return distill({str(corpus): 1.0}, output, settings, tokenize=blank_tokenizer(), save_every=5)


def weights(output):
    return load_file(output / "model" / "model.safetensors")


def test_killed_run_resumes_to_the_same_weights(corpus, tmp_path, encoders, monkeypatch):
    result = run(corpus, tmp_path / "whole", encoders)
    calls = []
    forward = LabelToSpan.forward

    def dies(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 13:
            raise KeyboardInterrupt
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(LabelToSpan, "forward", dies)
    with pytest.raises(KeyboardInterrupt):
        run(corpus, tmp_path / "killed", encoders)
    monkeypatch.setattr(LabelToSpan, "forward", forward)
    torch.manual_seed(99)
    resumed = run(corpus, tmp_path / "killed", encoders)
    assert resumed["steps"] == result["steps"] > 13
    whole, killed = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert all(torch.equal(whole[name], killed[name]) for name in whole)
    lines = [json.loads(line)["id"] for line in (tmp_path / "whole" / "dev.jsonl").read_text().splitlines()]
    assert len(lines) == result["dev_texts"] > 0


def test_other_settings_do_not_resume(corpus, tmp_path, encoders):
    run(corpus, tmp_path / "out", encoders, epochs=0.2)
    with pytest.raises(ValueError, match="other settings"):
        run(corpus, tmp_path / "out", encoders, epochs=0.2, lr=1e-3)


def test_distilled_weights_load_into_the_component(corpus, tmp_path, encoders):
    result = run(corpus, tmp_path / "out", encoders, steps=200, lr=2e-3, dropout=0.0)
    assert result["loss"] < 0.5  # on average from the first step on
    nlp = spacy.blank("en")
    settings = {"labels": ["person", "place"], "weights": str(tmp_path / "out" / "model")}
    pipe = nlp.add_pipe("metaie", config={**settings, "model": {"name": encoders["bert"], "compute_dtype": "float32"}})
    doc = nlp("Ada3 flew to Rome3 on Monday.")
    assert set(answers(doc)) == {("Ada3", "person"), ("Rome3", "place")}
    assert pipe.model.shims[0].loaded


def test_batches_are_the_same_for_the_same_seed_and_respect_weights():
    parts = [
        ([Item(f"a{i}", ["x"] * (i % 7), [], []) for i in range(20)], 0.5),
        ([Item(f"b{i}", ["x"], [], []) for i in range(5)], 2.0),
    ]
    stream = batch_stream(parts, 4, 0)
    seen = {0: [], 1: []}
    for epoch, items in stream:
        if epoch > 1:
            break
        seen[epoch] += [item.id for item in items]
    assert all(len(ids) == 20 for ids in seen.values())
    halves = [{i for i in ids if i[0] == "a"} for ids in seen.values()]
    assert len(halves[0] | halves[1]) == 20  # the two epochs see different halves
    assert sorted(i for i in seen[0] if i[0] == "b") == sorted([f"b{i}" for i in range(5)] * 2)
    again = batch_stream(parts, 4, 0)
    assert [item.id for _, items in (next(again) for _ in range(5)) for item in items] == seen[0]


def test_learning_rate_warms_up_and_decays_to_nothing():
    rates = [ramp(step, 100, 0.1) for step in range(101)]
    assert rates[0] == 0.1 and max(rates) == 1.0 and rates[9] == rates[10] == 1.0 and rates[100] == 0.0


@pytest.fixture(params=[True, False], ids=["sees labels", "blind"])
def start(request, corpus, tmp_path, encoders):
    """The weights of an earlier, short run."""
    run(corpus, tmp_path / "start", encoders, steps=2, text_sees_labels=request.param)
    return tmp_path / "start" / "model"


def test_a_run_takes_as_many_steps_as_it_is_told(corpus, tmp_path, encoders):
    assert run(corpus, tmp_path / "out", encoders, steps=2, epochs=60)["steps"] == 2


def test_labels_are_counted_in_the_texts_that_are_trained_on(corpus, tmp_path, encoders):
    held_out = run(corpus, tmp_path / "out", encoders, steps=1)["dev_texts"]
    config = json.loads((tmp_path / "out" / "model" / "config.json").read_text(encoding="utf8"))
    assert config["metaie"]["label_counts"] == {"person": 40 - held_out, "place": 40 - held_out} and held_out > 0


@pytest.mark.parametrize("seed", [1, 2])
def test_a_run_goes_on_from_the_weights_of_another(corpus, tmp_path, encoders, start, seed):
    run(corpus, tmp_path / "on", encoders, steps=2, init_from=str(start), lr=1e-9, seed=seed, dev_share=0.0)
    first, second = weights(start.parent), weights(tmp_path / "on")
    # The bias is settled anew on the dev rows at the end of every run.
    assert all(torch.allclose(first[key], second[key], atol=1e-6) for key in first if key != "bias")


def test_a_run_keeps_the_architecture_that_it_starts_from(corpus, tmp_path, encoders, start):
    run(corpus, tmp_path / "on", encoders, steps=1, init_from=str(start), dev_share=0.0)
    assert architecture_of(str(tmp_path / "on" / "model")) == architecture_of(str(start))


def test_a_start_without_weights_is_refused(corpus, tmp_path, encoders):
    with pytest.raises(ValueError, match="init_from: .* no model.safetensors"):
        run(corpus, tmp_path / "out", encoders, init_from=str(tmp_path), dev_share=0.0)


def test_a_call_that_is_refused_does_not_bind_the_corrected_one(corpus, tmp_path, encoders):
    with pytest.raises(ValueError, match="holds no"):
        run(corpus, tmp_path / "out", encoders, init_from=str(tmp_path), dev_share=0.0)
    assert run(corpus, tmp_path / "out", encoders, steps=1)["steps"] == 1


def test_a_start_of_another_architecture_is_refused(corpus, tmp_path, encoders, start):
    with pytest.raises(ValueError, match="Train with the same"):
        run(corpus, tmp_path / "on", encoders, init_from=str(start), architecture="CrossEncoder", dev_share=0.0)


def test_dev_rows_that_the_start_was_trained_on_are_refused(corpus, tmp_path, encoders, start):
    with pytest.raises(ValueError, match="dev rows of the earlier run"):
        run(corpus, tmp_path / "on", encoders, init_from=str(start))


@pytest.mark.parametrize("start, wanted", [(True, False), (False, True)], indirect=["start"])
def test_a_run_cannot_change_what_texts_see(corpus, tmp_path, encoders, start, wanted):
    with pytest.raises(ValueError, match="Train with the same"):
        run(corpus, tmp_path / "on", encoders, init_from=str(start), text_sees_labels=wanted, dev_share=0.0)


def test_a_share_beyond_all_texts_is_refused():
    with pytest.raises(ValueError, match="recase must be a number at least 0 and at most 1"):
        Settings("any", recase=2.0)


def link_rows(n=24):
    """Two people and their firms, in one of two orders."""
    for i in range(n):
        text = (
            f"Ada{i} runs Acme{i} and Bob{i} runs Bolt{i}."
            if i % 2
            else f"Acme{i} is run by Ada{i}, Bolt{i} by Bob{i}."
        )
        at = {
            name: [text.index(name), text.index(name) + len(name)]
            for name in (f"Ada{i}", f"Bob{i}", f"Acme{i}", f"Bolt{i}")
        }
        links = [
            {"head": at[f"Ada{i}"], "label": "employer", "tails": [at[f"Acme{i}"]]},
            {"head": at[f"Bob{i}"], "label": "employer", "tails": [at[f"Bolt{i}"]]},
            {"head": at[f"Bob{i}"], "label": "spouse", "tails": []},
        ]  # fmt: skip
        spans = [(f"Ada{i}", "person"), (f"Bob{i}", "person")]
        yield row(text, spans, id=f"l{i}") | {"links": links}


@pytest.fixture
def linked(tmp_path):
    path = tmp_path / "links.jsonl"
    path.write_text("\n".join(map(json.dumps, link_rows())), encoding="utf8")
    return path


def test_a_share_of_the_steps_asks_about_spans(corpus, linked, tmp_path, encoders, monkeypatch):
    asked = []
    step = Run.step
    monkeypatch.setattr(
        Run, "step", lambda self, batch: (asked.append(isinstance(batch.texts, Headed)), step(self, batch))
    )
    settings = Settings(encoders["bert"], steps=12, batch_size=4, link_share=0.25, dev_share=0.2)
    result = distill({str(corpus): 1.0, str(linked): 1.0}, tmp_path / "out", settings, tokenize=blank_tokenizer())
    assert asked == [False, False, False, True] * 3
    assert result["dev_questions"] > 0 and 0 <= result["dev_links_f"] <= 1
    assert any(name.startswith("links.") for name in weights(tmp_path / "out"))


def test_only_links_leaves_all_other_weights_as_they_were(corpus, linked, tmp_path, encoders):
    run(corpus, tmp_path / "start", encoders, steps=6)
    settings = Settings(encoders["bert"], init_from=str(tmp_path / "start" / "model"), steps=6, batch_size=4, link_share=0.5,
                        only_links=True, text_sees_labels=None)  # fmt: skip
    distill({str(linked): 1.0}, tmp_path / "out", settings, tokenize=blank_tokenizer(), dev=linked)
    before, after = weights(tmp_path / "start"), weights(tmp_path / "out")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert set(after) - set(before) == {name for name in after if name.startswith("links.")} != set()


def test_a_killed_run_with_links_resumes_to_the_same_weights(corpus, linked, tmp_path, encoders, monkeypatch):
    settings = Settings(encoders["bert"], steps=14, batch_size=4, link_share=0.4, dev_share=0.2)
    files = {str(corpus): 1.0, str(linked): 1.0}
    distill(files, tmp_path / "whole", settings, tokenize=blank_tokenizer(), save_every=5)
    step, calls = Run.step, []

    def dies(self, batch):
        calls.append(1)
        if len(calls) == 9:
            raise KeyboardInterrupt
        step(self, batch)

    monkeypatch.setattr(Run, "step", dies)
    with pytest.raises(KeyboardInterrupt):
        distill(files, tmp_path / "killed", settings, tokenize=blank_tokenizer(), save_every=5)
    monkeypatch.setattr(Run, "step", step)
    torch.manual_seed(99)
    distill(files, tmp_path / "killed", settings, tokenize=blank_tokenizer(), save_every=5)
    whole, killed = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


def test_links_without_rows_that_have_any_are_refused(corpus, tmp_path, encoders):
    with pytest.raises(ValueError, match="no row of the corpus has links"):
        run(corpus, tmp_path / "out", encoders, link_share=0.3)


def test_the_head_pass_learns_whose_answer_it_is(linked, tmp_path, encoders):
    settings = Settings(encoders["bert"], steps=160, batch_size=8, lr=2e-3, dropout=0.0, link_share=0.9, dev_share=0.2)
    result = distill({str(linked): 1.0}, tmp_path / "out", settings, tokenize=blank_tokenizer())
    assert result["dev_head_choice"]["cases"] >= 4 and result["dev_head_choice"]["chance"] == 0.5
    assert result["dev_head_choice"]["share"] > 0.9
