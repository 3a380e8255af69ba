"""Rows to review, a review in this process or of its own, and Chromium."""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from helpers import ROOT
from review_rows import write_rows

for package in ("fastapi", "uvicorn", "prometheus_client", "scipy", "krippendorff"):
    pytest.importorskip(package, reason="the review needs the extra 'review'")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ADDRESS = re.compile(r"^Listening(?: for (\w+))? on (\S+)$")


@pytest.fixture
def review_of(tmp_path):
    """Makes reviews of rows, with answers in `tmp_path`; each is in the order of doubt."""
    from metaie_spacy.data.items import blank_tokenizer
    from metaie_spacy.review.answers import Answers
    from metaie_spacy.review.entries import read_entries
    from metaie_spacy.review.queue import Queue
    from metaie_spacy.review.review import Review

    opened = []

    def make(rows, *reviewers, answers="answers.jsonl", waits=True, **options):
        path = rows if hasattr(rows, "exists") else write_rows(tmp_path / "rows.jsonl", rows)
        entries, items, entry_of = read_entries([path])
        book = Answers(tmp_path / answers)
        opened.append(book)
        labels = options.pop("labels", ())
        queue = Queue(entries, book, **options)
        review = Review(queue, book, reviewers or ("ada",), blank_tokenizer("en"), labels=labels, name=path.name)
        thread = review.order(items, entry_of)
        if waits:
            thread.join()
        return review

    yield make
    for book in opened:
        book.close()


@pytest.fixture
def serve_here():
    """Serves a review from a thread. RETURNS (Callable): review -> reviewer -> address."""
    import uvicorn

    from metaie_spacy.review.app import make_app
    from metaie_spacy.serving.server import listen

    running = []

    def serve(review, service=None):
        listening = listen("127.0.0.1", 0)
        server = uvicorn.Server(
            uvicorn.Config(make_app(review, service), log_level="warning", timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        running.append((server, thread, listening))
        while not server.started:
            time.sleep(0.01)
        return {
            name: f"http://127.0.0.1:{listening.getsockname()[1]}/#token={own}" for name, own in review.tokens.items()
        }

    yield serve
    for server, thread, listening in running:
        server.should_exit = True
        thread.join(20)
        listening.close()


@pytest.fixture
def start_process():
    """Starts `metaie review` as a process of its own. RETURNS (Callable): options -> (process, reviewer -> address)."""
    processes = []

    def start(*options):
        command = [sys.executable, "-m", "metaie_spacy", "review", *map(str, options)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        wanted = max(1, options.count("--reviewer"))
        addresses = {}
        for line in process.stdout:
            if found := ADDRESS.match(line.strip()):
                addresses[found[1]] = found[2]
            if len(addresses) == wanted:
                return process, addresses
        raise AssertionError(process.stderr.read())

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


@contextmanager
def _chromium():
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="the page is tested with playwright: pip install playwright"
    )
    if CHROMIUM is None:
        pytest.skip("the page is tested in Chromium: apt-get install chromium")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def chromium():
    """Headless Chromium; without it the tests are skipped, and say so."""
    with _chromium() as browser:
        yield browser


@pytest.fixture
def visit(chromium):
    """Opens addresses, each in a profile of its own; a dialog or an error of the page fails the test."""
    contexts, errors = [], []

    def open_page(address, **options):
        context = chromium.new_context(viewport={"width": 800, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: errors.append(f"a dialog: {dialog.message}"))
        page.on("console", lambda message: errors.append(message.text) if "Content Security" in message.text else None)
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not errors
