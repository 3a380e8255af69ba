"""Tables of docs/benchmark.md on attacks, fuzz runs, damaged files and growth."""

import json
from pathlib import Path

from benchmarks.lib.paths import RESULTS, command_of

# The columns of corruption.json's table, and the ways in which reading a damaged file may end well.
HARM = {
    "cut": "cut inside a record",
    "bytes": "bytes of no such encoding",
    "grammar": "a field outside its grammar",
    "key": "a renamed key",
}
ENDS = ("counted", "refused", "right")


def load(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf8"))


def attacks() -> list[str]:
    """Attack -> result."""
    result = load("attacks")
    lines = ["| attack | cases | result |", "|---|---|---|"]
    for attack, row in result["attacks"].items():
        found = f"OPEN: {', '.join(row['open'])}" if row["open"] else "held"
        lines.append(f"| {attack.partition('. ')[2]} | {row['cases']} | {found} |")
    n_open = sum(bool(row["open"]) for row in result["attacks"].values())
    cases = sum(row["cases"] for row in result["attacks"].values())
    return [*lines, "", f"{cases:,} cases, {n_open} attacks open (`{command_of(result)}`)."]


def fuzz() -> list[str]:
    """The longer runs by seed; a run without a result file is named."""
    rows, missing = [], []
    for name, line in (("weights_fuzz", fuzzed_weights), ("teacher_attacks", attacked_teacher)):
        try:
            rows.append(line(load(name)))
        except FileNotFoundError as error:
            missing.append(f"Not measured yet: {Path(error.filename).name} is missing.")
    table = ["| run | result | command |", "|---|---|---|", *rows]
    return [*(table if rows else []), *([""] if rows and missing else []), *missing]


def fuzzed_weights(result: dict) -> str:
    ordered = sorted(result["outcomes"].items(), key=lambda pair: -pair[1])
    outcomes = ", ".join(f"{number:,} {name}" for name, number in ordered)
    return (
        f"| {result['cases']:,} saved weights changed by chance, each in a process of its own | {outcomes}; none failed; "
        f"at most {result['largest_growth_mib']} MiB more memory | `{command_of(result)}` |"
    )


def attacked_teacher(result: dict) -> str:
    attacks = result["attacks"]
    seconds, megabytes = (max(row[name] for row in attacks) for name in ("seconds", "memory_mb"))
    return (
        f"| {len(attacks)} attacks of an endpoint, a second process or a broken store on the teacher's client | "
        f"{sum(row['held'] for row in attacks)} held; at most {seconds:.0f} s and {megabytes:.0f} MB more memory | "
        f"`{command_of(result)}` |"
    )


def corruption() -> list[str]:
    """Damaged files by format: what became of them."""
    result = load("corruption")
    kinds = list(next(iter(result["table"].values())))
    lines = [f"| format | {' | '.join(HARM[kind] for kind in kinds)} |", "|---" * (len(kinds) + 1) + "|"]
    for form, row in result["table"].items():
        lines.append(f"| `{form}` | {' | '.join(_ended(row[kind]) for kind in kinds)} |")
    faults = len(result["faults"])
    note = f"{result['variants']:,} files, of which {faults or 'none'} ended wrongly (`{command_of(result)}`)."
    return [*lines, "", note]


def _ended(found: dict[str, int]) -> str:
    return ", ".join(f"{found[end]} {end}" for end in ENDS if end in found) or "-"


def growth() -> list[str]:
    """Exponents by part."""
    result = load("growth")
    lines = ["| part | inputs | exponent of time | exponent of memory |", "|---|---|---|---|"]
    for part, rows in result["growth"].items():
        spans = []
        for name in ("time", "memory"):
            told = [row[name] for row in rows.values() if row[name] is not None]
            spans.append(f"{min(told):.2f} to {max(told):.2f}" if told else "too little to tell")
        lines.append(f"| {part} | {len(rows)} | {spans[0]} | {spans[1]} |")
    n_open = len(result["open"])
    note = f"From 2n to 4n; up to {result['passes']} passes, {n_open or 'none'} does not (`{command_of(result)}`)."
    return [*lines, "", note]


def installs() -> list[str]:
    """Pythons, and versions of transformers."""
    result = load("installs")
    lines = ["| Python | spaCy | torch | what was tried | tests |", "|---|---|---|---|---|"]
    for row in result["pythons"]:
        tests = row.get("tests")
        passed = f"{tests['passed']} passed, {tests['failed']} failed" if tests else "-"
        found = row["resolved"]
        lines.append(
            f"| {row['python']} | {found['spacy']} | {found['torch']} | {row['result']}: {', '.join(row['commands'])} | {passed} |"
        )
    lines += [
        "",
        "| transformers | spans as in the pinned version | largest change of a score | tests |",
        "|---|---|---|---|",
    ]
    for row in result["transformers"]:
        same, tests = "all" if row["same_spans"] else "NO", row["tests"]
        counts = f"{tests['passed']} passed, {tests['failed']} failed, {tests['skipped']} skipped"
        lines.append(f"| {row['transformers']} | {same} of {row['spans']} | {row['largest_change']:.0e} | {counts} |")
    return [*lines, "", f"(`{command_of(result)}`)"]
