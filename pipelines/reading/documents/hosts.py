"""Extracts host names from columns of URLs."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_URL = (
    r"(?s)^\s*(?:[A-Za-z][A-Za-z0-9+.\-]*:)?//(?:[^/?#\\]*@)?"  # scheme, user
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^/?#\\:@\s\[\]]+)(?::[0-9]*)?(?:[/?#\\\s].*)?$"  # host, port, the rest
)
_DELIMITERS = np.zeros(256, dtype=bool)
_DELIMITERS[list(b"/?#\\")] = True


def url_hosts(urls: pa.Array) -> pa.Array:
    """Host names of URLs: lower case, without user, port and a leading ``www.``; null where there is none.

    Args:
        urls: large_string [N]; values may be null.

    The ``www.`` stays if the rest has no dot (``www.com``). International names stay as written.
    """
    hosts = pc.struct_field(pc.extract_regex(urls, pattern=_URL), "host")
    return pc.replace_substring_regex(pc.utf8_lower(hosts), pattern=r"^www\.(.+\..+)$", replacement=r"\1")


def origins(urls: pa.Array) -> pa.Array:
    """The origins of URLs, everything before the path: scheme, user, host and port.

    Args:
        urls: large_string [N]; values may be null.

    `url_hosts` gives the same result for the origins as for the URLs. There are far fewer distinct origins, and no
    regular expression is needed to find them.
    """
    offsets = np.frombuffer(urls.buffers()[1], np.int64)[urls.offset : urls.offset + len(urls) + 1]
    starts, ends = offsets[:-1], offsets[1:]
    buffer = urls.buffers()[2]
    if buffer is None or not len(urls) or ends[-1] == offsets[0]:
        return urls
    base = int(offsets[0])
    data = np.frombuffer(buffer, np.uint8)[base : ends[-1]]
    marks = np.append(np.flatnonzero(_DELIMITERS[data]) + base, ends[-1])
    first = marks[np.searchsorted(marks, starts)]
    second = np.minimum(first + 1, ends[-1] - 1) - base
    # A second slash follows the first one: the host lies between it and the next delimiter.
    slashes = (first + 1 < ends) & (data[np.minimum(first, ends[-1] - 1) - base] == 0x2F) & (data[second] == 0x2F)
    after = marks[np.searchsorted(marks, np.where(slashes, first + 2, first))]
    sizes = np.maximum(np.minimum(after, ends) - starts, 0)
    stops = np.cumsum(sizes)
    source_index = np.arange(stops[-1]) + np.repeat(starts - base - stops + sizes, sizes)
    new_offsets = np.concatenate([np.zeros(1, np.int64), stops])
    plain = pa.Array.from_buffers(
        pa.large_string(), len(urls), [None, pa.py_buffer(new_offsets), pa.py_buffer(data[source_index])]
    )
    return pc.if_else(pc.is_valid(urls), plain, None) if urls.null_count else plain
