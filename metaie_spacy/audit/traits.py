"""What is told of texts, labels and places without a model: the ways that rows are told apart."""

import re
from functools import lru_cache

from ..curate.names import origin_of
from ..data.rows import Place, Row

QUESTION = re.compile(r"(?:who|whom|whose|what|which|when|where|why|how|is|are|does|did|can)\b|.*\?$", re.IGNORECASE)
RELATION = re.compile(r"\b(?:of|by|in|on|at|to|for|from|with|between|into|as|about|against|under|over|than)\b")
CODE = re.compile(r"[A-Z0-9]+(?:[_.:/-][A-Z0-9]+)*|[^\W_]+(?:[_.:/][^\W_]+)+")
NOTHING = frozenset("thing things other misc miscellaneous entity entities span unknown n/a label".split())
LENGTHS = ((15, "up to 15 words"), (30, "16 to 30 words"), (60, "31 to 60 words"))
DIALECTS = {
    "Southern US": "y'all fixin' ain't reckon",
    "African American English": "finna tryna ion gon' deadass",
    "casual": "gonna wanna gotta lemme dunno kinda u ur pls thx lol idk",
    "British": "colour favour centre whilst organise programme bloke innit cheers",
    "Scottish": "wee aye dinnae cannae lass",
    "Indian English": "lakh crore prepone kindly rupees",
    "Nigerian English": "abeg oga naira wahala",
    "Singapore English": "lah lor leh shiok",
}
WORD = re.compile(r"[\w']+")


@lru_cache(maxsize=100_000)
def label_kind(label: str) -> str:
    """ "question", "code" (a name of a scheme, such as B-PER), "relation" (it has a preposition) or "noun phrase"."""
    text = label.strip()
    if QUESTION.match(text):
        return "question"
    if CODE.fullmatch(text) and not text.islower():
        return "code"
    return "relation" if RELATION.search(text) else "noun phrase"


def length(row: Row) -> str:
    """The length of a text, as one of four."""
    words = len(row["text"].split())
    return next((name for most, name in LENGTHS if words <= most), "over 60 words")


def casing(row: Row) -> str:
    """How a text is written: "lower", "capitals", or "mixed" as usual."""
    text = row["text"]
    if text == text.lower():
        return "lower"
    return "capitals" if text == text.upper() else "mixed"


def dialect(row: Row) -> str:
    """The first variety of which a text has a marker (short lists of words, no classifier); "none" without one."""
    words = set(WORD.findall(row["text"].lower()))
    return next((name for name, marks in DIALECTS.items() if words & set(marks.split())), "none")


def domain(row: Row) -> str:
    """Where a text is from, as its row says."""
    return str(row.get("source") or "not stated")


def third(row: Row, place: Place) -> str:
    """In which third of its text a span begins."""
    return ("first third", "middle third", "last third")[min(2, 3 * place[0] // max(1, len(row["text"])))]


def origin(row: Row, place: Place) -> str:
    """The origin of the name that a span is, as the lists of names tell it; "not known" for all others."""
    return origin_of(row["text"][place[0] : place[1]]) or "not known"
