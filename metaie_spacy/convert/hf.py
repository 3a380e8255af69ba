"""Annotation rows from and to Hugging Face's token classification."""

import json
from pathlib import Path
from typing import Any, Iterable, Iterator

from ..data.files import writing
from ..data.jsonl import json_line
from .links import pairs_of
from .records import Options, Skipped, Tally, foreign_row
from .sources import as_object, check_keys, json_records, json_value, listed, take_records
from .words import TAG, apart, as_biluo, found_in, joined, spans_on, tagged, tokenizer, words_of

TAGS = ("ner_tags", "tags", "ner", "labels")
IGNORED = -100  # of a token of which nothing is known


def read_hf(path: Path, options: Options, tally: Tally) -> Iterator[dict]:
    """Rows of records `{"tokens": [word], "ner_tags": [tag]}`; tags by name, or by number with `label_names`.

    The text is a field "text" that holds the words and nothing else, or the words with a space between them.
    RAISES (ValueError): tags are numbers whose names are not given.
    """
    names = label_names(options.label_names, options)
    column = tag_column(value for _, _, value in json_records(path, options))
    if names is None:
        numbers = {tag for _, _, value in json_records(path, options) for tag in _numbers(value, column)}
        if numbers - {IGNORED}:
            raise ValueError(
                f"'{path}' holds tags as numbers ({', '.join(map(str, sorted(numbers)[:5]))}), which mean nothing "
                "without their names. Pass label_names (--label-names), such as 'O,B-PER,I-PER' in the order of the "
                "numbers, or a JSON file with them."
            )
    return take_records(path, options, tally, lambda value: _row(as_object(value), column, names, options, tally))


def tag_column(values: Iterable[Any]) -> str:
    """The field of tags that the first record with one has."""
    return next((name for value in values if isinstance(value, dict) for name in TAGS if name in value), TAGS[0])


def _numbers(value: Any, column: str) -> list[int]:
    tags = value.get(column) if isinstance(value, dict) else None
    return [tag for tag in tags if type(tag) is int] if isinstance(tags, list) else []


def label_names(given: str | None, options: Options) -> list[str] | None:
    """Names of numbers, from a list with commas or a JSON file: a list, or an object with a list "names" inside.

    RAISES (ValueError): no such file, or no such list in it, or a name is no tag.
    """
    if given is None:
        return None
    names: Any = [name.strip() for name in given.split(",")]
    if len(names) == 1 and names[0] != "O":
        if not Path(given).is_file():
            raise ValueError(f"label_names is '{given}', which is no file; write names as 'O,B-PER,I-PER'.")
        names = _names_in(json_value(Path(given), options._replace(encoding=None)))
    wrong = [name for name in names or [] if not isinstance(name, str) or not TAG.fullmatch(name)]
    if not names or wrong:
        raise ValueError(f"label_names of '{given}' must be tags such as O, B-PER and I-PER, not {wrong or names}.")
    return names


def _names_in(value: Any) -> list | None:
    if isinstance(value, dict):
        found = [value["names"]] if isinstance(value.get("names"), list) else map(_names_in, value.values())
        return next((names for names in found if names), None)
    return value if isinstance(value, list) else None


def _row(record: dict, column: str, names: list[str] | None, options: Options, tally: Tally) -> dict:
    check_keys(record, {"tokens": list, column: list, "text": str})
    words, tags = listed(record, "tokens"), listed(record, column)
    text, places = joined(words)
    if len(words) != len(tags):
        raise Skipped("bad row", f'"tokens" has {len(words)} and "{column}" {len(tags)}; they must be of one length.')
    if isinstance(record.get("text"), str) and (found := found_in(record["text"], words)) is not None:
        text, places = record["text"], found
    named = [_name(tag, i, column, names) for i, tag in enumerate(tags)]
    spans = spans_on(places, tagged([as_biluo(tag) for tag in named]))
    unsure = [{"start": at[0], "end": at[1]} for at, tag in zip(places, tags) if tag == IGNORED]
    row = foreign_row(text, spans, source="hf", teacher=options.teacher or "unknown", id=record.get("id"))
    return row | ({"unsure": unsure} if unsure else {})


def _name(tag: Any, i: int, column: str, names: list[str] | None) -> str:
    if type(tag) is int and tag == IGNORED:
        return "O"
    if type(tag) is int and names and 0 <= tag < len(names):
        return names[tag]
    if isinstance(tag, str) and TAG.fullmatch(tag):
        return tag
    known = f"none of the {len(names)} numbers from 0 nor" if names else "neither O nor"
    raise Skipped(
        "malformed tag", f'"{column}" {i + 1} is {json.dumps(tag)}, which is {known} B-, I- and so on with a label.'
    )


def write_hf(rows: Iterable[dict], output: Path, options: Options, tally: Tally) -> None:
    """JSON lines of words and IOB2 tags. Of spans that overlap the longest stands.

    A row with unsure places is left out, since O says that there is no span.
    """
    tokenize = tokenizer(options.lang)
    with writing(output) as file:
        for row in rows:
            if row.get("unsure"):
                tally.leave_out(row, "unsure")
                continue
            words, found = words_of(row, tokenize)
            kept = apart(found)
            tags = ["O"] * len(words)
            for first, last, label in kept:
                tags[first : last + 1] = [f"B-{label}"] + [f"I-{label}"] * (last - first)
            tally.lose("overlap", len(found) - len(kept))
            tally.lose_links("link", len(pairs_of(row)))
            file.write(json_line({"id": row["id"], "tokens": words, "ner_tags": tags}))
