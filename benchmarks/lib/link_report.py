"""The table of links in docs/benchmark.md, from the cells that benchmarks/quality/links.py wrote."""

import json
from pathlib import Path
from typing import Any

from benchmarks.lib.evidence import interval
from benchmarks.lib.paths import RESULTS

DATASETS = ("conll2004", "ade", "aste_restaurant14", "aste_laptop14", "casie", "ewt_srl")
SETTINGS = {
    "gold_heads": "gold heads, free tails",
    "gold_spans": "gold heads and tails",
    "end_to_end": "end to end",
}
WAYS = {"rule": "rule", "words": "questions in words", "links": "links, zero-shot", "shots": "links, 5-shot"}
PACKAGED = "en_metaie_sm"
Way = tuple[str, str]  # model and way
Cells = dict[tuple[str, str, int], dict[Way, dict]]  # dataset, setting, first texts -> way -> cell


def cells(folder: Path = RESULTS / "links") -> Cells:
    """The cells of test files, or of rows; of weights that are in no package only those of the component's links."""
    found: Cells = {}
    for path in sorted(folder.glob("*.json")):
        cell = json.loads(path.read_text(encoding="utf8"))
        model = path.name.split("__")[1]
        if cell["split"] == "test" and (model == PACKAGED or cell["way"] in ("links", "shots")):
            found.setdefault((cell["dataset"], cell["setting"], cell["first"]), {})[model, cell["way"]] = cell
    return found


def ways_of(found: Cells) -> list[Way]:
    """The columns: of the packaged model first."""
    ways = {way for own in found.values() for way in own}
    return sorted(ways, key=lambda way: (way[0] != PACKAGED, way[0], list(WAYS).index(way[1])))


def titled(way: Way) -> str:
    """The head of a column; weights that are in no package are named."""
    return WAYS[way[1]] + ("" if way[0] == PACKAGED else f" (development weights {way[0]})")


def links_block(folder: Path = RESULTS / "links") -> list[str]:
    """What links are found by each way, and how often the right head is chosen."""
    found = cells(folder)
    ways = ways_of(found)
    names = sorted({dataset for dataset, *_ in found}, key=lambda name: ((*DATASETS, name).index(name), name))
    lines: list[str] = []
    for first in sorted({first for *_, first in found}, key=lambda first: first or 10**9):
        title = (
            f"The first {first} test texts by seed 0" if first else "All test texts, and all held-out rows with links"
        )
        head = ["F1", "texts", "gold", *map(titled, ways)]
        lines += [f"{title}:", "", f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
        for name in names:
            for setting in SETTINGS:
                lines += rows_of(found.get((name, setting, first), {}), name, setting, ways)
        lines.append("")
    return lines + choice_lines(found, ways) + cost_lines(folder.parent) + hostile_lines(folder.parent)


def cost_lines(folder: Path) -> list[str]:
    """What links cost beside labels alone, and what a pass for every question would."""
    path = folder / "links_cost.json"
    if not path.exists():
        return []
    cost = json.loads(path.read_text(encoding="utf8"))
    counts, times = cost["counts"]["links"], cost["against_labels"]
    bound, ratio = counts["bound"], times["links"]["ratio"]
    return [
        "",
        f"Cost, {cost['texts']} texts of `{cost['data']}` with `{cost['schema']}` ({cost['relations']} relations, {counts['heads']} heads) on "
        f"{of_model(cost)}: links and labels take {ratio:.2f} x the CPU time of the labels alone "
        f"({'at most' if ratio <= bound else 'more than'} {bound:.2f}, which is 1.2 x what the pieces that are read once more would "
        f"cost). One pass for every head and relation takes {cost['against_links']['single']['ratio']:.1f} x as long as that, questions in "
        f"words {cost['against_links']['in words']['ratio']:.1f} x. By `{script(cost)}`.",
    ]


def hostile_lines(folder: Path) -> list[str]:
    """What became of links in hostile texts."""
    path = folder / "robustness.json"
    found = json.loads(path.read_text(encoding="utf8")).get("links") if path.exists() else None
    if not found:
        return []
    return [
        "",
        f"Hostile texts: of {found['texts']:,} texts of random Unicode, a tree of links of depth 3 with inverse questions and attributes is "
        f"asked on {of_model(found)}: {len(found['refused'])} refused, {found['links']:,} links, all places right; alone instead of in a batch, no score changes by more "
        f"than {found['largest_change_alone']:.1e}. By `{script(found)}`.",
    ]


def of_model(result: dict) -> str:
    is_packaged = result["model"].partition("-")[0] == PACKAGED  # its version may stand behind it
    return result["model"] if is_packaged else f"development weights {result['model']}"


def script(result: dict) -> str:
    return result["command"].split(" --")[0]


def rows_of(own: dict[Way, dict], name: str, setting: str, ways: list[Way]) -> list[str]:
    """One line, and for opinions another one of the triplets."""
    if not own:
        return []
    some = next(iter(own.values()))
    parts = [("", lambda cell: cell)]
    if "triplets" in some:
        parts = [(" pairs", lambda cell: cell), (" triplets", lambda cell: cell.get("triplets"))]
    lines = []
    for part, read in parts:
        figures = [
            figure(read(own[way]) if way in own else None, own.get(way), not part or part == " pairs") for way in ways
        ]
        gold = read(some)["links"]
        lines.append(f"| {name}{part}, {SETTINGS[setting]} | {some['texts']} | {gold} | {' | '.join(figures)} |")
    return lines


def figure(scores: dict | None, cell: dict | None, is_links: bool) -> str:
    """F with its interval; of a rule its name, of answers what they would be worth bound to the nearest head."""
    if scores is None or cell is None:
        return ""
    text = f"**{scores['f'] * 100:.1f}** ({interval(scores['f_low'], scores['f_high'])})"
    if not is_links:
        return text
    if "rule" in cell:
        return f"{text} {cell['rule']}"
    return f"{text}; nearest head {cell['nearest_of_same']['f'] * 100:.1f}" if "nearest_of_same" in cell else text


def choice_lines(found: Cells, ways: list[Way]) -> list[str]:
    rows: list[Any] = [(key, own) for key, own in found.items() if key[1] == "head_choice"]
    if not rows:
        return []
    head = ["the right head", "cases", "chance", *("nearest head" if way[1] == "rule" else titled(way) for way in ways)]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for (name, _, first), own in rows:
        some = next(iter(own.values()))
        shares = [f"{own[way]['share']:.0%}" if way in own else "" for way in ways]
        texts = f"first {first} texts" if first else "all texts"
        lines.append(f"| {name}, {texts} | {some['cases']} | {some['chance']:.0%} | {' | '.join(shares)} |")
    return lines
