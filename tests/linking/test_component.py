"""Links in a pipeline: what users ask, what docs keep of it, and what goes wrong."""

import json
import warnings

import numpy as np
import pytest
import spacy
from answering import Answering
from helpers import CNN, answers, packaged, shared, wake
from spacy.tokens import Doc, DocBin

import metaie_spacy
from metaie_spacy import pipe_with_labels
from metaie_spacy.linking.words import BLOCK, MOST_BYTES

TEXT = "Ada Lovelace works for the Royal Society in London, and Bob Smith for KLM in Paris."
LABELS = {
    "PER": {"pattern": "Ada Lovelace|Bob Smith"},
    "ORG": {"pattern": "Royal Society|KLM"},
    "CITY": {"pattern": "London|Paris"},
}
LINKS = {
    "works_for": {"head": "PER", "query": "employer", "tail": "ORG"},
    "based_in": {"head": "works_for", "query": "city"},
    "job": {"head": "PER", "query": "occupation"},
}
ATTRIBUTES = {"tone": {"head": "PER", "options": ["glad", "sad"]}}
SCHEMA = {"labels": LABELS, "links": LINKS, "attributes": ATTRIBUTES}
WORDS = {"works_for": {"head": "PER", "query": "employer", "tail": "ORG"}, "job": {"head": "PER", "query": "job"}}
FACTS = {
    ("Ada Lovelace", "employer"): ["Royal Society"], ("Bob Smith", "employer"): ["KLM"], ("KLM", "city"): ["Paris"],
    ("Royal Society", "city"): ["London"], ("Bob Smith", "occupation"): ["works"], ("Ada Lovelace", "sad"): ["works"],
    ("Bob Smith", "glad"): ["works"],
}  # fmt: skip
FOUND = [
    ("Ada Lovelace", "works_for", "Royal Society"),
    ("Royal Society", "based_in", "London"),
    ("Bob Smith", "works_for", "KLM"),
    ("Bob Smith", "job", "works"),
    ("KLM", "based_in", "Paris"),
]


@pytest.fixture
def nlp(make_nlp, monkeypatch):
    """A pipeline that can be asked about one span, and knows the answers."""
    nlp = make_nlp(LABELS)
    pipe = nlp.get_pipe("metaie")
    pipe.schema = SCHEMA
    scorer = Answering(FACTS)
    pipe.model.attrs["score_links"] = lambda model, docs, heads, queries, kept=None: scorer(docs, heads, queries)
    monkeypatch.setattr(type(pipe.model.shims[0]), "binds", True, raising=False)
    pipe.calls = scorer.calls
    return nlp


def texts(doc, key="metaie"):
    return [(link.head.text, link.label, link.tail.text) for link in metaie_spacy.links(doc, key)]


def kept(doc):
    """All that a doc keeps of links, in plain types."""
    group = doc.spans["metaie"]
    attrs = {key: value for key, value in group.attrs.items() if key != "scores"}
    other = doc.spans["metaie_answers"]
    return answers(doc), attrs, answers(doc, "metaie_answers"), other.attrs["scores"].tolist(), other.attrs["asked"]


def test_links_are_followed_and_read_from_the_doc(nlp):
    doc = nlp(TEXT)
    assert texts(doc) == FOUND
    first = metaie_spacy.links(doc)[0]
    assert (first.head, first.tail) == (doc.spans["metaie"][0], doc.spans["metaie"][1]) and 0.5 < first.score < 1
    assert doc._.metaie_links == metaie_spacy.links(doc) and isinstance(first, metaie_spacy.Link)
    assert answers(doc, "metaie_answers") == [("works", "job")]
    assert doc.spans["metaie_answers"].attrs["asked"] == ["based_in", "job"]
    assert doc.spans["metaie_answers"][0]._.metaie_score == pytest.approx(metaie_spacy.links(doc)[3].score)
    assert doc.spans["metaie"].attrs["asked_links"] == [
        ["PER", "tone"], ["PER", "works_for"], ["PER", "job"], ["works_for", "based_in"],
    ]  # fmt: skip
    assert [span._.metaie_attributes for span in list(doc.spans["metaie"])[:2]] == [{"tone": "sad"}, {}]


def test_links_are_noted_as_groups_and_character_offsets(nlp):
    attrs = nlp(TEXT).spans["metaie"].attrs
    *entry, score = attrs["links"][3]
    start = TEXT.index("Bob")
    assert entry == ["metaie", start, start + 9, "PER", "job", "metaie_answers", 13, 18, "job"]
    assert json.loads(json.dumps(attrs["links"])) == attrs["links"] and type(score) is float
    assert [entry[:6] for entry in attrs["attributes"]] == [
        ["metaie", 0, 12, "PER", "tone", "sad"],
        ["metaie", start, start + 9, "PER", "tone", "glad"],
    ]


def test_links_survive_bytes_and_docbin(nlp):
    doc = nlp(TEXT)
    (from_bin,) = DocBin(docs=[doc]).get_docs(nlp.vocab)
    from_bin = next(DocBin().from_bytes(DocBin(docs=[doc]).to_bytes()).get_docs(nlp.vocab))
    for again in (Doc(nlp.vocab).from_bytes(doc.to_bytes()), from_bin, doc.copy()):
        assert kept(again) == kept(doc) and texts(again) == FOUND
        assert again.spans["metaie"][0]._.metaie_attributes == {"tone": "sad"}
        assert metaie_spacy.records(again) == metaie_spacy.records(doc)


def test_links_hold_their_places_when_tokens_are_merged_and_groups_reordered(nlp):
    doc = nlp(TEXT)
    with doc.retokenize() as retokenizer:
        for span in doc.spans["metaie"]:
            retokenizer.merge(span)
    assert texts(doc) == FOUND
    doc.spans["other"] = doc.spans.pop("metaie")
    assert texts(doc, "other") == FOUND


def test_docs_that_are_put_together_keep_spans_and_answers_and_no_wrong_links(nlp):
    doc = Doc.from_docs([nlp(TEXT), nlp(TEXT)])
    assert texts(doc) == [] and metaie_spacy.records(doc) == []
    assert len(doc.spans["metaie"]) == 12 and len(doc.spans["metaie_answers"]) == 2
    assert len(nlp(doc).spans["metaie_answers"]) > 0 and len(texts(doc)) >= len(FOUND)


def test_a_doc_without_the_group_is_told_and_one_without_links_has_none(nlp):
    doc = nlp.make_doc(TEXT)
    with pytest.raises(ValueError, match=r"no doc.spans\['metaie'\], only \[\]"):
        metaie_spacy.links(doc)
    assert doc._.metaie_links == [] and doc[0:1]._.metaie_attributes == {}
    plain = nlp(TEXT, component_cfg={"metaie": {"labels": LABELS}})
    assert metaie_spacy.links(plain) == metaie_spacy.records(plain) == []
    assert plain.spans["metaie"].attrs.keys() == {"scores", "asked"} and "metaie_answers" not in plain.spans


def test_the_function_is_met_whatever_was_imported_before():
    import metaie_spacy.linking.decode
    from metaie_spacy import links

    assert callable(links) and callable(metaie_spacy.links) and metaie_spacy.linking.decode.THRESHOLD == 0.5
    assert "links" in dir(metaie_spacy)


def test_where_no_links_are_asked_nothing_changes(make_nlp, monkeypatch):
    plain, linked = make_nlp(["person", "date"], threshold=0.01), make_nlp(["person", "date"], threshold=0.01)
    linked.get_pipe("metaie").links = {"knows": {"head": "person", "query": "friend", "tail": "date", "threshold": 1}}
    docs = [plain(TEXT), linked(TEXT, component_cfg={"metaie": {"links": {}}})]
    with pytest.warns(UserWarning, match="asked in words"):
        docs.append(linked(TEXT))
    assert answers(docs[0]) == answers(docs[1]) == answers(docs[2]) != []
    scores = [doc.spans["metaie"].attrs["scores"] for doc in docs]
    assert np.array_equal(scores[0], scores[1]) and np.array_equal(scores[0], scores[2])
    assert docs[0].to_bytes() == docs[1].to_bytes()


def test_a_doc_that_is_annotated_again_without_links_loses_them_and_our_answers_only(nlp):
    doc = nlp(TEXT)
    bare = {"metaie": {"labels": LABELS}}
    assert "metaie_answers" not in nlp(doc, component_cfg=bare).spans and texts(doc) == []
    doc.spans["metaie_answers"] = [doc[0:1]]
    assert len(nlp(doc, component_cfg=bare).spans["metaie_answers"]) == 1


def test_links_hold_for_one_call(nlp):
    pipe = nlp.get_pipe("metaie")
    before = pipe.schema
    call = {"links": {"job": {"head": "PER", "query": "occupation"}}}
    assert texts(nlp(TEXT, component_cfg={"metaie": call})) == [("Bob Smith", "job", "works")]
    assert texts(nlp(TEXT, component_cfg={"metaie": {"link_threshold": 1.0}})) == []
    assert len(texts(nlp(TEXT, component_cfg={"metaie": {"link_threshold": 0.0}}))) > len(FOUND)
    moods = nlp(TEXT, component_cfg={"metaie": {"labels": LABELS, "attributes": ATTRIBUTES}})
    assert moods.spans["metaie"][0]._.metaie_attributes == {"tone": "sad"} and texts(moods) == []
    records = {"records": {"person": {"anchor": "PER", "fields": ["job"]}}} | call
    (found,) = nlp.pipe([TEXT], component_cfg={"metaie": records})
    assert [record["record"] for record in metaie_spacy.records(found)] == ["person"] * 2
    assert pipe.schema == before and texts(nlp(TEXT)) == FOUND


def test_texts_bring_links_of_their_own_in_one_stream(nlp):
    job = {"links": {"job": {"head": "PER", "query": "occupation"}}}
    asks = [{"labels": LABELS} | job, LABELS, SCHEMA, {"labels": LABELS, "link_threshold": 1.0} | job, {"labels": LABELS, "links": {}}]  # fmt: skip
    nlp.get_pipe("metaie").calls.clear()
    docs = list(pipe_with_labels(nlp, [(TEXT, ask) for ask in asks]))
    assert [texts(doc) for doc in docs] == [[FOUND[3]], [], FOUND, [], []]
    assert len(nlp.get_pipe("metaie").calls) == 2  # depths, not texts


def test_labels_that_come_without_links_have_none(nlp):
    assert texts(nlp(TEXT, component_cfg={"metaie": {"labels": LABELS}})) == []
    doc = nlp.make_doc(TEXT)
    doc._.metaie_labels = LABELS
    assert texts(nlp(doc)) == []


def test_links_start_from_the_spans_that_flat_keeps(nlp):
    labels = LABELS | {"WORDS": {"pattern": "Bob Smith for KLM"}}
    nlp.get_pipe("metaie").schema = SCHEMA | {"labels": labels, "flat": True}
    doc = nlp(TEXT)
    assert "Bob Smith for KLM" in [span.text for span in doc.spans["metaie"]]
    assert {head for head, *_ in texts(doc)} == {"Ada Lovelace", "Royal Society"}


def test_settings_are_set_checked_and_read_back(nlp):
    pipe = nlp.get_pipe("metaie")
    assert pipe.links == LINKS and pipe.records == {} and pipe.attributes.keys() == {"tone"}
    pipe.records = {"person": {"anchor": "PER", "fields": ["works_for"]}}
    pipe.link_threshold = 0.25
    assert {"links", "attributes", "records", "link_threshold"} <= pipe.schema.keys()
    for name, value, message in (
        ("links", {"x": {"query": "y"}}, r"links\['x'\] has no \"head\""),
        ("links", {}, "'works_for'"),  # the record needs it
        ("attributes", {"tone": 3}, r"attributes\['tone'\]"),
        ("link_threshold", 2, "link_threshold must be a number between 0 and 1"),
        ("records", {"x": {"anchor": "PER", "fields": ["y"]}}, "'y'"),
        ("schema", SCHEMA | {"links": {"x": {"head": "PERS"}}}, "Did you mean 'PER'"),
    ):
        before = pipe.schema
        with pytest.raises(ValueError, match=message):
            setattr(pipe, name, value)
        assert pipe.schema == before
    pipe.schema = {"labels": LABELS}
    assert pipe.schema.keys() == {"labels", "threshold", "flat", "set_ents", "link_threshold"}
    assert pipe.links == pipe.records == pipe.attributes == {}


def test_names_that_are_not_asked_are_told_before_anything_is_computed(nlp, make_nlp):
    pipe = nlp.get_pipe("metaie")
    pipe.calls.clear()
    with pytest.raises(ValueError, match=r"links\['x'\]\['head'\] names 'NOBODY'"):
        nlp(TEXT, component_cfg={"metaie": {"links": {"x": {"head": "NOBODY"}}}})
    with pytest.raises(ValueError, match="'PER'"):
        make_nlp(["person"], links=LINKS)
    pipe.labels = ["person"]
    with pytest.raises(ValueError, match=r"links\['works_for'\]\['head'\] names 'PER'.*Add it to the labels"):
        nlp(TEXT)
    with pytest.raises(ValueError, match="pair 0: links.*'NOBODY'"):
        list(pipe_with_labels(nlp, [(TEXT, {"labels": ["a"], "links": {"x": {"head": "NOBODY"}}})]))
    assert pipe.calls == []


def test_settings_are_saved_with_the_pipeline_and_the_config_wins_where_it_changed(nlp, tmp_path):
    pipe = nlp.get_pipe("metaie")
    pipe.records, pipe.link_threshold = {"person": {"anchor": "PER", "fields": ["works_for"]}}, 0.25
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path).get_pipe("metaie")
    assert again.schema == pipe.schema


def test_links_that_the_config_changes_win_over_the_saved_ones(make_nlp, tmp_path):
    nlp = make_nlp(LABELS, links=WORDS)
    nlp.get_pipe("metaie").records = {"person": {"anchor": "PER", "fields": ["works_for"]}}
    nlp.get_pipe("metaie").link_threshold = 0.25
    nlp.to_disk(tmp_path)
    pipe = spacy.load(tmp_path, config={"components.metaie.links.job.query": "trade"}).get_pipe("metaie")
    assert pipe.links["job"]["query"] == "trade" and pipe.records == {} and pipe.link_threshold == 0.25


def test_settings_come_from_a_config(make_nlp, tmp_path):
    nlp = make_nlp(LABELS, links=LINKS, attributes=ATTRIBUTES, link_threshold=0.4)
    nlp.to_disk(tmp_path)
    for pipe in (nlp.get_pipe("metaie"), spacy.load(tmp_path).get_pipe("metaie")):
        assert pipe.links == LINKS and pipe.link_threshold == 0.4 and "tone" in pipe.attributes
    with pytest.raises(ValueError, match="cannot hold these links.*at run time"):
        make_nlp(LABELS, links={"works.for": {"head": "PER"}})


def test_pipelines_that_were_saved_before_there_were_links_load(make_nlp, tmp_path):
    make_nlp(["person"], threshold=0.3).to_disk(tmp_path)
    path = tmp_path / "metaie" / "schema.json"
    saved = json.loads(path.read_bytes())
    for settings in (saved["initial"], saved["current"]):
        for key in ("links", "attributes", "records", "link_threshold"):
            del settings[key]
    path.write_text(json.dumps(saved), encoding="utf8")
    pipe = spacy.load(tmp_path).get_pipe("metaie")
    assert pipe.links == {} and pipe.threshold == 0.3 and pipe.labels == ("person",)
    path = tmp_path / "config.cfg"
    config = path.read_text(encoding="utf8").replace("[components.metaie.links]", '[components.metaie.links]\nknows = {"head": "person"}')  # fmt: skip
    path.write_text(config, encoding="utf8")
    assert spacy.load(tmp_path).get_pipe("metaie").links == {"knows": {"head": "person", "query": "knows"}}


def test_a_text_whose_links_fail_goes_to_the_error_handler_alone(nlp):
    pipe, failed = nlp.get_pipe("metaie"), []
    scorer = pipe.model.attrs["score_links"]

    def broken(model, docs, heads, queries, kept=None):
        if any("Bob" in docs[i].text for i, *_ in heads):
            raise RuntimeError("out of heads")
        return scorer(model, docs, heads, queries)

    pipe.model.attrs["score_links"] = broken
    pipe.set_error_handler(lambda name, proc, docs, error: failed.append((len(docs), str(error))))
    docs = list(nlp.pipe(["Ada Lovelace works for the Royal Society in London."] * 3 + [TEXT, "Nobody is here."]))
    assert [len(texts(doc)) for doc in docs] == [2, 2, 2, 0] and failed == [(1, "out of heads")]


def test_records_group_what_was_found_around_an_anchor(nlp):
    nlp.get_pipe("metaie").records = {"person": {"anchor": "PER", "fields": ["works_for", "based_in", "tone"]}}
    ada, bob = metaie_spacy.records(nlp(TEXT))
    assert (ada["record"], ada["text"], ada["start"], ada["end"], ada["label"], ada["score"]) == ("person", "Ada Lovelace", 0, 12, "PER", 1.0)  # fmt: skip
    (employer,) = ada["fields"]["works_for"]
    assert employer["text"] == "Royal Society" and employer["label"] == "ORG" and 0.5 < employer["score"] <= 1
    assert [place["text"] for place in employer["fields"]["based_in"]] == ["London"]
    assert ada["fields"].keys() == {"works_for", "tone"} and bob["fields"]["tone"] == "glad"
    assert json.loads(json.dumps(bob)) == bob


def test_without_records_every_head_is_an_anchor_of_all_its_links(nlp):
    ada, bob = metaie_spacy.records(nlp(TEXT))
    assert ada["record"] == "PER" and ada["fields"].keys() == {"tone", "works_for", "job"}
    assert ada["fields"]["job"] == [] and [job["text"] for job in bob["fields"]["job"]] == ["works"]


def test_links_both_ways_between_two_spans_end(nlp):
    pipe = nlp.get_pipe("metaie")
    pipe.schema = {"labels": LABELS, "links": {"knows": {"head": "PER", "tail": "PER"}}}
    names = "Ada Lovelace", "Bob Smith"
    facts = Answering({(one, "knows"): [other] for one, other in (names, names[::-1])})
    pipe.model.attrs["score_links"] = lambda model, docs, heads, queries, kept=None: facts(docs, heads, queries)
    found = metaie_spacy.records(nlp(TEXT))
    assert [record["fields"]["knows"][0]["text"] for record in found] == ["Bob Smith", "Ada Lovelace"]


def test_weights_that_cannot_be_asked_about_a_span_are_asked_in_words_and_say_so_once(make_nlp):
    nlp = make_nlp(LABELS, links=WORDS, link_threshold=0.2)
    asked, score = [], nlp.get_pipe("metaie").model.attrs["score"]

    def noted(model, docs, queries):
        asked.append(queries)
        return score(model, docs, queries)

    nlp.get_pipe("metaie").model.attrs["score"] = noted
    with pytest.warns(UserWarning, match="'metaie' cannot be asked about one span") as told:
        docs = list(nlp.pipe([TEXT, "Nobody.", TEXT], batch_size=2))
    assert len([one for one in told if "in words" in str(one.message)]) == 1
    names = ["Ada Lovelace", "Bob Smith"]
    assert asked[1] == [
        tuple(f"{query} of {name}" for name in names for query in ("employer", "job"))
    ]  # no heads, no pass
    assert texts(docs[0])
    assert texts(docs[0]) == texts(docs[2]) and texts(docs[1]) == []


@pytest.mark.parametrize("architecture", ["CrossEncoder", "SharedTransformer", "LabelToSpan"])
def test_every_architecture_and_several_processes_answer_alike(make_nlp, encoders, architecture):
    if architecture == "SharedTransformer":
        nlp = shared(encoders["bert"], CNN)
        nlp.get_pipe("metaie").model.initialize()
        wake(nlp.get_pipe("metaie").model.shims[0].module)
    else:
        nlp = make_nlp(
            (), architecture=architecture, model={"text_sees_labels": False} if architecture != "CrossEncoder" else {}
        )
    nlp.get_pipe("metaie").schema = {"labels": LABELS, "links": WORDS, "attributes": ATTRIBUTES, "link_threshold": 0.2}
    with warnings.catch_warnings(action="ignore"):
        alone = [nlp(TEXT) for _ in range(2)]
        together = list(nlp.pipe([TEXT] * 6, n_process=2 if architecture == "LabelToSpan" else 1, batch_size=3))
    assert texts(alone[0]) and texts(alone[0]) == texts(alone[1])
    for doc in together:
        assert (
            texts(doc) == texts(alone[0])
            and metaie_spacy.records(doc)[0].keys() == metaie_spacy.records(alone[0])[0].keys()
        )
        scores = [[link.score for link in metaie_spacy.links(one)] for one in (doc, alone[0])]
        assert np.allclose(*scores, atol=1e-4)


@pytest.mark.filterwarnings("ignore:The weights of")
@pytest.mark.parametrize("head", ["x" * 3000, "Ada " * 1500, "👩\u200d👩\u200d👧" * 400, "Ada\n\n\u00a0Lovelace"])
def test_heads_of_any_length_and_signs_are_asked(make_nlp, head):
    nlp = make_nlp({"PER": {"pattern": "(?s)BEGIN.*END"}, "ORG": {"pattern": "KLM"}}, links=WORDS, link_threshold=0.0)
    doc = nlp(f"KLM hired BEGIN {head} END in Paris.")
    assert [span.label_ for span in doc.spans["metaie"]] == ["ORG", "PER"]
    assert all(link.head.label_ == "PER" and not set(link.head) & set(link.tail) for link in metaie_spacy.links(doc))
    assert ("KLM", "works_for") in [(link.tail.text, link.label) for link in metaie_spacy.links(doc)]
    assert MOST_BYTES < 3000


@pytest.mark.filterwarnings("ignore:The weights of")
@pytest.mark.parametrize(
    "text", ["", " ", "\n\n\n", "Ada Lovelace", "Ada Lovelace KLM", "\u200b KLM \u200b Bob Smith \x00"]
)
def test_texts_with_next_to_nothing_in_them_get_links_or_none(make_nlp, text):
    nlp = make_nlp(LABELS | {"SPACE": {"pattern": r"\s+"}}, links=WORDS, attributes=ATTRIBUTES, link_threshold=0.0)
    pipe = nlp.get_pipe("metaie")
    pipe.links = WORDS | {"after": {"head": ["SPACE", "job"], "query": "next", "tail": "SPACE"}}
    doc = nlp(text)
    assert doc.spans["metaie"].attrs["asked_links"] and isinstance(metaie_spacy.records(doc), list)
    assert all(not link.head.text.isspace() for link in metaie_spacy.links(doc))


@pytest.mark.filterwarnings("ignore:The weights of")
def test_in_a_long_text_heads_are_asked_in_words_of_what_is_near_them(make_nlp):
    nlp = make_nlp(LABELS, links=WORDS, link_threshold=0.0, model={"text_sees_labels": False})
    asked, score = [], nlp.get_pipe("metaie").model.attrs["score"]

    def noted(model, docs, queries):
        asked.append([(len(doc), len(own)) for doc, own in zip(docs, queries)])
        return score(model, docs, queries)

    nlp.get_pipe("metaie").model.attrs["score"] = noted
    filler = "It rained for days on end, and nobody said a word. " * 40
    doc = nlp(filler + TEXT + " " + filler + "KLM.")
    (parts,) = asked[1:]
    assert sum(size for size, _ in parts) <= 2 * 5 * BLOCK < len(doc) and all(own in (2, 4) for _, own in parts)
    found = {(link.head.text, link.tail.start) for link in metaie_spacy.links(doc) if link.label == "works_for"}
    near = [span.start for span in doc.spans["metaie"] if span.label_ == "ORG"][:2]
    assert found == {(name, start) for name in ("Ada Lovelace", "Bob Smith") for start in near}


@pytest.mark.filterwarnings("ignore:The weights of")
def test_the_packaged_model_finds_who_works_where():
    nlp = packaged()
    nlp.get_pipe("metaie").schema = {
        "labels": {"PERSON": "person", "ORG": "organization"},
        "links": {"works_for": {"head": "PERSON", "query": "employer", "tail": "ORG"}, "born": {"head": "PERSON", "query": "place of birth"}},
    }  # fmt: skip
    doc = nlp("Maria Lopez was born in Lima. She works for Siemens.")
    assert texts(doc) == [("Maria Lopez", "works_for", "Siemens"), ("Maria Lopez", "born", "Lima")]
    assert answers(doc, "metaie_answers") == [("Lima", "born")]
