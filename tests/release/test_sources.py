"""A pipeline that takes a component over says where it is from."""

import spacy
import srsly
from helpers import packaged

from metaie_spacy.release.assemble import copy_licences
from metaie_spacy.release.sources import keep_sources


def names(meta):
    return [source["name"] for source in meta["sources"]]


def test_default_weights_name_what_they_were_made_from(tmp_path):
    nlp = spacy.blank("en")
    nlp.meta["sources"] = [{"name": "mine", "license": "MIT"}]
    nlp.add_pipe("metaie", config={"labels": ["person"]})
    assert {"mine", "all-MiniLM-L6-v2"} < set(names(nlp.meta)) and any(
        n.startswith("en_metaie_sm ") for n in names(nlp.meta)
    )
    nlp.to_disk(tmp_path / "out")
    assert names(srsly.read_json(tmp_path / "out" / "meta.json")) == names(nlp.meta)
    assert names(spacy.load(tmp_path / "out").meta) == names(nlp.meta)


def test_weights_that_are_missing_are_told_on_first_use_only():
    nlp = spacy.blank("en")
    nlp.add_pipe("metaie", config={"weights": "not_installed"})
    assert not nlp.meta.get("sources")


def test_a_sourced_component_is_named_by_one_command(call, tmp_path):
    nlp, source = spacy.blank("en"), packaged()
    nlp.add_pipe("metaie", source=source)
    nlp.to_disk(tmp_path / "out")
    (tmp_path / "out" / "LICENSE").write_text("my own", encoding="utf8")
    for _ in range(2):  # the second time changes nothing
        assert call("licences", tmp_path / "out").code == 0
        meta = srsly.read_json(tmp_path / "out" / "meta.json")
        assert set(names(source.meta)) < set(names(meta)) and len(names(meta)) == len(set(names(meta)))
        text = (tmp_path / "out" / "LICENSES_SOURCES").read_text(encoding="utf8")
        assert text.count(", LICENSE\n") == 1 and "all-MiniLM-L6-v2" in text
    assert (tmp_path / "out" / "LICENSE").read_text(encoding="utf8") == "my own"
    assert spacy.load(tmp_path / "out").pipe_names == ["metaie"]
    assert "is no pipeline" in call("licences", tmp_path).err


def test_licences_of_an_installed_package_go_along_with_what_is_made_from_it(tmp_path):
    copy_licences("en_metaie_sm", tmp_path)
    assert {"LICENSE", "NOTICE", "LICENSES_SOURCES"} == {path.name for path in tmp_path.iterdir()}


def test_sources_are_added_once_and_licences_of_several_pipelines_stand_together(tmp_path):
    for name in ("a", "b", "out"):
        (tmp_path / name).mkdir()
        srsly.write_json(
            tmp_path / name / "meta.json",
            {"lang": "en", "name": name, "version": "1", "license": "MIT", "sources": ["old"]},
        )
        (tmp_path / name / "NOTICE").write_text(f"notice of {name}", encoding="utf8")
    keep_sources(tmp_path / "a", tmp_path / "out")
    keep_sources(tmp_path / "b", tmp_path / "out")
    sources = srsly.read_json(tmp_path / "out" / "meta.json")["sources"]
    assert [source["name"] for source in sources] == ["old", "en_a 1", "en_b 1"]
    text = (tmp_path / "out" / "LICENSES_SOURCES").read_text(encoding="utf8")
    assert "en_a 1, NOTICE\n\nnotice of a" in text and "en_b 1, NOTICE\n\nnotice of b" in text
