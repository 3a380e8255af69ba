"""The page in real Chromium: keys, words, links, two people, a kill in the middle, hostile texts."""

import json
import signal
import time

import pytest
from review_rows import people, read_rows, row_of, write_rows

from metaie_spacy.data.known import known_of
from metaie_spacy.data.rows import check_row, places
from metaie_spacy.review.answers import export

HOSTILE = [
    "<script>window.hacked = 1</script><img src=x onerror='window.hacked=2'> & &lt;b&gt; \"quoted\"",
    "שלום עולם, Ada met בן in תל אביב. \u202eOverridden\u202c",
    "👩\u200d👩\u200d👧 Ada 🇩🇪 met e\u0301mile 👍🏽 in Zürich 𝒳𝒴.",
    "javascript:alert(1) {{7*7}} ${7*7} %3Cscript%3E \u2028 \x07 \ufeff",
]


def until(page, expression, arg=None, seconds=60):
    """Wait until something holds; the page's policy forbids Playwright's own way, which evaluates strings in the page."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression, arg):
        assert time.monotonic() < end, (expression, page.text_content("#said"))
        time.sleep(0.005)


def row_shown(page):
    """The id of the row that is open; "" where none is."""
    return page.evaluate(
        "document.getElementById('row').hidden ? '' : document.querySelector('#about span').textContent"
    )


def press(page, key, *, waits=True):
    """Press a key; for one that saves, wait for the next row."""
    before = row_shown(page)
    page.keyboard.press(key)
    if waits:
        until(
            page,
            "before => document.getElementById('review').getAttribute('aria-busy') === 'false' && "
            "(document.getElementById('row').hidden ? '' : document.querySelector('#about span').textContent) !== before",
            before,
        )


def ready(page):
    until(page, "document.querySelector('.piece') || !document.getElementById('nothing').hidden")
    return page


def tags(page):
    return page.evaluate(
        "[...document.querySelectorAll('#text .tag')].map(tag => [tag.textContent, tag.className.split(' ')[1]])"
    )


def select(page, words, *, alt=False):
    """Drag over words of the text with the mouse."""
    box = page.evaluate(
        """words => {
          for (const piece of document.querySelectorAll('#text .piece')) {
            const at = piece.textContent.indexOf(words);
            if (at < 0) continue;
            const range = document.createRange();
            range.setStart(piece.firstChild, at);
            range.setEnd(piece.firstChild, at + words.length);
            const {left, right, top, bottom} = range.getBoundingClientRect();
            return [left, right, (top + bottom) / 2];
          }
        }""",
        words,
    )
    left, right, middle = box
    if alt:
        page.keyboard.down("Alt")
    page.mouse.move(left + 1, middle)
    page.mouse.down()
    page.mouse.move(right - 1, middle, steps=3)
    page.mouse.up()
    if alt:
        page.keyboard.up("Alt")


def told(page):
    return page.text_content("#said")


def test_200_rows_by_two_people_in_three_browsers_with_a_kill_in_the_middle_lose_nothing_and_repeat_nothing(
    start_process, visit, tmp_path
):
    rows = write_rows(tmp_path / "rows.jsonl", people(200))
    answers = tmp_path / "rows.answers.jsonl"
    options = (rows, "--reviewer", "ada", "--reviewer", "ben")
    process, addresses = start_process(*options)
    pages = [ready(visit(addresses[name])) for name in ("ada", "ben", "ada")]
    saved = set()
    for turn in range(35):
        shown = [row_shown(page) for page in pages]
        assert len(set(shown)) == 3  # nobody has what another has
        for page in pages:
            press(page, "x" if turn % 5 == 0 else "Enter", waits=turn % 5 != 0)
        if turn % 5 == 0:
            for page in pages:
                press(page, "Enter")
        saved |= set(shown)
    for page in pages:  # an answer is on its way when it dies
        press(page, "Enter", waits=False)
    process.send_signal(signal.SIGKILL)
    process.wait()
    press(pages[0], "Enter", waits=False)
    until(pages[0], "document.getElementById('said').textContent.startsWith('Not saved, and still here')")
    with answers.open("ab") as file:
        file.write(b'{"id": "r1", "text": "cut')
    _, addresses = start_process(*options)
    pages = [ready(visit(addresses[name])) for name in ("ada", "ben")]
    while any(row_shown(page) for page in pages):
        for page in pages:
            if row_shown(page):
                press(page, "Enter")
    lines = read_rows(answers)
    for line in lines:
        check_row(line)
    ids = [line["id"] for line in lines]
    assert sorted(ids) == sorted(f"r{n}" for n in range(200))  # each once
    assert {f"row {id}" for id in ids} >= saved and {line["reviewer"] for line in lines} == {"ada", "ben"}
    for page in pages:  # whoever was done first looks again by itself
        until(page, "document.getElementById('nothing').textContent.includes('nothing left for you: 200 of 200')")
    assert export(answers, tmp_path / "out.jsonl")["rows"] == 200


def test_a_row_is_accepted_rejected_relabelled_and_completed_by_keys(review_of, serve_here, visit):
    text = "Ada Lovelace and Ben met, in Rome on Monday."
    rows = [
        row_of(text, ("Ada", "person"), ("Ben", "city"), ("met,", "act"), ("Monday", "place"), ("Rome", "city"), id="1")
    ]
    review = review_of(rows, labels=["day"])
    page = ready(visit(serve_here(review)["ada"]))
    assert told(page) == "" and tags(page)[0] == ["person", "open"]
    page.keyboard.press("ArrowRight")  # Ada -> Ada Lovelace
    page.keyboard.press("j")  # Ben
    page.keyboard.press("l")
    page.keyboard.type("person")
    page.keyboard.press("Enter")
    page.keyboard.press("c")
    page.keyboard.press("j")  # met,
    page.keyboard.press("x")  # on to Rome
    page.keyboard.press("j")  # Monday
    number = page.evaluate(
        "[...document.querySelectorAll('#palette .label')].findIndex(one => one.textContent.includes('day')) + 1"
    )
    page.keyboard.press(str(number))
    press(page, "Enter")
    (line,) = read_rows(review.answers.path)
    known = known_of(line)
    assert places(line) == [(0, 12, "person"), (17, 20, "person"), (29, 33, "city"), (37, 43, "day")]
    assert line["complete"] == ["person"] and known.decides((29, 33, "person")) and not known.decides((0, 3, "city"))
    assert known.decides((17, 20, "city")) and known.decides((21, 25, "act")) and line["answer"] == "edit"


def test_words_are_selected_with_the_mouse_and_with_keys_and_offsets_are_code_points(review_of, serve_here, visit):
    text = "👩\u200d👩\u200d👧 Ada 🇩🇪 met e\u0301mile in Zürich 𝒳𝒴 today."
    review = review_of([row_of(text, id="1")], labels=["person", "city", "day"])
    page = ready(visit(serve_here(review)["ada"]))
    assert "No spans yet" in page.text_content("#chosen")
    select(page, "da")  # a part of a word takes the word
    assert "“Ada”" in page.text_content("#chosen")
    page.keyboard.press("1")
    select(page, "rich", alt=True)
    page.keyboard.press("2")
    page.keyboard.press("Escape")
    page.keyboard.press("w")
    while "“today”" not in page.text_content("#chosen"):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("3")
    page.keyboard.press("Control+ArrowLeft")  # toda
    page.keyboard.press("u")
    press(page, "Enter")
    (line,) = read_rows(review.answers.path)
    assert [(text[s:e], label) for s, e, label in places(line)] == [
        ("Ada", "person"),
        ("rich", "city"),
        ("today", "day"),
    ]


def test_the_same_words_get_a_label_everywhere_by_one_key(review_of, serve_here, visit):
    text = "Ben 👍 met Benny. Then Ben left, and Ben’s dog with Ben."
    review = review_of([row_of(text, ("Ben", "person"), id="1")])
    page = ready(visit(serve_here(review)["ada"]))
    page.keyboard.press("e")
    assert told(page) == "3 more."
    press(page, "Enter")
    (line,) = read_rows(review.answers.path)
    assert [text[s:e] for s, e, _ in places(line)] == ["Ben"] * 4 and (places(line)[1][0], places(line)[3][1]) == (
        22,
        len(text) - 1,
    )


def test_accepting_marks_the_labels_complete_that_are_looked_for_where_that_is_wanted(review_of, serve_here, visit):
    review = review_of(people(2), labels=["drug", "person"])
    page = ready(visit(serve_here(review)["ada"]))
    press(page, "Enter")
    page.check("#all-complete")
    press(page, "Enter")
    loose, complete = read_rows(review.answers.path)
    assert loose["complete"] == loose["absent"] == [] and loose["asked"] == ["person", "city"] and "unsure" in loose
    assert (
        complete["complete"] == ["drug", "person", "city"]
        and complete["absent"] == ["drug"]
        and "unsure" not in complete
    )


def test_undo_takes_changes_back_and_then_the_last_answer(review_of, serve_here, visit):
    review = review_of(people(3))
    page = ready(visit(serve_here(review)["ada"]))
    first = row_shown(page)
    page.keyboard.press("x")
    assert [state for _, state in tags(page)] == ["no", "open"]
    page.keyboard.press("u")
    assert [state for _, state in tags(page)] == ["open", "open"]
    page.keyboard.press("x")
    press(page, "Enter")
    press(page, "Control+z")
    assert row_shown(page) == first and [state for _, state in tags(page)] == ["no", "yes"]
    assert [line["answer"] for line in read_rows(review.answers.path)] == ["edit", "undo"]


def test_a_page_that_is_loaded_again_gets_its_row_back(review_of, serve_here, visit):
    page = ready(visit(serve_here(review_of(people(3)))["ada"]))
    press(page, "Enter")
    before = row_shown(page)
    page.reload()
    assert row_shown(ready(page)) == before


def test_holding_enter_down_accepts_one_row(review_of, serve_here, visit):
    review = review_of(people(3))
    page = ready(visit(serve_here(review)["ada"]))
    page.evaluate("document.addEventListener('keydown', event => { window.seen = (window.seen || 0) + 1; })")
    page.keyboard.down("Enter")
    for _ in range(4):
        time.sleep(0.1)
        page.keyboard.down("Enter")  # what is pressed already repeats
    page.keyboard.up("Enter")
    until(page, "document.getElementById('review').getAttribute('aria-busy') === 'false'")
    assert page.evaluate("window.seen") == 5 and len(read_rows(review.answers.path)) == 1


def test_rows_are_skipped_with_a_reason_and_come_back_under_their_filter(review_of, serve_here, visit):
    review = review_of(people(2))
    page = ready(visit(serve_here(review)["ada"]))
    page.keyboard.press("s")
    page.keyboard.type("the text is broken")
    press(page, "Enter")
    press(page, "Shift+Enter")
    assert "There is nothing left for you: 1 of 2" in page.text_content("#nothing")
    page.select_option("#by-state", "skipped")
    until(page, "document.getElementById('said').textContent.includes('skipped this: the text is broken')")
    skip, kept = read_rows(review.answers.path)
    assert skip["reason"] == "the text is broken" and kept["asked"] == [] and len(kept["unsure"]) == 2


def test_links_are_shown_accepted_rejected_and_made(review_of, serve_here, visit):
    text = "Ada and Ben work for Acme."
    ada, ben, acme = [0, 3], [8, 11], [21, 25]
    links = [{"head": ada, "label": "works_for", "tails": [acme]}, {"head": ben, "label": "knows", "tails": [ada]}]
    review = review_of([row_of(text, ("Ada", "person"), ("Ben", "person"), ("Acme", "firm"), id="1", links=links)])
    page = ready(visit(serve_here(review)["ada"]))
    assert page.evaluate("[...document.querySelectorAll('#links tbody tr')].map(row => row.cells[1].textContent)") == [
        "Ada",
        "Ben",
    ]
    page.keyboard.press("j")  # Ben
    page.keyboard.press("g")
    page.keyboard.press("j")  # Acme
    page.keyboard.press("Enter")
    page.keyboard.type("works_for")
    page.keyboard.press("Enter")
    page.keyboard.press("g")  # from Acme to words that are no span
    select(page, "work")
    page.keyboard.press("Enter")
    page.keyboard.type("how")
    page.keyboard.press("Enter")
    for _ in range(3):
        page.keyboard.press("k")
    page.keyboard.press("n")  # nobody whom Ben knows
    press(page, "Enter")
    (line,) = read_rows(review.answers.path)
    assert line["links"] == [
        {"head": ada, "label": "works_for", "tails": [acme]},
        {"head": ben, "label": "knows", "tails": []},
        {"head": ben, "label": "works_for", "tails": [acme]},
        {"head": acme, "label": "how", "tails": [[12, 16]]},
    ]


def test_filters_change_what_is_shown_and_say_where_nothing_is(review_of, serve_here, visit):
    rows = [
        row_of("Ada left.", ("Ada", "person"), id="a", teacher="gpt"),
        row_of("Ben left.", ("Ben", "name"), id="b", teacher="claude"),
    ]
    page = ready(visit(serve_here(review_of(rows))["ada"]))
    assert row_shown(page) == "row a"
    page.select_option("#by-teacher", "claude")
    until(page, "document.querySelector('#about span').textContent === 'row b'")
    page.select_option("#by-label", "person")
    page.wait_for_selector("#nothing button")
    assert "No row passes these filters" in page.text_content("#nothing")
    page.click("#nothing button")
    until(page, "document.querySelector('#about span').textContent === 'row a'")


def test_hostile_texts_and_labels_are_shown_as_they_are_and_never_run(review_of, serve_here, visit):
    rows = [
        row_of(text, (text[:9].strip(), "<img src=x onerror='window.hacked=3'>"), id=f"{n}<b>")
        for n, text in enumerate(HOSTILE)
    ]
    page = ready(visit(serve_here(review_of(rows))["ada"]))
    for _ in HOSTILE:
        number = int(row_shown(page).removeprefix("row ").removesuffix("<b>"))
        pieces = page.evaluate(
            "[...document.querySelectorAll('#text .piece')].map(piece => piece.textContent).join('')"
        )
        assert pieces == HOSTILE[number]
        assert not page.evaluate("document.querySelector('#row img, #row script, #row b')")
        assert tags(page)[0][0] == rows[0]["spans"][0]["label"]
        press(page, "Enter")
    assert page.evaluate("typeof window.hacked") == "undefined"


def test_a_text_of_50_kb_with_400_spans_is_drawn_and_answered_in_seconds(review_of, serve_here, visit):
    words = [f"w{n}<b>&é👍" for n in range(5000)]
    text = " ".join(words)
    starts = [0]
    for word in words:
        starts.append(starts[-1] + len(word) + 1)
    spans = [
        {"start": starts[n * 12], "end": starts[n * 12 + 1 + n % 4] - 1, "label": f"label {n % 7}"} for n in range(390)
    ] + [{"start": 0, "end": starts[12 * (n + 1)] - 1, "label": f"wide {n}"} for n in range(10)]
    assert len(text.encode()) > 50_000
    review = review_of([{"id": "1", "text": text, "spans": spans}])
    began = time.monotonic()
    page = ready(visit(serve_here(review)["ada"]))
    assert len(tags(page)) == 400 and time.monotonic() - began < 60
    for key in "jjxa":
        page.keyboard.press(key)
    press(page, "Enter")
    (line,) = read_rows(review.answers.path)
    assert len(line["spans"]) == 399 and time.monotonic() - began < 120


def test_20000_rows_open_in_seconds_and_are_ordered_meanwhile(review_of, serve_here, visit):
    rows = people(20_000)
    rows[-1]["spans"][0]["score"] = 0.1
    began = time.monotonic()
    review = review_of(rows, waits=False)
    page = ready(visit(serve_here(review)["ada"]))
    assert "of 20000 done" in page.text_content("#counts") and time.monotonic() - began < 60
    assert review.is_ordered.wait(60)
    if row_shown(page) != "row r19999":  # the most doubtful
        press(page, "Enter")
    assert row_shown(page) == "row r19999"


def test_overlap_gives_rows_to_both_and_the_page_shows_their_agreement(review_of, serve_here, visit):
    review = review_of(people(6), "ada", "ben", overlap=1.0)
    addresses = serve_here(review)
    for name in ("ada", "ben"):
        page = ready(visit(addresses[name]))
        if name == "ada":
            page.click("#tab-agreement")
            until(page, "document.getElementById('agreement-said').textContent.includes('--overlap')")
            page.click("#tab-review")
        page.check("#all-complete")
        for _ in range(6):
            if name == "ben":
                page.keyboard.press("x")
            press(page, "Enter")
    page.click("#tab-agreement")
    page.wait_for_selector("#agreement-pairs td")
    # Ben rejects one of two spans of each text: F = 2 * 6 / (6 + 12).
    assert page.evaluate("[...document.querySelectorAll('#agreement-pairs td')].map(cell => cell.textContent)") == [
        "ada and ben",
        "6",
        "0.67",
        "0.67 to 0.67",
    ]


def test_an_address_without_its_token_or_of_an_ended_review_says_what_to_do(review_of, serve_here, visit):
    address = serve_here(review_of(people(1)))["ada"]
    page = visit(address.partition("#")[0])
    assert "Open the address as the command printed it" in told(page)
    page = visit(address + "x")
    until(page, "document.getElementById('said').textContent.includes('Open the address that was printed last')")


def test_the_page_fits_into_800_pixels_in_light_and_dark(review_of, serve_here, visit):
    long = row_of("Ada " * 200 + "W" * 300, ("Ada", "person " * 40), id="i" * 300, teacher="t" * 200)
    page = ready(visit(serve_here(review_of([long, *people(3)], "ada", "ben"))["ada"]))
    backs = set()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for tab in ("review", "try", "agreement", "keys"):
            page.click(f"#tab-{tab}")
            assert page.evaluate("document.documentElement.scrollWidth") <= 800, tab
        backs.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(backs) == 2
    page.click("#tab-try")
    assert "Start the review with --model" in page.text_content("#no-model")


@pytest.fixture(scope="module")
def service():
    from metaie_spacy.serving.models import load_models
    from metaie_spacy.serving.service import Service

    return Service(load_models({"en_metaie_sm": "en_metaie_sm"}, {}))


def test_labels_are_tried_and_the_model_is_asked_for_proposals(review_of, serve_here, visit, service):
    text = "Ada Lovelace met Charles Babbage in London."
    review = review_of([row_of(text, id="1")], labels=["person", "city"])
    page = ready(visit(serve_here(review, service)["ada"]))
    page.keyboard.press("m")
    until(page, "document.getElementById('said').textContent.startsWith('The model adds')")
    found = {(label.rsplit(" ", 1)[0], state) for label, state in tags(page)}
    assert found == {("person", "open"), ("city", "open")}
    page.click("#tab-try")
    page.fill("#try-text", text)
    page.fill("#try-labels", "person, city")
    page.fill("#try-links", "met: person, acquaintance, person")
    schema = json.loads(page.input_value("#try-schema"))
    assert schema == {
        "labels": {"person": "person", "city": "city"}, "links": {"met": {"head": "person", "query": "acquaintance", "tail": "person"}},
    }  # fmt: skip
    page.click("#try-go")
    page.wait_for_selector("#try-spans td")
    assert ["Ada Lovelace", "person"] in page.evaluate(
        "[...document.querySelectorAll('#try-spans tbody tr')].map(row => [row.cells[0].textContent, row.cells[1].textContent])"
    )
    page.evaluate(
        "() => { const slider = document.getElementById('try-threshold'); slider.value = '0.99'; slider.dispatchEvent(new Event('input')); }"
    )
    until(page, "document.querySelectorAll('#try-spans tbody tr').length < 3")
    assert json.loads(page.input_value("#try-schema"))["threshold"] == 0.99
    page.fill("#try-links", "nonsense")
    assert "must be written: name: head, question, tail" in told(page)


def test_the_page_of_serve_is_the_same_with_what_can_be_tried_alone(visit):
    import threading

    import uvicorn

    from metaie_spacy.serving.app import make_app
    from metaie_spacy.serving.models import load_models
    from metaie_spacy.serving.server import listen
    from metaie_spacy.serving.service import Service

    service = Service(load_models({"en_metaie_sm": "en_metaie_sm"}, {}), key="secret")
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(make_app(service), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    page = visit(f"http://127.0.0.1:{listening.getsockname()[1]}/")
    assert page.is_visible("#try") and not page.is_visible("#review") and not page.is_visible("nav button")
    page.click("#try-go")
    until(page, "document.getElementById('said').textContent.startsWith('The key is missing or wrong')")
    page.fill("#try-key", "secret")
    page.fill("#try-schema", '{"labels": {"WHO": "person"')
    page.click("#try-go")
    assert "The schema is no JSON" in told(page)
    page.fill("#try-schema", '{"labels": {"WHO": "person"}}')
    page.click("#try-go")
    page.wait_for_selector("#try-spans td")
    assert page.evaluate(
        "[...document.querySelectorAll('#try-out .tag')].map(tag => tag.textContent.split(' ')[0])"
    ) == ["WHO", "WHO"]
    server.should_exit = True
    thread.join(20)
    listening.close()
