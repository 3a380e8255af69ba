"""Saved weights to be damaged."""

import shutil

import pytest
from hostile_weights import TEXT, Bases, fresh, scored


@pytest.fixture(scope="session")
def bases(tmp_path_factory):
    return Bases(tmp_path_factory.mktemp("bases"), None)


@pytest.fixture
def bare(bases, tmp_path):
    """A copy of a directory that `distill` wrote, to be damaged."""
    shutil.copytree(bases.folder / "bare_bert", tmp_path / "inside" / "weights")
    return tmp_path / "inside" / "weights"


@pytest.fixture
def pipeline(bases, tmp_path):
    shutil.copytree(bases.folder / "pipeline_bert", tmp_path / "inside" / "pipeline")
    return tmp_path / "inside" / "pipeline"


@pytest.fixture
def read(bases):
    """Read weights with a pipeline of the user's own. RETURNS (dict): spans and their scores."""

    def read(path, architecture="LabelToSpan", encoder=None):
        return scored(fresh(encoder or bases.encoders["bare_bert"], architecture, weights=str(path))(TEXT))

    return read
