import io
import os
import sys
from typing import NamedTuple

# Nothing in these tests needs a network, and a look-up that sneaks in should fail at once.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import spacy
import torch
from helpers import ROOT, SENTENCES, wake
from hypothesis import HealthCheck, settings
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizerFast,
    ElectraConfig,
    ElectraModel,
    RobertaConfig,
    RobertaModel,
    RobertaTokenizerFast,
)  # fmt: skip

# The same examples in every run and process; one pipeline serves all examples of a test.
settings.register_profile(
    "steady",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("steady")

SIZES = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "initializer_range": 0.3,
    "attention_probs_dropout_prob": 0.0, "hidden_dropout_prob": 0.0,
}  # fmt: skip


def make_tokenizer(family, folder):
    specials = (
        ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        if family == "roberta"
        else ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    )
    if family == "roberta":
        raw = Tokenizer(models.BPE())
        raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        raw.train_from_iterator(
            SENTENCES, trainers.BpeTrainer(vocab_size=400, special_tokens=specials, initial_alphabet=alphabet)
        )
        raw.save(str(folder / "raw.json"))
        named = {
            "bos_token": "<s>",
            "cls_token": "<s>",
            "eos_token": "</s>",
            "sep_token": "</s>",
            "pad_token": "<pad>",
            "unk_token": "<unk>",
            "mask_token": "<mask>",
        }
        return RobertaTokenizerFast(tokenizer_file=str(folder / "raw.json"), add_prefix_space=True, **named)
    # A trained WordPiece vocabulary differs from process to process, and with it what a tiny encoder learns.
    split = pre_tokenizers.BertPreTokenizer()
    letters = list("abcdefghijklmnopqrstuvwxyz0123456789.,;:-'")
    words = sorted(
        {word for sentence in SENTENCES for word, _ in split.pre_tokenize_str(sentence.lower()) if len(word) > 1}
    )
    starts = sorted({word[:2] for word in words} - {*words})
    vocab = {
        piece: number
        for number, piece in enumerate([*specials, *letters, *(f"##{letter}" for letter in letters), *starts, *words])
    }
    raw = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    raw.normalizer = normalizers.BertNormalizer(lowercase=True)
    raw.pre_tokenizer = split
    raw.save(str(folder / "raw.json"))
    return BertTokenizerFast(tokenizer_file=str(folder / "raw.json"), do_lower_case=True)


@pytest.fixture(scope="session")
def encoders(tmp_path_factory):
    """Directories of tiny random encoders by family; every vector is large enough to matter."""
    made = {}
    for family in ("bert", "electra", "roberta"):
        folder = tmp_path_factory.mktemp(family)
        tokenizer = make_tokenizer(family, folder)
        torch.manual_seed(0)
        if family == "bert":
            model = BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=512, **SIZES))
        elif family == "electra":  # narrower embeddings than states
            model = ElectraModel(
                ElectraConfig(vocab_size=len(tokenizer), embedding_size=16, max_position_embeddings=512, **SIZES)
            )
        else:
            config = RobertaConfig(
                vocab_size=len(tokenizer),
                max_position_embeddings=514,
                pad_token_id=tokenizer.pad_token_id,
                type_vocab_size=1,
                **SIZES,
            )
            model = RobertaModel(config)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        made[family] = str(folder)
    return made


class NumberFormat(NamedTuple):
    """What predictions are computed in, and by how much logits may differ in it that ought to be equal."""

    name: str
    tolerance: float


# bfloat16 keeps 8 bits of a number, and which of them are lost depends on the shape of the batch.
@pytest.fixture(params=[NumberFormat("float32", 1e-4), NumberFormat("bfloat16", 0.15)], ids=lambda format: format.name)
def number_format(request):
    return request.param


@pytest.fixture(scope="session")
def make_nlp(encoders):
    """A blank pipeline with a metaie component on a tiny encoder, initialized unless told otherwise."""

    def make(labels=("person", "date"), *, architecture="LabelToSpan", family="bert", model=None, **config):
        nlp = spacy.blank("en")
        block = {
            "@architectures": f"metaie-spacy.{architecture}.v1",
            "name": encoders[family],
            "dropout": 0.0,
            "compute_dtype": "float32",
            **(model or {}),
        }
        torch.manual_seed(1)
        pipe = nlp.add_pipe(
            "metaie",
            config={
                "labels": labels if isinstance(labels, dict) else list(labels),
                "weights": None,
                "model": block,
                **config,
            },
        )
        pipe.model.initialize()
        wake(pipe.model.shims[0].module)
        return nlp

    return make


class Result(NamedTuple):
    """How a command ended, and what it wrote to standard output and standard error."""

    code: int
    out: str
    err: str


@pytest.fixture
def call(monkeypatch, capsys):
    """The command line in this process, in the repository's folder. An error that is not told as a message fails the test."""
    from metaie_spacy.__main__ import main

    def call(*args, stdin=b""):
        monkeypatch.chdir(ROOT)
        monkeypatch.setattr(sys, "argv", ["metaie_spacy", *map(str, args)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        return Result(end.value.code, *capsys.readouterr())

    return call
