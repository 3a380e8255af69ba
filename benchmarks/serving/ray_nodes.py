"""A Ray cluster of two nodes on this machine, one of which is killed in the middle: every row once?

    python benchmarks/serving/ray_nodes.py --output benchmarks/results/ray_nodes.json

`ray start` twice, then `python -m metaie_spacy extract ... --engine ray`; when a third of the shards are there, all processes
of the second node are killed (kill -9). The rows of all shards are compared with those of one process. Linux only.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.labels import FEW
from benchmarks.lib.options import model_parser
from benchmarks.lib.paths import ROOT
from benchmarks.lib.process import kill
from benchmarks.lib.provenance import write_result
from benchmarks.lib.texts import sentences
from benchmarks.serving.bulk import compared, spans_in
from metaie_spacy.bulk import Extractor


def ray_start(port: int, folder: Path, *, is_head: bool, patience: int) -> subprocess.Popen:
    """A node of one CPU, which ends with its process."""
    ray = Path(sys.executable).with_name("ray")
    place = (
        ["--head", "--port", str(port), "--include-dashboard", "false"]
        if is_head
        else ["--address", f"127.0.0.1:{port}"]
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "RAY_raylet_start_wait_time_s": str(patience),
        "RAY_TMPDIR": str(folder),
    }
    log = (folder / ("head.log" if is_head else "second.log")).open("wb")
    command = [ray, "start", *place, "--num-cpus", "1", "--block", "--disable-usage-stats"]
    return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)


def wait_for(nodes: int, address: str, patience: int) -> None:
    """RAISES (RuntimeError): the cluster has not so many nodes in time."""
    code = f"import ray; ray.init('{address}', logging_level='error'); print(sum(n['Alive'] for n in ray.nodes()))"
    until = time.monotonic() + patience
    while time.monotonic() < until:
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        if result.stdout.strip() == str(nodes):
            return
        time.sleep(2)
    raise RuntimeError(f"{address} has not {nodes} nodes after {patience} s: {result.stdout} {result.stderr[-500:]}")


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--shard-rows", type=int, default=50)
    parser.add_argument("--port", type=int, default=6399)
    parser.add_argument("--patience", type=int, default=120, help="seconds until the nodes must be there")
    args = parser.parse_args()
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # else `ray start` asks tokens, and who connects gives none
    shards, address = -(-args.texts // args.shard_rows), f"127.0.0.1:{args.port}"
    nodes = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = list(islice(sentences(2), args.texts))
        path, out = folder / "texts.jsonl", folder / "out"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf8")
        try:
            nodes.append(ray_start(args.port, folder, is_head=True, patience=args.patience))
            wait_for(1, address, args.patience)
            nodes.append(ray_start(args.port, folder, is_head=False, patience=args.patience))
            wait_for(2, address, args.patience)
            command = [
                sys.executable,
                "-m",
                "metaie_spacy",
                "extract",
                path,
                "--output",
                f"{out}/",
                "--labels",
                ", ".join(FEW),
            ]
            command += ["--model", args.model, "--engine", "ray", "--address", address, "--workers", "2"]
            command += ["--shard-rows", args.shard_rows]
            began = time.monotonic()
            process = subprocess.Popen(list(map(str, command)), cwd=ROOT, stderr=subprocess.PIPE, text=True)
            done = 0
            while process.poll() is None and (done := len(list(out.glob("part-*")))) < shards // 3:
                time.sleep(0.2)
            kill(nodes[1].pid, children=True)
            _, words = process.communicate()
            seconds = time.monotonic() - began
        finally:
            for node in reversed(nodes):
                kill(node.pid, children=True)
        if process.returncode:
            raise RuntimeError(words[-2000:])
        found = spans_in(out)
        expected = [row["spans"] for row in Extractor(args.model, FEW)([{"text": text} for text in texts])]
        result = {
            "texts": args.texts, "shards": shards, "shards_when_a_node_was_killed": done, "rows_out": len(found),
            "seconds": seconds, **compared(found, expected),
            "summary": json.loads((out / "_summary.json").read_text(encoding="utf8")),
        }  # fmt: skip
    print(result)
    write_result(args.output, result, args.model)


if __name__ == "__main__":
    main()
