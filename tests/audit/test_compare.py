"""Two audits are held to thresholds; the exit code says whether they hold."""

import copy
import json

import pytest

from metaie_spacy.audit.compare import compare_reports, read_thresholds

SLICE = {"trait": "domain", "value": "mail", "spans": 100, "f": 0.5, "gap": -0.05, "is_found": True}
REPORT = {
    "f": 0.6,
    "slices": [SLICE, SLICE | {"value": "tiny", "spans": 5}],
    "names": {"cells": [{"origin": "Akan", "gender": "male", "gap": -0.02}]},
    "wordings": {"labels": 3, "gap": -0.1},
    "distractors": {"gap": -0.02},
    "calibration": [{"domain": "all", "ece": 0.03}],
}
CHANGES = {
    "max_f_drop": ("f", 0.55),
    "max_slice_drop": ("slices", [SLICE | {"f": 0.3}, SLICE | {"value": "tiny", "spans": 5}]),
    "max_slice_gap": ("slices", [SLICE | {"gap": -0.4}]),
    "max_name_gap": ("names", {"cells": [{"origin": "Akan", "gender": "male", "gap": -0.2}]}),
    "max_name_gap_growth": ("names", {"cells": [{"origin": "Akan", "gender": "male", "gap": -0.06}]}),
    "max_wording_drop": ("wordings", {"labels": 3, "gap": -0.3}),
    "max_distractor_drop": ("distractors", {"gap": -0.2}),
    "max_calibration_error": ("calibration", [{"domain": "all", "ece": 0.2}]),
}


def written(path, report):
    path.write_text(json.dumps(report), encoding="utf8")
    return path


@pytest.mark.parametrize("threshold", CHANGES)
def test_each_threshold_is_broken_by_what_it_is_about(threshold):
    rules = read_thresholds("configs/audit.toml")
    key, value = CHANGES[threshold]
    worse = copy.deepcopy(REPORT) | {key: value}
    assert all(one["holds"] for one in compare_reports(REPORT, REPORT, rules))
    assert not all(one["holds"] for one in compare_reports(REPORT, worse, {threshold: rules[threshold]}))


def test_slices_with_few_spans_break_nothing():
    worse = copy.deepcopy(REPORT)
    worse["slices"][1]["f"] = 0.0
    assert all(one["holds"] for one in compare_reports(REPORT, worse, read_thresholds("configs/audit.toml")))


def test_the_exit_code_says_whether_thresholds_hold(call, tmp_path):
    old = written(tmp_path / "old.json", REPORT)
    assert call("audit", "compare", old, old).code == 0
    result = call("audit", "compare", old, written(tmp_path / "new.json", REPORT | {"f": 0.5}))
    assert result.code == 1 and "BROKEN" in result.out and "broken: F" in result.err


@pytest.mark.parametrize(
    "text, message",
    [("max_f = 1", "max_f_drop"), ("max_f_drop = 'a'", "number"), ("", "no threshold"), ("= 1", "line 1")],
)
def test_thresholds_that_cannot_be_checked_are_refused(tmp_path, text, message):
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="utf8")
    with pytest.raises(ValueError, match=message):
        read_thresholds(path)
