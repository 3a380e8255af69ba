"""Who may ask what of a review."""

import pytest
from fastapi.testclient import TestClient
from review_rows import people

from metaie_spacy.review.app import make_app


@pytest.fixture
def client(review_of):
    """A client with ada's token."""
    review = review_of(people(3), "ada", "ben")
    with TestClient(make_app(review), base_url="http://127.0.0.1:8000") as client:
        client.headers["authorization"] = f"Bearer {review.tokens['ada']}"
        client.review = review
        yield client


def test_the_page_is_open_and_all_else_needs_a_token(client):
    assert client.get("/", headers={"authorization": ""}).status_code == 200
    for given in ("", "Bearer", "Bearer x", f"Basic {client.review.tokens['ada']}", "Bearer \u00e9".encode("latin-1")):
        for path in ("/review/state", "/review/agreement", "/openapi.json", "/nothing"):
            response = client.get(path, headers={"authorization": given})
            assert response.status_code == 401 and "Open the address that was printed last" in response.text
    assert client.get("/review/state").json()["reviewer"] == "ada"
    assert client.get("/nothing").status_code == 404


def test_a_token_says_who_answers(client):
    body = {"browser": "1", "entry": 0, "decision": {"spans": [], "complete": ["drug"]}}
    ben = {"authorization": f"Bearer {client.review.tokens['ben']}"}
    assert client.post("/review/answer", json=body, headers=ben).status_code == 200
    assert list(client.review.answers.standing[people(1)[0]["text"]]) == ["ben"]


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8000", "", "[::2]:1", "localhost@evil"]
)
def test_other_names_of_the_host_are_refused(client, host):
    for path in ("/", "/review/state"):
        assert client.get(path, headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost:9", "127.0.0.1", "[::1]:80"])
def test_own_names_of_the_host_are_taken_on_any_port(client, host):
    assert client.get("/review/state", headers={"host": host}).status_code == 200


def test_the_page_runs_its_own_script_alone_and_is_framed_by_nobody(client):
    response = client.get("/")
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert policy.count("sha256-") == 2 and 'data-mode="review"' in response.text
    assert "innerHTML" not in response.text and "://" not in response.text and "/*S" not in response.text
    assert client.get("/review/state").headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "change",
    [
        {"entry": 99}, {"entry": -1}, {"entry": "0"}, {"skip": "why"}, {"decision": None}, {"decision": {"spans": [{"start": 0}]}},
        {"decision": {"spans": [{"start": 0, "end": 999, "label": "x", "state": "yes"}]}}, {"decision": {"links": [{"head": [0], "label": "x", "tail": None, "state": "yes"}]}},
        {"decision": {"spans": [{"start": 0, "end": 1, "label": "", "state": "yes"}]}}, {"shown": {"state": "all"}}, {"more": 1},
    ],
)  # fmt: skip
def test_malformed_answers_are_refused_with_a_reason_and_write_nothing(client, change):
    body = {"browser": "1", "entry": 0, "decision": {"spans": []}} | change
    response = client.post("/review/answer", json=body)
    assert response.status_code == 422 and response.json()["error"]["message"]
    assert client.review.answers.path.read_bytes() == b""


def test_a_body_that_is_too_large_or_of_no_size_is_refused(client):
    assert client.post("/review/next", content=b"x" * 4_000_001).status_code == 413
    assert client.post("/review/next", content=iter([b"x"])).status_code == 413


def test_an_answer_brings_the_next_row(client):
    first = client.post("/review/next", json={"browser": "1"}).json()["entry"]
    found = client.post("/review/answer", json={"browser": "1", "entry": first["number"], "skip": "unclear"}).json()
    assert (first["number"], found["entry"]["number"], found["progress"]["skipped"]) == (0, 1, 1)
    assert first["words"][:4] == [0, 7, 8, 16]


def test_without_a_model_nothing_is_extracted(client):
    assert client.get("/review/state").json()["models"] == []
    assert client.post("/extract", json={"text": "Ada.", "labels": ["person"]}).status_code == 404
