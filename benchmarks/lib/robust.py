"""Tables of docs/benchmark.md on attacks, fuzz runs and growth."""

import json

from benchmarks.lib.paths import RESULTS, command_of


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
    """The longer runs by seed."""
    weights, teacher = load("weights_fuzz"), load("teacher_attacks")
    how = weights["outcomes"]
    outcomes = ", ".join(f"{number:,} {name}" for name, number in sorted(how.items(), key=lambda pair: -pair[1]))
    held = sum(row["held"] for row in teacher["attacks"])
    seconds, megabytes = (max(row[name] for row in teacher["attacks"]) for name in ("seconds", "memory_mb"))
    return [
        "| run | result | command |",
        "|---|---|---|",
        f"| {weights['cases']:,} saved weights changed by chance, each in a process of its own | {outcomes}; none failed; "
        f"at most {weights['largest_growth_mib']} MiB more memory | `{command_of(weights)}` |",
        f"| {len(teacher['attacks'])} attacks of an endpoint, a second process or a broken store on the teacher's client | "
        f"{held} held; at most {seconds:.0f} s and {megabytes:.0f} MB more memory | `{command_of(teacher)}` |",
    ]


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
