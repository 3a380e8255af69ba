"""JSON as language models write it: amid prose, with other quotes, trailing commas, or cut off."""

import json
import re
from typing import Iterator

CUT = "the answer is cut off here"
MAX_DEPTH = 16
MAX_STARTS = 200
START = re.compile(
    r"(?:^|(?<=```)|(?<=```json))[ \t]*(?=[\[{])|(?=\[\s*\{)|(?=\{\s*[\"'“‘]?(?:answers|label)[\"'”’]?\s*:)",
    re.MULTILINE,
)  # a bracket at the beginning of a line, or what can be nothing but an answer
CLOSERS = {'"': '"”', "“": '”"', "'": "'", "‘": "’'"}
BLANK = re.compile(r"\s*")
ENDS = re.compile(r"$|[\]}:]|,\s*(?:$|[\"'“‘\[\]{}]|-?\d|null\b|None\b|\w+\s*:)")
BARE = re.compile(r"[^,:\[\]{}\n]+")
CODE = re.compile(r"\\u([dD][89abAB]..)\\u([dD][c-fC-F]..)|\\u([0-9a-fA-F]{4})")
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


class Members(list):
    """An object as a list of (name, value): a dict would lose the first of two equal names."""


class Cut(str):
    """A string whose end is missing."""


_STRICT = json.JSONDecoder(object_pairs_hook=Members, parse_float=str, parse_int=str, strict=False)


def read_values(text: str) -> Iterator[tuple[object, bool]]:
    """The JSON arrays and objects of a text; numbers stay as they are written, as strings.

    YIELDS (tuple): the value (objects as `Members`), whether the text ended first.
    """
    at = 0
    for _ in range(MAX_STARTS):
        start = START.search(text, at)
        if start is None:
            return
        try:
            value, end = _STRICT.raw_decode(text, start.end())
            is_cut = False
        except (ValueError, RecursionError):
            scanner = _Scanner(text, start.end())
            value, end, is_cut = scanner.value(), scanner.at, scanner.is_cut
        yield value, is_cut
        at = max(end, start.end() + 1)


class _Scanner:
    """Reads one value, whatever is wrong with it; what is complete before the text ends is kept."""

    def __init__(self, text: str, at: int):
        self.text = text
        self.at = at
        self.depth = 0
        self.is_cut = False

    def peek(self) -> str:
        """The next character that is no white space; '' and a note at the end of the text."""
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        if self.at < len(self.text):
            return self.text[self.at]
        self.is_cut = True
        return ""

    def value(self) -> object:
        first = self.peek()
        if first in ("{", "["):
            if self.depth >= MAX_DEPTH:
                self.at = len(self.text)
                return Cut()  # None would say that there is nothing
            self.depth += 1
            value = self.members() if first == "{" else self.elements()
            self.depth -= 1
            return value
        return self.string() if first in CLOSERS else self.bare()

    def elements(self) -> list:
        self.at += 1
        found = []
        while char := self.peek():
            if char in "]}":
                self.at += char == "]"
                return found
            if char in ",:":
                self.at += 1
            else:
                found.append(self.value())
        return found or [Cut()]  # an empty list would say that there is nothing

    def members(self) -> Members:
        self.at += 1
        found = Members()
        while char := self.peek():
            if char in "]}":
                self.at += char == "}"
                return found
            if char in ",:":
                self.at += 1
                continue
            name = self.value()
            if self.peek() != ":":
                continue
            self.at += 1
            if self.peek() and isinstance(name, str):
                found.append((name, self.value()))
        return found

    def string(self) -> str:
        closers = CLOSERS[self.text[self.at]]
        self.at += 1
        parts = []
        while self.at < len(self.text):
            char = self.text[self.at]
            if char in closers and self.ends():
                self.at += 1
                return "".join(parts)
            parts.append(self.escape() if char == "\\" else char)
            self.at += 1
        self.is_cut = True
        return Cut("".join(parts))

    def ends(self) -> bool:
        """Whether the quote here closes a string, as what follows tells."""
        following = BLANK.match(self.text, self.at + 1).end()
        if ENDS.match(self.text, following):
            return True
        return self.text[following] in CLOSERS and "\n" in self.text[self.at + 1 : following]

    def escape(self) -> str:
        """What a backslash and the characters after it stand for; leaves `at` on the last of them."""
        code = CODE.match(self.text, self.at)
        try:
            if code and code[1]:
                char = bytes.fromhex(code[1] + code[2]).decode("utf-16-be")
            elif code:
                char = bytes.fromhex(code[3]).decode("utf-16-be")
        except ValueError:
            code = None
        if code:
            self.at = code.end() - 1
            return char
        self.at += 1
        char = self.text[self.at : self.at + 1]
        return ESCAPES.get(char, char)

    def bare(self) -> str | None:
        """A word without quotes; null is None, a number stays a string."""
        match = BARE.match(self.text, self.at)
        if not match:
            self.at += 1
            return None
        self.at = match.end()
        word = match[0].strip()
        if self.at == len(self.text):
            self.is_cut = True
            return Cut(word)
        return None if word in ("null", "None") else word
