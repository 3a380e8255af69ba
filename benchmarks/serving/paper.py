"""What a run over so much text takes on so many machines, from a measured rate: no run, a sum.

    python benchmarks/serving/paper.py --gigabytes 1000 --machines 1000 --cores 16 --core_hour 0.04

The rate is that of a result file, by default of benchmarks/results/bulk.json if it is there, else of memory.json; both are
made with eight labels. Characters of a text are those of the sentences that were measured.
"""

import argparse
import json
import statistics
import sys
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.paths import RESULTS
from benchmarks.lib.texts import sentences


def rate_of(path: Path) -> tuple[float, int]:
    """Texts a second, the best of all ways, and the cores that it took."""
    result = json.loads(path.read_text(encoding="utf8"))
    rates = result["texts_per_s"]
    return (max(rates.values()), result["cores"]) if isinstance(rates, dict) else (rates, result["threads"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, required=True, help="of text")
    parser.add_argument("--machines", type=int, default=1)
    parser.add_argument("--cores", type=int, default=16, help="of a machine")
    parser.add_argument("--core_hour", type=float, default=0.0, help="price of a core for an hour")
    parser.add_argument("--start", type=float, default=30.0, help="seconds until a process reads its first text")
    parser.add_argument("--shard-rows", type=int, default=5000)
    parser.add_argument("--result", type=Path, help="the file whose rate counts")
    args = parser.parse_args()
    path = args.result or next(RESULTS / n for n in ("bulk.json", "memory.json") if (RESULTS / n).exists())
    rate, cores = rate_of(path)
    size = statistics.mean(len(text.encode("utf8")) for text in islice(sentences(0), 5000))
    texts = args.gigabytes * 1e9 / size
    work = texts / (rate / cores)  # seconds of one core
    seconds = args.start + work / (args.machines * args.cores)
    shards = texts / args.shard_rows
    for name, value in (
        ("rate", f"{rate:.0f} texts a second on {cores} cores ({path.name})"),
        ("texts", f"{texts:,.0f} of {size:.0f} bytes"),
        ("core hours", f"{work / 3600:,.0f}"),
        ("hours on the clock", f"{seconds / 3600:,.2f}, of which {args.start:.0f} s are starting"),
        ("texts a second", f"{texts / seconds:,.0f}"),
        ("text read a second", f"{texts * size / seconds / 1e6:,.1f} MB"),
        ("shards", f"{shards:,.0f}, {shards / seconds:,.2f} a second"),
        ("cost", f"{(seconds * args.machines * args.cores / 3600) * args.core_hour:,.2f}"),
    ):
        print(f"{name:<20} {value}")


if __name__ == "__main__":
    main()
