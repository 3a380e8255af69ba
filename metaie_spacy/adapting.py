"""The half of the component that has adapters: small changes of its weights that a call or a text asks by name."""

import re
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

import srsly

from .schema import Ask, parse_schema

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,59}")
SUFFIX = ".safetensors"
MOST_ADAPTERS = 2**30  # bytes of all that are saved with a pipeline


class HasAdapters:
    """Adapters, mixed into `component.MetaIE`, whose attributes it uses."""

    _adapter: str | None = None

    @property
    def adapters(self) -> dict[str, dict[str, Any]]:
        """Name -> what a text or a call that is read with this adapter is asked, its own labels and links.

        Each is a mapping as `doc._.metaie_labels` and `pipe_with_labels` take it.
        """
        return {name: {**one.schema, "adapter": name} for name, one in self.model.shims[0].adapters.items()}

    @property
    def adapter(self) -> str | None:
        """The adapter of texts that name none; None: the weights as they are."""
        return self._adapter

    @adapter.setter
    def adapter(self, value: str | None) -> None:
        self._adapter = None if value is None else self.check_adapter(value)

    def add_adapter(self, name: str, source: str | Path) -> None:
        """Take an adapter that `fewshot --adapter` wrote beside those that are there, or in place of one of its name.

        name (str): by which it is asked; letters, digits, "_", "." and "-".
        RAISES (ValueError): it is damaged, or belongs to other weights; or the name is none.
        """
        from .model.adapters import read_adapter

        check_name(name)
        self.load()
        self._add(name, read_adapter(source), f"'{source}'")

    def remove_adapter(self, name: str) -> None:
        """RAISES (ValueError): there is none of this name."""
        self.model.shims[0].remove_adapter(self.check_adapter(name))
        if self._adapter == name:
            self._adapter = None

    def check_adapter(self, name: Any) -> str:
        """RAISES (ValueError): there is no adapter of this name."""
        known = self.model.shims[0].adapters
        if not isinstance(name, str) or name not in known:
            there = f"It has: {', '.join(sorted(known))}." if known else "It has none: add_adapter adds one."
            raise ValueError(f"'{self.name}' has no adapter {name!r}. {there}")
        return name

    def _add(self, name: str, adapter: Any, source: str) -> None:
        try:
            parse_schema(adapter.schema)
            self.model.shims[0].add_adapter(name, adapter)
        except (ValueError, TypeError) as error:
            raise ValueError(f"The adapter {source} cannot be used here: {error}") from error

    def _own_ask(self, adapter: str | None) -> Ask:
        """What texts are asked that bring nothing: the component's labels, or those of an adapter that a call names."""
        if adapter is None:
            return Ask(self._labels, links=self._links)
        labels, links = parse_schema(self.model.shims[0].adapters[self.check_adapter(adapter)].schema)
        return Ask(labels, links=links, adapter=adapter)

    def _by_adapter(self, asks: Sequence[Ask], default: Ask) -> Iterator[tuple[str | None, list[int]]]:
        """Adapters, and the places of the texts that they read."""
        places: dict[str | None, list[int]] = {}
        for i, ask in enumerate(asks):
            own = next((name for name in (ask.adapter, default.adapter, self._adapter) if name is not None), None)
            places.setdefault(own if own is None else self.check_adapter(own), []).append(i)
        yield from places.items()

    def _adapter_files(self) -> dict[str, bytes]:
        from .model.adapters import adapter_bytes

        return {f"{name}{SUFFIX}": adapter_bytes(one) for name, one in self.model.shims[0].adapters.items()}

    def _adapters_bytes(self) -> bytes:
        return srsly.msgpack_dumps(self._adapter_files())

    def _read_adapters(self, files: Mapping[str, bytes], source: str) -> None:
        """In place of those that are there. RAISES (ValueError): one is damaged, or belongs to other weights."""
        from .model.adapters import parse_adapter

        found = {name.removesuffix(SUFFIX): content for name, content in files.items() if name.endswith(SUFFIX)}
        read = {check_name(name): parse_adapter(found[name], f"'{name}' of {source}") for name in sorted(found)}
        for name in list(self.model.shims[0].adapters):
            self.model.shims[0].remove_adapter(name)
        for name, adapter in read.items():
            self._add(name, adapter, f"'{name}' of {source}")
        if self._adapter not in read:
            self._adapter = None

    def _write_adapters(self, folder: Path) -> None:
        """One file each; files of adapters that are gone go too."""
        files = self._adapter_files()
        for old in folder.glob(f"*{SUFFIX}") if folder.is_dir() else ():
            if old.name not in files:
                old.unlink()
        if files:
            folder.mkdir(exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)


def check_name(name: Any) -> str:
    """RAISES (ValueError): this cannot be the name of an adapter, which becomes one of a file."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(f"An adapter's name has letters, digits, '_', '.' and '-', 60 at most, not {name!r}.")
    return name


def adapter_files(folder: Path) -> dict[str, bytes]:
    """The files of the adapters of a saved component. RAISES (ValueError): they are links out of it, or too large."""
    from .model.damage import check_inside, read_file

    found, left = {}, MOST_ADAPTERS
    for path in sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else ():
        found[path.name] = read_file(check_inside(folder, path.name), left)
        left -= len(found[path.name])
    return found
