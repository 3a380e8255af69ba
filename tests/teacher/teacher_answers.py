"""What the test server knows and says: annotations found again by their texts, as answers to questions."""

import hashlib
import json
import re
from pathlib import Path
from typing import NamedTuple

NAMES = "Mara Olden Tarn Sefton Ilka Brunn Corvin Dalby Esme Farrow Gannet Holm Ivers Jessop Kelso Lorne".split()
OPENINGS = ("By all accounts,", "As reported,", "Some weeks later,", "In another version,")
QUESTION = re.compile(r'<question kind="(\w+)">(.*?)(?:</question>|\Z)', re.DOTALL)
PREFIX = 16  # characters by which texts are indexed


class Known(NamedTuple):
    """What the server says of a text: (label, surface) pairs, and labels without an answer."""

    pairs: list[tuple[str, str]]
    absent: list[str]


class Replay:
    """Annotated texts, found again in the messages that ask for them. Of rows with one text the first counts."""

    def __init__(self, paths: list[str]):
        self.known: dict[str, Known] = {}
        self.starts: dict[str, list[str]] = {}
        for path in paths:
            for line in Path(path).read_text(encoding="utf8").split("\n"):
                if line.strip():
                    row = json.loads(line)
                    pairs = [(span["label"], row["text"][span["start"] : span["end"]]) for span in row["spans"]]
                    self.known.setdefault(
                        row["text"].strip(), Known(list(dict.fromkeys(pairs)), list(row.get("absent", [])))
                    )
        self.known.pop("", None)
        for text in self.known:
            self.starts.setdefault(text[:PREFIX], []).append(text)
        self.short = [text for text in self.known if len(text) < PREFIX]

    def find(self, text: str) -> Known:
        """The annotation of the longest known text that this one contains, else a guess."""
        if text in self.known:
            return self.known[text]
        best = max((part for part in self.short if part in text), key=len, default="")
        for at in range(len(text) - PREFIX + 1):
            for part in self.starts.get(text[at : at + PREFIX], ()):
                if len(part) > len(best) and text.startswith(part, at):
                    best = part
        return self.known[best] if best else guess(text)


def guess(text: str) -> Known:
    """Capitalised words as names."""
    names = [word for word in re.findall(r"[^\W\d_][\w'’-]*", text) if word[0].isupper()]
    return Known([("name", name) for name in dict.fromkeys(names)], [] if names else ["name"])


def chance(*parts: object) -> float:
    """A number in [0, 1) that depends on nothing but the parts."""
    return int.from_bytes(hashlib.sha256(json.dumps(parts).encode()).digest()[:8], "big") / 2**64


def content_of(message: str, replay: Replay, *, as_json: bool, salt: str, invented: bool) -> str:
    """The answer to a user's message.

    salt (str): what the answer varies with; empty: the annotation as it is.
    invented (bool): a part of the answer that the text does not bear out.
    """
    last = message.rfind("</text>")
    first = message.rfind("<text>", 0, max(0, last))
    text, rest = (
        (message[first + 6 : last].strip(), message[:first] + message[last:]) if first >= 0 else (message, message)
    )
    known, question = replay.find(text), QUESTION.search(rest)
    kind = question.group(1) if question else "open"
    if kind == "confirm":
        return dumps({"confirmed": confirmed(question.group(2), known) + [999] * invented})
    if kind == "similar":
        asked = question.group(2).strip()
        return dumps(
            {
                "texts": [
                    text if invented else similar(text, i, salt) for i in range(int(asked) if asked.isdecimal() else 2)
                ]
            }
        )
    pairs = varied(known.pairs, salt) if salt else known.pairs
    if invented:
        at = int(chance(text) * len(pairs))
        pairs = [*pairs[:at], (pairs[at][0] if pairs else "name", "Zyxward Quillfane"), *pairs[at + 1 :]]
    return rendered(Known(pairs, known.absent), as_json=as_json)


def rendered(known: Known, *, as_json: bool) -> str:
    """Answers as JSON, or as the paper's lines, in which a span is one line."""
    if not as_json:
        lines = [f"- {label}: {' '.join(surface.split())}" for label, surface in known.pairs]
        return "\n".join(lines + [f"- {label}: (none)" for label in known.absent]) or "(none)"
    spans: dict[str, list[str]] = {}
    for label, surface in known.pairs:
        spans.setdefault(label, []).append(surface)
    return dumps(
        {"answers": [{"label": label, "spans": parts} for label, parts in spans.items()], "absent": known.absent}
    )


def confirmed(candidates: str, known: Known) -> list[int]:
    """The ids of the candidates, one JSON object a line, that the annotation bears out."""
    found = [json.loads(line) for line in candidates.split("\n") if line.lstrip().startswith("{")]
    return [c["id"] for c in found if "id" in c and (c["label"], c["span"]) in known.pairs]


def similar(text: str, number: int, salt: str) -> str:
    """A short new text: other names and digits in the first words of a text."""
    words = [OPENINGS[number % len(OPENINGS)]]
    for i, word in enumerate(text.split()[:30]):
        draw = chance(word, i, number, salt)
        if word[0].isupper():
            word = NAMES[int(draw * len(NAMES))] + re.sub(r"^\w*", "", word)
        digits = int(draw * 9) + 1
        words.append(word.translate(str.maketrans("0123456789", ("0123456789" * 2)[digits : digits + 10])))
    return " ".join(words)


def varied(pairs: list[tuple[str, str]], salt: str) -> list[tuple[str, str]]:
    """About a tenth of the pairs dropped and a tenth under another label."""
    draws = [(chance(salt, label, surface), label, surface) for label, surface in pairs]
    return [(f"{label} (other)" if draw < 0.2 else label, surface) for draw, label, surface in draws if draw >= 0.1]


def dumps(data: object) -> str:
    """JSON with its characters as they are."""
    return json.dumps(data, ensure_ascii=False)
