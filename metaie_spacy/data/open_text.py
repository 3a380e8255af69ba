"""Tokens of a text whose end is not known yet."""

from typing import Iterable

from spacy.language import Language
from spacy.tokenizer import Tokenizer

from .tokens import make_doc


class OpenText:
    """The end of a text that is being written: characters that are in no token yet, and tokens that are still needed.

    spaCy splits a text at white space, and each stretch between alone; so a token is final when a later stretch has
    begun. Only special cases with white space in them, such as "EE. UU.", take in several stretches.

    first (int): number of the first token that is kept. words (list[str]): those that are.
    RAISES (ValueError): the tokenizer is of another kind, which may need the whole text.
    """

    def __init__(self, nlp: Language):
        if type(nlp.tokenizer) is not Tokenizer:
            raise ValueError(
                f"The tokenizer is a {type(nlp.tokenizer).__name__}, and more text may change its earlier tokens. Only "
                "spaCy's own Tokenizer can be given a text in parts; give nlp the whole text."
            )
        self.nlp = nlp
        self.first = 0
        self.words: list[str] = []
        self._starts: list[int] = []  # of the tokens, in characters of the text
        self._text, self._text_start = "", 0  # the characters of the tokens
        self._parts: list[str] = []  # not in tokens yet
        self._beginnings = beginnings(nlp.tokenizer.rules)
        self._longest = max(map(len, self._beginnings), default=0)

    def add(self, chunk: str) -> list[str]:
        """The tokens that are final with this part of the text."""
        if not chunk:
            return []
        before = self._parts[-1][-1:] if self._parts else ""
        self._parts.append(chunk)
        if not last_word(before + chunk):
            return []
        pending = "".join(self._parts)
        end = last_word(pending)
        while end and self._may_go_on(pending, end):
            end = last_word(pending[:end])
        self._parts = [pending[end:]]
        return self._tokenized(pending[:end])

    def end(self) -> list[str]:
        """The last tokens: there is no more text."""
        pending, self._parts = "".join(self._parts), []
        return self._tokenized(pending)

    def _may_go_on(self, text: str, end: int) -> bool:
        """Whether a special case may have begun before a character, and end behind it."""
        tail = "".join(text[max(0, end - 2 * self._longest) : end].split())  # at most a blank between two characters
        return any(tail[-size:] in self._beginnings for size in range(1, min(self._longest, len(tail)) + 1))

    def _tokenized(self, text: str) -> list[str]:
        if not text:
            return []
        doc = make_doc(self.nlp, text)
        at = self._text_start + len(self._text)
        self._starts += [at + token.idx for token in doc]
        self._text += text
        words = [token.text for token in doc]
        self.words += words
        return words

    def place(self, start: int, end: int) -> tuple[int, int]:
        """The first character and the one behind the last, of tokens that are kept; end exclusive."""
        last = end - 1 - self.first
        return self._starts[start - self.first], self._starts[last] + len(self.words[last])

    def slice(self, start: int, end: int) -> str:
        """The characters of tokens that are kept; end exclusive."""
        first, last = self.place(start, end)
        return self._text[first - self._text_start : last - self._text_start]

    def forget(self, first: int) -> None:
        """Drop what stands before a token."""
        n = first - self.first
        if n > 0:
            end = self._text_start + len(self._text)
            start = self._starts[n] if n < len(self._starts) else end
            self._text, self._text_start = self._text[start - self._text_start :], start
            del self.words[:n], self._starts[:n]
            self.first = first


def last_word(text: str) -> int:
    """Where the last stretch without white space begins; 0: there is none, or nothing before it."""
    words = text.rsplit(None, 1)
    return len(text.rstrip()) - len(words[-1]) if words else 0


def beginnings(rules: Iterable[str]) -> frozenset[str]:
    """What special cases with white space in them may begin with, without that white space."""
    found = set()
    for rule in rules:
        joined = "".join(rule.split())
        if joined and joined != rule:
            found.update(joined[:size] for size in range(1, len(joined) + rule[-1].isspace()))
    return frozenset(found)
