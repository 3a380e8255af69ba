"""`tokenizer.json` of saved weights: bounded in size, and of features that the supported encoders' tokenizers have."""

import base64
import json
from typing import Any, Iterable, Mapping

from ..data.jsonl import parse_json
from .damage import is_panic, shown
from .pieces import SPECIAL_TOKENS

# XLM-R's file, the largest of a common encoder, has 9 MB, or 17 indented, and 250,000 pieces with 750,000 marks
# (brackets and commas). What is read takes up to 130 bytes a mark in Python and 240 in the library: 0.7 GB at most.
MOST_BYTES = 32 * 2**20
MOST_MARKS = 2_000_000
MOST_CONFIG_BYTES = 2**20  # of tokenizer_config.json
# The library's tree over the pieces of a Unigram model takes up to 330 bytes for every byte of a piece that no other
# piece begins with. XLM-R has about a million.
MOST_NODES = 2_500_000
MOST_ADDED = (
    2_000  # tokens beside the model's own; published tokenizers have 5 to 7, or the 1,000 unused ones of a BERT
)
LONGEST_PIECE = 512  # characters
LONGEST_WORD = 256  # characters, of which WordPiece takes the square in time; published tokenizers have 100
LONGEST_MAPPED = 64  # bytes that a character may become; the most that Unicode asks is 33, of U+FDFA
MOST_STEPS = 16  # of a sequence of normalizers or pre-tokenizers
RUN_OF_SPACES = " {2,}"  # the one pattern that the supported tokenizers have; others may take for ever

FLAG, TEXT = (bool,), (str,)
# What each step may hold, and of which type.
NORMALIZERS: dict[str, dict[str, tuple]] = {
    "BertNormalizer": {
        "clean_text": FLAG,
        "handle_chinese_chars": FLAG,
        "strip_accents": (bool, type(None)),
        "lowercase": FLAG,
    },
    "Precompiled": {"precompiled_charsmap": TEXT},
    "Replace": {"pattern": (dict,), "content": TEXT},
    "Strip": {"strip_left": FLAG, "strip_right": FLAG},
    **{name: {} for name in ("StripAccents", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt")},
}
PRE_TOKENIZERS: dict[str, dict[str, tuple]] = {
    "BertPreTokenizer": {},
    "ByteLevel": {"add_prefix_space": FLAG, "trim_offsets": FLAG, "use_regex": FLAG},
    "Metaspace": {
        "replacement": TEXT,
        "str_rep": TEXT,
        "add_prefix_space": FLAG,
        "prepend_scheme": TEXT,
        "split": FLAG,
    },
    "Punctuation": {"behavior": TEXT},
    "Digits": {"individual_digits": FLAG},
    "Whitespace": {},
    "WhitespaceSplit": {},
}
MODELS: dict[str, dict[str, tuple]] = {
    "WordPiece": {
        "unk_token": TEXT,
        "continuing_subword_prefix": TEXT,
        "max_input_chars_per_word": (int,),
        "vocab": (dict,),
    },
    "BPE": {
        "dropout": (type(None),),
        "unk_token": (str, type(None)),
        "continuing_subword_prefix": (str, type(None)),
        "end_of_word_suffix": (str, type(None)),
        "fuse_unk": FLAG,
        "byte_fallback": FLAG,
        "ignore_merges": FLAG,
        "vocab": (dict,),
        "merges": (list,),
    },
    "Unigram": {"unk_id": (int, type(None)), "byte_fallback": FLAG, "vocab": (list,)},
}


def read_tokenizer(content: bytes, settings: bytes, pieces: int):
    """The fast tokenizer that was saved beside weights, whatever class the files name.

    Of `tokenizer.json` the normalizer, the pre-tokenizer, the model and the added tokens are taken. How texts are
    framed, padded, cut and put together again has no part in reading single words.

    content (bytes): of `tokenizer.json`. settings (bytes): of `tokenizer_config.json`: names the special tokens.
    pieces (int): rows of the embedding matrix, which every piece must have one of.
    RAISES (ValueError): they are damaged, too large, or of features that no supported tokenizer has.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    clean = clean_tokenizer(_parsed(content, "tokenizer.json"), pieces)
    specials = _special_tokens(_parsed(settings, "tokenizer_config.json"))
    prefixed = (clean["pre_tokenizer"] or {}).get("add_prefix_space", False)
    data = json.dumps(clean, ensure_ascii=False).encode("utf8")
    del clean
    try:
        raw = Tokenizer.from_buffer(data)
    except BaseException as error:  # the library raises plain Exception, and panics
        if isinstance(error, Exception) or is_panic(error):
            raise ValueError(f"tokenizer.json holds no tokenizer: {error}") from error
        raise
    # A special token without a piece would get an id beyond the embeddings.
    specials = {key: token for key, token in specials.items() if raw.token_to_id(token) is not None}
    for key in ("cls_token", "sep_token"):
        if key not in specials:
            raise ValueError(f"the tokenizer has no {key}")
    _check_ids(((token.content, number) for number, token in raw.get_added_tokens_decoder().items()), pieces)
    return PreTrainedTokenizerFast(tokenizer_object=_Once(raw), add_prefix_space=prefixed, **specials)


class _Once:
    """Hands a tokenizer over where a copy of it, which takes its time and memory again, is asked for."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def __deepcopy__(self, memo):
        return self.tokenizer


def _parsed(content: bytes, name: str) -> dict:
    if sum(content.count(mark) for mark in (b"{", b"[", b",")) > MOST_MARKS:
        raise ValueError(f"{name} has more than {MOST_MARKS:,} values")
    try:
        value = parse_json(content)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{name} holds no tokenizer: it is no object")
    return value


def _special_tokens(settings: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for key in SPECIAL_TOKENS:
        value = settings.get(key)
        text = value.get("content") if isinstance(value, dict) else value
        if text is None:
            continue
        if not isinstance(text, str) or not 0 < len(text) <= LONGEST_PIECE:
            raise ValueError(f"tokenizer_config.json: {key} is {shown(repr(text))}, which is no token")
        found[key] = text
    return found


def clean_tokenizer(value: Mapping[str, Any], pieces: int) -> dict:
    """What is taken of a tokenizer, as JSON has it. RAISES (ValueError): as `read_tokenizer`."""
    model = _model(value.get("model"), pieces)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _added_tokens(value.get("added_tokens"), pieces),
        "normalizer": _steps(value.get("normalizer"), NORMALIZERS, "normalizer", "normalizers"),
        "pre_tokenizer": _steps(value.get("pre_tokenizer"), PRE_TOKENIZERS, "pre-tokenizer", "pretokenizers"),
        "post_processor": None,
        "decoder": None,
        "model": model,
    }


def _steps(value: Any, known: Mapping[str, dict], what: str, parts: str) -> dict | None:
    """A step, or a sequence of them, in which each has its place once: what makes a text longer could do so again."""
    if value is None:
        return None
    if not isinstance(value, dict) or value.get("type") != "Sequence":
        return _step(value, known, what)
    steps = value.get(parts)
    if not isinstance(steps, list) or len(steps) > MOST_STEPS:
        raise ValueError(f"tokenizer.json holds no tokenizer: a sequence of {what}s is no list of up to {MOST_STEPS}")
    clean = [_step(step, known, what) for step in steps]
    types = [step["type"] for step in clean if step["type"] != "Replace"]
    if len(set(types)) != len(types):
        raise ValueError(f"tokenizer.json repeats a {what}")
    return {"type": "Sequence", parts: clean}


def _step(value: Any, known: Mapping[str, dict], what: str) -> dict:
    """RAISES (ValueError): it is of no known type, or holds what it should not."""
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in known:
        raise ValueError(
            f"tokenizer.json holds no tokenizer that is supported: a {what} of the type {shown(repr(kind))}; known are "
            f"{', '.join(known)}"
        )
    fields = known[kind]
    for key, part in value.items():
        if key != "type" and (key not in fields or not isinstance(part, fields[key])):
            raise ValueError(f"tokenizer.json: {key} of {kind} is {shown(repr(part))[:80]}, which is not supported")
        if key in fields and int in fields[key] and isinstance(part, bool):
            raise ValueError(f"tokenizer.json: {key} of {kind} is {part}, which is no number")
    if kind == "Replace":
        _check_replace(value)
    if kind == "Precompiled":
        _check_charsmap(value.get("precompiled_charsmap", ""))
    if kind == "Metaspace" and any(len(value.get(key, "▁")) != 1 for key in ("replacement", "str_rep")):
        raise ValueError("tokenizer.json: a Metaspace replaces a space by something else than one character")
    return dict(value)


def _check_replace(step: Mapping[str, Any]) -> None:
    """RAISES (ValueError): it makes texts longer, or searches for a pattern of its own."""
    pattern, content = step.get("pattern"), step.get("content")
    if pattern == {"Regex": RUN_OF_SPACES}:
        shortest = 2
    elif isinstance(pattern, dict) and pattern.keys() == {"String"} and isinstance(pattern["String"], str):
        shortest = len(pattern["String"])
    else:
        raise ValueError(f"tokenizer.json: a Replace of the pattern {shown(repr(pattern))[:80]} is not supported")
    if not isinstance(content, str) or not shortest or len(content) > shortest:
        raise ValueError("tokenizer.json: a Replace makes texts longer, which is not supported")


def _check_charsmap(text: str) -> None:
    """SentencePiece's table: the size of a tree (4 bytes), the tree, and what characters become, with a 0 after each.

    RAISES (ValueError): it is none, or one by which texts grow without bounds.
    """
    data = base64.b64decode(text, validate=True)
    size = int.from_bytes(data[:4], "little")
    if len(data) < 8 or size % 4 or not 0 < size <= len(data) - 4:
        raise ValueError("tokenizer.json: precompiled_charsmap holds no table")
    targets = data[4 + size :]
    targets.decode("utf8")
    if max(map(len, targets.split(b"\0"))) > LONGEST_MAPPED:
        raise ValueError(f"tokenizer.json: precompiled_charsmap makes more than {LONGEST_MAPPED} bytes of a character")


def _model(value: Any, pieces: int) -> dict:
    kind = value.get("type") if isinstance(value, dict) else None
    if isinstance(value, dict) and kind is None and "vocab" in value:  # files of old name no type
        kind = "BPE" if "merges" in value else "WordPiece" if isinstance(value["vocab"], dict) else "Unigram"
        value = {"type": kind, **value}
    model = _step(value, MODELS, "model")
    if kind == "Unigram":
        _check_unigram(model, pieces)
        return model
    vocab = model.get("vocab", {})
    if not 0 < len(vocab) <= pieces:
        raise ValueError(f"tokenizer.json has {len(vocab)} pieces, but the embeddings have {pieces} rows")
    _check_ids(vocab.items(), pieces)
    for key in ("continuing_subword_prefix", "end_of_word_suffix"):
        if len(model.get(key) or "") > 16:
            raise ValueError(f"tokenizer.json: {key} is longer than 16 characters")
    if kind == "WordPiece":
        if model.get("unk_token", "[UNK]") not in vocab:
            raise ValueError("tokenizer.json: unk_token is no piece of the vocabulary")
        if not 0 < model.get("max_input_chars_per_word", 100) <= LONGEST_WORD:
            raise ValueError(f"tokenizer.json: max_input_chars_per_word is not from 1 to {LONGEST_WORD}")
    else:
        _check_merges(model, vocab)
    return model


def _check_ids(vocab: Iterable[tuple[str, Any]], pieces: int) -> None:
    for piece, number in vocab:
        if type(number) is not int or not 0 <= number < pieces:
            raise ValueError(
                f"tokenizer.json: the piece {shown(repr(piece))[:80]} has the id {shown(repr(number))[:40]}, "
                f"but the embeddings have the rows 0 to {pieces - 1}"
            )
        if len(piece) > LONGEST_PIECE:
            raise ValueError(f"tokenizer.json has a piece of more than {LONGEST_PIECE} characters")


def _check_merges(model: Mapping[str, Any], vocab: Mapping[str, int]) -> None:
    """RAISES (ValueError): a merge is not of two pieces that make a third."""
    merges, prefix = model.get("merges", []), model.get("continuing_subword_prefix") or ""
    if len(merges) > 2 * len(vocab):
        raise ValueError("tokenizer.json has more merges than its pieces can need")
    for merge in merges:
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(part, str) and part for part in pair):
            raise ValueError(f"tokenizer.json: {shown(repr(merge))[:80]} is no merge of two pieces")
        left, right = pair
        if left not in vocab or right not in vocab or left + right.removeprefix(prefix) not in vocab:
            raise ValueError(f"tokenizer.json: the merge {shown(repr(merge))[:80]} is not of pieces of the vocabulary")
    unknown = model.get("unk_token")
    if unknown is not None and unknown not in vocab:
        raise ValueError("tokenizer.json: unk_token is no piece of the vocabulary")


def _check_unigram(model: Mapping[str, Any], pieces: int) -> None:
    """RAISES (ValueError): its pieces are not what they should be, or too many and too long for the library."""
    vocab, unknown = model.get("vocab", []), model.get("unk_id")
    if not 0 < len(vocab) <= pieces:
        raise ValueError(f"tokenizer.json has {len(vocab)} pieces, but the embeddings have {pieces} rows")
    for entry in vocab:
        if (
            not isinstance(entry, list)
            or len(entry) != 2
            or not isinstance(entry[0], str)
            or not 0 < len(entry[0]) <= LONGEST_PIECE
            or type(entry[1]) not in (int, float)
            or not -1e6 <= entry[1] <= 1e6
        ):
            raise ValueError(f"tokenizer.json: {shown(repr(entry))[:80]} is no piece with a score")
    if unknown is None or not 0 <= unknown < len(vocab):
        raise ValueError("tokenizer.json: unk_id is no piece of the vocabulary")
    if _nodes(sorted(entry[0].encode("utf8") for entry in vocab)) > MOST_NODES:
        raise ValueError("tokenizer.json: the pieces of the model are too many and too long")


def _nodes(pieces: list[bytes]) -> int:
    """Nodes of a tree over sorted pieces: their bytes, but what two of them share at the beginning counts once."""
    count = sum(map(len, pieces))
    if count <= MOST_NODES:
        return count
    for one, other in zip(pieces, pieces[1:]):
        count -= next((i for i, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))
    return count


def _added_tokens(value: Any, pieces: int) -> list[dict]:
    tokens = [] if value is None else value
    if not isinstance(tokens, list) or len(tokens) > MOST_ADDED or not all(isinstance(token, dict) for token in tokens):
        raise ValueError(f"tokenizer.json: added_tokens is no list of up to {MOST_ADDED:,} tokens")
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    for token in tokens:
        content = token.get("content")
        if not isinstance(content, str) or not content or any(type(token.get(key)) is not bool for key in flags):
            raise ValueError(f"tokenizer.json: {shown(repr(token))[:80]} is no added token")
        _check_ids([(content, token.get("id"))], pieces)
    return [{key: token[key] for key in ("id", "content", *flags)} for token in tokens]
