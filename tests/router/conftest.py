import json

import pytest
from routed import LABELS, ROWS
from teacher_server import teacher_server


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in ROWS), encoding="utf8")
    return path


@pytest.fixture
def server(corpus):
    with teacher_server(corpus=[corpus], delay=0.01) as running:
        yield running


@pytest.fixture
def make_routed(make_nlp, tmp_path):
    """A pipeline of a tiny metaie, which has states, and a router with a policy; its teacher is `server`."""

    def make(policy="large", server=None, teacher=None, small=None, sees=False, **config):
        nlp = make_nlp(LABELS, model={"text_sees_labels": sees}, **(small or {}))
        if not sees:
            nlp.get_pipe("metaie").model.shims[0].add_links()
        if server is not None:
            settings = {"model": "test", "base_url": server.url, "api_key_env": None, "timeout": 2.0}
            settings |= {
                "cache": str(tmp_path / "teacher.sqlite"),
                "price_in": 1.0,
                "price_out": 2.0,
                **(teacher or {}),
            }
            config["teacher"] = settings
        nlp.add_pipe("metaie_router", config={"policy": {"@misc": f"metaie-spacy.{policy}.v1"}, **config})
        return nlp

    return make
