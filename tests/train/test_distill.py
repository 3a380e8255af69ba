"""Distillation: resumes exactly, keeps dev apart, and its result loads."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest
import torch
from helpers import answers
from safetensors.torch import load_file

from metaie_spacy.data.items import Item, blank_tokenizer
from metaie_spacy.model.modules import LabelToSpan
from metaie_spacy.model.weights import architecture_of
from metaie_spacy.release.assemble import average
from metaie_spacy.train.batches import recased
from metaie_spacy.train.distill import Settings, batch_stream, distill, ramp


def rows(n=40):
    for i in range(n):
        name, place = f"Ada{i}", f"Rome{i}"
        text = f"{name} flew to {place} on Monday."
        spans = [
            {"start": 0, "end": len(name), "label": "person"},
            {"start": text.index(place), "end": text.index(place) + len(place), "label": "place"},
        ]
        yield {"id": str(i), "text": text, "spans": spans, "absent": ["drug"]}


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows()), encoding="utf8")
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


def test_distilled_weights_load_into_the_component(corpus, tmp_path, encoders, make_nlp):
    result = run(corpus, tmp_path / "out", encoders, epochs=60, lr=2e-3, dropout=0.0)
    assert result["loss"] < 0.2
    import spacy

    nlp = spacy.blank("en")
    model = {"@architectures": "metaie-spacy.LabelToSpan.v1", "name": encoders["bert"]}
    pipe = nlp.add_pipe(
        "metaie", config={"labels": ["person", "place"], "weights": str(tmp_path / "out" / "model"), "model": model}
    )
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


def test_a_run_goes_on_from_the_weights_of_another_and_runs_are_averaged(corpus, tmp_path, encoders):
    assert run(corpus, tmp_path / "first", encoders, steps=2, text_sees_labels=True)["steps"] == 2
    start = str(tmp_path / "first" / "model")
    for seed in (1, 2):
        run(corpus, tmp_path / f"on{seed}", encoders, steps=2, init_from=start, lr=1e-9, seed=seed, dev_share=0.0)
        first, second = weights(tmp_path / "first"), weights(tmp_path / f"on{seed}")
        assert all(torch.allclose(first[key], second[key], atol=1e-6) for key in first if key != "bias")
    run(corpus, tmp_path / "other", encoders, steps=3, lr=1e-2, text_sees_labels=True)
    folders = [tmp_path / "first" / "model", tmp_path / "other" / "model"]
    average(folders, tmp_path / "mean" / "model")
    mean, parts = weights(tmp_path / "mean"), [weights(folder.parent) for folder in folders]
    assert all(torch.allclose(mean[key], (parts[0][key] + parts[1][key]) / 2) for key in mean)
    config = json.loads((tmp_path / "mean" / "model" / "config.json").read_text(encoding="utf8"))
    trained_on = 40 - len((tmp_path / "first" / "dev.jsonl").read_text().splitlines())
    assert config["metaie"]["label_counts"] == {"person": trained_on, "place": trained_on} and trained_on < 40
    assert not any(
        torch.allclose(mean[key], part[key], atol=1e-5) for part in parts for key in ("bias", "label_head.0.weight")
    )
    average(folders, folders[0])  # in place of one of them
    assert all(torch.equal(weights(tmp_path / "first")[key], mean[key]) for key in mean)
    run(corpus, tmp_path / "blind", encoders, steps=1, text_sees_labels=False)
    blind = str(tmp_path / "blind" / "model")
    run(corpus, tmp_path / "blind_on", encoders, steps=1, init_from=blind, dev_share=0.0)
    assert (
        architecture_of(str(tmp_path / "blind_on" / "model"))
        == architecture_of(blind)
        != architecture_of(str(tmp_path / "on1" / "model"))
    )
    for bad, message in (
        (folders[:1], "nothing to average"),
        ([folders[0], Path(blind)], "do not fit"),
        ([folders[0], tmp_path], "lacks model.safetensors"),
    ):
        with pytest.raises(ValueError, match=message):
            average(bad, tmp_path / "bad")
    with pytest.raises(ValueError, match="init_from: .* no model.safetensors"):
        run(corpus, tmp_path / "bad1", encoders, init_from=str(tmp_path), dev_share=0.0)
    with pytest.raises(ValueError, match="Train with the same"):
        run(corpus, tmp_path / "bad2", encoders, init_from=blind, text_sees_labels=True, dev_share=0.0)
    with pytest.raises(ValueError, match="dev rows of the earlier run"):
        run(corpus, tmp_path / "bad3", encoders, init_from=start)
    with pytest.raises(ValueError, match="recase must be a share"):
        run(corpus, tmp_path / "bad4", encoders, recase=2.0)


def test_recased_texts_keep_their_spans():
    items = [Item(str(i), ["Ada", "flew"], [(0, 1, "person")], []) for i in range(400)]
    changed = recased(items, 0.4, random.Random(0))
    kinds = Counter(item.words[0] for item in changed)
    assert 90 < kinds["ada"] < 150 and 20 < kinds["ADA"] < 60 and kinds["Ada"] > 200
    assert all(item.spans == [(0, 1, "person")] and len(item.words) == 2 for item in changed)
