"""What the form remembers from one start of napari to the next: options, recent inputs, which folds are open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from qtpy.QtCore import QSettings

_MOST_RECENT = 8


def settings() -> QSettings:
    """The file of the settings, in the user's own folder for them."""
    return QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, "napari-ct-pyramid", "converter")


class Preferences:
    """What is remembered. Values that cannot be read are left out; if nothing can be written, nothing is remembered."""

    def __init__(self) -> None:
        self._settings = settings()

    def read(self, name: str, default: Any) -> Any:
        """A value that was remembered, of the default's type; otherwise the default."""
        try:
            value = json.loads(str(self._settings.value(name, "null")))
        except ValueError:
            return default
        return value if isinstance(value, type(default)) else default

    def write(self, name: str, value: Any) -> None:
        """Remember a value that JSON can hold."""
        text = json.dumps(value)
        if self._settings.value(name) != text:
            self._settings.setValue(name, text)

    @property
    def recent(self) -> list[str]:
        """The inputs that were read last, the latest first, as far as they still exist."""
        return [path for path in map(str, self.read("recent", [])) if "::" in path or Path(path).exists()]

    def add_recent(self, path: str) -> None:
        """An input was read."""
        before = [other for other in map(str, self.read("recent", [])) if other != path]
        self.write("recent", [path, *before][:_MOST_RECENT])
