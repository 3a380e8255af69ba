"""Weights: where they come from, what they bring along, and which are refused."""

import json
import shutil

import pytest
import spacy
import torch
from helpers import SENTENCES, scored


def test_float16_package_keeps_its_scores(make_nlp, tmp_path):
    nlp = make_nlp(model={"save_dtype": "float16"})
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    for text in SENTENCES:
        first, second = scored(nlp(text)), scored(again(text))
        assert all(abs(first[key] - second[key]) < 0.01 for key in first.keys() & second.keys())
    full = make_nlp()
    full.to_disk(tmp_path / "full")
    size = lambda path: (path / "metaie" / "model").stat().st_size  # noqa: E731
    assert size(tmp_path) < 0.75 * size(tmp_path / "full")


def test_missing_weights_say_what_to_do():
    nlp = spacy.blank("en")
    nlp.add_pipe("metaie", config={"labels": ["person"], "weights": "no_such_package"})
    with pytest.raises(ValueError, match="Cannot find the weights 'no_such_package'"):
        nlp("Ada flew.")
    nlp = spacy.blank("en")
    nlp.add_pipe("metaie", config={"labels": ["person"], "weights": None})
    with pytest.raises(ValueError, match="nlp.initialize"):
        nlp("Ada flew.")


def test_missing_encoder_says_what_to_do(tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("metaie", config={"weights": None, "model": {"name": str(tmp_path / "nowhere")}})
    with pytest.raises(ValueError, match="Cannot load the encoder"):
        nlp.get_pipe("metaie").model.initialize()


def test_truncated_or_foreign_model_directories_are_refused(make_nlp, tmp_path):
    make_nlp().to_disk(tmp_path / "good")
    model = tmp_path / "good" / "metaie" / "model"
    whole = model.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"not a model at all"):
        model.write_bytes(damaged)
        with pytest.raises(ValueError, match="model"):
            spacy.load(tmp_path / "good")
    model.unlink()
    with pytest.raises(ValueError, match="lacks model"):
        spacy.load(tmp_path / "good")
    nlp = make_nlp()
    for name, files, message in [
        ("empty", [], "neither a spaCy pipeline nor"),
        ("half", ["model.safetensors"], "lacks config.json"),
    ]:
        folder = tmp_path / name
        folder.mkdir()
        for file in files:
            (folder / file).write_bytes(b"")
        with pytest.raises(ValueError, match=message):
            nlp.get_pipe("metaie").load_from(str(folder))
    foreign = spacy.blank("en")
    foreign.add_pipe("sentencizer")
    foreign.to_disk(tmp_path / "foreign")
    with pytest.raises(ValueError, match="no 'metaie' component"):
        nlp.get_pipe("metaie").load_from(str(tmp_path / "foreign"))


def test_weights_of_another_architecture_are_refused(make_nlp, tmp_path):
    make_nlp(architecture="CrossEncoder").to_disk(tmp_path)
    with pytest.raises(ValueError, match="architecture = CrossEncoder, but the config asks for LabelToSpan"):
        make_nlp().get_pipe("metaie").load_from(str(tmp_path))
    make_nlp(model={"text_sees_labels": False}).to_disk(tmp_path / "blind")
    with pytest.raises(ValueError, match="text_sees_labels = False, but the config asks for True"):
        make_nlp(model={"text_sees_labels": True}).get_pipe("metaie").load_from(str(tmp_path / "blind"))


@pytest.mark.parametrize("sees", [True, False])
def test_texts_see_labels_as_the_weights_have_it(make_nlp, tmp_path, sees):
    nlp = make_nlp(model={"text_sees_labels": sees})
    nlp.to_disk(tmp_path)
    other = make_nlp()
    other.get_pipe("metaie").load_from(str(tmp_path))
    assert other.get_pipe("metaie").model.shims[0].module.options["text_sees_labels"] is sees
    other.to_disk(tmp_path / "again")
    again = spacy.load(tmp_path / "again")
    assert scored(again(SENTENCES[0])) == scored(nlp(SENTENCES[0])) == scored(other(SENTENCES[0]))


def test_new_weights_do_not_see_labels_unless_told_to(make_nlp):
    """What a label finds does not depend on the others, and no keys and values are kept of it."""
    nlp = make_nlp(["person"])
    shim = nlp.get_pipe("metaie").model.shims[0]
    assert shim.module.options["text_sees_labels"] is False and len(shim.encode_labels(["person"]).kv) == 0
    assert (
        len(make_nlp(model={"text_sees_labels": True}).get_pipe("metaie").model.shims[0].encode_labels(["person"]).kv)
        > 0
    )


def test_weights_of_another_encoder_than_the_configs_are_told(make_nlp, encoders, tmp_path):
    make_nlp().to_disk(tmp_path)
    nlp = spacy.blank("en")
    nlp.add_pipe(
        "metaie", config={"labels": ["person"], "weights": str(tmp_path), "model": {"name": "xlm-roberta-base"}}
    )
    with pytest.warns(UserWarning, match="'xlm-roberta-base' in the config has no effect.*to null"):
        nlp("Ada flew.")


def test_half_precision_checkpoints_are_read_as_float32(encoders, tmp_path):
    shutil.copytree(encoders["bert"], tmp_path / "half")
    config = json.loads((tmp_path / "half" / "config.json").read_text())
    (tmp_path / "half" / "config.json").write_text(json.dumps(config | {"torch_dtype": "float16"}))
    nlp = spacy.blank("en")
    nlp.add_pipe("metaie", config={"labels": ["person"], "weights": None, "model": {"name": str(tmp_path / "half")}})
    nlp.initialize()
    assert {p.dtype for p in nlp.get_pipe("metaie").model.shims[0].module.parameters()} == {torch.float32}
    assert nlp("Ada flew.").spans["metaie"].attrs["asked"] == ["person"]


def test_weights_go_to_the_device_of_the_model_not_of_the_loading_thread(make_nlp):
    shim = make_nlp().get_pipe("metaie").model.shims[0]
    module, tokenizer = shim.module, shim.tokenizer
    shim._device = torch.device("meta")
    shim.set_module(module, tokenizer)
    assert shim.device.type == "meta"
