"""Of a foreign tok2vec only tensors are taken, and of a pipeline's own what its library writes."""

import json
import shutil
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import spacy
import srsly
import torch
from hostile_weights import DAMAGED, NAMES_CODE, TEXT, evil_files, scored

OWN_TRANSFORMER = {
    "@architectures": "spacy-transformers.Tok2VecTransformer.v3",
    "get_spans": {"@span_getters": "spacy-transformers.strided_spans.v1", "window": 64, "stride": 48},
    "tokenizer_config": {"use_fast": True},
    "pooling": {"@layers": "reduce_mean.v1"},
    "grad_factor": 1.0,
    "transformer_config": {},
    "mixed_precision": False,
    "grad_scaler_config": {},
}


def shared_with_transformer(encoder, weights=None):
    pytest.importorskip("spacy_transformers")  # which cannot be installed beside transformers 5
    nlp = spacy.blank("en")
    tok2vec = {**OWN_TRANSFORMER, "name": encoder}
    model = {"@architectures": "metaie-spacy.SharedTransformer.v1", "label_encoder": encoder, "tok2vec": tok2vec}
    nlp.add_pipe("metaie", config={"labels": ["person"], "weights": weights, "threshold": 0.01, "model": model})
    return nlp


@pytest.fixture
def transformer(bases, tmp_path):
    """A saved component with a transformer of its own, its encoder, and what it answers."""
    encoder = bases.encoders["pipeline_shared"]
    nlp = shared_with_transformer(encoder)
    model = nlp.get_pipe("metaie").model
    model.attrs["prepare"](model, [nlp.make_doc("some text")])
    model.initialize()
    torch.manual_seed(2)
    with torch.no_grad():
        model.shims[0].module.bias.zero_()
        for weight in (
            weight
            for node in model.get_ref("tok2vec").walk()
            for shim in node.shims
            for weight in shim._model.parameters()
        ):
            weight.add_(torch.randn_like(weight) * 0.1)
    (tmp_path / "inside").mkdir()
    nlp.to_disk(tmp_path / "inside" / "own")
    return tmp_path / "inside" / "own", encoder, scored(nlp(TEXT))


def edit_transformer(path, change):
    outer = srsly.msgpack_loads((path / "metaie" / "model").read_bytes())
    place = next(shims for shims in outer["shims"][1:] if shims)
    inner = srsly.msgpack_loads(place[0])
    change(inner)
    place[0] = srsly.msgpack_dumps(inner)
    (path / "metaie" / "model").write_bytes(srsly.msgpack_dumps(outer))


def test_a_tok2vec_that_was_saved_is_taken_over_by_its_tensors(transformer, bases, read):
    path, encoder, expected = transformer
    assert expected and scored(shared_with_transformer(encoder, str(path))(TEXT)) == pytest.approx(expected, abs=1e-5)
    assert scored(spacy.load(path)(TEXT)) == pytest.approx(expected, abs=1e-5)
    cnn = bases.folder / "pipeline_shared"
    assert read(cnn, "SharedTransformer") == scored(spacy.load(cnn)(TEXT)) != {}
    with pytest.raises(ValueError, match="of another architecture"):
        shared_with_transformer(encoder, str(cnn))(TEXT)


def test_a_tok2vec_is_built_by_the_users_own_config_or_not_at_all(transformer):
    path, _, _ = transformer
    with pytest.raises(ValueError, match="cannot be built"):
        shared_with_transformer("no/such-encoder", str(path))(TEXT)


def test_files_and_settings_of_a_foreign_tok2vec_are_not_taken(transformer, tmp_path):
    path, encoder, expected = transformer
    sentinel = tmp_path / "sentinel"

    def poison(inner):
        inner["tokenizer"].update(evil_files(sentinel), kwargs={"use_fast": True, "trust_remote_code": True})
        settings = json.loads(inner["tokenizer"]["tokenizer_config.json"]) | NAMES_CODE
        inner["tokenizer"]["tokenizer_config.json"] = json.dumps(settings).encode()
        inner["config"].update(NAMES_CODE)

    edit_transformer(path, poison)
    before = sorted(tmp_path.rglob("*"))
    assert scored(shared_with_transformer(encoder, str(path))(TEXT)) == pytest.approx(expected, abs=1e-5)
    with pytest.raises(ValueError, match=DAMAGED):
        spacy.load(path)
    assert sorted(tmp_path.rglob("*")) == before and not Path("/tmp/metaie_escaped").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda inner: inner["tokenizer"].update({"../x": b"x"}),
        lambda inner: inner["tokenizer"].update({"x.py": b"x"}),
        lambda inner: inner["tokenizer"].update(kwargs={"use_fast": True, "trust_remote_code": False}),
        lambda inner: inner["config"].update(auto_map={"AutoModel": "evil.Evil"}),
        lambda inner: inner["config"].update(_attn_implementation_internal="evil/kernel"),
    ],
)
def test_a_pipeline_that_is_loaded_whole_may_hold_what_spacy_transformers_writes_only(transformer, change):
    path, _, _ = transformer
    edit_transformer(path, change)
    with pytest.raises(ValueError, match=DAMAGED):
        spacy.load(path)


def torch_saved(value, compression=zipfile.ZIP_STORED):
    plain = BytesIO()
    torch.save(value, plain)
    again = BytesIO()
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(again, "w", compression) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    return again.getvalue()


class Evil:
    def __init__(self, sentinel):
        self.sentinel = sentinel

    def __reduce__(self):
        return Path.touch, (Path(self.sentinel),)


@pytest.mark.parametrize(
    "kind",
    ["pickle", "shape", "nan", "missing", "dtype", "compressed", "cut", "expanded", "bytearray", "empty", "text"],
)
def test_damaged_tensors_of_a_foreign_tok2vec_are_refused(transformer, tmp_path, kind):
    path, encoder, _ = transformer
    sentinel = tmp_path / "sentinel"

    def poison(inner):
        state = torch.load(BytesIO(inner["state"]), weights_only=True)
        name = "embeddings.word_embeddings.weight"
        if kind == "shape":
            state[name] = state[name][:3]
        elif kind == "nan":
            state[name][0, 0] = float("nan")
        elif kind == "missing":
            del state[name]
        elif kind == "dtype":
            state[name] = state[name].int()
        elif kind == "expanded":
            state[name] = torch.zeros(1).expand(2**20, 2**20)
        inner["state"] = torch_saved(state, zipfile.ZIP_DEFLATED if kind == "compressed" else zipfile.ZIP_STORED)
        other = {
            "pickle": torch_saved({"x": Evil(sentinel)}),
            "cut": inner["state"][:-100],
            "bytearray": torch_saved({"x": bytearray(10)}),
            "empty": b"",
            "text": "x",
        }
        inner["state"] = other.get(kind, inner["state"])

    edit_transformer(path, poison)
    with pytest.raises(ValueError, match=DAMAGED):
        shared_with_transformer(encoder, str(path))(TEXT)
    assert not sentinel.exists()


@pytest.mark.parametrize(
    "value",
    [
        np.full((50, 16), np.nan, "<f4"),
        np.zeros((3, 3), "<f4"),
        np.zeros((50, 16), "<i4"),
        np.zeros((50, 16), "?"),
        None,
        3,
        "x",
        {"nd": True},
    ],
)
def test_arrays_of_a_foreign_tok2vec_are_checked_by_kind_and_shape(bases, tmp_path, read, value):
    shutil.copytree(bases.folder / "pipeline_shared", tmp_path / "shared")
    path = tmp_path / "shared" / "metaie" / "model"
    outer = srsly.msgpack_loads(path.read_bytes())
    number, name = next((i, name) for i, part in enumerate(outer["params"]) for name in part if name == "E")
    outer["params"] = [dict(part) for part in outer["params"]]
    outer["params"][number][name] = value
    path.write_bytes(srsly.msgpack_dumps(outer))
    with pytest.raises(ValueError, match=DAMAGED):
        read(tmp_path / "shared", "SharedTransformer")
    with pytest.raises(ValueError, match=DAMAGED):
        scored(spacy.load(tmp_path / "shared")(TEXT))
