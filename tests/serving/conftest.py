"""A server of its own process, with the packaged model."""

import os
import subprocess
import sys
import threading
from contextlib import contextmanager

import httpx
import pytest
from helpers import ROOT

for package in ("fastapi", "uvicorn", "prometheus_client"):
    pytest.importorskip(package, reason="serving needs the extra 'serve'")


class Server:
    """A running server: its process, and a client of it."""

    def __init__(self, *options, **environment):
        command = [sys.executable, "-m", "metaie_spacy", "serve", "--port", "0", *options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.errors = []
        self._drain = threading.Thread(target=lambda: self.errors.extend(self.process.stderr), daemon=True)
        self._drain.start()
        line = self.process.stdout.readline()
        if not line.startswith("Listening on "):
            self.process.wait(60)
            self._drain.join(60)
            raise AssertionError("".join(self.errors))
        self.address = line.split()[-1]
        self.http = httpx.Client(base_url=self.address, timeout=300, limits=httpx.Limits(max_connections=None))

    def extract(self, **body):
        return self.http.post("/extract", json=body)

    def metric(self, name):
        for line in self.http.get("/metrics").text.splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[-1])
        raise AssertionError(f"no metric {name}")


@pytest.fixture(scope="session")
def start():
    """Starts servers; each ends with the block that it is used in."""

    @contextmanager
    def started(*options, **environment):
        server = Server(*options, **environment)
        try:
            yield server
        finally:
            server.http.close()
            server.process.kill()
            server.process.wait()

    return started


@pytest.fixture(scope="session")
def server(start):
    """A server with a schema by name and small limits."""
    limits = ("--most-characters", "60000", "--most-texts", "80", "--most-labels", "40", "--longest-run", "5000")
    with start("--schema", "assets/schemas/relations.json", "--timeout", "240", *limits) as running:
        yield running
