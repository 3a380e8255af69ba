"""The tables of the router in docs/benchmark.md, from the results of benchmarks/quality/route.py and dialogue.py."""

import json
from pathlib import Path
from typing import Iterator, Mapping

from benchmarks.lib.evidence import interval
from benchmarks.lib.paths import RESULTS, command_of

POLICIES = ("random", "cascade", "errors", "knn", "reliable_knn", "learned", "per_label", "oracle")
SHARES = ("0.9", "0.95", "0.99")


def best_on_dev(policies: Mapping[str, dict]) -> str:
    """The policy with the best AIQ, of those that choose."""
    ranked = {name: one["aiq"] for name, one in policies.items() if "aiq" in one and name not in ("random", "oracle")}
    return max(ranked, key=ranked.get)


def results(folder: Path, beginning: str) -> Iterator[dict]:
    for path in sorted(folder.glob(f"{beginning}*.json")):
        yield json.loads(path.read_text(encoding="utf8"))


def route_block(folder: Path = RESULTS / "route") -> list[str]:
    """F at half of the calls by policy, of every small model that was measured."""
    lines: list[str] = []
    for result in results(folder, "route"):
        own = result["test"]
        title = f"{result['note']}: F1 {own['small']:.1%} alone, the large model {own['large']:.1%}, the better one of each text {own['ceiling']:.1%}"
        lines += [*([""] if lines else []), f"{title} ({own['texts']:,} texts, {own['gold']:,} spans):", ""]
        lines += [
            "| policy | F1 at half of the calls | of the way from random to oracle | before the cascade | AIQ | calls that keep 90 / 95 / 99 % of the large model's F1 |",
            "|---|---|---|---|---|---|",
        ]
        for name in POLICIES:
            if "aiq" not in own["policies"].get(name, {}):
                continue
            policy = own["policies"][name]
            low, lead, high = policy["difference"]["f_at_half"]
            ahead = "-" if name == policy["against"] else f"{lead * 100:+.1f} ({interval(low, high)})"
            kept = " / ".join(f"{policy['share_for'][share]:.0%}" for share in SHARES)
            mark = " (best on dev)" if name == result["default"] else ""
            lines.append(
                f"| `{name}`{mark} | **{policy['f_at_half'] * 100:.1f}** ({interval(*policy['f_at_half_interval'])}) | {policy['way_to_oracle']:.0%} "
                f"| {ahead} | {policy['aiq'] * 100:.1f} | {kept} |"
            )
        lines += ["", f"(`{command_of(result)}`)"]
    return lines or ["Not measured yet."]


def dialogue_block(folder: Path = RESULTS / "route") -> list[str]:
    """Turns of dialogues whose change of state is right, by policy."""
    lines: list[str] = []
    for result in results(folder, "dialogue"):
        own = result["test"]
        any_policy = next(policy for policy in own["policies"].values() if "turns" in policy)["turns"]
        lines += [*([""] if lines else [])]
        lines += [
            f"{result['note']}: F1 of slots {own['small']:.1%}, turns right {any_policy['all']['small']:.1%}; the large model {own['large']:.1%} and {any_policy['all']['large']:.1%} ({own['texts']} turns):",
            "", "| policy | F1 at half of the calls | turns right at half of the calls | of the turns that change something |", "|---|---|---|---|",
        ]  # fmt: skip
        for name in POLICIES:
            policy = own["policies"].get(name, {})
            if "turns" in policy:
                every, changing = (policy["turns"][kind]["at_half"] for kind in ("all", "changing"))
                mark = " (best on dev)" if name == result["default"] else ""
                lines.append(f"| `{name}`{mark} | {policy['f_at_half'] * 100:.1f} | **{every:.1%}** | {changing:.1%} |")
        lines += ["", f"(`{command_of(result)}`)"]
    return lines or ["Not measured yet."]
