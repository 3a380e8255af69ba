"""Damaged files give what their undamaged records say, are refused by name, or what is lost is counted."""

import json
import logging
import random
import sys

from helpers import ROOT

from metaie_spacy.convert.convert import convert

sys.path.insert(0, str(ROOT))

from benchmarks.project.corruption import ENDS, FORMATS, SUFFIXES, Records, Sample, objects, run  # noqa: E402


def test_a_hundred_damaged_files_lose_nothing_in_silence():
    logging.disable(logging.WARNING)
    try:
        result = run(100, seed=3)
    finally:
        logging.disable(logging.NOTSET)
    assert result["variants"] == 100 and not result["faults"]
    ends = {end for kinds in result["table"].values() for counts in kinds.values() for end in counts}
    assert {"refused", "counted"} <= ends <= set(ENDS) and len(result["table"]) == len(FORMATS) + 2


VALUES = (
    None,
    7,
    -1,
    1.5,
    "",
    [],
    {},
    [[]],
    [None],
    {"a": 1},
    True,
    "x",
    [1, 2, 3],
    [{"start": 0, "end": 2}],
    "\ud800",
)


def test_any_value_under_any_key_is_a_bad_row_or_a_refusal(tmp_path):
    rng = random.Random(4)
    for name, form in FORMATS.items():
        for _ in range(40 if isinstance(form, Records) else 0):
            records = json.loads(json.dumps([form.make(row) for row in Sample(rng).rows]))
            for _ in range(rng.randint(1, 3)):
                holder = rng.choice([holder for holder in objects(records) if holder])
                holder[rng.choice(sorted(holder))] = json.loads(json.dumps(rng.choice(VALUES)))
            lines = json.dumps(records) if name == "label-studio" else "\n".join(map(json.dumps, records))
            source = tmp_path / f"x{SUFFIXES.get(name, '.jsonl')}"
            source.write_text(lines)
            try:
                convert(source, tmp_path / "out.jsonl", from_format=rng.choice(["auto", name]), to_format="rows")
            except ValueError as error:
                assert source.name in str(error)
