"""What an installation brings: the project's files from anywhere, and one line for what is missing."""

import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import PackageNotFoundError, distribution

import pytest
from helpers import ROOT
from packaging.requirements import Requirement
from packaging.version import Version
from teacher_server import teacher_server

from metaie_spacy.cli.app import main
from metaie_spacy.data.shipped import shipped

PARTS = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "NOTICE", "metaie_spacy", "assets", "configs")
SHIPPED = (
    "assets/corpus.jsonl", "assets/prompt.jinja", "assets/confirm.jinja", "assets/similar.jinja", "assets/closed.jinja", "configs/teacher.cfg",
    "configs/sources.json", "configs/fewshot.cfg", *(f"assets/schemas/{path.name}" for path in (ROOT / "assets" / "schemas").glob("*.json")),
)  # fmt: skip
EXTRAS = {"accelerate": "train", "pyarrow": "parquet"} | dict.fromkeys(
    ("openai", "tenacity", "rapidfuzz", "datasketch"), "project"
)
NOBODY = ("--teacher.base_url", "http://127.0.0.1:9/v1", "--teacher.api_key_env", "null")
TEXT = "Ada Lovelace met Charles Babbage in London."


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The package built without a network. RETURNS (Path): a folder with dist/*.whl, dist/*.tar.gz and the wheel's `site`."""
    folder = tmp_path_factory.mktemp("built")
    (folder / "source").mkdir()
    for name in PARTS:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / "source" / name)
    build = (
        "import sys; from setuptools import build_meta as b; out = sys.argv[1]; b.build_sdist(out); b.build_wheel(out)"
    )
    command = [sys.executable, "-W", "ignore", "-c", build, str(folder / "dist")]
    subprocess.run(command, cwd=folder / "source", check=True, capture_output=True)
    with zipfile.ZipFile(next((folder / "dist").glob("*.whl"))) as wheel:
        wheel.extractall(folder / "site")
    return folder


@pytest.fixture
def in_empty_folder(built, tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder, with no files of the project but those of the built wheel."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts.txt").write_text(TEXT + "\n", encoding="utf8")
    monkeypatch.setattr("metaie_spacy.data.shipped.PACKAGE", built / "site" / "metaie_spacy")

    def run(*args):
        monkeypatch.chdir(tmp_path / "empty")
        monkeypatch.setattr(sys, "argv", ["metaie_spacy", *map(str, args)])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 0, capsys.readouterr().err

    return run


def test_the_wheel_holds_the_projects_own_files_once(built):
    with zipfile.ZipFile(next((built / "dist").glob("*.whl"))) as wheel:
        for name in SHIPPED:
            assert wheel.read(f"metaie_spacy/{name}") == (ROOT / name).read_bytes(), name
        assert not [name for name in wheel.namelist() if name.startswith(("assets", "configs", "tests", "benchmarks"))]


def test_the_sdist_holds_all_that_a_build_needs(built):
    with tarfile.open(next((built / "dist").glob("*.tar.gz"))) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {*SHIPPED, "setup.py", "pyproject.toml", "README.md", "LICENSE", "NOTICE", "metaie_spacy/py.typed"} <= names


def test_rules_annotate_in_an_empty_folder(in_empty_folder, tmp_path):
    (tmp_path / "rules.jsonl").write_text('{"label": "person", "pattern": "Ada Lovelace"}\n', encoding="utf8")
    out = tmp_path / "empty" / "out.jsonl"
    in_empty_folder("annotate", tmp_path / "texts.txt", out, "--rules", tmp_path / "rules.jsonl")
    assert json.loads(out.read_text(encoding="utf8"))["spans"] == [{"start": 0, "end": 12, "label": "person"}]


def test_a_teacher_annotates_in_an_empty_folder_with_the_packages_config_and_prompt(in_empty_folder, tmp_path):
    corpus = tmp_path / "corpus.jsonl"
    row = {"id": "1", "text": TEXT, "spans": [{"start": 0, "end": 12, "label": "person"}], "absent": ["drug"]}
    corpus.write_text(json.dumps(row) + "\n", encoding="utf8")
    out = tmp_path / "empty" / "out.jsonl"
    with teacher_server(corpus=corpus) as server:
        options = ["--teacher.base_url", server.url, "--teacher.api_key_env", "null"]
        in_empty_folder("annotate", tmp_path / "texts.txt", out, *options)
    assert json.loads(out.read_text(encoding="utf8"))["spans"] == row["spans"]


def test_files_of_the_folder_win_and_other_names_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shipped("assets/prompt.jinja").read_bytes() == (ROOT / "assets" / "prompt.jinja").read_bytes()
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "prompt.jinja").write_text("mine", encoding="utf8")
    assert shipped("assets/prompt.jinja").read_text(encoding="utf8") == "mine"
    for name in ("setup.py", "configs/none.cfg", "assets/../setup.py", "prompt.jinja", str(tmp_path / "assets" / "x")):
        assert not shipped(name).exists()


@pytest.mark.parametrize(
    "args, package",
    [
        (["distill", "{rows}", "--output", "out", "--encoder", "{encoder}"], "accelerate"),
        (["annotate", "{rows}", "out.jsonl", *NOBODY], "openai"),
        (["annotate", "{rows}", "out.jsonl", *NOBODY], "tenacity"),
        (["similar", "{rows}", "out.jsonl", *NOBODY], "openai"),
        (["correct", "{rows}", "out.jsonl", "--student", "en_metaie_sm", "--min-score", "0", *NOBODY], "openai"),
        (["annotate", "texts.parquet", "out.jsonl", "--rules", "{rules}"], "pyarrow"),
        (["extract", "texts.parquet"], "pyarrow"),
        (["curate", "{rows}", "--output", "out"], "datasketch"),
    ],
)
def test_a_command_without_its_extra_names_it_in_one_line(call, encoders, tmp_path, monkeypatch, args, package):
    (tmp_path / "rows.jsonl").write_text(
        json.dumps({"id": "1", "text": TEXT, "spans": [{"start": 0, "end": 3, "label": "person"}]}) + "\n",
        encoding="utf8",
    )
    (tmp_path / "rules.jsonl").write_text('{"label": "person", "pattern": "Ada"}\n', encoding="utf8")
    (tmp_path / "texts.parquet").write_bytes(b"PAR1")
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    known = {"rows": tmp_path / "rows.jsonl", "rules": tmp_path / "rules.jsonl", "encoder": encoders["bert"]}
    places = {"out": tmp_path / "out", "out.jsonl": tmp_path / "out.jsonl", "texts.parquet": tmp_path / "texts.parquet"}
    result = call(*(places.get(arg, arg.format(**known)) for arg in args))
    (line,) = [line for line in result.err.splitlines() if "metaie-spacy[" in line]
    assert result.code == 1 and package in line and f"metaie-spacy[{EXTRAS[package]}]" in line
    assert "Traceback" not in result.err


def test_every_python_has_one_pin_of_each_package_and_setup_allows_it():
    pins = [
        Requirement(line.partition("#")[0])
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line.partition("#")[0].strip()
    ]
    allowed = {r.name: r.specifier for r in map(Requirement, distribution("metaie-spacy").requires) if not r.marker}
    for minor in range(10, 15):
        held = [pin for pin in pins if pin.marker is None or pin.marker.evaluate({"python_version": f"3.{minor}"})]
        names = [pin.name for pin in held]
        assert sorted(names) == sorted({pin.name for pin in pins})
        for pin in held:
            (version,) = [Version(part.version) for part in pin.specifier]
            assert pin.name not in allowed or version in allowed[pin.name]
    try:
        spacy = distribution("spacy-transformers")
    except PackageNotFoundError:
        return
    assert any("transformers<4.53.3" in requirement for requirement in spacy.requires)  # as the README says
