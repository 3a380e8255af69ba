"""Calibration: scores that are probabilities, folded into the weights together with their threshold."""

import json

import numpy as np
import pytest
import spacy
from helpers import CNN, CORPUS, LISTENER, SENTENCES, TRAIN, annotated, packaged, scored, shared

from metaie_spacy.data.known import Known
from metaie_spacy.measure.calibrate import (  # fmt: skip
    CANDIDATES,
    Cells,
    Part,
    Rules,
    Scale,
    Scored,
    calibrate,
    clearly_best,
    count_right,
    fit_scale,
    log_loss,
    measure,
    settle,
    split_documents,
)
from metaie_spacy.measure.evaluate import evaluate
from metaie_spacy.schema import move_threshold, parse_labels, read_schema

LABELS = ["person", "place", "date of birth"]


def logits(nlp, labels=LABELS):
    docs = [nlp.make_doc(text) for text in SENTENCES]
    found = nlp.get_pipe("metaie").score_labels(docs, [parse_labels(labels)] * len(docs))
    return np.concatenate([values.reshape(-1) for _, _, _, values in sorted(found, key=lambda part: part[0])])


@pytest.fixture
def any_nlp(make_nlp, encoders):
    """A pipeline of one of the three architectures, with weights that speak."""

    def make(architecture):
        if architecture != "SharedTransformer":
            return make_nlp(LABELS, architecture=architecture)
        nlp = shared(encoders["bert"], CNN, LABELS)
        nlp.initialize(lambda: [annotated(nlp, text, spans) for text, spans in TRAIN])
        nlp.get_pipe("metaie").model.shims[0].module.bias.data.zero_()
        nlp.get_pipe("metaie").labels = LABELS
        return nlp

    return make


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """A part of the corpus, and a smaller one."""
    folder, lines = tmp_path_factory.mktemp("rows"), CORPUS.read_text(encoding="utf8").splitlines()
    for name, part in (("many", lines[:60]), ("few", lines[:4])):
        (folder / f"{name}.jsonl").write_text("\n".join(part), encoding="utf8")
    return folder


@pytest.mark.parametrize("architecture", ["LabelToSpan", "CrossEncoder", "SharedTransformer"])
def test_folding_scales_every_logit(any_nlp, architecture):
    nlp = any_nlp(architecture)
    pipe = nlp.get_pipe("metaie")
    pipe.threshold, pipe.labels = (
        0.4,
        {"PER": "person", "place": "place", "DOB": {"query": "date of birth", "threshold": 0.3}},
    )
    before = logits(nlp)
    assert np.ptp(before) > 0.1
    pipe.calibrate(2.5, -0.75, 0.35, 0.2)
    assert np.allclose(logits(nlp), before / 2.5 - 0.75, atol=1e-5)
    assert pipe.effective_threshold == 0.35
    assert pipe.threshold is None and pipe.label_data["DOB"]["threshold"] == pytest.approx(
        move_threshold(0.3, 2.5, -0.75)
    )


@pytest.mark.parametrize("save_dtype", ["float32", "float16"])
def test_saved_pipeline_keeps_calibration_and_threshold(make_nlp, tmp_path, save_dtype):
    nlp = make_nlp(LABELS, model={"save_dtype": save_dtype})
    nlp.get_pipe("metaie").calibrate(2.0, -0.5, 0.2, 0.1)
    nlp.to_disk(tmp_path)
    block = {key: value for key, value in nlp.config["components"]["metaie"].items() if key != "factory"}
    from_bytes, fresh = spacy.blank("en"), spacy.blank("en")
    from_bytes.add_pipe("metaie", config=block)
    from_bytes.from_bytes(nlp.to_bytes())
    fresh.add_pipe("metaie", config={**block, "weights": str(tmp_path)})
    assert not fresh.get_pipe("metaie").model.shims[0].loaded  # the factory still loads nothing
    atol = 1e-5 if save_dtype == "float32" else 0.05
    for other in (spacy.load(tmp_path), from_bytes, fresh):
        pipe = other.get_pipe("metaie")
        assert pipe.threshold is None and pipe.effective_threshold == 0.2
        assert np.allclose(logits(other), logits(nlp), atol=atol)
        found = scored(other(SENTENCES[0]))
        pipe.threshold = 0.5
        assert pipe.effective_threshold == 0.5 and len(scored(other(SENTENCES[0]))) != len(found)


def test_calibrating_twice_adds_up_and_training_undoes_it(make_nlp):
    nlp = make_nlp(LABELS)
    pipe, raw = nlp.get_pipe("metaie"), logits(nlp)
    config = pipe.model.shims[0].module.config.metaie
    pipe.calibrate(2.0, -0.5, 0.3, 0.2)
    pipe.calibrate(0.5, 1.0, 0.25, 0.2)
    assert np.allclose(logits(nlp), (raw / 2 - 0.5) / 0.5 + 1, atol=1e-5)
    done = config["calibration"]
    assert np.allclose(logits(nlp), raw / done["temperature"] + done["bias"], atol=1e-5)
    nlp.update(
        [annotated(nlp, "Ada Lovelace flew.", [("Ada Lovelace", "person")])], sgd=False
    )  # gradients, but no step
    assert np.allclose(logits(nlp), raw, atol=1e-5)
    assert (
        not {"threshold", "tag_threshold"} & config.keys()
        and "calibration" not in config
        and pipe.effective_threshold == 0.5
    )


def test_null_threshold_is_a_setting_like_any_other(make_nlp, tmp_path):
    nlp = make_nlp(LABELS)
    pipe = nlp.get_pipe("metaie")
    assert nlp.config["components"]["metaie"]["threshold"] is None and pipe.schema["threshold"] is None
    pipe.threshold = 0.3
    (tmp_path / "schema.json").write_text('{"labels": ["person"], "threshold": null}')
    assert read_schema(tmp_path / "schema.json")["threshold"] is None
    pipe.schema = tmp_path / "schema.json"
    assert pipe.threshold is None
    pipe.threshold = 0.3
    nlp.to_disk(tmp_path / "number")
    assert spacy.load(tmp_path / "number").get_pipe("metaie").threshold == 0.3
    numbered = make_nlp(LABELS, threshold=0.3)
    numbered.to_disk(tmp_path / "config")
    override = {"components": {"metaie": {"threshold": None}}}
    assert spacy.load(tmp_path / "config", config=override).get_pipe("metaie").threshold is None
    numbered.get_pipe("metaie").calibrate(1.0, 0.0, 0.4, 0.3)  # takes the place of a number that the config gave
    numbered.to_disk(tmp_path / "calibrated")
    assert spacy.load(tmp_path / "calibrated").get_pipe("metaie").effective_threshold == 0.4


@pytest.mark.parametrize("current", [0.5, 0.3])
def test_pipelines_saved_when_the_default_was_a_number_stay_as_they_are(make_nlp, tmp_path, current):
    nlp = make_nlp(LABELS, threshold=0.5)
    nlp.get_pipe("metaie").threshold = current
    found = [scored(nlp(text)) for text in SENTENCES]
    nlp.to_disk(tmp_path)
    schema = tmp_path / "metaie" / "schema.json"
    saved = json.loads(schema.read_text())
    del saved["format"]
    schema.write_text(json.dumps(saved))
    block = {**nlp.config["components"]["metaie"], "threshold": None}
    del block["factory"]
    blank = spacy.blank("en")
    blank.add_pipe("metaie", config=block)
    for other in (spacy.load(tmp_path), blank.from_disk(tmp_path)):
        assert other.get_pipe("metaie").threshold == current
        assert [scored(other(text)) for text in SENTENCES] == found


def test_default_threshold_is_the_weights_own_and_else_one_half():
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("metaie", config={"labels": ["person", "city"]})
    assert not pipe.model.shims[0].loaded  # the factory does not ask the weights
    doc = nlp("Ada Lovelace was born in London.")
    assert {span.text for span in doc.spans["metaie"]} == {"Ada Lovelace", "London"}
    assert pipe.effective_threshold == pipe.model.shims[0].module.config.metaie.get("threshold", 0.5)


def test_label_encoder_of_calibrated_weights_starts_a_shared_transformer_uncalibrated(encoders, make_nlp, tmp_path):
    nlp = make_nlp(LABELS)
    nlp.get_pipe("metaie").model.shims[0].module.bias.data.fill_(-2.0)
    nlp.get_pipe("metaie").calibrate(2.0, -0.5, 0.2, 0.1)
    nlp.to_disk(tmp_path)
    other = shared(encoders["bert"], CNN, LABELS)
    other.get_pipe("metaie").weights = str(tmp_path)
    other.initialize(lambda: [annotated(other, text, spans) for text, spans in TRAIN])
    assert other.get_pipe("metaie").effective_threshold == 0.5
    assert other.get_pipe("metaie").model.shims[0].module.bias.tolist() == pytest.approx([-2.0, -2.0])


def test_calibration_of_the_packaged_model_makes_scores_honest(rows, tmp_path):
    nlp = packaged()
    nlp.get_pipe("metaie").load()
    nlp.get_pipe("metaie").model.shims[0].uncalibrate()  # the package comes calibrated
    report = calibrate(nlp, rows / "many.jsonl", seed=1)
    before, after = report["before"], report["after"]
    assert json.loads(json.dumps(report)) == report and report["texts"] == 60
    assert after["ece"] < 0.6 * before["ece"] and after["brier"] < before["brier"]
    assert len(after["bins"]) == 15 and sum(b["spans"] for b in after["bins"]) == after["spans"]
    assert after["f"] >= before["f"] - 0.01
    assert nlp.get_pipe("metaie").effective_threshold == report["threshold"] == after["threshold"]
    assert nlp.get_pipe("metaie").model.shims[0].tag_threshold == report["tag_threshold"] <= report["threshold"]
    # What the report says of the half that was not fitted to is what the pipeline does.
    ids = [json.loads(line)["id"] for line in (rows / "many.jsonl").open(encoding="utf8")]
    _, held_out = split_documents([Scored(id.split("#")[0], set(), [], []) for id in ids], 1)
    only = tmp_path / "only.jsonl"
    only.write_text("\n".join(json.dumps({"id": text.document}) for text in held_out))
    assert evaluate(nlp, rows / "many.jsonl", only=only)["f"] == pytest.approx(after["f"], abs=2e-3)


def test_closed_set_becomes_the_components(rows):
    nlp = packaged()
    labels = {"PER": {"query": "person", "threshold": 0.6}, "person": "person", "location": "location"}
    report = calibrate(nlp, rows / "many.jsonl", labels=labels)
    pipe = nlp.get_pipe("metaie")
    assert pipe.labels == ("PER", "person", "location")
    assert pipe.label_data["PER"]["threshold"] == pytest.approx(
        move_threshold(0.6, report["temperature"], report["bias"])
    )
    assert {name for name, value in pipe.label_data.items() if isinstance(value, dict)} == set(report["labels"])


def test_too_few_spans_are_counted_and_no_component_is_named(make_nlp, rows):
    nlp = make_nlp(LABELS)
    nlp.get_pipe("metaie").threshold = 1.0
    before = logits(nlp)
    with pytest.raises(
        ValueError, match=r"0 spans were predicted in one half of the 60 texts and 0 .* at least 50 in each"
    ):
        calibrate(nlp, rows / "many.jsonl")
    with pytest.raises(ValueError, match="of the 4 texts"):
        calibrate(nlp, rows / "few.jsonl")
    with pytest.raises(ValueError, match="of the 0 texts"):
        calibrate(nlp, rows / "few.jsonl", only=_file(rows / "none.jsonl", {"id": "unknown"}))
    with pytest.raises(ValueError, match="no active component 'other'"):
        calibrate(nlp, rows / "few.jsonl", name="other")
    assert np.array_equal(logits(nlp), before)  # a refusal changes nothing
    nlp.get_pipe("metaie").threshold = None
    nlp.get_pipe("metaie").model.shims[0].module.config.metaie["threshold"] = "high"
    with pytest.raises(ValueError, match="threshold that the weights carry must be a number"):
        nlp("Ada flew.")
    for temperature, threshold in ((0.0, 0.5), (-1.0, 0.5), (1.0, 1.5)):
        with pytest.raises(ValueError, match="temperature|threshold"):
            nlp.get_pipe("metaie").calibrate(temperature, 0.0, threshold, 0.5)


def test_component_that_listens_to_a_transformer_is_calibrated(encoders, rows):
    nlp = shared(encoders["bert"], LISTENER, LABELS)
    nlp.initialize(lambda: [annotated(nlp, text, spans) for text, spans in TRAIN])
    nlp.get_pipe("metaie").threshold = 0.0  # all that an untrained head says is wrong
    report = calibrate(nlp, rows / "many.jsonl")
    assert report["after"]["ece"] < 0.05
    assert nlp.pipe_names == ["transformer", "metaie"]


def _file(path, row):
    path.write_text(json.dumps(row), encoding="utf8")
    return path


def random_cells(rng, n, scale):
    """Spans whose correctness is drawn with the probability that `scale` gives them."""
    sizes = rng.integers(1, 5, n)
    values = -np.sort(-rng.normal((2, -3), (2, 1), (sizes.sum(), 2)), axis=1)
    z = values / scale.temperature + scale.bias
    chosen = np.exp(z[:, 0]) / (1 + np.exp(z).sum(1))
    scores = np.add.reduceat(chosen, sizes.cumsum() - sizes) / sizes
    return Cells(values, sizes, rng.random(n) < scores)


@pytest.mark.parametrize("scale", [Scale(), Scale(2.5, -1.0), Scale(0.7, 0.8)])
def test_fit_finds_the_scale_that_the_data_were_drawn_from(scale):
    found = fit_scale(random_cells(np.random.default_rng(0), 20_000, scale))
    assert found.temperature == pytest.approx(scale.temperature, rel=0.1) and found.bias == pytest.approx(
        scale.bias, abs=0.1
    )


@pytest.mark.parametrize("right", [0, 1])
def test_fit_stays_finite_where_all_spans_are_right_or_wrong(right):
    cells = random_cells(np.random.default_rng(0), 200, Scale())
    found = fit_scale(cells._replace(correct=np.full(200, bool(right))))
    assert 0.2 < found.temperature < 5 and 0 < abs(found.bias) < 15


def test_gradient_of_the_fit_is_the_losses():
    cells = random_cells(np.random.default_rng(1), 50, Scale(2.0, -1.0))
    targets, at, eps = cells.correct.astype(float), np.array([0.3, -0.4]), 1e-6
    _, gradient, _ = log_loss(cells, targets, at)
    for k in range(2):
        move = np.eye(2)[k] * eps
        numeric = (log_loss(cells, targets, at + move)[0] - log_loss(cells, targets, at - move)[0]) / (2 * eps)
        assert gradient[k] == pytest.approx(numeric, abs=1e-6)


def biased_texts(rng, n, biases):
    """One-token spans: gold where a fair coin of the logit falls so; the model's logit of each label is off by its bias."""
    texts = []
    for i in range(n):
        true = rng.normal(0, 3, (12, len(biases)))
        gold = {
            (w, w + 1, name)
            for w in range(12)
            for u, name in enumerate(biases)
            if rng.random() < 1 / (1 + np.exp(-true[w, u]))
        }
        values = np.stack([true + list(biases.values()), np.full_like(true, -20.0)], -1).astype("float32")
        texts.append(
            Scored(
                str(i),
                Known(gold),
                [(w, w + 1) for w in range(12)],
                [Part(list(biases), list(range(12)), values, np.zeros(len(biases)))],
            )
        )
    return texts


def test_threshold_moves_only_where_another_is_clearly_better():
    rng, rules = np.random.default_rng(0), Rules(0.4, 0.4, {}, False)
    found, scale = settle(biased_texts(rng, 150, {"a": 0.0}), rules, [])
    assert found == rules.move(scale)
    texts = biased_texts(rng, 150, {"a": 3.0})
    found, scale = settle(texts, rules, [])
    before, after = measure(texts, rules, Scale()), measure(texts, found, scale)
    assert after["f"] > before["f"] + 0.03 and after["ece"] < 0.05 < before["ece"]


def test_only_labels_that_are_seen_often_get_a_threshold():
    rng, rules = np.random.default_rng(0), Rules(0.4, 0.4, {"own": 0.45}, False)
    texts = biased_texts(rng, 100, {"good": 0.0, "off": 4.0, "rare": 4.0, "own": 4.0})
    rare = 0
    for _number, text in enumerate(texts):  # all but 29 of its spans are gone
        for span in [span for span in sorted(text.known.spans) if span[2] == "rare"]:
            rare += 1
            if rare > 29:
                text.known.spans.discard(span)
    found, scale = settle(texts, rules, ["good", "off", "rare", "own"])
    assert "rare" not in found.labels and found.labels["own"] == pytest.approx(move_threshold(0.45, *scale))
    assert {"good", "off"} & found.labels.keys()  # they want different ones
    assert found.labels.get("off", found.threshold) > found.labels.get("good", found.threshold) + 0.2
    assert set(settle(texts, rules, [])[0].labels) == {"own"}  # an open set has none


@pytest.mark.parametrize("flat", [False, True])
def test_counting_for_many_least_scores_at_once_agrees_with_measuring_each(flat):
    texts = biased_texts(np.random.default_rng(0), 40, {"a": 0.0, "b": 1.0})  # every token may be both
    rules, cuts = Rules(0.1, 0.1, {}, flat), [0.2, 0.5, 0.8]
    counts = count_right(texts, rules, Scale(), cuts, [], rules).sum((1, 2))
    for cut, (right, found, gold) in zip(cuts, counts):
        alone = measure(texts, rules._replace(threshold=cut), Scale())
        assert found == alone["spans"] and right / found == pytest.approx(alone["p"])
        assert right / gold == pytest.approx(alone["r"])


def test_lead_that_chance_explains_is_no_lead():
    alike = np.tile([1, 2, 2], (2, 50, 1))
    alike[1, 0, 0] = 2  # one span more, in one text
    assert clearly_best(alike, 0) == 0
    alike[1, :20, 0] = 2
    assert clearly_best(alike, 0) == 1


def test_halves_keep_documents_together_in_any_order():
    texts = [Scored(f"doc{i // 3}", set(), [], []) for i in range(90)]
    first, second = split_documents(texts, 0)
    assert len(first) == len(second) == 45 and not {text.document for text in first} & {
        text.document for text in second
    }
    again, _ = split_documents(texts[::-1], 0)
    assert {text.document for text in again} == {text.document for text in first}
    assert {text.document for text in split_documents(texts, 1)[0]} != {text.document for text in first}


def test_candidates_are_thresholds():
    assert (np.diff(CANDIDATES) > 0).all() and 0 < CANDIDATES[0] < 0.1 < 0.7 < CANDIDATES[-1] < 1
