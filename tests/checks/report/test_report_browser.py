import html
import json
import re
import shutil
import struct
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from corpus_audit.checks.report.activations import section
from corpus_audit.checks.report.page.html import render_html
from corpus_audit.checks.report.page.model import ReportModel
from tests.checks.report.activations.computed_results import write_results
from tests.checks.report.activations.test_section import write
from tests.checks.report.hostile import HOSTILE, with_every_text

pytestmark = pytest.mark.browser

PAPER = {"light": (0xFD, 0xFC, 0xF9), "dark": (0x16, 0x18, 0x1B)}
SCHEMES = {"light": "1", "dark": "0"}


def chromium(tmp_path: Path, page: Path, *flags: str) -> subprocess.CompletedProcess[str]:
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
    return subprocess.run(command, check=True, timeout=120, capture_output=True, text=True)


FRAMED = """<!DOCTYPE html><meta charset="utf-8"><p id="said"></p>
<iframe id="page" style="border:0;width:{width}px;height:4000px" srcdoc="{page}"></iframe>
<script>
document.getElementById("page").onload = (event) => {{
  const frame = event.target, inside = frame.contentDocument, over = [];
  const section = inside.getElementById("model");
  for (const each of section.querySelectorAll("*"))
    if (!each.closest(".scroll") && each.getBoundingClientRect().right > frame.clientWidth + 1) over.push(each.tagName);
  const chart = section.querySelector(".panels .chart").getBoundingClientRect();
  const dots = inside.querySelector(".dots.own").getBoundingClientRect();
  document.getElementById("said").textContent = JSON.stringify({{
    page: inside.documentElement.scrollWidth, over, chart: [chart.width, chart.height], dots: dots.width,
    ground: inside.defaultView.getComputedStyle(inside.body).backgroundColor,
  }});
}};
</script>"""
"""A window of a browser is at least 500 pixels wide; a frame can be narrower. It says what is wider than itself."""


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


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_section_on_a_model_fits_and_says_nothing_to_the_console(
    model: ReportModel, tmp_path: Path, theme: str, width: int
) -> None:
    name = "a-domain-of-a-rather-long-name.example.org"
    run = write(tmp_path / "run", name=name, domains=12)
    write_results(run.folder, name)
    indexed = section.load(run)
    file = tmp_path / "framed.html"
    page = html.escape(render_html(replace(model, indexed=indexed)))
    file.write_text(FRAMED.format(width=width, page=page), "utf-8")
    scheme = f"--blink-settings=preferredColorScheme={SCHEMES[theme]}"
    done = chromium(tmp_path, file, scheme, "--enable-logging=stderr", "--dump-dom")
    result = re.search(r'<p id="said">(.*?)</p>', done.stdout)
    assert result
    output = json.loads(html.unescape(result[1]))
    assert output["page"] <= width and output["over"] == []
    across, high = output["chart"]
    assert across == pytest.approx(high, abs=1) and (across > 150 or width == 390) and 0 < output["dots"] <= across
    assert output["ground"] == f"rgb{PAPER[theme]}"
    assert "CONSOLE" not in done.stderr
