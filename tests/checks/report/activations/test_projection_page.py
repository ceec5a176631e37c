"""The page and the picture of a projection: every window once, nothing from a label is markup, a key without colour."""

from xml.etree import ElementTree as ET

from corpus_audit.checks.report.activations.projection_chart import Panel
from corpus_audit.checks.report.activations.projection_page import HEIGHT, WIDTH, Group, page, picture

GROUPS = [
    Group("weak <b>&", "g0", 3.0, ((0.0, 0.0), (4.0, 2.0))),
    Group("strong\u202e", "g5", 7.0, ((2.0, 1.0),)),
]


def test_a_picture_has_every_window_within_it():
    root = ET.fromstring(picture(GROUPS, "a <title>"))
    paths = [path.get("d") for path in root.iter("{http://www.w3.org/2000/svg}path")]
    points = [tuple(map(float, each.removesuffix("h0").split(","))) for each in paths[0][1:].split("M")]
    assert len(points) == 2 and all(0 < x < WIDTH and 0 < y < HEIGHT for x, y in points)
    # One scale for both axes: 4 to 2.
    assert abs(points[1][0] - points[0][0]) == 2 * abs(points[1][1] - points[0][1])
    text = " ".join(root.itertext())
    assert "weak <b>&: 2 windows" in text and "1 window" in text and "\u202e" not in text


def test_a_page_escapes_labels_and_has_a_key():
    text = page("a <script>", ["about <i>"], GROUPS)
    assert "<script" not in text and "<b>" not in text and "<i>" not in text and "&lt;b&gt;" in text
    assert text.startswith("<!DOCTYPE html>") and "prefers-color-scheme:dark" in text and "2 windows" in text
    one = page("all alike", [], [Group("all", "faint", 3.0, ((1.0, 1.0),))])
    assert "M360.0,280.0h0" in one


def test_a_page_of_domains():
    text = page("domains", [], panels=[Panel("a<b", ((0.0, 0.0),)), Panel("c", ((1.0, 1.0),))])
    assert text.count("<figure>") == 2 and "a&lt;b, 1 window" in text and text.count("dots own") == 2
