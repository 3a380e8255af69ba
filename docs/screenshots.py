"""Take the pictures of the review page that docs/howto/review.md shows.

python docs/screenshots.py                  # docs/review_light.png and the others; needs playwright and Chromium
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Iterator

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
LABELS = "person, organization, city, date"
TEXT = (
    "Ada Lovelace, born 10 December 1815, worked with Charles Babbage of the Royal Society in London; "
    "she never saw Turin."
)
ROWS: list[dict[str, Any]] = [
    {
        "text": TEXT,
        "spans": [
            ("Ada Lovelace", "person", 0.97),
            ("Lovelace, born", "person", 0.41),
            ("10 December 1815", "date", 0.98),
            ("Charles Babbage", "person", 0.96),
            ("Charles Babbage of the Royal Society", "organization", 0.38),
            ("Royal Society", "organization", 0.83),
            ("London", "city", 0.95),
        ],
        "links": [("Ada Lovelace", "worked with", "Charles Babbage"), ("Royal Society", "based in", "London")],
    },
    {
        "text": "Marie Curie moved to Paris in 1891.",
        "spans": [("Marie Curie", "person", 0.99), ("Paris", "city", 0.99)],
    },
]


def rows() -> Iterator[dict[str, Any]]:
    for number, one in enumerate(ROWS):
        text = one["text"]
        spans = [
            {"start": text.index(words), "end": text.index(words) + len(words), "label": label, "score": score}
            for words, label, score in one["spans"]
        ]
        places = [
            [[text.index(words), text.index(words) + len(words)] for words in (head, tail)]
            for head, _, tail in one.get("links", [])
        ]
        links = [
            {"head": head, "label": label, "tails": [tail]}
            for (head, tail), (_, label, _) in zip(places, one.get("links", []))
        ]
        yield {"id": str(number + 1), "text": text, "spans": spans, "links": links, "teacher": "en_metaie_sm"}


def main() -> None:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sys.exit("The pictures are taken with playwright: pip install playwright.")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("The pictures are taken with Chromium: apt-get install chromium.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "predictions.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows()), encoding="utf8")
        options = ["--model", "en_metaie_sm", "--labels", LABELS, "--reviewer", "ada"]
        command = [sys.executable, "-m", "metaie_spacy", "review", str(path), *options]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        try:
            address = next(line.split()[-1] for line in process.stdout or () if line.startswith("Listening"))
            with sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                take(browser, address)
                browser.close()
        finally:
            process.terminate()
            process.wait()


def take(browser: Any, address: str) -> None:
    page = browser.new_page(viewport={"width": 800, "height": 560})
    page.goto(address)
    page.wait_for_selector(".piece")
    page.wait_for_timeout(2500)  # the order of doubt
    for key in ("a", "x", "a", "x", "a"):
        page.keyboard.press(key)
    page.screenshot(path=DOCS / "review_light.png")
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=DOCS / "review_dark.png")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 800, "height": 900})
    page.click("#tab-try")
    page.fill("#try-text", "Maria Lopez joined Northwind Robotics in Oslo; Ben Adler works for Acme Paper.")
    page.fill("#try-labels", "person, organization, city")
    page.fill("#try-links", "works_for: person, employer, organization")
    page.click("#try-go")
    page.wait_for_selector("#try-spans td")
    page.screenshot(path=DOCS / "review_try.png")


if __name__ == "__main__":
    main()
