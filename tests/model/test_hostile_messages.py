"""Configs, tensors and messages of saved weights that are damaged or ask for too much."""

import numpy as np
import pytest
import spacy
import srsly
from hostile_weights import DAMAGED, edit, edit_message, edit_tensors

from metaie_spacy.model.damage import DamagedWeights
from metaie_spacy.model.message import read_message
from metaie_spacy.model.weights import architecture_of
from metaie_spacy.release.assemble import average
from metaie_spacy.train.distill import start_model
from metaie_spacy.train.settings import DistillSettings

# Configs


@pytest.mark.parametrize(
    "change",
    [
        {"vocab_size": 2**40}, {"vocab_size": 10**7}, {"hidden_size": 2**30}, {"hidden_size": 16.0}, {"hidden_size": "16"}, {"hidden_size": 15},
        {"num_hidden_layers": 10**9}, {"num_hidden_layers": 200}, {"num_hidden_layers": 1}, {"num_hidden_layers": True}, {"num_hidden_layers": 0},
        {"intermediate_size": 10**12}, {"intermediate_size": 33}, {"max_position_embeddings": 10**8}, {"max_position_embeddings": 71}, {"type_vocab_size": 10**9},
        {"num_attention_heads": 3}, {"num_attention_heads": 0}, {"num_attention_heads": -2}, {"hidden_act": "evil"}, {"hidden_act": None}, {"hidden_act": {"a": 1}},
        {"layer_norm_eps": "x"}, {"layer_norm_eps": -1}, {"initializer_range": None}, {"pad_token_id": 10**6}, {"pad_token_id": -1}, {"pad_token_id": "0"},
        {"position_embedding_type": "relative_key"}, {"model_type": "t5"}, {"model_type": None}, {"model_type": ["bert"]}, {"metaie": None}, {"metaie": []},
        {"hidden_dropout_prob": 2}, {"transformers_version": "\x1b[31m" * 10}, {"hidden_size": None},
    ],
)  # fmt: skip
def test_configs_that_ask_for_what_the_weights_have_not_are_refused(bare, read, change):
    edit(bare / "config.json", lambda config: config.update(change))
    with pytest.raises(ValueError, match=DAMAGED) as error:
        read(bare)
    assert "\x1b" not in str(error.value)
    if "hidden_size" not in change:
        with pytest.raises(ValueError, match=DAMAGED):
            average([bare, bare], bare.parent / "mean")


@pytest.mark.parametrize(
    "change",
    [
        {"head_inner": 10**9}, {"head_inner": 511}, {"head_width": 10**9}, {"head_width": None}, {"token_width": 10**9}, {"token_width": "16"}, {"dropout": "0.1"},
        {"dropout": 2}, {"cls_id": 10**6}, {"cls_id": None}, {"sep_id": -1}, {"sep_id": 1.0}, {"threshold": "high"}, {"threshold": 7}, {"threshold": None},
        {"tag_threshold": []}, {"calibration": 3}, {"calibration": {}}, {"calibration": {"temperature": 0, "bias": 0}}, {"calibration": {"temperature": 1, "bias": "x"}},
        {"label_counts": []}, {"label_counts": {"a": "b"}}, {"label_counts": {"a": -5}}, {"text_sees_labels": "no"}, {"text_sees_labels": 1}, {"text_sees_labels": None},
        {"architecture": "Evil"}, {"architecture": 3},
    ],
)  # fmt: skip
def test_options_of_a_wrong_type_or_size_are_refused(bare, read, change):
    edit(bare / "config.json", lambda config: config["metaie"].update(change))
    with pytest.raises(ValueError, match=DAMAGED):
        read(bare)


def test_nothing_is_built_before_the_sizes_are_checked(bare, read, monkeypatch):
    from metaie_spacy.model.modules import LabelToSpan

    built = []
    monkeypatch.setattr(LabelToSpan, "from_config", lambda config: built.append(config.hidden_size))
    edit(bare / "config.json", lambda config: config.update(hidden_size=2**14, intermediate_size=2**17))
    with pytest.raises(ValueError, match="do not fit"):
        read(bare)
    assert built == []


TEXTS = {
    "cut": b"{", "other kind": b"[]", "null": b"null", "no text": b"\xff\xfe", "deep": b"[" * 200_000, "deep objects": b'{"a":' * 100_000, "infinite": b'{"metaie": Infinity}',
    "half a character": b'{"a": "\\ud800"}', "long number": b"9" * 10_000, "zeros": b"\0" * 100, "many": b"[" + b"[]," * 3_000_000 + b"[]]",
}  # fmt: skip


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("kind", TEXTS)
def test_json_that_is_none_is_refused(bare, read, name, kind):
    (bare / name).write_bytes(TEXTS[kind])
    with pytest.raises(ValueError, match=DAMAGED):
        read(bare)


# Tensors


def first(header):
    return next(name for name in header if name != "__metadata__")


@pytest.mark.parametrize(
    "change",
    [
        lambda header, body: header[first(header)].update(dtype="I32"),
        lambda header, body: header[first(header)].update(dtype="BOOL"),
        lambda header, body: header[first(header)].update(dtype=None),
        lambda header, body: header[first(header)].update(shape=[2**31, 2**31]),
        lambda header, body: header[first(header)].update(shape=[-1]),
        lambda header, body: header[first(header)].update(shape="x"),
        lambda header, body: header[first(header)].update(data_offsets=[0, 2**60]),
        lambda header, body: header[first(header)].update(data_offsets=[4]),
        lambda header, body: header.update({first(header): 3}),
        lambda header, body: header.update(other=header.pop(first(header))),
        lambda header, body: header.pop(first(header)),
        lambda header, body: header.update(more={"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}),
        lambda header, body: body.extend(b"1234"),
        lambda header, body: body.clear(),
        lambda header, body: header.clear(),
        lambda header, body: body.__setitem__(slice(0, 4), np.float32(np.nan).tobytes()),
        lambda header, body: body.__setitem__(slice(0, 4), np.float32(np.inf).tobytes()),
        lambda header, body: body.__setitem__(slice(-4, None), np.float32(-np.inf).tobytes()),
        lambda header, body: body.__setitem__(slice(0, 4), np.float32(1e30).tobytes()),
    ],
)
def test_damaged_tensors_are_refused(bare, read, change):
    edit_tensors(bare / "model.safetensors", change)
    with pytest.raises(ValueError, match=DAMAGED):
        read(bare)
    with pytest.raises(ValueError, match=DAMAGED):
        start_model(DistillSettings(encoder="none", init_from=str(bare)))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"\xff" * 8,
        (2**62).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (10**9).to_bytes(8, "little") + b"{",
    ],
)
def test_headers_that_lie_about_their_length_are_refused(bare, read, content):
    (bare / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=DAMAGED):
        read(bare)


def test_weights_that_give_no_numbers_are_refused_when_they_are_used(bare, read):
    def grow(header, body):
        for entry in header.values():
            start, end = entry["data_offsets"]
            body[start:end] = np.full((end - start) // 4, 65000, "<f4").tobytes()

    edit_tensors(bare / "model.safetensors", grow)
    with pytest.raises(DamagedWeights, match="no numbers"):
        read(bare)


# Messages


@pytest.mark.parametrize(
    "data",
    [
        b"\xdd\x00\x0f\xff\xff" * 400, b"\xdf\xff\xff\xff\xff" * 4, b"\xc6\xff\xff\xff\xff", b"\xdb\x7f\xff\xff\xffabc", b"\xc7\x01\x05x", b"\xc1", b"\x91" * 100_000, b"", b"\xc0\xc0",
        b"\x81\xc0\x01", b"\x81\x90\x01", b"\xa2\xff\xff", b"\xca\x00",
    ],
)  # fmt: skip
def test_messages_take_no_more_than_their_bytes_fill(data, pipeline, read):
    with pytest.raises(ValueError):
        read_message(data)
    for content in (data, b"\x81\xa5nodes" + data):
        (pipeline / "metaie" / "model").write_bytes(content)
        with pytest.raises(ValueError, match=DAMAGED):
            read(pipeline)
        with pytest.raises(ValueError, match=DAMAGED):
            spacy.load(pipeline)


def test_messages_are_read_as_msgpack_writes_them():
    value = {
        "a": [
            None,
            True,
            False,
            0,
            127,
            128,
            2**16,
            2**32,
            2**63,
            -1,
            -32,
            -33,
            -(2**40),
            0.5,
            "é" * 40,
            "x" * 300,
            b"y" * 70_000,
        ],
        "b": {"c": list(range(20)), "d": {str(i): i for i in range(20)}},
    }
    again = read_message(srsly.msgpack_dumps(value))
    again["a"][-1] = bytes(again["a"][-1])
    assert again == value


@pytest.mark.parametrize(
    "change",
    [
        lambda inner, outer: inner.pop("state"), lambda inner, outer: inner.pop("files"), lambda inner, outer: inner["files"].pop("config.json"), lambda inner, outer: inner["files"].pop("tokenizer.json"),
        lambda inner, outer: inner.update(state=np.zeros(3)), lambda inner, outer: inner.update(state="text"), lambda inner, outer: inner.update(files=[b"x"]), lambda inner, outer: inner["files"].update({"config.json": 3}),
        lambda inner, outer: inner["files"].update({"tokenizer.json": b" " * 2**26}), lambda inner, outer: outer.update(nodes=[]), lambda inner, outer: outer.pop("params"), lambda inner, outer: outer.update(shims=[[b"x"], []]),
        lambda inner, outer: outer.update(nodes=3), lambda inner, outer: outer.update(attrs=[3]),
    ],
)  # fmt: skip
def test_damaged_messages_are_refused(pipeline, read, change):
    edit_message(pipeline / "metaie" / "model", change)
    for load in (read, spacy.load):
        with pytest.raises(ValueError, match=DAMAGED):
            load(pipeline)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"initial": {}}',
        b'{"initial": {}, "current": {"flat": true}}',
        b'{"initial": 3, "current": 4}',
        b"[" * 100_000,
    ],
)
def test_damaged_settings_are_refused(pipeline, content):
    (pipeline / "metaie" / "schema.json").write_bytes(content)
    with pytest.raises(ValueError, match=DAMAGED):
        spacy.load(pipeline)


@pytest.mark.parametrize(
    "change",
    [
        {"flat": "no"},
        {"set_ents": 1},
        {"spans_key": 3},
        {"labels": 3},
        {"threshold": "high"},
        {"threshold": 7},
        {"evil": 1},
    ],
)
def test_settings_of_a_wrong_type_are_refused(pipeline, change):
    edit(pipeline / "metaie" / "schema.json", lambda value: value["current"].update(change))
    with pytest.raises(ValueError, match=DAMAGED):
        spacy.load(pipeline)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "[components]\nmetaie = 3\n",
        '[components.metaie]\nfactory = "metaie"\nmodel = 3\n',
        "[components]\n" + "[" * 5000,
        "\0" * 50,
        "[" + "components." * 20_000 + "x]\n",
    ],
)
def test_damaged_configs_of_a_pipeline_are_refused(pipeline, read, text):
    (pipeline / "config.cfg").write_text(text, encoding="utf8")
    for load in (read, lambda path: architecture_of(str(path))):
        with pytest.raises(ValueError, match=f"{DAMAGED}|has no 'metaie' component with weights"):
            load(pipeline)


def test_sections_of_a_config_are_counted_before_they_are_read(pipeline, read):
    (pipeline / "config.cfg").write_text(
        "[components]\n" + "".join(f"[components.c{i}]\nx = 1\n" for i in range(5000)), encoding="utf8"
    )
    with pytest.raises(ValueError, match="more than 1,000 sections"):
        read(pipeline)
