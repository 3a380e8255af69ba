"""The two forms of a teacher's answer, JSON and `- label: span` lines: writing, and reading leniently."""

import json
import re
from itertools import islice
from typing import Iterable, Iterator, NamedTuple

from .alignment import MAX_ANSWERS, align, find_answer
from .lenient import CUT, Cut, Members, read_values

FORMS = ("json", "lines")
MAX_LABEL_WORDS = 20
MAX_LABEL_CHARS = 150
MAX_SHOWN = 300  # characters of a label that is too long
MAX_SEPARATORS, MAX_SPLITS = 100, MAX_LABEL_WORDS  # of a line into label and span
MAX_LISTED = 1000  # passages in one span
_STRINGS = {"type": "array", "items": {"type": "string"}}
SCHEMA: dict = {
    "type": "object",
    "properties": {
        "answers": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"label": {"type": "string"}, "spans": _STRINGS},
                "required": ["label", "spans"],
                "additionalProperties": False,
            },
        },
        "absent": _STRINGS,
    },
    "required": ["answers", "absent"],
    "additionalProperties": False,
}
WRAPPER_KEYS = ("answers", "entities", "results", "annotations", "pairs", "items", "data", "output")
LABEL_KEYS = ("label", "type", "category", "query", "class", "tag")
SPAN_KEYS = ("spans", "span", "text", "answers", "answer", "values", "value", "mentions", "mention", "entity", "name")
NO_ANSWER_KEYS = frozenset(("error", "message", "refusal", "detail", "reason"))
NONE = frozenset(
    "none|n/a|na|null|nil|nothing|absent|empty|not mentioned|not found|not present|not "
    "specified|not stated|not given|not in the text|"
    "no answer|no mention".split("|")
)
EMPTY_SIGNS = ("", "-", "--", "–", "—", "/", "()", "[]", "{}", "(-)")
THINKING = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL)
BULLET = re.compile(r"(?:[-+*•–—·‣▪]\s+|[-•·‣▪](?=[\w\"'“`])|\(?\d{1,3}[.)]\s+)")
# Looking for blanks from within blanks would take the square of their number; from where they begin it finds the same.
BLANKS = r"(?:(?<!\s)\s+)"
SEPARATOR = re.compile(rf"{BLANKS}?(?::\*\*|\*\*\s*:|->|→|=>|⇒|:)\s*")
RARE_SEPARATOR = re.compile(rf"{BLANKS}[-–—=|]\s+|(?<!\t)\t+")
LISTS = tuple(map(re.compile, (rf"{BLANKS}?[;\n|]\s*", rf"{BLANKS}?,\s+", rf"{BLANKS}?,\s+(?:and\s+)?|{BLANKS}and\s+")))
INTRODUCTION = re.compile(
    r"(?:here|below|sure|the "
    r"(?:answers?|pairs?|labels?)|answers?|output|results?|pairs|spans|labels|entities|annotations)\b",
    re.IGNORECASE,
)
ABSENT = re.compile(r"(?:absent(?: labels?)?|not (?:found|mentioned|present)|no answers?)", re.IGNORECASE)
EMPTY_JSON = re.compile(r"(?:```\w*)?\s*(?:\{\s*\}|\[\s*\])\s*(?:```)?")
Entry = tuple[str, str | None]  # label, span; None: the label has no answer


class Source:
    """The text that an answer is about, and which strings were found to stand in it."""

    def __init__(self, text: str):
        self.text = text
        self._known: dict[str, bool] = {}

    def holds(self, span: str) -> bool:
        """Whether an answer stands in the text, and not only nearly."""
        if span not in self._known:
            self._known[span] = bool(find_answer(self.text, span, fuzzy=101)[0])
        return self._known[span]


class Parsed(NamedTuple):
    """What an answer says, before it is aligned.

    pairs (list[tuple[str, str]]): label, span as quoted. absent (list[str]): labels without an
        answer. dropped (list[dict]): `{"label", "span", "why"}`, what could not be used.
    """

    pairs: list[tuple[str, str]]
    absent: list[str]
    dropped: list[dict]


def render(row: dict, form: str) -> str:
    """An annotation row as the answer that a teacher would give.

    Each surface stands once per label; a line break in one is a space in the lines form.

    form (str): "json" or "lines".
    RAISES (ValueError): another form.
    """
    if form not in FORMS:
        raise ValueError(f"There is no answer form '{form}', only {FORMS}.")
    surfaces: dict[str, dict[str, None]] = {}
    for span in row["spans"]:
        surfaces.setdefault(span["label"], {})[row["text"][span["start"] : span["end"]]] = None
    absent = [label for label in dict.fromkeys(row.get("absent", [])) if label not in surfaces]
    if form == "json":
        answers = [{"label": label, "spans": list(spans)} for label, spans in surfaces.items()]
        return json.dumps({"answers": answers, "absent": absent}, ensure_ascii=False)
    lines = [f"- {label}: {' '.join(span.splitlines())}" for label, spans in surfaces.items() for span in spans]
    return "\n".join(lines + [f"- {label}: (none)" for label in absent]) or "(none)"


def read_answer(answer: str, text: str, *, fuzzy: float = 90.0) -> tuple[list[dict], list[str], list[dict]]:
    """Parse and align an answer.

    RETURNS (tuple): spans `{"start", "end", "label"}`, absent labels, and what was dropped.
    RAISES (ValueError): as `parse`.
    """
    parsed = parse(answer, text)
    spans, dropped = align(text, parsed.pairs, fuzzy=fuzzy)
    return spans, parsed.absent, parsed.dropped + dropped


def parse(answer: str, text: str) -> Parsed:
    """Read an answer in either form, with the usual slips of a model: fences, prose around it, broken or cut JSON.

    answer (str): what the model wrote, whatever form it was asked for.
    text (str): what it was asked about: it decides where a label ends and whether "a, b" is one span.
    RAISES (ValueError): nothing in it can be used; the message quotes its beginning.
    """
    body = THINKING.sub("", answer).strip()
    if not body:
        raise ValueError("The answer is empty.")
    source = Source(text)
    entries, is_cut, is_empty = _json_entries(body)
    if entries is None:
        said = BULLET.sub("", body, count=1)
        # Quotes around nothing say "none" behind a label; as the whole answer they are what is left of a lost one.
        entries, is_empty = list(_line_entries(body, source)), _is_marker(said) and bool(said.strip("\"'“”‘’` "))
    parsed = _sort_out(entries, source)
    if not parsed.pairs and not parsed.absent and not (is_empty and not parsed.dropped):
        what = "holds no JSON and no '- label: span' line"
        what = f"holds nothing usable ({parsed.dropped[0]['why']})" if parsed.dropped else what
        what = "is cut off before its first complete pair" if is_cut else what
        raise ValueError(f"The answer {what}: {body[:100]!r}.")
    return parsed


def _sort_out(entries: Iterable[Entry], source: Source) -> Parsed:
    """Entries as pairs, absent labels and what cannot be used."""
    pairs: dict[tuple[str, str], None] = {}
    absent: dict[str, None] = {}
    dropped = []
    cleaned: dict[str, tuple[str, str]] = {}
    for number, (raw, quoted) in enumerate(entries):
        if raw not in cleaned:
            label = " ".join(_writable(raw).split())
            cleaned[raw] = label, _bad_label(label)
        label, bad = cleaned[raw]
        span = None if quoted is None else _writable(quoted)
        if why := CUT if isinstance(raw, Cut) or isinstance(quoted, Cut) else bad:
            dropped.append({"label": label[:MAX_SHOWN], "span": span or "", "why": why})
        elif number >= MAX_ANSWERS:
            dropped.append({"label": label, "span": span or "", "why": f"after {MAX_ANSWERS} others"})
        elif span is None or _is_none(span, source):
            absent[label] = None
        else:
            pairs.update(dict.fromkeys((label, part) for part in _parts(span.strip(), source)))
    answered = {label for label, _ in pairs} | {item["label"] for item in dropped}
    return Parsed(list(pairs), [label for label in absent if label not in answered], dropped)


def _writable(string: str) -> str:
    """JSON may name half a surrogate pair, which no file can hold."""
    return string.encode("utf8", "replace").decode("utf8")


def _bad_label(label: str) -> str:
    """Why a label cannot be used; '' if it can."""
    if not label:
        return "no label"
    if len(label) > MAX_LABEL_CHARS or len(label.split()) > MAX_LABEL_WORDS:
        return f"label longer than {MAX_LABEL_WORDS} words or {MAX_LABEL_CHARS} characters"
    return ""


def _is_marker(span: str) -> bool:
    """Whether a span is a way to say that there is none."""
    bare = span.strip().strip("()[]<>{}\"'*_`. ").casefold()
    return bare in NONE or span.strip().strip("\"'“”‘’") in EMPTY_SIGNS


def _is_none(span: str, source: Source) -> bool:
    if not _is_marker(span):
        return False
    # a bare "-" stands in most texts and quotes none of them
    is_quoted = (
        any(map(str.isalnum, span))
        and span.strip() in source.text
        and find_answer(source.text, span, fuzzy=101)[1] == "exact"
    )
    return not is_quoted


def _parts(span: str, source: Source) -> list[str]:
    """A span that is a list of passages, taken apart; one that stands in the text as a whole is never split."""
    if source.holds(span):
        return [span]
    if span.startswith("[") and span.endswith("]"):
        listed = next(iter(read_values(span)), ([], False))[0]
        if listed and all(isinstance(part, str) and source.holds(part) for part in listed):
            return listed
    for separator in LISTS:
        parts = [part for part in separator.split(span) if part]
        if 1 < len(parts) <= MAX_LISTED and all(map(source.holds, parts)):
            return parts
    return [span]


def _json_entries(body: str) -> tuple[list[Entry] | None, bool, bool]:
    """Entries of all JSON values of an answer that have a meaning.

    RETURNS (tuple): the entries, None if there is no such value; whether the last is cut off;
        whether it says in so many words that there is no answer.
    """
    entries: list[Entry] | None = None
    is_cut, is_empty, is_bare = False, False, bool(EMPTY_JSON.fullmatch(body))
    for value, cut in read_values(body):
        try:
            found = _value_entries(value) if value or is_bare else None
        except RecursionError:  # nested far deeper than any answer
            found = None
        if found is not None:
            entries = entries or []
            entries += found
            is_cut, is_empty = cut, not entries and not cut
    return entries, is_cut, is_empty


def _value_entries(value: object) -> list[Entry] | None:
    """Entries of one JSON value; None if it is no answer."""
    if isinstance(value, Members):
        return _object_entries(value)
    if not isinstance(value, list):
        return None
    if value and all(isinstance(part, list) and not isinstance(part, Members) and len(part) == 2 for part in value):
        return [(label, span) for label, spans in value if isinstance(label, str) for span in _spans_in(spans)]
    found = [_object_entries(part) for part in value if isinstance(part, Members)]
    known = [entries for entries in found if entries is not None]
    return [entry for entries in known for entry in entries] if known or not value else None


def _object_entries(members: Members) -> list[Entry] | None:
    names = {name.casefold(): value for name, value in members}
    key = next((key for key in SPAN_KEYS if key in names), None)
    label = next((names[name] for name in LABEL_KEYS if isinstance(names.get(name), str)), None)
    if label is not None and (key or len(members) == 1):
        return [(label, span) for span in (_spans_in(names[key]) if key else [Cut()])]
    if "label" in names and key:
        return [("", span) for span in _spans_in(names[key])]
    if members and names.keys() <= NO_ANSWER_KEYS:
        return None
    found: list[Entry] = [(name, None) for name in _labels(names.get("absent"))]
    for name, value in members:
        if _wraps(name.casefold(), value):
            found += (_value_entries(value) or []) + [
                ("", part) for part in ([] if isinstance(value, Members) else _labels(value))
            ]
        elif name.casefold() != "absent":
            found += [(name, span) for span in _spans_in(value)]
    return found


def _wraps(name: str, value: object) -> bool:
    """Whether a value is a wrapped answer rather than the spans of the label before it."""
    if isinstance(value, Members):
        return name in WRAPPER_KEYS or any(inner.casefold() in ("answers", "absent") for inner, _ in value)
    objects = [part for part in value if isinstance(part, Members)] if isinstance(value, list) else []
    named = any(inner.casefold() == "label" for part in objects for inner, _ in part)
    return name == "answers" or named or (name in WRAPPER_KEYS and (bool(objects) or value == []))


def _spans_in(value: object) -> list[str | None]:
    """The spans that a JSON value names; [None]: it says that there is none."""
    spans: list[str | None] = []
    parts = [value]  # yet to be read, the next one last
    while parts:
        part = parts.pop()
        if isinstance(part, Members):
            names = {name.casefold(): inner for name, inner in part}
            key = next((key for key in SPAN_KEYS if key in names), None)
            part = names[key] if key else list(names.values())
            parts.append(part)
        elif isinstance(part, list) and part:
            parts += reversed(part)
        elif isinstance(part, list):
            spans.append(None)
        else:
            spans.append(part if isinstance(part, str) or part is None else str(part).lower())
    return spans


def _labels(value: object) -> list[str]:
    if isinstance(value, Members):
        return [name for name, _ in value]
    parts = value if isinstance(value, list) else [value]
    return [part for part in parts if isinstance(part, str)]


def _line_entries(body: str, source: Source) -> Iterator[Entry]:
    """Entries of an answer of lines. Prose is passed over; what may be prose counts only beside sure entries."""
    header, sure, doubtful = "", False, []
    lines = [line for line in map(str.strip, body.splitlines()) if line]
    for line in lines[:MAX_ANSWERS]:
        bullet = BULLET.match(line)
        content = line[bullet.end() :].strip() if bullet else line.strip("# ")
        if not content.strip("-*_`~="):
            continue
        under = header and bullet and (source.holds(content) or not SEPARATOR.search(content))
        if under and ABSENT.fullmatch(header):
            yield content, None
            continue
        pair = (header, content) if under else _split(content, source)
        if (pair and not pair[1]) or (not pair and (line[0] == "#" or re.fullmatch(r"\*\*.+\*\*", content))):
            label = pair[0] if pair else _bare_label(content)
            header = "" if INTRODUCTION.match(label) or _bad_label(label) else label
            continue
        header = header if under else ""
        if pair and (bullet or _is_marker(pair[1]) or source.holds(pair[1]) or len(_parts(pair[1], source)) > 1):
            sure = True
            yield pair
        elif pair or bullet:
            doubtful.append(pair or ("", content))
    doubtful += [("", line) for line in lines[MAX_ANSWERS:]]
    yield from doubtful if sure else []


def _split(content: str, source: Source) -> tuple[str, str] | None:
    """Label and span of a line. Either may hold a colon: the first split counts whose span stands in the text."""
    splits = list(_splits(content))
    splits = [split for split in splits if not _bad_label(split[0])] or splits
    if len(splits) > 1:
        for fits in (_is_none, lambda span, source: source.holds(span), lambda *span: len(_parts(*span)) > 1):
            for label, span in splits:
                if span and fits(span, source):
                    return label, span
    return splits[0] if splits else None


def _splits(content: str) -> Iterator[tuple[str, str]]:
    """The first splits of a line, at the usual separators or, if it has none of them, at the rare ones."""
    for separator in (SEPARATOR, RARE_SEPARATOR):
        number = 0
        for match in islice(separator.finditer(content), MAX_SEPARATORS):
            if number < MAX_SPLITS and (label := _bare_label(content[: match.start()])):
                yield label, content[match.end() :].strip()
                number += 1
        if number:
            return


def _bare_label(label: str) -> str:
    """A label without markup and quotes around it."""
    label = re.sub(r"^(\*{1,3}|`|__)(.+)\1$", r"\2", label.strip())
    label = re.sub(r"^\*\*|\*\*$", "", label).strip().rstrip(":")
    quoted = len(label) > 1 and label[0] + label[-1] in ('""', "''", "“”", "‘’") and label[0] not in label[1:-1]
    return label[1:-1].strip() if quoted else label
