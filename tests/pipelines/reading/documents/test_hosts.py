"""Hosts of URLs: known cases, the standard library as an oracle, and the short cut against the regular expression."""

from __future__ import annotations

from urllib.parse import urlsplit

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.reading.documents.facets import encode_labels, facet_of
from corpus_audit.pipelines.reading.documents.hosts import origins, url_hosts

CASES = {
    "https://Example.COM/a/b?c#d": "example.com",
    "http://www.example.com": "example.com",
    "http://www.www.example.com/": "www.example.com",
    "https://www.com/": "www.com",
    "https://user:secret@www.example.com:8080/x": "example.com",
    "https://a@b@example.com/": "example.com",
    "//cdn.example.com/x.js": "cdn.example.com",
    "ftp://files.example.com:21": "files.example.com",
    "http://example.com:/": "example.com",
    "http://[2001:DB8::1]:80/x": "[2001:db8::1]",
    "http://192.168.0.1?x=//y": "192.168.0.1",
    "https://bücher.example/ä": "bücher.example",
    "https://BÜCHER.example/": "bücher.example",
    " https://example.com/x": "example.com",
    "https://example.com\\@evil.example/": "example.com",
    "https://example.com#//other.example": "example.com",
    "http://localhost/": "localhost",
    "example.com/path": None,
    "example.com//path": None,
    "foo?//example.com": None,
    "http:///path": None,
    "http://": None,
    "http://a b/": "a",
    "http://:80/": None,
    "mailto:someone@example.com": None,
    "/local//path": None,
    "": None,
    "1http://example.com": None,
    "http://example.com:8o80/": None,
}


@pytest.mark.parametrize("url", CASES)
def test_known_cases(url: str) -> None:
    hosts = url_hosts(pa.array([url, None], pa.large_string()))
    assert hosts.to_pylist() == [CASES[url], None]
    facet = facet_of(encode_labels(pa.array([None, url, url]), hosts=True))
    assert facet.to_pylist() == ["(none)"] + [CASES[url] or "(none)"] * 2


URLS = st.lists(
    st.none()
    | st.text("ab:/?#\\@[].w1 ä", max_size=14)
    | st.builds(
        "{}//{}{}".format,
        st.sampled_from(["http:", "", "s3:", "x"]),
        st.text("aw.:@1ä", max_size=9),
        st.text("/?#\\ab"),
    ),
    max_size=12,
)


@settings(max_examples=300, deadline=None)
@given(urls=URLS, start=st.integers(0, 3))
def test_origins_keep_the_hosts(urls: list[str | None], start: int) -> None:
    array = pa.array(urls, pa.large_string()).slice(min(start, len(urls)))
    assert url_hosts(origins(array)).to_pylist() == url_hosts(array).to_pylist()


LABEL = st.text("abcdefgXYZ012-", min_size=1, max_size=8)


@settings(max_examples=200, deadline=None)
@given(
    labels=st.lists(LABEL, min_size=1, max_size=4),
    user=st.sampled_from(["", "u@", "u:p@"]),
    port=st.sampled_from(["", ":443"]),
    path=st.text("/?#a", max_size=5),
)
def test_hosts_agree_with_the_standard_library(labels: list[str], user: str, port: str, path: str) -> None:
    url = f"https://{user}{'.'.join(labels)}{port}{'/' + path if path else ''}"
    expected = urlsplit(url).hostname or ""
    if expected.startswith("www.") and "." in expected[4:].strip("."):
        expected = expected[4:]
    assert url_hosts(pa.array([url], pa.large_string())).to_pylist() == [expected]
