"""project.yml fits the files of the repository."""

from helpers import ROOT
from weasel.util import load_project_config


def test_every_command_of_the_project_names_files_that_exist_or_are_made():
    project = load_project_config(ROOT)
    commands = {command["name"]: command for command in project["commands"]}
    made = {output for command in commands.values() for output in command.get("outputs", [])}
    for workflow in project["workflows"].values():
        assert set(workflow) <= set(commands)
        done = set()
        for name in workflow:
            for dep in commands[name].get("deps", []):
                is_made = any(path == dep or path.startswith(dep + "/") for path in done)
                assert ((ROOT / dep).exists() and not dep.startswith(("training", "annotations"))) or is_made, (
                    name,
                    dep,
                )
            done |= set(commands[name].get("outputs", []))
    assert all(command.get("help") for command in commands.values()) and made
