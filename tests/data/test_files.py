"""Files and folders that are whole or not there."""

import signal
import subprocess
import sys

import pytest

from metaie_spacy.data.files import replacing, restored, write_files, write_text, writing


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_its_name_when_it_is_whole_and_else_the_old_one_stays(tmp_path):
    path = tmp_path / "made" / "out.txt"
    write_text(path, "one")
    with pytest.raises(RuntimeError):
        with writing(path) as file:
            file.write(b"half")
            raise RuntimeError
    assert path.read_text() == "one" and names(path.parent) == ["out.txt"]
    write_text(path, "two")
    assert path.read_text() == "two" and names(path.parent) == ["out.txt"]


def test_a_folder_takes_its_name_when_it_is_whole_and_else_the_old_one_stays(tmp_path):
    for content in ("one", "two"):
        with replacing(tmp_path / "model") as new:
            assert not list(new.iterdir())
            (new / content).write_text(content)
        assert names(tmp_path / "model") == [content] and names(tmp_path) == ["model"]
    with pytest.raises(RuntimeError):
        with replacing(tmp_path / "model") as new:
            (new / "three").write_text("half")
            raise RuntimeError
    assert names(tmp_path / "model") == ["two"] and names(tmp_path) == ["model"]


def test_what_a_link_points_to_is_replaced_and_the_link_stays(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    with replacing(tmp_path / "link") as new:
        (new / "file").write_text("")
    write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link").is_symlink() and names(tmp_path / "real") == ["file"]
    assert (tmp_path / "link.txt").is_symlink() and (tmp_path / "real.txt").read_text() == "new"


KILLED = """
import os, signal, sys
from metaie_spacy.data import files
real, left = os.replace, [int(sys.argv[2])]
def replace(a, b):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    real(a, b)
os.replace = replace
with files.replacing(sys.argv[1]) as new:
    (new / "new").write_text("")
"""


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_kill_between_the_renames_loses_neither_folder(tmp_path, renames):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").write_text("")
    result = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "model"), str(renames)])
    assert result.returncode == (0 if renames == 2 else -signal.SIGKILL)
    assert names(restored(tmp_path / "model")) == (["new"] if renames == 2 else ["old"])
    with replacing(tmp_path / "model") as new:
        (new / "newest").write_text("")
    assert names(tmp_path) == ["model"] and names(tmp_path / "model") == ["newest"]


def test_several_files_are_replaced_when_all_are_on_disk(tmp_path):
    write_files(tmp_path, {"a": "1", "b": "1"})
    with pytest.raises(UnicodeEncodeError):
        write_files(tmp_path, {"a": "2", "b": "\ud800"})
    assert (tmp_path / "a").read_text() == "1"
