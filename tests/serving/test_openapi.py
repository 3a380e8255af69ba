"""The OpenAPI page against the server: requests of all kinds that it allows, and others."""

import pytest
from hypothesis import HealthCheck, given, settings

schemathesis = pytest.importorskip("schemathesis")
from schemathesis import GenerationMode  # noqa: E402
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def document(server):
    return server.http.get("/openapi.json").json()


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("/extract", GenerationMode.POSITIVE),
        ("/extract", GenerationMode.NEGATIVE),
        ("/schemas", GenerationMode.POSITIVE),
        ("/health", GenerationMode.POSITIVE),
        ("/metrics", GenerationMode.POSITIVE),
    ],
)
def test_no_request_makes_an_error_of_the_server_or_an_answer_that_is_not_described(server, document, path, mode):
    method = "POST" if path == "/extract" else "GET"
    operation = schemathesis.openapi.from_dict(document)[path][method]
    statuses = []

    @settings(max_examples=20 if method == "POST" else 2, deadline=None, suppress_health_check=[*HealthCheck])
    @given(case=operation.as_strategy(generation_mode=mode))
    def attempt(case):
        statuses.append(case.call_and_validate(base_url=server.address, checks=CHECKS, timeout=300).status_code)

    attempt()
    assert statuses and max(statuses) < 500


def test_the_examples_of_the_page_are_answered(server, document):
    examples = document["components"]["schemas"]["Extract"]["examples"]
    assert len(examples) >= 3
    for example in examples:
        response = server.http.post("/extract", json=example)
        assert response.status_code == 200, response.text
