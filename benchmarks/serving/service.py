"""Load on the service of docs/howto/service.md that goes into an application: clients on loopback, a server process.

    python benchmarks/serving/service.py --output benchmarks/results/service.json

Runs the code block of that page that begins with "# service.py" under uvicorn, as the page says, and asks it from
`--clients` connections for `--seconds` seconds. Every request brings a text and some of twenty labels; answers are
checked. Needs fastapi, uvicorn and httpx (the extra "test"). Clients and server share the machine.
"""

import argparse
import asyncio
import random
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.paths import CORPUS, ROOT
from benchmarks.lib.process import resident
from benchmarks.lib.provenance import write_result
from benchmarks.lib.server import LABELS
from benchmarks.lib.texts import texts_of


def service_code() -> str:
    """The page's code block that begins with '# service.py'."""
    blocks = (ROOT / "docs" / "howto" / "service.md").read_text(encoding="utf8").split("```python\n")[1:]
    return next(block.split("```")[0] for block in blocks if block.startswith("# service.py"))


def start_server(folder: str) -> tuple[subprocess.Popen, str]:
    Path(folder, "service.py").write_text(service_code(), encoding="utf8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "service:app", "--port", str(port), "--log-level", "warning"]
    server = subprocess.Popen(command, cwd=folder)
    address = f"http://127.0.0.1:{port}"
    for _ in range(240):
        try:
            if httpx.post(f"{address}/extract", json={"text": "Ada.", "labels": ["person"]}).status_code == 200:
                return server, address
        except httpx.TransportError:
            time.sleep(0.5)
    server.terminate()
    raise SystemExit("The service did not come up within two minutes.")


async def client(address: str, texts: list[str], rng: random.Random, until: float, seconds: list, errors: list) -> None:
    async with httpx.AsyncClient(timeout=60) as http:
        while time.perf_counter() < until:
            body = {"text": rng.choice(texts), "labels": rng.sample(LABELS, rng.randint(1, 8))}
            began = time.perf_counter()
            try:
                response = await http.post(f"{address}/extract", json=body)
                spans = response.raise_for_status().json()
                wrong = [
                    s
                    for s in spans
                    if body["text"][s["start"] : s["end"]] != s["text"] or s["label"] not in body["labels"]
                ]
                if wrong:
                    raise ValueError(f"wrong spans {wrong}")
            except (httpx.HTTPError, ValueError) as error:
                errors.append(repr(error))
                continue
            seconds.append(time.perf_counter() - began)


async def load(address: str, texts: list[str], clients: int, duration: float) -> tuple[list, list]:
    seconds, errors, until = [], [], time.perf_counter() + duration
    await asyncio.gather(*(client(address, texts, random.Random(i), until, seconds, errors) for i in range(clients)))
    return seconds, errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    texts = texts_of(CORPUS)
    with tempfile.TemporaryDirectory() as folder:
        server, address = start_server(folder)
        try:
            asyncio.run(load(address, texts, args.clients, 5))  # warm
            before = resident(server.pid)
            seconds, errors = asyncio.run(load(address, texts, args.clients, args.seconds))
            after = resident(server.pid)
        finally:
            server.terminate()
            server.wait()
    result = {
        "clients": args.clients, "seconds": args.seconds, "requests": len(seconds), "errors": len(errors), "first_errors": errors[:3],
        "requests_per_s": len(seconds) / args.seconds, "p50_ms": float(np.percentile(seconds, 50) * 1000), "p99_ms": float(np.percentile(seconds, 99) * 1000),
        "mean_words": sum(len(text.split()) for text in texts) / len(texts), "server_resident_mib": [round(before, 1), round(after, 1)],
    }  # fmt: skip
    print(result)
    write_result(args.output, result, "en_metaie_sm")


if __name__ == "__main__":
    main()
