"""The tables of docs/peers.md, from the result of benchmarks/serving/peers.py."""

from statistics import mean
from typing import Any, Callable, Iterator

from benchmarks.lib.evidence import CROSSNER, NER6
from benchmarks.lib.paths import ROOT, command_of
from benchmarks.lib.peers import CONTENDERS
from benchmarks.lib.serving_report import read

PLOT = "peers_speed.svg"
Cells = dict[tuple[str, str, int], dict[str, dict]]


def cells_of(result: dict[str, Any], part: str) -> Cells:
    """(texts, mode, labels) -> contender -> what was measured."""
    return {tuple(entry["cell"]): entry["contenders"] for entry in result.get(part, {}).get("cells", [])}


def title(name: str) -> str:
    """Of a contender, or of a variant of one."""
    own, _, variant = name.partition(", ")
    return f"{CONTENDERS[own].title}, {variant}" if variant else CONTENDERS[own].title


def shown(found: dict | None, key: str, limit: float) -> str:
    """A figure of a cell, or why there is none."""
    if found is None:
        return "-"
    if "too_slow" in found:
        return f"over {limit:g} s"
    return "failed" if "error" in found else f"{found[key]:,.{1 if found[key] < 100 else 0}f}"


def speed_table(cells: Cells, texts: str, mode: str, limit: float) -> list[str]:
    """A row a contender, a column a number of labels."""
    numbers = sorted({n for kind, way, n in cells if (kind, way) == (texts, mode)})
    names = list(dict.fromkeys(name for cell, found in cells.items() if cell[:2] == (texts, mode) for name in found))
    key = "texts_per_s" if mode == "batch" else "p50_ms"
    lines = [f"| | {' | '.join(f'{n:,}' for n in numbers)} |", "|---" * (len(numbers) + 1) + "|"]
    for name in sorted(names, key=lambda name: list(CONTENDERS).index(name.partition(", ")[0])):
        row = [shown(cells[texts, mode, n].get(name), key, limit) for n in numbers]
        lines.append(f"| {title(name)} | {' | '.join(row)} |")
    return lines


def failures(cells: Cells) -> list[str]:
    """What failed, each reason once."""
    found = {
        (name, own["error"]) for contenders in cells.values() for name, own in contenders.items() if "error" in own
    }
    return [f"- Failed: {title(name)}: `{reason.replace('`', '')}`" for name, reason in sorted(found)]


def speed() -> list[str]:
    """Texts a second in batches, and milliseconds of single texts."""
    result = read("peers")
    if not result or "float32" not in result:
        return ["Not measured yet."]
    lines = [
        f"float32, {result['threads']} thread{'s' * (result['threads'] > 1)}, medians of {result['rounds']} rounds in which all take turns; {result['texts']} short texts, a quarter as many of 300 words (`{command_of(result)}`)."
    ]
    lines += ["", f"![Texts a second by the number of labels]({PLOT})"] * (ROOT / "docs" / PLOT).exists()
    cells = cells_of(result, "float32")
    for texts, mode in dict.fromkeys(cell[:2] for cell in cells):
        what = "texts a second in batches" if mode == "batch" else "single texts, p50 in ms"
        lines += [
            "",
            f"{texts.capitalize()}{' texts' if texts == 'short' else ''}, {what}, by the number of labels:",
            "",
        ]
        lines += speed_table(cells, texts, mode, result["limit"])
    return [*lines, "", *failures(cells)]


def at_best() -> list[str]:
    """Each in every way it offers, on all cores."""
    result = read("peers")
    if not result or "best" not in result:
        return ["Not measured yet."]
    lines, cells = [f"On {result['cores']} threads:"], cells_of(result, "best")
    for texts, mode in dict.fromkeys(cell[:2] for cell in cells):
        what = "texts a second in batches" if mode == "batch" else "single texts, p50 in ms"
        lines += ["", f"{texts.capitalize()}{' texts' if texts == 'short' else ''}, {what}:", ""]
        lines += speed_table(cells, texts, mode, result["limit"])
    return [*lines, "", *failures(cells)]


def mean_f(result: dict[str, Any], name: str) -> float | None:
    """Mean F of a contender over the nine sets; None: not all of them were scored."""
    sets = result.get("quality", {}).get(name, {}).get("sets", {})
    return mean(sets[one]["f"] for one in (*NER6, *CROSSNER)) if {*NER6, *CROSSNER} <= set(sets) else None


def quality() -> list[str]:
    """Zero-shot F of what was trained alike, and how it was trained."""
    result = read("peers")
    if not result or not result.get("quality"):
        return ["Not measured yet."]
    names = list(result["quality"])
    lines = [f"| F1 | {' | '.join(map(title, names))} |", "|---" * (len(names) + 1) + "|"]
    for dataset in (*NER6, *CROSSNER):
        found = [result["quality"][name]["sets"].get(dataset) for name in names]
        lines.append(f"| {dataset} | {' | '.join('-' if one is None else format(one['f'], '.1%') for one in found)} |")
    means = [mean_f(result, name) for name in names]
    lines.append(f"| **mean** | {' | '.join('-' if f is None else f'**{f:.1%}**' for f in means)} |")
    most = max((one["texts"] for own in result["quality"].values() for one in own["sets"].values()), default=0)
    lines += [
        "",
        f"At most {most:,} texts of each set.",
        "",
        "| trained | CPU minutes | steps | learning rate of the encoder | threshold | F on held-out rows |",
        "|---|---|---|---|---|---|",
    ]
    for name in names:
        note, own = result["training"][name], result["quality"][name]
        lines.append(
            f"| {title(name)} | {note['cpu_minutes']:.1f} | {note['steps']:,} | {note['rate']:g} | {own['threshold']:g} | {own['dev_f']:.1%} |"
        )
    return [*lines, "", *rates(result), *not_built(result)]


def rates(result: dict[str, Any]) -> list[str]:
    """What each learning rate came to after an eighth of the time, of those contenders that had several."""
    lines = []
    for name, found in result.get("rates", {}).items():
        each = ", ".join(f"{f:.1%} at {float(rate):g}" for rate, f in found["dev_f"].items())
        lines.append(f"- {title(name)}, F on held-out rows after an eighth of the time: {each}")
    return lines


def not_built(result: dict[str, Any]) -> list[str]:
    return [f"- Not built: {name}: `{reason.replace('`', '')}`" for name, reason in result["not_built"].items()]


def start() -> list[str]:
    """Start, memory and size."""
    result = read("peers")
    if not result or not result.get("start"):
        return ["Not measured yet."]
    peak = result.get("float32", {}).get("memory", {})
    lines = [
        "| | process start to first answer, s | resident after it, MiB | peak over the cells, MiB | size on disk, MB |",
        "|---|---|---|---|---|",
    ]
    for name, found in result["start"].items():
        most = f"{peak[name]:,.0f}" if name in peak else "-"
        lines.append(
            f"| {title(name)} | {found['start_s']:.1f} | {found['resident_mib']:,.0f} | {most} | {found['disk_mb']:,.0f} |"
        )
    return lines


def ratio(cells: Cells, cell: tuple[str, str, int], ours: str, theirs: str, key: str) -> float | None:
    """A figure of one contender over another's in a cell; None: one of them has none."""
    found = [cells.get(cell, {}).get(name, {}).get(key) for name in (ours, theirs)]
    return found[0] / found[1] if all(found) else None


def aims(result: dict[str, Any]) -> Iterator[tuple[str, str, float | None, bool | None]]:
    """What was aimed at, in words, the bound, what was measured (None: nothing), and whether it holds."""
    cells = cells_of(result, "float32")

    def least(what: str, bound: float, value: float | None) -> tuple:
        return what, f"at least {bound:g}", value, None if value is None else value >= bound

    def most(what: str, bound: float, value: float | None) -> tuple:
        return what, f"at most {bound:g}", value, None if value is None else value <= bound

    for rival in ("gliner_uni", "gliner_bi"):
        for labels, bound in ((4, 12), (64, 15)):
            value = ratio(cells, ("short", "batch", labels), "ours", rival, "texts_per_s")
            yield least(f"Texts/s over those of {title(rival)}, {labels} labels", bound, value)
        own, other = mean_f(result, "ours"), mean_f(result, rival)
        yield least(f"Mean F less that of {title(rival)}", 0, None if None in (own, other) else own - other)
    few, many = (cells.get(("short", "batch", n), {}).get("ours", {}).get("seconds") for n in (4, 256))
    yield most("Time with 256 labels over that with 4", 2, many / few if few and many else None)
    at = result["fixed_at"]
    yield least(
        f"`nlp.pipe` over the bare encoder, texts/s, {at} labels",
        0.8,
        ratio(cells, ("short", "batch", at), "ours", "bare", "texts_per_s"),
    )
    yield least(
        "Words/s over those of CNN `ner`", 0.3, ratio(cells, ("short", "batch", at), "ours", "ner", "words_per_s")
    )
    yield most(
        f"p50 of single texts over the bare encoder's, {at} labels",
        1.2,
        ratio(cells, ("short", "single", at), "ours", "bare", "p50_ms"),
    )


def aims_table() -> list[str]:
    """What was aimed at before it was measured."""
    result = read("peers")
    if not result:
        return ["Not measured yet."]
    lines = ["| ratio | aim | measured | holds |", "|---|---|---|---|"]
    for what, bound, value, holds in aims(result):
        lines.append(
            f"| {what} | {bound} | {'-' if value is None else f'{value:.3g}'} | {'-' if holds is None else 'yes' if holds else '**no**'} |"
        )
    return lines


def plot(path) -> None:
    """Texts a second by the number of labels, of short texts and of 300 words; both axes logarithmic."""
    from matplotlib import pyplot

    result = read("peers")
    cells = cells_of(result, "float32") if result else {}
    if not cells:
        return
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 3.6))
    for axis, texts in zip(axes, ("short", "300 words")):
        for name in CONTENDERS:
            found = {
                n: own[name]["texts_per_s"]
                for (kind, mode, n), own in cells.items()
                if (kind, mode) == (texts, "batch") and "texts_per_s" in own.get(name, {})
            }
            if found:
                axis.plot(list(found), list(found.values()), "o-", markersize=3, label=title(name).replace("`", ""))
        axis.set(xscale="log", yscale="log", title=texts, xlabel="labels", ylabel="texts a second")
        axis.minorticks_off()
    axes[0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


BLOCKS: dict[str, Callable[[], list[str]]] = {
    "peers_aims": aims_table,
    "peers_quality": quality,
    "peers_speed": speed,
    "peers_best": at_best,
    "peers_start": start,
}
