"""Damaged files give what their undamaged records say, are refused by name, or what is lost is counted."""

import logging
import sys

from helpers import ROOT

sys.path.insert(0, str(ROOT))

from benchmarks.project.corruption import ENDS, FORMATS, run  # noqa: E402


def test_a_hundred_damaged_files_lose_nothing_in_silence():
    logging.disable(logging.WARNING)
    try:
        result = run(100, seed=3)
    finally:
        logging.disable(logging.NOTSET)
    assert result["variants"] == 100 and not result["faults"]
    ends = {end for kinds in result["table"].values() for counts in kinds.values() for end in counts}
    assert {"refused", "counted"} <= ends <= set(ENDS) and len(result["table"]) == len(FORMATS) + 2
