"""Tiny saved weights of each kind, to be damaged: made here, so that no network is needed."""

import json
import shutil
from pathlib import Path

import spacy
import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoModel, BertConfig, PreTrainedTokenizerFast, RobertaConfig, XLMRobertaConfig

from metaie_spacy.model.weights import find_source
from metaie_spacy.train.distill import save_model

TEXT = "Ada Lovelace, born 10 December 1815, worked in London."
LABELS = ["person", "date of birth"]
LETTERS = list("abcdefghijklmnopqrstuvwxyzABDL0123456789.,")
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "initializer_range": 0.3,
    "max_position_embeddings": 72,
}
LINKS = {
    "born": {"head": "person", "query": "date of birth", "inverse": "person", "tail": "date of birth"},
    "place": {"head": ["person", "born"], "query": "place"},
}  # fmt: skip
CALIBRATION = {
    "bias": 0.4, "head": 0.2, "answer": 1.1, "inverse": 0.5, "distance": -0.2, "tail": 0.1, "threshold": 0.05, "tag": 0.3,
}  # fmt: skip
CNN = {
    "@architectures": "spacy.HashEmbedCNN.v2", "pretrained_vectors": None, "width": 16, "depth": 1, "embed_size": 50,
    "window_size": 1, "maxout_pieces": 2, "subword_features": True,
}  # fmt: skip
FAMILIES = {"bert": BertConfig, "roberta": RobertaConfig, "xlm-roberta": XLMRobertaConfig}


def tiny_tokenizer(family: str) -> PreTrainedTokenizerFast:
    """Letters as pieces, in the form that the family's published tokenizers have."""
    if family == "bert":
        specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        vocab = {piece: i for i, piece in enumerate([*specials, *LETTERS, *(f"##{letter}" for letter in LETTERS)])}
        raw = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
        raw.normalizer, raw.pre_tokenizer = (
            normalizers.BertNormalizer(lowercase=True),
            pre_tokenizers.BertPreTokenizer(),
        )
    elif family == "roberta":
        specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        pieces = [*specials, *sorted(pre_tokenizers.ByteLevel.alphabet()), "in", "on"]
        raw = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, [("i", "n"), ("o", "n")]))
        raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    else:
        specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        raw = Tokenizer(
            models.Unigram(
                [*((piece, 0.0) for piece in specials), ("▁", -2.0), *((letter, -3.0) for letter in LETTERS)], unk_id=3
            )
        )
        raw.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
        raw.pre_tokenizer = pre_tokenizers.Metaspace()
    pad, unk, cls, sep, mask = specials if family == "bert" else (specials[i] for i in (1, 3, 0, 2, 4))
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        add_prefix_space=family == "roberta",
        pad_token=pad,
        unk_token=unk,
        cls_token=cls,
        sep_token=sep,
        mask_token=mask,
    )


def tiny_encoder(family: str, folder: Path) -> str:
    """Write an untrained encoder of a family. RETURNS (str): its directory."""
    tokenizer = tiny_tokenizer(family)
    config = FAMILIES[family](vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **SIZES)
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def fresh(encoder: str, architecture: str, *, weights: str | None = None, links: bool = False):
    """A pipeline with an untrained metaie component. links (bool): whether it asks for some."""
    nlp = spacy.blank("en")
    shared = architecture == "SharedTransformer"
    block = {"label_encoder": encoder, "tok2vec": CNN} if shared else {"name": encoder, "compute_dtype": "float32"}
    block |= {"@architectures": f"metaie-spacy.{architecture}.v1"}
    asked = {"links": LINKS} if links else {}
    nlp.add_pipe("metaie", config={"labels": LABELS, "weights": weights, "threshold": 0.01, "model": block, **asked})
    return nlp


def make_bases(folder: Path) -> dict[str, str]:
    """Write weights of each kind. RETURNS (dict): the encoder of each, by the name of its folder."""
    encoders = {family: tiny_encoder(family, folder / "encoders" / family) for family in FAMILIES}
    made = {}
    for name, family, architecture in (
        ("bare_bert", "bert", "LabelToSpan"), ("bare_roberta", "roberta", "CrossEncoder"), ("bare_unigram", "xlm-roberta", "LabelToSpan"),
        ("pipeline_bert", "bert", "LabelToSpan"), ("pipeline_unigram", "xlm-roberta", "CrossEncoder"), ("pipeline_shared", "bert", "SharedTransformer"),
        ("bare_links", "bert", "LabelToSpan"), ("pipeline_links", "bert", "LabelToSpan"), ("pipeline_shared_links", "bert", "SharedTransformer"),
    ):  # fmt: skip
        nlp = fresh(encoders[family], architecture, links=name.endswith("links"))
        torch.manual_seed(1)
        nlp.get_pipe("metaie").model.initialize()
        shim = nlp.get_pipe("metaie").model.shims[0]
        with torch.no_grad():
            shim.module.bias.zero_()
        if name.endswith("links"):
            shim.add_links()
            shim.link_calibration = CALIBRATION
        if name.startswith("bare"):
            save_model(shim.module, shim.pieces.tokenizer, folder / name)
        else:
            nlp.to_disk(folder / name)
        made[name] = encoders[family]
    return made


def copy_packaged(model: str, folder: Path) -> None:
    """A copy of packaged weights, to be damaged beside the tiny ones."""
    shutil.copytree(find_source(model), folder / "pipeline_packaged")


def architecture_in(folder: Path) -> str:
    """Which architecture a base has."""
    if (folder / "config.json").exists():
        return json.loads((folder / "config.json").read_text(encoding="utf8"))["metaie"]["architecture"]
    return spacy.util.load_config(folder / "config.cfg")["components"]["metaie"]["model"]["@architectures"].split(".")[
        1
    ]
