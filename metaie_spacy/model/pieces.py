"""Words to pieces: the ids, shapes and packed batches that the encoders take (torch and transformers only)."""

import logging
import sys
from typing import Sequence

from .damage import damaged, is_panic
from .defaults import WORD_CACHE

MAX_PIECES = 16  # of one token; what is beyond is counted and reported
N_SHAPES = 9  # see `word_shape`; 0 stands for special pieces
CACHED_WORDS = 50_000
LONGEST_CACHED = 256  # characters; a longer word is split anew each time
SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
logger = logging.getLogger("metaie_spacy")


class SeenWords(dict[str, tuple[int, ...]]):
    """Words and their piece ids. size (int): about how many bytes they take."""

    size = 0


class WordPieces:
    """Splits single words into piece ids, remembering the words it has seen.

    tokenizer (PreTrainedTokenizerFast): the encoder's tokenizer.
    """

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.cls_id, self.sep_id = special_ids(tokenizer)
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_padding()  # published tokenizers may pad every word to a text's length
        self._backend.no_truncation()
        self.cut_words = 0  # words of more than MAX_PIECES pieces so far
        self._seen = SeenWords()
        self._cut: set[int] = set()  # hashes of cut words that are too long to be remembered otherwise

    def __call__(self, words: Sequence[str]) -> list[tuple[int, ...]]:
        """Piece ids of each word; () for words that the tokenizer drops (white space, controls)."""
        seen = self._seen  # threads share it: it only grows, and is replaced when it is full
        new = [word for word in dict.fromkeys(words) if word not in seen]
        if not new:
            return [seen[word] for word in words]
        found = dict(zip(new, self._split(new)))
        self._remember(seen, {word: ids for word, ids in found.items() if len(word) <= LONGEST_CACHED})
        return [found[word] if word in found else seen[word] for word in words]

    def _remember(self, seen: "SeenWords", new: dict[str, tuple[int, ...]]) -> None:
        size = sum(map(entry_size, new, new.values()))
        if len(seen) + len(new) > CACHED_WORDS or seen.size + size > WORD_CACHE * 2**20:
            seen = SeenWords()
        if len(new) <= CACHED_WORDS and size <= WORD_CACHE * 2**20:
            seen.update(new)
            seen.size += size
        self._seen = seen

    def _split(self, words: list[str]) -> list[tuple[int, ...]]:
        # The backend's own call changes no state of the tokenizer, so that threads may share it. A batched call would
        # start threads of its own, which a fork does not survive.
        encoded = [self._encode(word) for word in words]
        too_long = [word for word, ids in zip(words, encoded) if len(ids) > MAX_PIECES and hash(word) not in self._cut]
        if too_long:
            if len(self._cut) > CACHED_WORDS:
                self._cut = set()
            self._cut.update(hash(word) for word in too_long if len(word) > LONGEST_CACHED)
            before, self.cut_words = self.cut_words, self.cut_words + len(too_long)
            if len(str(before)) < len(str(self.cut_words)) or not before:  # the 1st, the 10th, the 100th ...
                logger.warning(
                    "%d different token(s) so far have more than %d pieces and are "
                    "read by their first %d, such as '%s...'.",
                    self.cut_words,
                    MAX_PIECES,
                    MAX_PIECES,
                    too_long[0][:40],
                )
        return [tuple(ids[:MAX_PIECES]) for ids in encoded]

    def _encode(self, word: str) -> list[int]:
        try:
            return self._backend.encode([word], is_pretokenized=True, add_special_tokens=False).ids
        except BaseException as error:
            if type(error) is not Exception and not is_panic(error):  # what the library itself raises
                raise
            raise damaged("use", f"its tokenizer fails on {word[:40]!r}: {error}") from error

    def label(self, label: str) -> tuple[int, ...]:
        """Piece ids of a label: a placeholder for the marker, then the label's pieces."""
        return (self.cls_id, *(i for word in self(label.split()) for i in word))

    def texts(self, texts: Sequence[Sequence[str]]):
        """Pack texts for the encoder.

        texts (Sequence[Sequence[str]]): the words of each text.
        RETURNS (tuple[Texts, list[list[int]]]): the batch, and per text the indices of the words
            that are scored (words without pieces are not).
        """
        import torch

        from .packed import Texts

        ids, shapes, lengths, first, counts, scored = [], [], [], [], [], []
        for words in texts:
            begin = len(ids)
            ids.append(self.cls_id)
            shapes.append(0)
            kept = []
            for i, (word, pieces) in enumerate(zip(words, self(words))):
                if pieces:
                    kept.append(i)
                    first.append(len(ids))
                    ids.extend(pieces)
                    shapes.extend([word_shape(word)] * len(pieces))
            ids.append(self.sep_id)
            shapes.append(0)
            lengths.append(len(ids) - begin)
            counts.append(len(kept))
            scored.append(kept)
        tensors = (torch.tensor(column, dtype=torch.int64) for column in (ids, shapes, lengths, first, counts))
        return Texts(*tensors), scored

    def labels(self, labels: Sequence[str]):
        """Pack labels for the encoder, in the order given. RETURNS (Labels)"""
        import torch

        from .packed import Labels

        pieces = [self.label(label) for label in labels]
        ids = torch.tensor([i for p in pieces for i in p], dtype=torch.int64)
        return Labels(ids, torch.tensor([len(p) for p in pieces], dtype=torch.int64))


def label_sizes(labels: Sequence[str], pieces: WordPieces, room: int) -> list[int]:
    """Pieces of each label, its marker included.

    RAISES (ValueError): a label has more than `room`, or none that can be read.
    """
    sizes = [len(pieces.label(label)) for label in labels]
    for label, size in zip(labels, sizes):
        if size > room:
            raise ValueError(
                f"The label '{label[:60]}...' has {size} pieces, but the encoder's window has room for {room}. "
                "Shorten it."
            )
        if size == 1:
            raise ValueError(f"The label {label!r} holds nothing that the encoder's tokenizer can read.")
    return sizes


def entry_size(word: str, ids: tuple[int, ...]) -> int:
    """About how many bytes a word and its pieces take in a dict."""
    return sys.getsizeof(word) + sys.getsizeof(ids) + 32 * len(ids) + 104


def special_ids(tokenizer) -> tuple[int, int]:
    """The ids that open and close a sequence.

    RAISES (ValueError): the tokenizer has none, or splits whole texts only.
    """
    if tokenizer.cls_token_id is None or tokenizer.sep_token_id is None:
        raise ValueError(
            f"{type(tokenizer).__name__} has no CLS and SEP tokens; use the tokenizer of a BERT-like encoder."
        )
    if not tokenizer.is_fast:
        raise ValueError(f"{type(tokenizer).__name__} is a slow tokenizer; install 'tokenizers' for its fast form.")
    return tokenizer.cls_token_id, tokenizer.sep_token_id


def load_tokenizer(name: str):
    """The fast tokenizer of an encoder, set up for single words.

    name (str): a Hugging Face name or a directory.
    """
    from transformers import AutoConfig, AutoTokenizer

    # Byte-level tokenizers mark a word's start by a space in front of it.
    family = AutoConfig.from_pretrained(name, trust_remote_code=False).model_type
    kwargs = {"add_prefix_space": True} if family == "roberta" else {}
    return AutoTokenizer.from_pretrained(name, use_fast=True, trust_remote_code=False, **kwargs)


def word_shape(word: str) -> int:
    """The class of a word's shape, 1 to 8: what an uncased vocabulary cannot tell."""
    if word.isalpha():
        if word.islower():
            return 1
        if word.isupper():
            return 4 if len(word) == 1 else 3
        return 2 if word.istitle() else 5
    if word.isdigit():
        return 6
    return 7 if any(c.isalnum() for c in word) else 8
