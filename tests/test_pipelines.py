"""Opening trained pipelines."""

import pytest
import spacy

from metaie_spacy.pipelines import load_pipeline


def test_a_pipeline_that_is_none_is_named(tmp_path):
    with pytest.raises(ValueError, match="Cannot load the pipeline 'no_such_package'"):
        load_pipeline("no_such_package")
    spacy.blank("en").to_disk(tmp_path / "blank")
    with pytest.raises(ValueError, match="no 'metaie' component"):
        load_pipeline(str(tmp_path / "blank"))
