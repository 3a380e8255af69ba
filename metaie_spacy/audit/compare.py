"""An audit of a new model beside that of the one before, held to thresholds."""

from pathlib import Path
from typing import Any, Callable, Mapping

from ..data.jsonl import read_json_file, read_text
from .slices import FEW

Report = Mapping[str, Any]


def read_report(path: str | Path) -> Report:
    """What 'audit model' wrote as report.json. RAISES (ValueError): it is none."""
    try:
        report = read_json_file(path)
    except OSError as error:
        raise ValueError(f"'{path}': {error.strerror}. Run 'metaie audit model' first.") from None
    if not isinstance(report, dict) or not {"f", "slices", "names", "calibration"} <= set(report):
        raise ValueError(f"'{path}' is no report.json of 'metaie audit model'.")
    return report


def read_thresholds(path: str | Path) -> dict[str, float]:
    """Thresholds of a TOML file. RAISES (ValueError): there is none, it is malformed, or has one that is not known."""
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        import tomli as tomllib  # type: ignore

    path = Path(path)
    if not path.is_file():
        raise ValueError(f"There is no file of thresholds '{path}'; configs/audit.toml of the project is a template.")
    try:
        rules = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}.") from None
    for name, value in rules.items():
        if name not in CHECKS:
            raise ValueError(f"{path}: there is no threshold '{name}', only {', '.join(CHECKS)}.")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
            raise ValueError(f"{path}: {name} is {value!r}; give a number from 0 on.")
    if not rules:
        raise ValueError(f"{path} holds no threshold, so that nothing would be checked.")
    return rules


def compare_reports(old: Report, new: Report, rules: Mapping[str, float]) -> list[dict[str, Any]]:
    """What each threshold is about, in the old and the new report.

    RETURNS (list): "what", "old", "new", "bound" (the most or the least that "new" may be), "holds". A figure that one
        of the reports lacks is left out, unless it is the new one that lacks it: then the threshold is broken.
    """
    return [one for name, value in rules.items() for one in CHECKS[name](old, new, value)]


def _drop(what: str, old: float | None, new: float | None, most: float) -> list[dict[str, Any]]:
    if old is None:
        return []
    bound = old - most
    return [{"what": what, "old": old, "new": new, "bound": bound, "holds": new is not None and new >= bound - 1e-9}]


def _at_most(what: str, old: float | None, new: float | None, bound: float) -> list[dict[str, Any]]:
    if old is None and new is None:
        return []
    return [{"what": what, "old": old, "new": new, "bound": bound, "holds": new is not None and new <= bound + 1e-9}]


def _slices(report: Report) -> dict[str, Mapping[str, Any]]:
    return {f"{one['trait']}: {one['value']}": one for one in report["slices"] if one["spans"] >= FEW}


def _slice_drop(old: Report, new: Report, most: float) -> list[dict[str, Any]]:
    """The slice that lost most."""
    before, after = _slices(old), _slices(new)
    drops = {name: before[name]["f"] - after[name]["f"] for name in before.keys() & after.keys()}
    worst = max(sorted(drops), key=lambda name: drops[name], default=None)
    return [] if worst is None else _drop(f"F, {worst}", before[worst]["f"], after[worst]["f"], most)


def _slice_gap(old: Report, new: Report, most: float) -> list[dict[str, Any]]:
    found = [(-one["gap"], name) for name, one in _slices(new).items() if one.get("is_found")]
    if not found:
        return []
    gap, name = max(found)
    before = _slices(old).get(name)
    return _at_most(f"loss, {name}", None if before is None else -before["gap"], gap, most)


def _name_gap(report: Report) -> float | None:
    return max((-cell["gap"] for cell in report["names"]["cells"]), default=None)


def _growth(old: Report, new: Report, most: float) -> list[dict[str, Any]]:
    before = _name_gap(old)
    return [] if before is None else _at_most("largest gap of names, growth", before, _name_gap(new), before + most)


def _lost(report: Report, part: str) -> float | None:
    own = report.get(part) or {}
    return -own["gap"] if "gap" in own else None


def _error(report: Report) -> float | None:
    return next((one["ece"] for one in report["calibration"] if one["domain"] == "all"), None)


CHECKS: dict[str, Callable[[Report, Report, float], list[dict[str, Any]]]] = {
    "max_f_drop": lambda old, new, most: _drop("F", old["f"], new["f"], most),
    "max_slice_drop": _slice_drop,
    "max_slice_gap": _slice_gap,
    "max_name_gap": lambda old, new, most: _at_most("largest gap of names", _name_gap(old), _name_gap(new), most),
    "max_name_gap_growth": _growth,
    "max_wording_drop": lambda old, new, most: _at_most(
        "F lost in other words", _lost(old, "wordings"), _lost(new, "wordings"), most
    ),
    "max_distractor_drop": lambda old, new, most: _at_most(
        "F lost beside other labels", _lost(old, "distractors"), _lost(new, "distractors"), most
    ),
    "max_calibration_error": lambda old, new, most: _at_most("calibration error", _error(old), _error(new), most),
}
