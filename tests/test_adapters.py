"""Adapters: small changes of weights, several beside one model, asked by name."""

import json

import pytest
import spacy
import torch
from helpers import TRAIN, row, scored

from metaie_spacy import pipe_with_labels
from metaie_spacy.fewshot import Settings, adapt, adapt_and_score, make_adapter
from metaie_spacy.measure.asking import ask, gold_spans, with_candidates
from metaie_spacy.measure.evaluate import evaluate_rows
from metaie_spacy.model.adapters import Adapter, adapter_bytes, hash_of, parse_adapter, read_adapter
from metaie_spacy.schema import LinkSchema

FAST = Settings(steps=80, lr=1e-3, ema=0.9, rehearsal=0.0, blend=1.0, rank=2, rank_scale=4.0)
ROWS = [row(text, spans) for text, spans in TRAIN]
OTHER = [
    row("Ada met Bob.", [("met", "verb")]),
    row("Bob saw Ada.", [("saw", "verb")]),
    row("Cy hit Di.", [("hit", "verb")]),
]
TEXT = TRAIN[1][0]


def state(nlp):
    module = nlp.get_pipe("metaie").model.shims[0].module
    return {key: value.clone() for key, value in module.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture(scope="module")
def made(encoders, tmp_path_factory):
    """A pipeline, and two adapters that were made with it."""
    nlp = spacy.blank("en")
    block = {"@architectures": "metaie-spacy.LabelToSpan.v1", "name": encoders["bert"], "dropout": 0.0}
    torch.manual_seed(1)
    pipe = nlp.add_pipe(
        "metaie", config={"labels": ["date"], "weights": None, "model": block | {"compute_dtype": "float32"}}
    )
    pipe.model.initialize()
    pipe.calibrate(1.5, 0.2, 0.4, 0.3)
    folder = tmp_path_factory.mktemp("adapters")
    before = state(nlp), dict(pipe.model.shims[0].module.config.metaie), pipe.label_data, scored(nlp(TEXT))
    for name, rows in (("names", ROWS), ("verbs", OTHER)):
        make_adapter(nlp, rows, folder / name, settings=FAST, held_out=0.0, progress=False)
    after = state(nlp), dict(pipe.model.shims[0].module.config.metaie), pipe.label_data, scored(nlp(TEXT))
    assert same(before[0], after[0]) and before[1:] == after[1:]  # the pipeline stays as it is
    nlp.to_disk(folder / "base")
    return folder


@pytest.fixture
def nlp(made):
    nlp = spacy.load(made / "base")
    for name in ("names", "verbs"):
        nlp.get_pipe("metaie").add_adapter(name, made / name)
    return nlp


def asked(nlp, text, **settings):
    doc = nlp(text, component_cfg={"metaie": settings})
    return scored(doc)


def test_an_adapter_answers_as_the_pipeline_that_was_trained_whole(made, nlp):
    whole = spacy.load(made / "base")
    adapt(whole, ROWS, settings=FAST, progress=False)
    for text in (TEXT, "Bob of KLM flew to Oslo."):
        a, b = asked(nlp, text, adapter="names"), scored(whole(text))
        assert a.keys() == b.keys() and b
        assert all(abs(a[key] - b[key]) < 0.01 for key in b)  # the file has half of the digits


def test_an_adapter_knows_its_labels_and_the_model_beside_it_is_unchanged(made, nlp):
    pipe, plain = nlp.get_pipe("metaie"), spacy.load(made / "base")
    assert set(pipe.adapters["names"]["labels"]) == {"airline", "person", "place"} and pipe.labels == ("date",)
    assert {key[2] for key in asked(nlp, TEXT, adapter="names")} <= set(pipe.adapters["names"]["labels"])
    for text in (TEXT, "Ada met Bob on Monday."):
        assert asked(nlp, text) == scored(plain(text))
        assert asked(nlp, text, labels=["person"], threshold=0.0) == scored(
            plain(text, component_cfg={"metaie": {"labels": ["person"], "threshold": 0.0}})
        )


def test_texts_of_one_stream_may_be_read_with_different_adapters(nlp):
    adapters = nlp.get_pipe("metaie").adapters
    texts = [TRAIN[i % len(TRAIN)][0] for i in range(12)]
    asks = [(adapters["names"], adapters["verbs"], ["date"])[i % 3] for i in range(12)]
    together = [scored(doc) for doc in pipe_with_labels(nlp, zip(texts, asks), batch_size=5)]
    alone = [next(scored(doc) for doc in pipe_with_labels(nlp, [(text, ask)])) for text, ask in zip(texts, asks)]
    assert [one.keys() for one in together] == [one.keys() for one in alone] and any(together)
    assert all(abs(a[key] - b[key]) < 1e-4 for a, b in zip(together, alone) for key in a)


def test_a_component_can_be_set_to_an_adapter(nlp):
    pipe = nlp.get_pipe("metaie")
    pipe.adapter = "verbs"
    pipe.labels = pipe.adapters["verbs"]["labels"]
    assert scored(nlp("Bob saw Ada.")) == asked(nlp, "Bob saw Ada.", adapter="verbs")
    pipe.remove_adapter("verbs")
    assert pipe.adapter is None and set(pipe.adapters) == {"names"}


def test_links_are_measured_with_the_adapter_that_is_set(made, nlp):
    example = row(TEXT, TRAIN[1][1])
    head, tail = ([span["start"], span["end"]] for span in example["spans"][:2])
    example["links"] = [{"head": head, "label": "place", "tails": [tail]}]

    def parts(nlp):
        given, weighed = gold_spans(nlp.make_doc(TEXT), example, LinkSchema()), []
        list(ask(nlp.get_pipe("metaie"), [with_candidates(given, example)], weighed=weighed))
        return {(pair.head, pair.tail, pair.label): pair.parts["answer"] for pair in weighed}

    plain, whole = parts(nlp), spacy.load(made / "base")
    adapt(whole, ROWS, settings=FAST, progress=False)
    nlp.get_pipe("metaie").adapter = "names"
    adapted, wanted = parts(nlp), parts(whole)
    assert adapted.keys() == wanted.keys() and plain != adapted
    assert all(abs(adapted[key] - wanted[key]) < 0.01 for key in wanted)


def test_adapters_survive_being_saved_and_worker_processes(nlp, tmp_path):
    nlp.get_pipe("metaie").adapter = "names"
    wanted = asked(nlp, TEXT, adapter="names")
    nlp.to_disk(tmp_path / "saved")
    copies = [spacy.load(tmp_path / "saved"), spacy.load(tmp_path / "saved").from_bytes(nlp.to_bytes())]
    for copy in copies:
        assert copy.get_pipe("metaie").adapter == "names" and set(copy.get_pipe("metaie").adapters) == {
            "names",
            "verbs",
        }
        found = asked(copy, TEXT, adapter="names")
        assert found.keys() == wanted.keys() and all(abs(found[key] - wanted[key]) < 1e-4 for key in wanted)
    docs = list(nlp.pipe([TEXT] * 4, n_process=2, batch_size=1, component_cfg={"metaie": {"adapter": "names"}}))
    assert [scored(doc).keys() for doc in docs] == [wanted.keys()] * 4
    nlp.get_pipe("metaie").remove_adapter("verbs")
    nlp.to_disk(tmp_path / "saved")
    assert set(spacy.load(tmp_path / "saved").get_pipe("metaie").adapters) == {"names"}


def test_more_adapters_than_stand_ready_answer_as_before(made, nlp):
    pipe = nlp.get_pipe("metaie")
    for number in range(6):
        pipe.add_adapter(f"more{number}", made / ("names", "verbs")[number % 2])
    first = [asked(nlp, TEXT, adapter=f"more{number}", threshold=0.0) for number in range(6)]
    assert first[0] == first[2] == first[4] != first[1] == first[3] == first[5]
    assert [asked(nlp, TEXT, adapter=f"more{number}", threshold=0.0) for number in range(6)] == first


def test_an_adapter_of_other_weights_is_refused(made, make_nlp, nlp):
    other = make_nlp()
    with pytest.raises(ValueError, match="belongs to other weights"):
        other.get_pipe("metaie").add_adapter("names", made / "names")
    with pytest.raises(ValueError, match="names, verbs belong to these weights"):
        adapt(nlp, ROWS, settings=FAST, progress=False)
    nlp.get_pipe("metaie").calibrate(1.1, 0.0, 0.3, 0.3)  # changes no layer
    assert asked(nlp, TEXT, adapter="names")


@pytest.mark.parametrize("name", ["", "../up", "a b", ".hidden", "x" * 61, 3])
def test_a_name_that_is_no_file_name_is_refused(made, nlp, name):
    with pytest.raises(ValueError, match="An adapter's name has letters"):
        nlp.get_pipe("metaie").add_adapter(name, made / "names")


def test_an_adapter_that_is_not_there_is_told(nlp, tmp_path):
    with pytest.raises(ValueError, match="has no adapter 'claims'. It has: names, verbs"):
        asked(nlp, TEXT, adapter="claims")
    with pytest.raises(ValueError, match="There is no adapter"):
        nlp.get_pipe("metaie").add_adapter("claims", tmp_path / "claims")
    with pytest.raises(ValueError, match='"adapter" must be the name of one'):
        list(pipe_with_labels(nlp, [(TEXT, {"labels": ["person"], "adapter": 3})]))


def test_damaged_adapters_are_refused(made, nlp):
    content = (made / "names").read_bytes()
    good = read_adapter(made / "names")
    bad = [content[:100], content[:-1], b"", content.replace(b"metaie adapter 1", b"metaie adapter 9")]
    for data in bad:
        with pytest.raises(ValueError, match="is damaged"):
            parse_adapter(data, "a test")
    name = next(iter(good.factors))
    down, up = good.factors[name]
    for factors in ({name: (down[:, :-1], up)}, {"nothing": (down, up)}, {name: (down, up[:, :1])}):
        with pytest.raises(ValueError, match="does not fit|are not whole"):
            adapter = parse_adapter(adapter_bytes(good._replace(factors=factors)), "a test")
            nlp.get_pipe("metaie")._add("bad", adapter, "of a test")
    options = adapter_bytes(good._replace(options={"threshold": 7}))
    with pytest.raises(ValueError, match="threshold is 7"):
        parse_adapter(options, "a test")
    with pytest.raises(ValueError, match="cannot be used here"):
        nlp.get_pipe("metaie")._add("bad", good._replace(schema={"labels": 3}), "of a test")
    assert set(nlp.get_pipe("metaie").adapters) == {"names", "verbs"}


def test_an_adapter_is_small_and_keeps_what_it_was_given(made):
    good = read_adapter(made / "names")
    assert parse_adapter(adapter_bytes(good), "a test").schema == good.schema
    assert isinstance(good, Adapter) and all(len(down) == FAST.rank for down, _ in good.factors.values())
    assert (made / "names").stat().st_size < (made / "base/metaie/model").stat().st_size / 2


def test_low_rank_changes_leave_no_trace_but_the_weights(make_nlp):
    nlp = make_nlp()
    module = nlp.get_pipe("metaie").model.shims[0].module
    before, names = hash_of(module), list(state(nlp))
    adapt(nlp, ROWS, settings=FAST, progress=False)
    assert list(state(nlp)) == names and hash_of(module) != before
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert evaluate_rows(nlp, ROWS, labels=["person", "place", "airline"])["f"] > 0.9


def test_the_command_line_makes_an_adapter_and_reads_with_it(made, call, tmp_path):
    examples = tmp_path / "examples.jsonl"
    examples.write_text("\n".join(json.dumps(one | {"id": str(i)}) for i, one in enumerate(ROWS)), encoding="utf8")
    call("fewshot", str(examples), str(tmp_path / "own.safetensors"), "--model", str(made / "base"), "--adapter",
         "--steps", "5", "--held-out", "0", "--rehearsal", "0")  # fmt: skip
    result = call("extract", TEXT, "--model", str(made / "base"), "--adapter", str(tmp_path / "own.safetensors"),
                  "--threshold", "0", "--format", "jsonl")  # fmt: skip
    labels = {span["label"] for span in json.loads(result.out.splitlines()[-1])["spans"]}
    assert labels and labels <= {"airline", "person", "place"}


def test_an_adapter_that_is_calibrated_answers_as_the_pipeline_that_was_adapted(made, tmp_path):
    """Its scores go through their calibration once."""
    dev = tmp_path / "dev.jsonl"
    rows = 10 * [*ROWS, *({**one, "spans": []} for one in ROWS)]  # every second span that is found is wrong
    dev.write_text("".join(json.dumps(one | {"id": str(i)}) + "\n" for i, one in enumerate(rows)), encoding="utf8")
    whole = spacy.load(made / "base")
    result = adapt_and_score(whole, ROWS, dev=dev, settings=FAST, progress=False)
    nlp = spacy.load(made / "base")
    make_adapter(nlp, ROWS, tmp_path / "names", settings=FAST, dev=dev, progress=False)
    pipe = nlp.get_pipe("metaie")
    pipe.add_adapter("names", tmp_path / "names")
    pipe.adapter = "names"
    pipe.labels = whole.get_pipe("metaie").label_data
    found, expected = (evaluate_rows(one, ROWS, progress=False) for one in (nlp, whole))
    assert result["calibrated"] and found["f"] == expected["f"] > 0.5
    for one in ROWS:
        assert scored(nlp(one["text"])) == pytest.approx(scored(whole(one["text"])), abs=0.02)
