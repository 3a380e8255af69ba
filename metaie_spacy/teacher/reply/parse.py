"""The two forms of a teacher's answer, JSON and `- label: span` lines: writing, and reading leniently."""

import json
import re
from typing import Iterable, Iterator, NamedTuple

from .alignment import align, find_answer
from .lenient import CUT, Cut, Members, read_values

FORMS = ("json", "lines")
MAX_LABEL_WORDS = 20
MAX_LABEL_CHARS = 150
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
SEPARATOR = re.compile(r"\s*(?::\*\*|\*\*\s*:|->|→|=>|⇒|:)\s*")
RARE_SEPARATOR = re.compile(r"\s+[-–—=|]\s+|\t+")
LISTS = (re.compile(r"\s*[;\n|]\s*"), re.compile(r"\s*,\s+"), re.compile(r"\s*,\s+(?:and\s+)?|\s+and\s+"))
INTRODUCTION = re.compile(
    r"(?:here|below|sure|the "
    r"(?:answers?|pairs?|labels?)|answers?|output|results?|pairs|spans|labels|entities|annotations)\b",
    re.IGNORECASE,
)
ABSENT = re.compile(r"(?:absent(?: labels?)?|not (?:found|mentioned|present)|no answers?)", re.IGNORECASE)
EMPTY_JSON = re.compile(r"(?:```\w*)?\s*(?:\{\s*\}|\[\s*\])\s*(?:```)?")
Entry = tuple[str, str | None]  # label, span; None: the label has no answer


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
    entries, is_cut, is_empty = _json_entries(body)
    if entries is None:
        entries, is_empty = list(_line_entries(body, text)), _is_marker(BULLET.sub("", body, count=1))
    parsed = _sort_out(entries, text)
    if not parsed.pairs and not parsed.absent and not (is_empty and not parsed.dropped):
        what = "holds no JSON and no '- label: span' line"
        what = f"holds nothing usable ({parsed.dropped[0]['why']})" if parsed.dropped else what
        what = "is cut off before its first complete pair" if is_cut else what
        raise ValueError(f"The answer {what}: {body[:100]!r}.")
    return parsed


def _sort_out(entries: Iterable[Entry], text: str) -> Parsed:
    """Entries as pairs, absent labels and what cannot be used."""
    pairs: dict[tuple[str, str], None] = {}
    absent: dict[str, None] = {}
    dropped = []
    for raw, quoted in entries:
        label, span = " ".join(_writable(raw).split()), None if quoted is None else _writable(quoted)
        if why := CUT if isinstance(raw, Cut) or isinstance(quoted, Cut) else _bad_label(label):
            dropped.append({"label": label, "span": span or "", "why": why})
        elif span is None or _is_none(span, text):
            absent[label] = None
        else:
            pairs.update(dict.fromkeys((label, part) for part in _parts(span.strip(), text)))
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


def _is_none(span: str, text: str) -> bool:
    if not _is_marker(span):
        return False
    # a bare "-" stands in most texts and quotes none of them
    is_quoted = (
        any(map(str.isalnum, span)) and span.strip() in text and find_answer(text, span, fuzzy=101)[1] == "exact"
    )
    return not is_quoted


def _stands(span: str, text: str) -> bool:
    return bool(find_answer(text, span, fuzzy=101)[0])


def _parts(span: str, text: str) -> list[str]:
    """A span that is a list of passages, taken apart; one that stands in the text as a whole is never split."""
    if _stands(span, text):
        return [span]
    if span.startswith("[") and span.endswith("]"):
        listed = next(iter(read_values(span)), ([], False))[0]
        if listed and all(isinstance(part, str) and _stands(part, text) for part in listed):
            return listed
    for separator in LISTS:
        parts = [part for part in separator.split(span) if part]
        if len(parts) > 1 and all(_stands(part, text) for part in parts):
            return parts
    return [span]


def _json_entries(body: str) -> tuple[list[Entry] | None, bool, bool]:
    """Entries of all JSON values of an answer that have a meaning.

    RETURNS (tuple): the entries, None if there is no such value; whether the last is cut off;
        whether it says in so many words that there is no answer.
    """
    entries: list[Entry] | None = None
    is_cut, is_empty = False, False
    for value, cut in read_values(body):
        found = _value_entries(value) if value or EMPTY_JSON.fullmatch(body) else None
        if found is not None:
            entries, is_cut = (entries or []) + found, cut
            is_empty = not entries and not cut
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
    if isinstance(value, Members):
        names = {name.casefold(): part for name, part in value}
        key = next((key for key in SPAN_KEYS if key in names), None)
        return _spans_in(names[key] if key else list(names.values()))
    if isinstance(value, list):
        return [span for part in value for span in _spans_in(part)] if value else [None]
    return [value if isinstance(value, str) or value is None else str(value).lower()]


def _labels(value: object) -> list[str]:
    if isinstance(value, Members):
        return [name for name, _ in value]
    parts = value if isinstance(value, list) else [value]
    return [part for part in parts if isinstance(part, str)]


def _line_entries(body: str, text: str) -> Iterator[Entry]:
    """Entries of an answer of lines. Prose is passed over; what may be prose counts only beside sure entries."""
    header, sure, doubtful = "", False, []
    for line in filter(None, map(str.strip, body.splitlines())):
        bullet = BULLET.match(line)
        content = line[bullet.end() :].strip() if bullet else line.strip("# ")
        if not content.strip("-*_`~="):
            continue
        under = header and bullet and (_stands(content, text) or not SEPARATOR.search(content))
        if under and ABSENT.fullmatch(header):
            yield content, None
            continue
        pair = (header, content) if under else _split(content, text)
        if (pair and not pair[1]) or (not pair and (line[0] == "#" or re.fullmatch(r"\*\*.+\*\*", content))):
            label = pair[0] if pair else _bare_label(content)
            header = "" if INTRODUCTION.match(label) or _bad_label(label) else label
            continue
        header = header if under else ""
        if pair and (bullet or _is_marker(pair[1]) or _stands(pair[1], text) or len(_parts(pair[1], text)) > 1):
            sure = True
            yield pair
        elif pair or bullet:
            doubtful.append(pair or ("", content))
    yield from doubtful if sure else []


def _split(content: str, text: str) -> tuple[str, str] | None:
    """Label and span of a line. Either may hold a colon: the first split counts whose span stands in the text."""
    splits = []
    for separator in (SEPARATOR, RARE_SEPARATOR):
        for match in [] if splits else separator.finditer(content):
            label, span = _bare_label(content[: match.start()]), content[match.end() :].strip()
            if label:
                splits.append((label, span))
    splits = [split for split in splits if not _bad_label(split[0])] or splits
    if len(splits) > 1:
        for fits in (_is_none, _stands, lambda span, text: len(_parts(span, text)) > 1):
            for label, span in splits:
                if span and fits(span, text):
                    return label, span
    return splits[0] if splits else None


def _bare_label(label: str) -> str:
    """A label without markup and quotes around it."""
    label = re.sub(r"^(\*{1,3}|`|__)(.+)\1$", r"\2", label.strip())
    label = re.sub(r"^\*\*|\*\*$", "", label).strip().rstrip(":")
    quoted = len(label) > 1 and label[0] + label[-1] in ('""', "''", "“”", "‘’") and label[0] not in label[1:-1]
    return label[1:-1].strip() if quoted else label
