"""Saved weights from anywhere: they are right, or refused by one ValueError, and nothing of them is run or written."""

import json
import os
import re
import shutil
import sys

import numpy as np
import pytest
import spacy
from hostile_weights import (
    DAMAGED,
    NAMES_CODE,
    TEXT,
    architecture_in,
    edit,
    edit_message,
    edit_tensors,
    evil_files,
    fresh,
    scored,
    tiny_encoder,
)

import metaie_spacy
from metaie_spacy.linking import decode
from metaie_spacy.model.pieces import WordPieces, load_tokenizer
from metaie_spacy.model.tokenizer_file import read_tokenizer
from metaie_spacy.model.weights import architecture_of
from metaie_spacy.release.assemble import average
from metaie_spacy.train.distill import start_model
from metaie_spacy.train.settings import DistillSettings


@pytest.mark.parametrize(
    "name",
    [
        "bare_bert",
        "bare_roberta",
        "bare_unigram",
        "bare_links",
        "pipeline_bert",
        "pipeline_unigram",
        "pipeline_shared",
        "pipeline_links",
        "pipeline_shared_links",
    ],
)
def test_undamaged_weights_of_each_kind_are_read_without_a_warning(bases, name, recwarn):
    nlp = fresh(bases.encoders[name], architecture_in(bases.folder / name), weights=str(bases.folder / name))
    assert scored(nlp(TEXT))
    assert not [warning for warning in recwarn if "metaie model" in str(warning.message)]


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta"])
def test_saved_tokenizers_split_words_as_before_they_were_saved(family, tmp_path):
    before = load_tokenizer(tiny_encoder(family, tmp_path / "encoder"))
    before.save_pretrained(tmp_path / "saved")
    files = [(tmp_path / "saved" / name).read_bytes() for name in ("tokenizer.json", "tokenizer_config.json")]
    after = read_tokenizer(*files, len(before))
    words = ["London", "in", "a,b", "1815", "é日"]
    assert WordPieces(after)(words) == WordPieces(before)(words)
    assert (after.cls_token_id, after.sep_token_id) == (before.cls_token_id, before.sep_token_id)
    after.save_pretrained(tmp_path / "again")
    files = [(tmp_path / "again" / name).read_bytes() for name in ("tokenizer.json", "tokenizer_config.json")]
    assert WordPieces(read_tokenizer(*files, len(before)))(words) == WordPieces(before)(words)


def test_keys_that_transformers_writes_are_silent_and_others_are_named_once(bare, read, recwarn):
    silent = {
        "_name_or_path": "x", "transformers_version": "4.49.0", "torch_dtype": "float32", "architectures": ["BertModel"], "use_cache": True,
        "gradient_checkpointing": False, "id2label": {"0": "A"}, "output_past": True, "directionality": "bidi", "classifier_dropout": None,
        "_attn_implementation_autoset": True, "finetuning_task": None, "summary_type": "first",
    }  # fmt: skip
    before = read(bare)
    edit(bare / "config.json", lambda config: config.update(silent))
    assert read(bare) == before and not [w for w in recwarn if "no effect" in str(w.message)]
    edit(
        bare / "config.json",
        lambda config: config.update(strange=1, auto_map={"AutoModel": "evil.Evil"}) or config["metaie"].update(odd=2),
    )
    with pytest.warns(UserWarning, match="no effect: strange, auto_map, metaie.odd") as warned:
        assert read(bare) == before
    assert len(warned) == 1


def writes(flags):
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def test_code_that_is_named_anywhere_is_not_run_and_nothing_is_written(
    bases, pipeline, bare, read, tmp_path, monkeypatch
):
    sentinel = tmp_path / "sentinel"
    for name in ("config.json", "tokenizer_config.json"):
        edit(bare / name, lambda value: value.update(NAMES_CODE, tokenizer_class="EvilTokenizer"))
    (bare / "evil.py").write_bytes(evil_files(sentinel)["evil.py"])

    def poison(inner, outer):
        for name in ("config.json", "tokenizer_config.json"):
            inner["files"][name] = (bare / name).read_bytes()
        inner["files"].update(evil_files(sentinel))

    edit_message(pipeline / "metaie" / "model", poison)
    inside = sorted(tmp_path.rglob("*"))
    opened = []
    sys.addaudithook(
        lambda event, details: (
            opened.append(details[0]) if event == "open" and watching and writes(details[2]) else None
        )
    )
    watching = True
    for path in (bare, pipeline):
        with pytest.warns(UserWarning, match="_attn_implementation_internal"):
            assert read(path)
    with pytest.warns(UserWarning, match="auto_map"):
        assert scored(spacy.load(pipeline)(TEXT))
    watching = False
    assert opened == [] and sorted(tmp_path.rglob("*")) == inside


@pytest.mark.parametrize("name", ["../../outside", "..", "/etc", "a/b", "../pipeline/metaie", "x\0y"])
def test_names_of_components_stay_inside_the_directory(pipeline, read, name, tmp_path):
    shutil.copytree(pipeline / "metaie", tmp_path / "outside")
    shutil.copytree(pipeline / "metaie", pipeline / "a" / "b")
    text = (pipeline / "config.cfg").read_text(encoding="utf8")
    (pipeline / "config.cfg").write_text(text.replace("components.metaie", f"components.{name}"), encoding="utf8")
    with pytest.raises(ValueError, match=f"{DAMAGED}|has no 'metaie' component"):
        read(pipeline)


def test_an_architecture_is_one_of_ours(pipeline):
    text = (pipeline / "config.cfg").read_text(encoding="utf8")
    (pipeline / "config.cfg").write_text(
        text.replace("metaie-spacy.LabelToSpan.v1", "evil.Architecture.v1"), encoding="utf8"
    )
    with pytest.raises(ValueError, match="is no architecture of metaie"):
        architecture_of(str(pipeline))


FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["link", "far link", "loop", "pipe", "device", "folder", "empty", "endless"])
def test_files_that_are_none_are_refused_without_being_opened(bare, read, tmp_path, name, kind):
    file = bare / name
    content = file.read_bytes()
    file.unlink()
    if kind in ("link", "far link"):
        (tmp_path / "outside").write_bytes(content)
        file.symlink_to("../../outside" if kind == "link" else tmp_path / "outside")
    elif kind == "loop":
        file.symlink_to(name)
    elif kind == "pipe":
        os.mkfifo(file)  # would never end
    elif kind == "device":
        file.symlink_to("/dev/zero")
    elif kind == "folder":
        file.mkdir()
    else:
        file.write_bytes(b"")
        os.truncate(file, 2**40 if kind == "endless" else 0)
    with pytest.raises(ValueError, match=f"{DAMAGED}|it lacks"):
        read(bare)
    with pytest.raises(ValueError, match=f"{DAMAGED}|it lacks|holds no"):
        start_model(DistillSettings(encoder="none", init_from=str(bare)))


@pytest.mark.parametrize("name", ["model", "schema.json"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "empty"])
def test_files_of_a_component_that_are_none_are_refused(pipeline, read, name, kind):
    file = pipeline / "metaie" / name
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    elif kind == "device":
        file.symlink_to("/dev/zero")
    else:
        file.touch()
    with pytest.raises(ValueError, match=DAMAGED):
        spacy.load(pipeline)
    if name == "model":
        with pytest.raises(ValueError, match=DAMAGED):
            read(pipeline)


def test_a_folder_that_is_a_link_out_of_the_directory_is_refused(pipeline, read, tmp_path):
    shutil.move(pipeline / "metaie", tmp_path / "outside")
    (pipeline / "metaie").symlink_to(tmp_path / "outside")
    with pytest.raises(ValueError, match="leads out of the directory"):
        read(pipeline)


def test_links_that_stay_inside_and_a_link_to_the_directory_are_followed(bare, read, tmp_path):
    expected = read(bare)
    (bare / "config.json").rename(bare / "real.json")
    (bare / "config.json").symlink_to("real.json")
    (tmp_path / "link").symlink_to(bare)
    assert read(tmp_path / "link") == expected


def test_refused_weights_leave_the_component_as_it_was(bare, bases):
    nlp = fresh(bases.encoders["bare_bert"], "LabelToSpan", weights=str(bases.folder / "bare_bert"))
    before = scored(nlp(TEXT))
    edit_tensors(
        bare / "model.safetensors", lambda header, body: body.__setitem__(slice(-4, None), np.float32(np.nan).tobytes())
    )
    with pytest.raises(ValueError, match=DAMAGED):
        nlp.get_pipe("metaie").load_from(str(bare))
    assert scored(nlp(TEXT)) == before


def test_the_mean_of_weights_carries_no_links_and_pipes_over(bare, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (bare / "link.txt").symlink_to(tmp_path / "secret")
    os.mkfifo(bare / "pipe")
    average([bare, bare], tmp_path / "mean")
    assert sorted(file.name for file in (tmp_path / "mean").iterdir()) == sorted(
        file.name for file in bare.iterdir() if file.name not in ("link.txt", "pipe")
    )


# The head pass


@pytest.fixture
def linked(bases, tmp_path):
    """A copy of weights with a head pass, to be damaged."""
    shutil.copytree(bases.folder / "bare_links", tmp_path / "inside" / "weights")
    return tmp_path / "inside" / "weights"


@pytest.fixture
def links_of(bases):
    """Read weights, and ask for links. RETURNS (dict): their scores."""

    def links_of(path, name="bare_links"):
        nlp = fresh(bases.encoders[name], architecture_in(bases.folder / name), weights=str(path), links=True)
        return {
            (link.head.text, link.label, link.tail.start, link.tail.end): link.score
            for link in metaie_spacy.links(nlp(TEXT))
        }

    return links_of


@pytest.mark.parametrize("name", ["bare_links", "pipeline_links", "pipeline_shared_links"])
def test_undamaged_weights_with_a_head_pass_answer_links(bases, links_of, name):
    found = links_of(bases.folder / name, name)
    assert {label for _, label, *_ in found} == {"born", "place"}
    assert all(0 <= score <= 1 for score in found.values())


@pytest.mark.parametrize("layer", [-1, 2, 255, 256, 2**40, 1.0, True, None, "1", [1]])
def test_a_layer_that_heads_cannot_be_read_from_is_refused(linked, links_of, layer):
    edit(linked / "config.json", lambda config: config["metaie"].update(link_layer=layer))
    with pytest.raises(ValueError, match=f"{DAMAGED}.*link_layer"):
        links_of(linked)


def test_a_layer_with_other_tensors_than_it_needs_is_refused(linked, links_of):
    edit(linked / "config.json", lambda config: config["metaie"].update(link_layer=0))
    with pytest.raises(ValueError, match=f"{DAMAGED}.*links.layers.1"):
        links_of(linked)
    edit(linked / "config.json", lambda config: config["metaie"].__delitem__("link_layer"))
    with pytest.raises(ValueError, match=f"{DAMAGED}.*links"):
        links_of(linked)


def test_a_layer_without_any_tensors_for_it_is_refused(bare, read):
    edit(bare / "config.json", lambda config: config["metaie"].update(link_layer=1))
    with pytest.raises(ValueError, match=f"{DAMAGED}.*links"):
        read(bare)


def tensors_of_links(folder):
    data = (folder / "model.safetensors").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return [name for name in header if name.startswith("links.")]


def test_no_tensor_of_the_head_pass_may_be_missing_of_another_shape_or_no_number(linked, links_of):
    names, content = tensors_of_links(linked), (linked / "model.safetensors").read_bytes()
    assert len(names) > 20

    def without(name):
        def change(header, body):
            start, end = header.pop(name)["data_offsets"]
            del body[start:end]
            for entry in header.values():
                offsets = entry.get("data_offsets", [0, 0])
                if offsets[0] >= end:
                    entry["data_offsets"] = [offset - (end - start) for offset in offsets]

        return change

    def of_shape(name):
        return lambda header, body: header[name].update(shape=[*header[name]["shape"], 1])

    def no_number(name):
        def change(header, body):
            start = header[name]["data_offsets"][0]
            body[start : start + 4] = np.float32(np.nan).tobytes()

        return change

    for name in names:
        for damage in (without, of_shape, no_number):
            (linked / "model.safetensors").write_bytes(content)
            edit_tensors(linked / "model.safetensors", damage(name))
            with pytest.raises(ValueError, match=DAMAGED):
                links_of(linked)


@pytest.mark.parametrize(
    "calibration",
    [
        {"bias": "much"}, {"bias": None}, {"bias": True}, {"bias": [1.0]}, {"bias": 1e7}, {"head": -1e300}, {"head": 10**400}, {"threshold": 1.5},
        {"threshold": -0.1}, {"tag": 7}, {"evil": 1.0}, {"": 1.0}, {str(i): i for i in range(1000)}, [], "bias", 3, None,
    ],
)  # fmt: skip
def test_a_calibration_of_links_that_is_none_is_refused(linked, links_of, calibration):
    edit(linked / "config.json", lambda config: config["metaie"].update(link_calibration=calibration))
    with pytest.raises(ValueError, match=DAMAGED):
        links_of(linked)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_calibration_of_links_without_numbers_is_refused(linked, links_of, number):
    text = (linked / "config.json").read_text(encoding="utf8")
    changed = re.sub(r'"distance": [-\d.]+', f'"distance": {number}', text)
    assert changed != text
    (linked / "config.json").write_text(changed, encoding="utf8")
    with pytest.raises(ValueError, match=DAMAGED):
        links_of(linked)


@pytest.mark.parametrize("lacking", [*(name for name in decode.WEIGHTS if name != "free"), "threshold", "tag"])
def test_what_a_calibration_of_links_lacks_is_as_in_weights_without_one(linked, links_of, lacking):
    own = json.loads((linked / "config.json").read_text(encoding="utf8"))["metaie"]["link_calibration"]
    kept = {name: value for name, value in own.items() if name != lacking}
    edit(linked / "config.json", lambda config: config["metaie"].update(link_calibration=kept))
    found = links_of(linked)
    assert all(0 <= score <= 1 for score in found.values())
    if lacking in decode.WEIGHTS:
        edit(
            linked / "config.json",
            lambda config: config["metaie"]["link_calibration"].update({lacking: decode.WEIGHTS[lacking]}),
        )
        assert links_of(linked) == found


def test_calibrations_at_the_bounds_give_probabilities(linked, links_of):
    for sign in (1, -1):
        values = dict.fromkeys(decode.WEIGHTS, sign * 1e6) | {"threshold": 0.0, "tag": 0.0}
        edit(linked / "config.json", lambda config: config["metaie"].update(link_calibration=values))  # noqa: B023
        assert all(0 <= score <= 1 for score in links_of(linked).values())


def test_a_hundred_weights_that_were_changed_by_chance_are_right_or_refused(bases):
    found = [bases.case(f"ci:{number}") for number in range(100)]
    assert [case for case in found if case["outcome"] == "failed"] == []
    assert {case["outcome"] for case in found} >= {"answered", "refused as damaged"}
