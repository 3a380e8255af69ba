"""Tokenizers of saved weights: bounded in size and in what they may do."""

import base64
import json
import random
import shutil

import numpy as np
import pytest
from hostile_weights import (
    DAMAGED,
    edit,
    tiny_tokenizer,
)

from metaie_spacy.model.damage import DamagedWeights
from metaie_spacy.model.pieces import WordPieces
from metaie_spacy.model.saved import read_directory
from metaie_spacy.model.tokenizer_file import read_tokenizer

# Tokenizers


def step(kind, **values):
    return {"type": kind, **values}


def sequence(*steps):
    return {"type": "Sequence", "normalizers": list(steps)}


def charsmap(targets):
    return base64.b64encode((4).to_bytes(4, "little") + b"\0" * 4 + targets).decode()


DOUBLE = step("Replace", pattern={"String": "a"}, content="aa")


@pytest.mark.parametrize(
    "normalizer",
    [
        DOUBLE, sequence(*[DOUBLE] * 40), sequence(*[step("Prepend", prepend="x" * 1000)] * 40), step("Replace", pattern={"String": ""}, content="x"),
        step("Replace", pattern={"Regex": "(a*)*$"}, content=""), step("Replace", pattern={"Regex": "("}, content=""), step("Replace", pattern={"Regex": " {2,}"}, content="xxx"),
        step("Replace", pattern=3, content=""), step("Replace"), step("Precompiled", precompiled_charsmap=charsmap(b"x" * 10_000)), step("Precompiled", precompiled_charsmap="%"),
        step("Precompiled", precompiled_charsmap=""), step("Precompiled", precompiled_charsmap=base64.b64encode(b"\xff" * 40).decode()), step("Precompiled", precompiled_charsmap=None),
        step("Precompiled", precompiled_charsmap=charsmap(b"\xff\xfe\0")), sequence(step("NFKD"), step("NFKD")), sequence(sequence(step("NFC"))), sequence(*[step("NFC")] * 100),
        step("ByteLevel"), step("Evil"), step(3), 3, [], "NFC", {"type": "Sequence", "normalizers": 3}, step("BertNormalizer", lowercase="yes"), step("NFC", more=1),
    ],
)  # fmt: skip
def test_normalizers_that_no_supported_tokenizer_has_are_refused(bare, read, normalizer):
    edit(bare / "tokenizer.json", lambda value: value.update(normalizer=normalizer))
    with pytest.raises(ValueError, match=DAMAGED):
        read(bare)


@pytest.mark.parametrize(
    "pre_tokenizer",
    [
        step("Split", pattern={"Regex": "["}, behavior="Isolated", invert=False), step("Split", pattern={"String": "a"}, behavior="Isolated", invert=False), step("Evil"), 3,
        step("Metaspace", replacement="xx", prepend_scheme="always"), step("Metaspace", replacement="", prepend_scheme="always"), step("Metaspace", replacement="_", prepend_scheme="evil"),
        step("ByteLevel", add_prefix_space=3), {"type": "Sequence", "pretokenizers": [step("ByteLevel", add_prefix_space=True, trim_offsets=True, use_regex=False)] * 8},
        step("Punctuation", behavior="evil"), step("UnicodeScripts"), step("CharDelimiterSplit", delimiter="a"),
    ],
)  # fmt: skip
def test_pre_tokenizers_that_no_supported_tokenizer_has_are_refused(bare, read, pre_tokenizer):
    edit(bare / "tokenizer.json", lambda value: value.update(pre_tokenizer=pre_tokenizer))
    with pytest.raises(ValueError, match=DAMAGED):
        read(bare)


@pytest.mark.parametrize("number", [-1, 10**6, 2**31, 2**40, 0.5, "3", None, True, []])
def test_pieces_without_a_row_in_the_embeddings_are_refused(bare, read, number):
    edit(bare / "tokenizer.json", lambda value: value["model"]["vocab"].update(a=number))
    with pytest.raises(ValueError, match=DAMAGED):
        read(bare)


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value["model"].update(type="WordLevel"), lambda value: value["model"].update(type=None), lambda value: value.pop("model"), lambda value: value["model"].update(unk_token="none"),
        lambda value: value["model"].update(max_input_chars_per_word=-1), lambda value: value["model"].update(max_input_chars_per_word=10**9), lambda value: value["model"].update(max_input_chars_per_word=True),
        lambda value: value["model"].update(continuing_subword_prefix="x" * 10**5), lambda value: value["model"].update(vocab={}), lambda value: value["model"].update(vocab=[]),
        lambda value: value["model"]["vocab"].update({f"new{i}": 0 for i in range(5000)}), lambda value: value["model"]["vocab"].update({"x" * 10_000: 0}), lambda value: value["model"].pop("unk_token"),
        lambda value: value.update(added_tokens=3), lambda value: value.update(added_tokens=[3]), lambda value: value["added_tokens"][0].update(content=""), lambda value: value["added_tokens"][0].update(id=10**9),
        lambda value: value["added_tokens"].append({**value["added_tokens"][0], "content": "beyond the embeddings"}), lambda value: value.update(added_tokens=value["added_tokens"] * 1000),
        lambda value: value["added_tokens"][0].pop("special"),
    ],
)  # fmt: skip
def test_damaged_word_piece_models_are_refused(bare, read, change):
    edit(bare / "tokenizer.json", lambda value: change(value) and None)
    with pytest.raises(ValueError, match=DAMAGED):
        read(bare)


@pytest.mark.parametrize(
    "name, change",
    [
        ("bare_roberta", {"dropout": 0.5}), ("bare_roberta", {"merges": [["q", "zzz"]]}), ("bare_roberta", {"merges": ["a b c"]}), ("bare_roberta", {"merges": [["a", ""]]}),
        ("bare_roberta", {"merges": [3]}), ("bare_roberta", {"merges": "ab"}), ("bare_roberta", {"merges": [["i", "n"]] * 10_000}), ("bare_roberta", {"unk_token": "none"}),
        ("bare_roberta", {"end_of_word_suffix": "x" * 100}), ("bare_roberta", {"cache_capacity": 2**40}),
        ("bare_unigram", {"unk_id": None}), ("bare_unigram", {"unk_id": 10**9}), ("bare_unigram", {"unk_id": -1}), ("bare_unigram", {"vocab": []}), ("bare_unigram", {"vocab": [["", 0.0]]}),
        ("bare_unigram", {"vocab": [["a", "b"]]}), ("bare_unigram", {"vocab": [["a", -1e300]]}), ("bare_unigram", {"vocab": [["a"]]}), ("bare_unigram", {"vocab": {"a": 0}}),
        ("bare_unigram", {"vocab": [["x" * 10_000, 0.0]] * 5}), ("bare_unigram", {"vocab": [["a", True]]}),
    ],
)  # fmt: skip
def test_damaged_bpe_and_unigram_models_are_refused(bases, tmp_path, name, change):
    shutil.copytree(bases.folder / name, tmp_path / "weights")
    edit(tmp_path / "weights" / "tokenizer.json", lambda value: value["model"].update(change))
    with pytest.raises(ValueError, match=DAMAGED):
        read_directory(tmp_path / "weights")


def test_long_pieces_are_counted_before_the_library_builds_a_tree_of_them():
    value = json.loads(tiny_tokenizer("xlm-roberta").backend_tokenizer.to_str())
    rng = random.Random(0)
    value["model"]["vocab"] += [["".join(rng.choices("abcdefgh", k=500)), -1.0] for _ in range(6000)]
    with pytest.raises(ValueError, match="too many and too long"):
        read_tokenizer(json.dumps(value).encode(), b'{"cls_token": "<s>", "sep_token": "</s>"}', 10_000)
    same = "a" * 500  # pieces that begin alike share the tree's nodes
    value["model"]["vocab"] = value["model"]["vocab"][:-6000] + [
        [same[:k] + letter, -1.0] for k in range(500) for letter in "bcdefghijklm"
    ]
    assert read_tokenizer(json.dumps(value).encode(), b'{"cls_token": "<s>", "sep_token": "</s>"}', 10_000)


@pytest.mark.parametrize("value", [3, [], "", "x" * 10_000, {"content": 3}, {}, None, "no such piece"])
@pytest.mark.parametrize("key", ["cls_token", "sep_token"])
def test_special_tokens_that_are_none_are_refused(bare, read, key, value):
    edit(bare / "tokenizer_config.json", lambda settings: settings.update({key: value}))
    with pytest.raises(ValueError, match=DAMAGED):
        read(bare)


def test_special_tokens_without_a_piece_do_not_get_one(bare):
    edit(bare / "tokenizer_config.json", lambda settings: settings.update(mask_token="<beyond the embeddings>"))
    saved = read_directory(bare)
    assert len(saved.tokenizer) <= saved.config.vocab_size


def test_framing_and_padding_are_dropped_whatever_they_are(bare, read):
    expected = read(bare)
    edit(
        bare / "tokenizer.json",
        lambda value: value.update(
            post_processor={"type": "Evil"},
            decoder=3,
            padding={"strategy": {"Fixed": 10**12}},
            truncation=[],
            version="9",
        ),
    )
    assert read(bare) == expected


class PanicException(BaseException):
    """As pyo3's, which is no Exception."""


@pytest.mark.parametrize(
    "error, expected",
    [
        (PanicException("index out of bounds"), DamagedWeights),
        (Exception("no unk_id"), DamagedWeights),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_a_panic_becomes_the_error_and_a_keyboard_interrupt_passes(bare, read, monkeypatch, error, expected):
    from tokenizers import Tokenizer

    class Panics:
        @staticmethod
        def from_buffer(data):
            raise error

    saved = read_directory(bare)
    monkeypatch.setattr("tokenizers.Tokenizer", Panics)
    with pytest.raises(expected):
        read_directory(bare)
    monkeypatch.setattr("tokenizers.Tokenizer", Tokenizer)
    pieces = WordPieces(saved.tokenizer)
    monkeypatch.setattr(
        pieces, "_backend", type("Backend", (), {"encode": lambda *args, **kwargs: (_ for _ in ()).throw(error)})()
    )
    with pytest.raises(expected):
        pieces(["word"])


def test_a_crafted_table_of_characters_is_an_error_when_a_text_meets_it(bare, read):
    table = (16).to_bytes(4, "little") + np.array([2**31 - 1, 2**32 - 1, 2**30, 7], "<u4").tobytes() + b"x\0"
    edit(
        bare / "tokenizer.json",
        lambda value: value.update(
            normalizer=step("Precompiled", precompiled_charsmap=base64.b64encode(table).decode())
        ),
    )
    with pytest.raises(ValueError, match=DAMAGED):
        read(bare)
