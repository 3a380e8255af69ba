"""Docs of texts, also of those whose runs of signs would take spaCy's tokenizer the square of their length."""

import re
from typing import TYPE_CHECKING, Iterator

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokenizer import Tokenizer
    from spacy.tokens import Doc

LONGEST = 200  # characters without white space that spaCy is given in any case
MAX_AFFIXES = 32  # signs before and behind the rest of such a stretch; each costs spaCy a search of the whole of it
MAX_COLONS = 10**6  # of them times its characters: what looking for a URL in it costs
WINDOW = 64  # characters that are searched for one sign
MARGIN = 8  # characters that a sign's pattern may look back to
STRETCH = re.compile(r"\S+")


def make_doc(nlp: "Language", text: str) -> "Doc":
    """What `nlp.make_doc` gives, in a time that grows with the text however many signs stand in a row.

    spaCy takes the signs before and behind a word away one by one, and looks at all that is left each time: 10,000
    exclamation marks are seconds. A stretch of more than 200 characters without white space that has more than 32
    such signs is tokenized here by the same patterns, each looked for where it can be; so is one with so many colons
    that the search for a URL in it would not end. Any other text is spaCy's, and so is every text of a pipeline with a
    tokenizer of another kind.

    RAISES (ValueError): as `nlp.make_doc`: the text is longer than `nlp.max_length`.
    """
    from spacy.tokenizer import Tokenizer
    from spacy.tokens import Doc

    if len(text) <= LONGEST or len(text) > nlp.max_length or not isinstance(nlp.tokenizer, Tokenizer):
        return nlp.make_doc(text)
    words: list[str] = []
    spaces: list[bool] = []
    done = 0
    for stretch in STRETCH.finditer(text):
        start, end = stretch.span()
        own = _words_of(nlp, stretch.group()) if end - start > LONGEST else None
        if own is None:
            continue
        before = nlp.make_doc(text[done:start])
        words += [*(token.text for token in before), *own]
        spaces += [*(bool(token.whitespace_) for token in before), *([False] * len(own))]
        spaces[-1] = text.startswith(" ", end)
        done = end + spaces[-1]
    rest = nlp.make_doc(text[done:])
    if not done:
        return rest
    words += [token.text for token in rest]
    spaces += [bool(token.whitespace_) for token in rest]
    return Doc(nlp.vocab, words=words, spaces=spaces)


def offsets(nlp: "Language", text: str) -> list[tuple[int, int]]:
    """Start and end character of every token of a text."""
    return [(token.idx, token.idx + len(token)) for token in make_doc(nlp, text)]


def _words_of(nlp: "Language", stretch: str) -> list[str] | None:
    """The tokens of a stretch without white space; None: it has no such run, and spaCy may have it."""
    sizes = list(_affixes(nlp.tokenizer, stretch))
    first, last = sum(size for size in sizes if size > 0), len(stretch) + sum(size for size in sizes if size < 0)
    core = stretch[first:last]
    is_dear = nlp.tokenizer.url_match is not None and core.count(":") * len(core) > MAX_COLONS
    if len(sizes) <= MAX_AFFIXES and not is_dear:
        return None
    words, at = [], 0
    for size in sizes:
        if size > 0:
            words.append(stretch[at : at + size])
            at += size
    words += _between_infixes(nlp.tokenizer, core) if is_dear else [token.text for token in nlp.make_doc(core)]
    for size in reversed(sizes):
        if size < 0:
            words.append(stretch[last : last - size])
            last -= size
    return words


def _affixes(tokenizer: "Tokenizer", stretch: str) -> Iterator[int]:
    """The lengths of the signs that the tokenizer takes away at the beginning and, as negative numbers, at the end.

    In the order of `Tokenizer.explain`, as long as there is more left than one window.
    """
    first, last = 0, len(stretch)
    left = 0
    while WINDOW < last - first != left:
        left = last - first
        prefix = _prefix(tokenizer, stretch, first, last)
        if 0 < prefix < last - first:
            first += prefix
            yield prefix
        suffix = _suffix(tokenizer, stretch, first, last)
        if 0 < suffix < last - first:
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


def _between_infixes(tokenizer: "Tokenizer", core: str) -> list[str]:
    """What spaCy makes of a stretch without signs around it; a URL is known by its beginning."""
    head = core[: 4 * WINDOW]
    if tokenizer.url_match(head) and re.search(r"[/?#]", head.partition("://")[2] or head):
        return [core]
    words, at = [], 0
    for infix in tokenizer.infix_finditer(core) if tokenizer.infix_finditer else ():
        if infix.start() or at:
            words += [core[at : infix.start()], infix.group()]
            at = infix.end()
    return [word for word in (*words, core[at:]) if word]
