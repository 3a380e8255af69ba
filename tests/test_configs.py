"""The shipped configs, run through spaCy's own training."""

import json

import pytest
import spacy
from helpers import CONFIGS
from spacy.cli.train import train

ROWS = [
    {
        "text": "Ada flew to Rome.",
        "spans": [{"start": 0, "end": 3, "label": "person"}, {"start": 12, "end": 16, "label": "place"}],
        "absent": ["drug"],
    },
    {"text": "No one came.", "spans": [], "absent": ["person"]},
]


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS * 4)), encoding="utf8")
    return path


def overrides(data, encoder):
    return {
        "paths.train": str(data), "paths.dev": str(data), "training.max_steps": 4, "training.eval_frequency": 2,
        "components.metaie.model.name": encoder, "components.metaie.model.compute_dtype": "float32", "components.metaie.weights": None,
    }  # fmt: skip


def test_distill_config_trains_open_labels(data, encoders, tmp_path):
    train(CONFIGS / "distill.cfg", tmp_path / "out", overrides=overrides(data, encoders["bert"]))
    nlp = spacy.load(tmp_path / "out" / "model-last")
    assert nlp.get_pipe("metaie").labels == ()
    assert "spans_metaie_f" in nlp.meta["performance"]


def test_fewshot_config_starts_from_weights_and_closes_the_labels(data, encoders, tmp_path, make_nlp):
    make_nlp().to_disk(tmp_path / "start")
    changes = overrides(data, encoders["bert"]) | {
        "paths.init_from": str(tmp_path / "start"),
        "components.metaie.model.dropout": 0.0,
    }
    train(CONFIGS / "fewshot.cfg", tmp_path / "out", overrides=changes)
    nlp = spacy.load(tmp_path / "out" / "model-last")
    assert nlp.get_pipe("metaie").labels == ("person", "place")
    assert nlp("Ada flew to Rome.").spans["metaie"].attrs["asked"] == ["person", "place"]


def test_cross_encoder_config_trains_closed_labels(data, encoders, tmp_path):
    changes = overrides(data, encoders["bert"]) | {
        "training.max_steps": 120,
        "training.eval_frequency": 60,
        "components.metaie.model.dropout": 0.0,
    }
    rate = {"initial_rate": 2e-3, "total_steps": 120, "warmup_steps": 10}
    changes |= {f"training.optimizer.learn_rate.{key}": value for key, value in rate.items()}
    train(CONFIGS / "cross_encoder.cfg", tmp_path / "out", overrides=changes)
    nlp = spacy.load(tmp_path / "out" / "model-last")
    assert nlp.get_pipe("metaie").labels == ("person", "place") and nlp.meta["performance"]["spans_metaie_f"] == 1.0


@pytest.mark.parametrize(
    "path", sorted(set(CONFIGS.glob("*.cfg")) - {CONFIGS / "teacher.cfg"}), ids=lambda path: path.stem
)
def test_training_configs_are_whole_as_debug_data_wants_them(path):
    from spacy.schemas import ConfigSchemaInit, ConfigSchemaNlp, ConfigSchemaTraining
    from spacy.util import load_config

    config = load_config(path)
    for section, schema in (
        ("nlp", ConfigSchemaNlp),
        ("training", ConfigSchemaTraining),
        ("initialize", ConfigSchemaInit),
    ):
        fields = {field.alias or name for name, field in schema.model_fields.items() if field.is_required()}
        assert fields and not fields - set(config[section])
