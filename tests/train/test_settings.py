"""Settings of a training that cannot work are refused before anything is read."""

import math

import pytest

from metaie_spacy.train.settings import DistillSettings, FewShotSettings

BOTH = [
    *(("lr", value) for value in (0, -1e-4, 1e6, math.inf, math.nan, "1e-4", True, None)),
    *(("batch_size", value) for value in (0, -1, 2.5, True, math.nan)),
    *(("steps", value) for value in (-5, 1.5, math.inf, "3")),
    *(("ema", value) for value in (-0.1, 1, 2, math.nan)),
    *(("weight_decay", value) for value in (-1, math.inf)),
    *(("head_scale", value) for value in (0, -8, math.nan)),
    *(("o_weight", value) for value in (0, -1, math.inf)),
    *(("seed", value) for value in (-1, 0.5)),
]
DISTILL = [
    *(("epochs", value) for value in (0, -1, math.nan, math.inf)),
    *(("warmup", value) for value in (-0.1, 1.1)),
    *(("dropout", value) for value in (1, -0.1, math.nan)),
    *(("dev_share", value) for value in (1, -0.1)),
    *(("recase", value) for value in (-0.1, 1.5)),
    ("architecture", "Other"),
    ("mixed_precision", "fp8"),
]


@pytest.mark.parametrize("name, value", [*BOTH, *DISTILL])
def test_distillation_refuses_and_names_it(name, value):
    with pytest.raises(ValueError, match=f"^{name} .*{value!r}" if not isinstance(value, str) else f"^{name} "):
        DistillSettings("encoder", **{name: value})


@pytest.mark.parametrize("name, value", [*BOTH, ("steps", 0), ("rehearsal", -1), ("rehearsal", math.nan)])
def test_few_shot_refuses_and_names_it(name, value):
    with pytest.raises(ValueError, match=f"^{name} "):
        FewShotSettings(**{name: value})


def test_what_can_work_is_taken():
    DistillSettings("encoder", lr=1, epochs=1, steps=0, warmup=0, dropout=0, ema=0, dev_share=0, recase=1)
    FewShotSettings(lr=1e-5, steps=1, rehearsal=0, ema=0)
