"""Opening an address in the user's browser: nobody else on the machine learns it."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
import webbrowser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from napari_ct_pyramid.neuroglancer.browser import open_browser

URL = 'http://127.0.0.1:1/secret/v/view/index.html#!{"a":1}&b'


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that the browser was given."""
    opened: list[str] = []

    def note(url: str) -> bool:
        opened.append(url)
        return True

    monkeypatch.setattr(webbrowser, "open", note)
    monkeypatch.setenv("DISPLAY", ":0")
    return opened


def test_the_browser_gets_a_file_that_leads_to_the_address_and_that_only_this_user_can_read(opened: list[str]) -> None:
    assert open_browser(URL)
    (address,) = opened
    assert "secret" not in address
    file = Path(unquote(urlsplit(address).path))
    (target,) = re.findall(r'content="0;url=([^"]*)"', file.read_text(encoding="utf-8"))
    assert html.unescape(target) == URL
    if os.name == "posix":
        assert (file.stat().st_mode & 0o077, file.parent.stat().st_mode & 0o077) == (0, 0)


def test_the_file_is_removed_when_the_process_ends() -> None:
    code = (
        "import os, webbrowser\nos.environ['DISPLAY'] = ':0'\nwebbrowser.open = lambda url: print(url) or True\n"
        "from napari_ct_pyramid.neuroglancer.browser import open_browser\nopen_browser('http://there')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    file = Path(unquote(urlsplit(done.stdout.strip()).path))
    assert not file.exists()
    assert not file.parent.exists()


def test_without_a_display_no_browser_starts(opened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert not open_browser("http://there")
    assert opened == []
