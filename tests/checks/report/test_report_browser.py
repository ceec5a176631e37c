import shutil
import struct
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from corpus_audit.checks.report.html import render_html
from corpus_audit.checks.report.model import ReportModel
from tests.checks.report.hostile import HOSTILE, with_every_text

pytestmark = pytest.mark.browser

PAPER = {"light": (0xFD, 0xFC, 0xF9), "dark": (0x16, 0x18, 0x1B)}
SCHEMES = {"light": "1", "dark": "0"}


def chromium(tmp_path: Path, page: Path, *flags: str) -> None:
    binary = shutil.which("chromium") or shutil.which("chromium-browser")
    if binary is None:
        pytest.skip("chromium is not installed")
    command = [
        binary,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--hide-scrollbars",
        f"--user-data-dir={tmp_path / 'profile'}",
        *flags,
        page.as_uri(),
    ]
    subprocess.run(command, check=True, timeout=120, capture_output=True)


def first_pixel(png: bytes) -> tuple[int, ...]:
    """The colour at the top left: no PNG filter changes the first pixel of the first row."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    offset, data = 8, b""
    while offset < len(png):
        (length,) = struct.unpack(">I", png[offset : offset + 4])
        if png[offset + 4 : offset + 8] == b"IDAT":
            data += png[offset + 8 : offset + 8 + length]
        offset += 12 + length
    return tuple(zlib.decompress(data)[1:4])


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 500])
def test_the_page_is_drawn_in_both_themes(model: ReportModel, tmp_path: Path, theme: str, width: int) -> None:
    sizes = {}
    for name, text in (("page", render_html(model)), ("blank", "<!DOCTYPE html><title>blank</title>")):
        file = tmp_path / f"{name}.html"
        file.write_text(text, "utf-8")
        shot = tmp_path / f"{name}.png"
        scheme = f"--blink-settings=preferredColorScheme={SCHEMES[theme]}"
        chromium(tmp_path, file, scheme, f"--window-size={width},2000", f"--screenshot={shot}")
        sizes[name] = len(shot.read_bytes())
    assert first_pixel((tmp_path / "page.png").read_bytes()) == PAPER[theme]
    assert sizes["page"] > 10 * sizes["blank"]


def test_hostile_text_makes_no_request(model: ReportModel, tmp_path: Path) -> None:
    file, log = tmp_path / "page.html", tmp_path / "net.json"
    rows = tuple(with_every_text(model.domains[0], payload) for payload in HOSTILE)
    loading = "<img src=https://evil.example/x onerror=alert(1)>"
    file.write_text(render_html(replace(with_every_text(model, loading), domains=rows)), "utf-8")
    chromium(tmp_path, file, f"--log-net-log={log}", f"--screenshot={tmp_path / 'page.png'}")
    traffic = log.read_text("utf-8", errors="replace")
    assert "page.html" in traffic
    assert "evil.example" not in traffic
