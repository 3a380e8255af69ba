"""Links that are learned: from rows and docs, in update and few-shot training, and what stays as it was."""

import json
import random

import pytest
import spacy
import torch
from helpers import CNN, LISTENER, row, shared
from spacy.training import Example

import metaie_spacy
from metaie_spacy import fewshot
from metaie_spacy.convert.annotations import read_annotations
from metaie_spacy.data.anchored import anchored_links
from metaie_spacy.data.corpus import make_corpus
from metaie_spacy.data.items import Item, Question, blank_tokenizer, example_item, read_items
from metaie_spacy.data.questions import as_questions, group_links
from metaie_spacy.fewshot import Settings, adapt, link_schema
from metaie_spacy.linking.learned import links_of_rows
from metaie_spacy.model.windows import cut_items
from metaie_spacy.train.batches import balanced
from metaie_spacy.train.optim import parameter_groups

FAST = Settings(steps=150, lr=2e-3, ema=0.9, rehearsal=0.0)


def linked(number, flipped):
    ada, bob, acme, bolt = (f"{name}{number}" for name in ("Ada", "Bob", "Acme", "Bolt"))
    text = f"{acme} is run by {ada}, {bolt} by {bob}." if flipped else f"{ada} runs {acme} and {bob} runs {bolt}."
    at = {name: [text.index(name), text.index(name) + len(name)] for name in (ada, bob, acme, bolt)}
    return row(text, [(ada, "person"), (bob, "person"), (acme, "firm"), (bolt, "firm")], id=str(number)) | {
        "links": [
            {"head": at[ada], "label": "employer", "tails": [at[acme]]},
            {"head": at[bob], "label": "employer", "tails": [at[bolt]]},
        ]
    }


ROWS = [linked(number, number % 2) for number in range(12)]


def pairs(doc):
    return {(link.head.text, link.label, link.tail.text) for link in metaie_spacy.links(doc)}


def gold(rows):
    return {
        (r["text"][slice(*link["head"])], link["label"], r["text"][slice(*tail)])
        for r in rows
        for link in r["links"]
        for tail in link["tails"]
    }


def test_few_examples_teach_links_and_set_their_schema(make_nlp):
    nlp = make_nlp()
    adapt(nlp, ROWS, settings=FAST, progress=False)
    pipe = nlp.get_pipe("metaie")
    assert pipe.model.shims[0].binds
    assert pipe.links["employer"]["head"] == "person" and pipe.links["employer"]["tail"] == "firm"
    found = set().union(*(pairs(doc) for doc in nlp.pipe(r["text"] for r in ROWS)))
    assert len(found & gold(ROWS)) / len(found | gold(ROWS)) > 0.9


def test_a_failed_adaptation_to_links_leaves_no_trace(make_nlp, monkeypatch):
    nlp = make_nlp(["person"])
    shim = nlp.get_pipe("metaie").model.shims[0]
    before = {name: value.clone() for name, value in shim.module.state_dict().items()}
    with pytest.raises(ValueError, match="learning rate"):
        adapt(nlp, ROWS, settings=Settings(steps=30, lr=1.0, rehearsal=0.0, head_scale=1e6), progress=False)
    after = shim.module.state_dict()
    assert not shim.binds and before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert nlp.get_pipe("metaie").links == {}


def test_rows_say_which_links_they_have():
    found = links_of_rows(ROWS)
    assert found == {"employer": {"head": ["person"], "query": "employer", "tail": ["firm"]}}
    free = [{**ROWS[0], "spans": ROWS[0]["spans"][:2]}]
    assert "tail" not in links_of_rows(free)["employer"]
    assert links_of_rows([{**ROWS[0], "spans": []}]) == {}


def test_wordings_of_the_component_are_what_is_trained(make_nlp):
    nlp = make_nlp({"person": "person", "firm": "firm"})
    pipe = nlp.get_pipe("metaie")
    pipe.links = {"employer": {"head": "person", "query": ["works for", "is paid by"]}}
    assert link_schema(ROWS, pipe)["employer"]["query"] == ["works for", "is paid by"]


def test_answers_are_asked_back_where_the_component_asks_them_back():
    item = fewshot.tokens_of(spacy.blank("en"), ROWS[:1], "the rows")[0]
    ada, bob = ((question.start, question.end) for question in item.links)
    acme, bolt = (question.tails[0] for question in item.links)
    relation = {"head": "person", "query": "employer", "tail": "firm"}
    asked = fewshot.asked_back(item, {"employer": relation | {"inverse": ["employee", "staff"]}})
    assert [(question[:2], question.label, question.tails) for question in asked] == [
        (firm, wording, (person,)) for firm, person in ((acme, ada), (bolt, bob)) for wording in ("employee", "staff")
    ]
    alone = item._replace(links=[item.links[0], item.links[1]._replace(tails=())])
    backwards = fewshot.asked_back(alone, {"employer": relation | {"inverse": "employee"}})
    assert [question.tails for question in backwards] == [(ada,), ()]  # nobody has the second firm
    assert fewshot.asked_back(item, {"employer": relation}) == []
    assert fewshot.asked_back(item._replace(links=()), {"employer": relation | {"inverse": "employee"}}) == []


@pytest.mark.parametrize("share, most", [(0.0, 1), (1.0, 2), (1.5, 3), (9.0, 6)])
def test_questions_without_an_answer_are_as_many_as_the_settings_say(share, most):
    questions = [Question(i, i + 1, "employer", ((9, 10),) if i < 2 else ()) for i in range(8)]
    item = Item("a", list("abcdefghij"), [], [], links=questions)
    kept = balanced(item, random.Random(0), share).links
    assert len(kept) == 2 + most and kept[:2] == questions[:2]


def test_the_head_pass_alone_learns_faster_where_the_settings_say_so(make_nlp):
    nlp = make_nlp(["person"])
    shim = nlp.get_pipe("metaie").model.shims[0]
    shim.add_links()
    rates = {}
    for scale in (1.0, 3.0):
        groups = parameter_groups(shim.module, 0.1, 2.0, 0.0, scale)
        rates[scale] = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    faster = {
        name: rates[3.0][id(p)] / rates[1.0][id(p)] for name, p in shim.module.named_parameters() if p.requires_grad
    }
    assert {round(times, 6) for name, times in faster.items() if name.startswith("links.")} == {3.0}
    assert {times for name, times in faster.items() if not name.startswith("links.")} == {1.0}


@pytest.mark.parametrize("architecture", ["LabelToSpan", "tok2vec", "transformer"])
def test_update_learns_links_beside_labels(make_nlp, encoders, architecture, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)), encoding="utf8")
    nlp = (
        make_nlp()
        if architecture == "LabelToSpan"
        else shared(encoders["bert"], CNN if architecture == "tok2vec" else LISTENER)
    )
    corpus = list(make_corpus(path, closed=True)(nlp))
    nlp.get_pipe("metaie").labels = ["person", "firm"]
    optimizer = nlp.initialize(lambda: corpus) if architecture != "LabelToSpan" else nlp.resume_training()
    pipe = nlp.get_pipe("metaie")
    pipe.model.shims[0].add_links()
    pipe.links = {"employer": {"head": "person", "tail": "firm"}}
    distance = pipe.model.shims[0].module.links.distance.weight.detach().clone()
    optimizer.learn_rate = 2e-3 if architecture == "LabelToSpan" else 5e-4
    losses = []
    for _ in range(60):
        losses.append(nlp.update(corpus, sgd=optimizer)["metaie"])
    assert sum(losses[-2:]) < sum(losses[:2]) / 2  # two, since a shared transformer learns them by turns
    assert not torch.equal(pipe.model.shims[0].module.links.distance.weight, distance)


def test_docs_keep_what_was_asked_and_not_answered(tmp_path):
    rows = [
        {**ROWS[0], "links": [*ROWS[0]["links"], {"head": ROWS[0]["links"][0]["head"], "label": "spouse", "tails": []}]}
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(rows[0]), encoding="utf8")
    nlp = spacy.blank("en")
    example = next(iter(make_corpus(path, closed=True)(nlp)))
    assert group_links(example.reference.spans["metaie"]) == rows[0]["links"]
    item, read = example_item(example, "metaie"), read_items(path, blank_tokenizer())[0]
    assert item.links == read.links and [len(question.tails) for question in item.links] == [1, 1, 0]
    docbin = tmp_path / "rows.spacy"
    from metaie_spacy.convert.convert import convert

    convert(path, docbin)
    assert read_annotations(docbin)[0]["links"] == rows[0]["links"]


def test_a_doc_of_the_component_says_what_was_asked_of_its_spans():
    nlp = spacy.blank("en")
    doc = nlp("Ada runs Acme and Bob rests.")
    doc.spans["metaie"] = [doc.char_span(0, 3, "person"), doc.char_span(18, 21, "person")]
    doc.spans["metaie"].attrs["asked_links"] = [["person", "employer"]]
    doc.spans["metaie"].attrs["links"] = [
        ["metaie", 0, 3, "person", "employer", "metaie_answers", 9, 13, "employer", 0.9]
    ]
    assert group_links(doc.spans["metaie"]) == [
        {"head": [0, 3], "label": "employer", "tails": [[9, 13]]},
        {"head": [18, 21], "label": "employer", "tails": []},
    ]
    doc.spans["metaie"].attrs["questions"] = as_questions([{"head": [0, 3], "label": "spouse", "tails": []}])
    assert group_links(doc.spans["metaie"]) == [{"head": [0, 3], "label": "spouse", "tails": []}]
    assert example_item(Example(nlp.make_doc(doc.text), doc), "metaie").links[0].tails == ()


def test_a_window_keeps_the_questions_that_lie_in_it(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROWS[0]), encoding="utf8")
    [item] = read_items(path, blank_tokenizer())
    parts = cut_items([item], lambda words: [[0]] * len(words), 4, overlap=0)
    kept = [(part.words[q.start], [part.words[s] for s, _ in q.tails]) for part in parts for q in part.links]
    assert len(parts) == 2 and kept == [("Ada0", ["Acme0"]), ("Bob0", ["Bolt0"])]
    parts = cut_items([item], lambda words: [[0]] * len(words), 6, overlap=0)
    kept = [(part.words[q.start], [part.words[s] for s, _ in q.tails]) for part in parts for q in part.links]
    assert kept == [("Ada0", ["Acme0"])]  # of the other question the answer lies in the next window


@pytest.mark.parametrize("label, text, expected", [
    ("employer of Ada Lovelace", "Ada Lovelace works for Acme.", ("employer", "Ada Lovelace")),
    ("Ada's employer", "Ada works for Acme.", ("employer", "Ada")),
    ("capital of the Netherlands", "The Netherlands have a capital.", ("capital", "Netherlands")),
    ("employer of Ada", "Ada and Ada.", None),  # which one?
    ("employer of Ada", "Adam works for Acme.", None),  # part of a word
    ("date of birth", "His date of birth is unknown.", None),  # no name
    ("employer of Ada", "Nobody works.", None),
])  # fmt: skip
def test_labels_that_name_a_span_of_the_text_are_questions_about_it(label, text, expected):
    found = anchored_links({"id": "1", "text": text, "spans": [], "absent": [label]})
    assert [(link["label"], text[slice(*link["head"])], link["tails"]) for link in found] == (
        [] if expected is None else [(*expected, [])]
    )
