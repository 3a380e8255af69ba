"""Files of the project that the package carries: prompts, configs and schemas."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]
FOLDERS = ("assets", "configs", "assets/schemas")


def shipped(name: str | Path) -> Path:
    """A file by its place in the project: that of the working directory, else the package's own.

    name (str | Path): such as "assets/prompt.jinja"; other paths are given back as they are.
    """
    path = Path(name)
    if path.exists() or path.parent.as_posix() not in FOLDERS:
        return path
    places = (PACKAGE / path, PACKAGE.parent / path)  # an installed package, a checkout
    return next((place for place in places if place.is_file()), path)
