"""Docs of texts, also of those whose runs of signs would take spaCy's tokenizer the square of their length."""

import re
from functools import cache
from typing import TYPE_CHECKING, Collection, Iterator, Union

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokenizer import Tokenizer
    from spacy.tokens import Doc, Token

LONGEST = 200  # characters without white space that spaCy is given in any case
MAX_AFFIXES = 32  # signs before and behind the rest of such a stretch; each costs spaCy a search of the whole of it
MAX_COLONS = 10**6  # of them times its characters: what looking for a URL in it costs
WINDOW = 64  # characters that are searched for one sign
MARGIN = 8  # characters that a sign's pattern may look back to
STRETCH = re.compile(r"\S+")
Word = Union[str, "Token"]  # a token if it may have a norm of its own


def make_doc(nlp: "Language", text: str) -> "Doc":
    """What `nlp.make_doc` gives, in a time that grows with the text however many signs stand in a row.

    spaCy takes the signs before and behind a word away one by one, and looks at all that is left each time: 10,000
    exclamation marks are seconds. A stretch of more than 200 characters without white space that has more than 32
    such signs is tokenized here by the same patterns and exceptions, each looked for where it can be; so is one with so
    many colons that the search for a URL in it would not end. Any other text is spaCy's, and so is every text of a
    pipeline with a tokenizer of another kind.

    Two things are not as spaCy has them. It looks for exceptions across blanks too, where what it finds is none but
    stands in the way of others: "x!:)" before " )" ends in two signs, and here in one if such a stretch begins or ends
    there. And a `token_match`, which French and Turkish have, it tries again after each sign.

    RAISES (ValueError): as `nlp.make_doc`: the text is longer than `nlp.max_length`.
    """
    from spacy.tokenizer import Tokenizer
    from spacy.tokens import Doc

    if len(text) <= LONGEST or len(text) > nlp.max_length or not isinstance(nlp.tokenizer, Tokenizer):
        return nlp.make_doc(text)
    words: list[Word] = []
    spaces: list[bool] = []
    done = 0
    for stretch in STRETCH.finditer(text):
        start, end = stretch.span()
        own = _words_of(nlp, stretch.group()) if end - start > LONGEST else None
        if own is None:
            continue
        before = nlp.make_doc(text[done:start])
        words += [*before, *own]
        spaces += [*(bool(token.whitespace_) for token in before), *([False] * len(own))]
        spaces[-1] = text.startswith(" ", end)
        done = end + spaces[-1]
    rest = nlp.make_doc(text[done:])
    if not done:
        return rest
    words += rest
    spaces += [bool(token.whitespace_) for token in rest]
    doc = Doc(nlp.vocab, words=[str(word) for word in words], spaces=spaces)
    for token, word in zip(doc, words):
        if not isinstance(word, str) and token.norm != word.norm:
            token.norm_ = word.norm_
    return doc


def offsets(nlp: "Language", text: str) -> list[tuple[int, int]]:
    """Start and end character of every token of a text."""
    return [(token.idx, token.idx + len(token)) for token in make_doc(nlp, text)]


def _words_of(nlp: "Language", stretch: str) -> list[Word] | None:
    """The tokens of a stretch without white space; None: it has no such run, and spaCy may have it."""
    sizes = list(_affixes(nlp.tokenizer, stretch))
    first, last = sum(size for size in sizes if size > 0), len(stretch) + sum(size for size in sizes if size < 0)
    core = stretch[first:last]
    is_dear = nlp.tokenizer.url_match is not None and core.count(":") * len(core) > MAX_COLONS
    if len(sizes) <= MAX_AFFIXES and not is_dear:
        return None
    words: list[Word] = []
    at = 0
    for size in sizes:
        if size > 0:
            words.append(stretch[at : at + size])
            at += size
    if not is_dear:
        words += _split(nlp, core, nlp.tokenizer.rules)
    elif _begins_as_url(nlp.tokenizer, core):
        words.append(core)
    else:
        words += _between_infixes(nlp.tokenizer, core)
    for size in reversed(sizes):
        if size < 0:
            words.append(stretch[last : last - size])
            last -= size
    return _with_exceptions(nlp, words)


def _affixes(tokenizer: "Tokenizer", stretch: str) -> Iterator[int]:
    """The lengths of the signs that the tokenizer takes away at the beginning and, as negative numbers, at the end.

    In the order of `Tokenizer.explain`, as long as there is more left than one window.
    """
    first, last = 0, len(stretch)
    left = 0
    while WINDOW < last - first != left:
        left = last - first
        prefix = _prefix(tokenizer, stretch, first, last)
        if prefix:
            first += prefix
            yield prefix
        suffix = _suffix(tokenizer, stretch, first, last)
        if suffix:
            last -= suffix
            yield -suffix


def _prefix(tokenizer: "Tokenizer", stretch: str, first: int, last: int) -> int:
    size = WINDOW
    while tokenizer.prefix_search:
        match = tokenizer.prefix_search(stretch[first : min(last, first + size)])
        if match is None or match.end() < size - MARGIN or first + size >= last:
            return match.end() - match.start() if match else 0
        size *= 2
    return 0


def _suffix(tokenizer: "Tokenizer", stretch: str, first: int, last: int) -> int:
    size = WINDOW
    while tokenizer.suffix_search:
        match = tokenizer.suffix_search(stretch[max(first, last - size) : last])
        if match is None or match.start() > MARGIN or last - size <= first:
            return match.end() - match.start() if match else 0
        size *= 2
    return 0


def _split(nlp: "Language", string: str, exceptions: Collection[str]) -> list[Word]:
    """The first of the two steps of spaCy's tokenizer: signs around a string and in it, until an exception is left."""
    tokenizer = nlp.tokenizer
    before: list[Word] = []
    behind: list[Word] = []
    left = 0
    while string and len(string) != left and string not in exceptions and not _is_whole(tokenizer, string):
        left = len(string)
        prefix = tokenizer.find_prefix(string)
        suffix = 0 if string[prefix:] in exceptions else tokenizer.find_suffix(string[prefix:])
        if suffix and string[:-suffix] in exceptions:
            prefix = 0
        before += [string[:prefix]] if prefix else []
        behind += [string[len(string) - suffix :]] if suffix else []
        string = string[prefix : len(string) - suffix]
    middle: list[Word] = []
    if string in exceptions:
        middle += nlp.make_doc(string)
    elif string and (_is_whole(tokenizer, string) or (tokenizer.url_match and tokenizer.url_match(string))):
        middle.append(string)
    else:
        middle += _between_infixes(tokenizer, string)
    return [*before, *middle, *reversed(behind)]


def _is_whole(tokenizer: "Tokenizer", string: str) -> bool:
    return bool(tokenizer.token_match and tokenizer.token_match(string))


def _with_exceptions(nlp: "Language", words: list[Word]) -> list[Word]:
    """The second step: exceptions in place of the words that spell them, such as ":" and ")", the longest first."""
    texts = [str(word) for word in words]
    taken, chosen = bytearray(len(words)), []
    for start, end in sorted(_exceptions_in(nlp, texts), key=lambda place: (place[0] - place[1], place[0])):
        if not taken[start] and not taken[end - 1]:
            chosen.append((start, end))
        taken[start:end] = b"\1" * (end - start)  # spaCy's: one that gives way to others stands in the way of the next
    made = cache(lambda text: list(nlp.make_doc(text)))
    found: list[Word] = []
    at = 0
    for start, end in sorted(chosen):
        found += [*words[at:start], *made("".join(texts[start:end]))]
        at = end
    return [*found, *words[at:]]


def _exceptions_in(nlp: "Language", texts: list[str]) -> Iterator[tuple[int, int]]:
    """First word and end of whatever spells an exception."""
    whole = "".join(texts)
    rules = {rule for rule in nlp.tokenizer.rules if rule in whole}
    starts = {rule[:n] for rule in rules for n in range(1, len(rule) + 1)}
    spelled = cache(lambda text: _spelled(nlp, text))
    for start, text in enumerate(texts):
        end = start + 1
        while text in starts:
            if text in rules and texts[start:end] == spelled(text):
                yield start, end
            if end == len(texts):
                break
            text += texts[end]
            end += 1


def _spelled(nlp: "Language", text: str) -> list[str] | None:
    """The words that an exception is known by among others; None: only a string of its own is one."""
    tokenizer = nlp.tokenizer
    finds = (tokenizer.find_prefix, tokenizer.find_infix, tokenizer.find_suffix)
    if tokenizer.faster_heuristics and not any(find(text) for find in finds):
        return None
    return [str(word) for word in _split(nlp, text, ())]


def _begins_as_url(tokenizer: "Tokenizer", core: str) -> bool:
    head = core[: 4 * WINDOW]
    return bool(tokenizer.url_match(head) and re.search(r"[/?#]", head.partition("://")[2] or head))


def _between_infixes(tokenizer: "Tokenizer", core: str) -> list[str]:
    """What the signs in a string leave of it."""
    words, at = [], 0
    for infix in tokenizer.infix_finditer(core) if tokenizer.infix_finditer else ():
        if infix.start() or at:
            words += [core[at : infix.start()], infix.group()]
            at = infix.end()
    return [word for word in (*words, core[at:]) if word]
