"""Names of people by origin and gender, and putting one in the place of another in an annotated row."""

import re
from functools import lru_cache
from typing import Any, Iterable, Mapping, NamedTuple, Sequence

from ..data.jsonl import read_json_file
from ..data.rows import Row
from ..data.shipped import shipped

FILE = "assets/names.json"  # made for this project (CC0), see `read_names`
GENDERS = ("female", "male")
WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")
PERSON = ("person", "PERSON", "PER", "name of a person", "person name")  # labels whose spans are names of people
MOST_WORDS = 4  # of a name that is swapped
PARTICLE = 5  # letters of a small word within a name, such as 'binti' or 'van'


class Name(NamedTuple):
    """A full name, and what one calls its bearer afterwards; of a mononym both are the same."""

    full: str
    short: str


@lru_cache(maxsize=1)
def read_names() -> dict[str, dict[str, Any]]:
    """Origin -> "order" of its names, lists "female", "male" and "family", and a "particle" with where it stands."""
    return read_json_file(shipped(FILE))["origins"]


@lru_cache(maxsize=1)
def origins_by_word() -> dict[str, str]:
    """Word of a name -> its origin. A word of several origins is left out: it tells none."""
    found: dict[str, set[str]] = {}
    for origin, lists in read_names().items():
        for name in (*lists["female"], *lists["male"], *lists["family"]):
            found.setdefault(name, set()).add(origin)
    return {word: min(origins) for word, origins in found.items() if len(origins) == 1}


@lru_cache(maxsize=1)
def family_names() -> frozenset[str]:
    """Words that tell an origin as family names."""
    return frozenset(word for lists in read_names().values() for word in lists["family"]) & origins_by_word().keys()


def origin_of(name: str) -> str | None:
    """The origin that the words of a name tell; None: they are of no list, or of several.

    A list must have the first word, or have the last one as a family name: "San Diego" is no name for its "Diego".
    """
    words = name.split()
    if not 0 < len(words) <= MOST_WORDS or not (words[0] in origins_by_word() or words[-1] in family_names()):
        return None
    found = {origins_by_word()[word] for word in words if word in origins_by_word()}
    return min(found) if len(found) == 1 else None


def gender_of(name: str) -> str | None:
    """ "female" or "male", as the lists have the words of a name; None: neither or both."""
    words = set(re.split(r"\s+", name))
    found = {gender for lists in read_names().values() for gender in GENDERS if words & set(lists[gender])}
    return min(found) if len(found) == 1 else None


def make_name(origin: str, gender: str, number: int) -> Name:
    """One of the names of an origin and a gender; the same number gives the same name.

    RAISES (ValueError): there is no such origin or gender.
    """
    lists = read_names().get(origin)
    if lists is None or gender not in GENDERS:
        raise ValueError(f"There are no names '{origin}', '{gender}'; origins are {', '.join(read_names())}.")
    given = lists[gender][number % len(lists[gender])]
    if lists["order"] == "mononym":
        return Name(given, given)
    particle = lists.get("particle")
    is_used = particle is not None and number % particle["every"] == 0
    word = particle["word"] if is_used else ""
    word = word[gender] if isinstance(word, dict) else word
    if lists["order"] == "given father" or (is_used and particle["before"] == "father"):
        fathers = lists["male"]
        return Name(f"{given} {word} {fathers[(number // 2 + 3) % len(fathers)]}", given)
    family = lists["family"][(number // 3 + number) % len(lists["family"])]
    if lists["order"] == "family given":
        return Name(f"{family} {given}", family)
    last = f"{word} {family}".strip()
    return Name(f"{given} {last}", last)


def people_of(row: Row, labels: Iterable[str] = PERSON) -> list[list[str]]:
    """The people of a row: for each the full name and then its parts that the row names alone.

    labels (Iterable[str]): whose spans are names of people. Only spans of up to four capitalized words count.
    """
    wanted = set(labels)
    texts = dict.fromkeys(row["text"][s["start"] : s["end"]] for s in row["spans"] if s["label"] in wanted)
    people: list[list[str]] = []
    for name in sorted(filter(_is_name, texts), key=lambda text: -len(text)):
        own = next((person for person in people if set(name.split()) <= set(person[0].split())), None)
        if own is None:
            people.append([name])
        else:
            own.append(name)
    return people


def swap_names(row: Row, swaps: Mapping[str, str]) -> Row | None:
    """The row with names in the place of others, in text, spans, unsure places, links and labels; offsets are exact.

    swaps (Mapping): old name -> new one. Whole words are replaced, of several names at one place the longest.
    RETURNS (Row | None): None where a span begins or ends within a name, so that its place would be a guess.
    """
    names = sorted(filter(None, swaps), key=lambda name: -len(name))
    if not names:
        return row
    pattern = re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, names)) + r")(?!\w)")
    old, new, moves = row["text"], [], []
    at = size = 0
    for match in pattern.finditer(old):
        new.append(old[at : match.start()])
        size += match.start() - at
        moves.append((match.start(), match.end(), size, size + len(swaps[match[0]])))
        new.append(swaps[match[0]])
        at, size = match.end(), size + len(swaps[match[0]])
    text = "".join([*new, old[at:]])
    try:
        return _moved(row, text, moves, lambda label: pattern.sub(lambda match: swaps[match[0]], label))
    except _Within:
        return None


class _Within(Exception):
    """A place begins or ends within a name."""


def _moved(row: Row, text: str, moves: Sequence[tuple[int, int, int, int]], relabel: Any) -> Row:
    def spot(start: int, end: int) -> tuple[int, int]:
        return _at(start, moves), _at(end, moves)

    result: Any = {**row, "text": text}
    for field in ("spans", "unsure"):
        if field in row:
            result[field] = [
                {**span, **dict(zip(("start", "end"), spot(span["start"], span["end"])))}
                | ({"label": relabel(span["label"])} if "label" in span else {})
                for span in row[field]
            ]
    for field in ("absent", "asked"):
        if field in row:
            result[field] = [relabel(label) for label in row[field]]
    if "links" in row:
        result["links"] = [
            {**link, "head": [*spot(*link["head"])], "tails": [[*spot(*tail)] for tail in link["tails"]]}
            | {"label": relabel(link["label"])}
            for link in row["links"]
        ]
    return result


def _at(place: int, moves: Sequence[tuple[int, int, int, int]]) -> int:
    """Where a border lies in the new text."""
    shift = 0
    for start, end, new_start, new_end in moves:
        if place <= start:
            return place + shift if place < start else new_start
        if place < end:
            raise _Within
        if place == end:
            return new_end
        shift = new_end - end
    return place + shift


def _is_name(text: str) -> bool:
    """Whether words look like a name: capitalized, but for particles between the first and the last."""
    words = text.split()
    if not 0 < len(words) <= MOST_WORDS or not all(WORD.fullmatch(word) for word in words):
        return False
    particles = words[1:-1]
    is_small = all(word[0].isupper() or len(word) <= PARTICLE for word in particles)
    return is_small and words[0][0].isupper() and any(letter.isupper() for letter in words[-1])


def swapped(row: Row, origin: str, gender: str, number: int, labels: Iterable[str] = PERSON) -> Row | None:
    """The row with all people named anew, each by a name of this origin and gender; see `swap_names`.

    RETURNS (Row | None): None where the row names nobody.
    """
    people = people_of(row, labels)
    swaps: dict[str, str] = {}
    for i, (full, *parts) in enumerate(people):
        name = make_name(origin, gender, number + i)
        swaps[full] = name.full if " " in full else name.short
        swaps |= dict.fromkeys(parts, name.short)
    return swap_names(row, swaps) if swaps else None
