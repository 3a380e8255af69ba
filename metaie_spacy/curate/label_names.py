"""One wording for labels that differ in their spelling only."""

import re
import unicodedata
from collections import Counter
from typing import Iterable, Mapping, Sequence

from ..data.ledger import Ledger, Sourced
from ..data.rows import labels_of, longest_first, place

WORD = re.compile(r"[^\W\d_]+")
HUMPS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
CAMEL = re.compile(
    r"[a-z]{2,}(?:[A-Z][a-z]*|[0-9])+|(?:[A-Z][a-z]+){2,}"
)  # dateOfBirth, DateOfBirth; not iPhone, mRNA, PhD
TITLE = re.compile(r"\b[A-Z]\w+ (?:of|for|and) (?:the )?[A-Z]\w+")
ABBREVIATION = re.compile(r"\w\.\w\.")  # the end of one
LONGEST = 1000  # characters of what may be a label; Unicode's sorting of marks takes the square of their number
QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "‘": "’", "«": "»", "„": "“"}
ENDING = ".,:;!…"  # a question mark stays: it tells a question from a name
ACRONYMS = frozenset({"US", "USA", "UK", "EU", "UN", "ID", "TV", "DNA", "RNA"})  # some are words too, in lower case
SMALL = frozenset("a an and at by for from in of on or the to with".split())


class WordCases:
    """How the words of a corpus are written, to tell names from words that merely begin with a capital.

    texts (Iterable[str]): where a capital inside a sentence makes a name. labels (Iterable[str]): also
        tell words that are written in lower case.
    """

    def __init__(self, texts: Iterable[str] = (), labels: Iterable[str] = ()):
        self.lower: Counter[str] = Counter()
        self.title: Counter[str] = Counter()
        self.upper: Counter[str] = Counter()
        self.opening: Counter[str] = Counter()  # capitalised where every word would be
        self.titles: set[str] = set()  # "Court of Justice"
        for text in texts:
            self._count(text, self.opening)
            self.titles.update(TITLE.findall(text))
        for label in labels:
            self._count(label, Counter())

    def _count(self, text: str, opening: Counter[str]) -> None:
        for match in WORD.finditer(text):
            word, at = match.group(), match.start()
            if word.islower():
                self.lower[word] += 1
            elif len(word) > 1 and word.isupper():
                self.upper[word.lower()] += 1
            elif word.istitle():
                is_inside = at > 1 and text[at - 1] in " -" and (text[at - 2].isalnum() or text[at - 2] == ",")
                (self.title if is_inside else opening)[word.lower()] += 1

    def is_name(self, word: str) -> bool:
        """Mostly capitalised inside sentences, or never in lower case though it is there."""
        key = word.lower()
        return self.title[key] > self.lower[key] or (not self.lower[key] and self.opening[key] > 0)

    def is_word(self, word: str) -> bool:
        """Mostly written in lower case."""
        return self.lower[word.lower()] > max(self.title[word.lower()] - 1, self.upper[word.lower()])

    def is_acronym(self, word: str) -> bool:
        """Mostly written in capitals."""
        return self.upper[word.lower()] > self.lower[word.lower()]


def normal_label(label: str, cases: WordCases | None = None) -> str:
    """A label in the spelling that this package trains and asks with.

    NFKC, single spaces, no quotes around it, no full stop after it; snake_case, camelCase and SHOUTING
    become words; the first letter is small unless it opens an acronym or a name.

    cases (WordCases | None): what the corpus knows about its words; without, names are told by their
        neighbours alone ("Ada Lovelace's employer" stays, "Adverse event" does not).
    RETURNS (str): never empty; a label of punctuation alone stays, and one of more than 1,000 characters.
    """
    if len(label) > LONGEST:
        return label
    name = " ".join(unicodedata.normalize("NFKC", label).replace("_", " ").split())
    bare = _without_quotes(name)
    for step in (_split_humps, _unshout, _lower_first):
        bare = step(bare, cases or WordCases()) if bare else bare
    return bare or name or label


def _without_quotes(name: str) -> str:
    """Without the quotes around it and the punctuation after it."""
    before = None
    while before != name:
        before = name
        if not ABBREVIATION.fullmatch(name[-4:]):
            name = name.rstrip(ENDING + " ")
        if len(name) > 1 and QUOTES.get(name[0]) == name[-1] and not {name[0], name[-1]} & set(name[1:-1]):
            name = name[1:-1].strip()
    return name


def _split_humps(name: str, cases: WordCases) -> str:
    if not CAMEL.fullmatch(name):
        return name
    words = HUMPS.findall(name)
    return " ".join(word if len(word) > 1 and word.isupper() else word.lower() for word in words)


def _unshout(name: str, cases: WordCases) -> str:
    """SHOUTING in small letters; a single short word is an acronym unless the corpus knows better."""
    if not name.isupper() or len(name) == 1:
        return name
    words = name.split()
    if len(words) == 1:
        is_word = cases.is_word(name) or (len(name) > 4 and name.isalpha() and not cases.is_acronym(name))
        return name.lower() if len(name) > 3 and is_word else name
    small = []
    for i, word in enumerate(words):
        kept = word in ACRONYMS or cases.is_acronym(word) or not word.isalpha() or (len(word) == 1 and i > 0)
        small.append(word if kept else word.capitalize() if cases.is_name(word) else word.lower())
    return " ".join(small)


def _lower_first(name: str, cases: WordCases) -> str:
    words = name.split()
    first, follower = words[0], words[1] if len(words) > 1 else ""
    core = WORD.match(first)
    if core is None or not first[0].isupper() or any(c.isupper() for c in first[1:]):
        return name
    if len(core.group()) == 1:  # "A person", but "C compiler", "X-ray", "I"
        return name[0].lower() + name[1:] if first == "A" and follower.islower() else name
    title = TITLE.match(name)
    if (title and title.group() in cases.titles) or (
        cases.is_name(core.group()) and (follower or cases.title[first.lower()])
    ):
        return name
    if follower[:1].isupper() and not (follower.isupper() or any(c.isupper() for c in follower[1:])):
        # Either a Title Case Label or the name of something.
        heavy = [word for word in words if word.lower() not in SMALL]
        is_plain = all(word.istitle() and cases.is_word(word) for word in heavy)
        return " ".join(word.lower() if word.istitle() else word for word in words) if is_plain else name
    if re.search(r"['’]s?$", first) and not cases.is_word(core.group()):
        return name
    return name[0].lower() + name[1:]


def label_rows(items: Iterable[Sourced]) -> Counter[str]:
    """Label -> number of rows that have spans of it, the most frequent first, then by name."""
    counts = Counter(label for item in items for label in labels_of(item.row))
    return Counter(dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))))


def spelling(items: Sequence[Sourced]) -> dict[str, str]:
    """Every label of the rows -> its normal form; the rows' own words tell what is a name."""
    found = {label for item in items for label in labels_of(item.row)}
    absent = {label for item in items for label in item.row.get("absent", [])}  # generated: no guide to spelling
    cases = WordCases((item.row["text"] for item in items), found)
    return {label: normal_label(label, cases) for label in sorted(found | absent)}


def rename_labels(
    items: Iterable[Sourced], names: Mapping[str, str], ledger: Ledger
) -> tuple[list[Sourced], Counter[str]]:
    """The rows under other labels, with spans and absent labels that the contract allows.

    Spans that became equal are one; of overlapping spans of one label the longest stays, the others
    go to the ledger as "overlap". A label with spans is not absent.

    names (Mapping): label -> label; one that is missing stays.
    RETURNS (tuple): the rows, and counts of `equal_spans` made one and `absent_but_found` labels.
    """
    renamed, counts = [], Counter(equal_spans=0, absent_but_found=0)
    for item in items:
        spans = {}
        for span in item.row["spans"]:
            new = {**span, "label": names.get(span["label"], span["label"])}
            counts["equal_spans"] += place(new) in spans
            spans.setdefault(place(new), new)
        kept = longest_first(list(spans))
        for key in sorted(spans.keys() - set(kept)):
            ledger.drop_span(item, spans[key], "overlap", "with a longer span of its label")
        found = {label for _, _, label in kept}
        absent = dict.fromkeys(names.get(label, label) for label in item.row.get("absent", []))
        counts["absent_but_found"] += len(found & absent.keys())
        left = [label for label in absent if label not in found]
        row = {**item.row, "spans": [spans[key] for key in kept], "absent": left}
        if "asked" in row:
            row["asked"] = list(dict.fromkeys(names.get(label, label) for label in row["asked"]))
        for name in ("unsure", "links"):
            if name in row:
                row[name] = [
                    {**part, "label": names.get(part["label"], part["label"])} if "label" in part else part
                    for part in row[name]
                ]
        renamed.append(item._replace(row=row))
    return renamed, counts
