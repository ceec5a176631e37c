from __future__ import annotations

from pathlib import Path

import pytest

from corpus_audit.schemas.errors import ExitCode, SpecError
from corpus_audit.schemas.spec.audit import AuditSpec, ColumnSource, DocumentSpec, PathSource
from corpus_audit.schemas.spec.audit_file import SCHEMA_PATH, json_schema, json_schema_text, load_audit

HEAD = "name: corpus\nsnapshot:\n  paths: [data]\ntokenizer: tokenizer.json\n"
"""A valid spec of four lines; cases add their own lines from line 5 on."""

GOOD = """\
# yaml-language-server: $schema=audit.schema.json
version: 1
name: web
snapshot:
  paths:
    - data/*.parquet
    - s3://bucket/more/**
  format: auto
document:
  text: data.text
  id: id
  domain: {path: "data/{domain}/*.parquet"}
  facets:
    lang: language
    host: {url_host: meta.url}
  cluster: {url_host: meta.url}
tokenizer: tokenizer.json
mixture:
  unit: bytes
  weights: {en: 3, no: 1, 2020: 0.5}
filter:
  - {name: score, column: quality.score, op: ">=", value: 0.5}
  - {name: langs, column: lang, op: in, value: [en, de, 3, true]}
  - name: present
    column: url
    op: not_null
sample: {share: 0.25}
limits:
  document_bytes: 0x100000
  dead_letter_share: 1e-3
"""


def write(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "audit.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def mistakes(tmp_path: Path, text: str | bytes, *overrides: str) -> list[str]:
    """The lines of the error, without the folder."""
    with pytest.raises(SpecError) as caught:
        load_audit(write(tmp_path, text), overrides)
    assert caught.value.exit_code is ExitCode.USAGE
    return str(caught.value).replace(f"{tmp_path}/", "").split("\n")


def test_a_full_spec(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    loaded = load_audit(path)
    spec = loaded.spec
    assert loaded.path == path and loaded.base == tmp_path
    assert spec.snapshot.paths == ("data/*.parquet", "s3://bucket/more/**")
    assert spec.document.domain == PathSource(path="data/{domain}/*.parquet")
    assert spec.mixture is not None
    # YAML 1.2: ``no`` is a word; keys mean what is written.
    assert spec.mixture.shares == pytest.approx({"en": 3 / 4.5, "no": 1 / 4.5, "2020": 0.5 / 4.5})
    assert spec.filter[1].value == ("en", "de", 3, True)
    assert spec.limits.document_bytes == 2**20 and spec.limits.dead_letter_share == 0.001


def test_base_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, HEAD)
    monkeypatch.chdir(tmp_path)
    assert load_audit(Path("audit.yaml")).base == tmp_path


BAD: dict[str, tuple[str | bytes, list[str]]] = {
    "unknown key": (HEAD + "limit: {}\n", ["5:1: unknown key 'limit' (did you mean 'limits'?)"]),
    "unknown key, nested": (
        HEAD + "limits:\n    treshold: 1\n    dead_leter_share: 1\n",
        [
            "6:5: unknown key 'treshold' (known here: document_bytes,",
            "7:5: unknown key 'dead_leter_share' (did you mean 'dead_letter_share'?)",
        ],
    ),
    "unknown key in a union": (
        HEAD + "document:\n  domain: {colum: source}\n",
        ["6:12: unknown key 'colum' (did you mean 'column'?)"],
    ),
    "unknown key in a union in a mapping": (
        HEAD + "document:\n  facets:\n    lang: lang\n    host:\n      urlhost: url\n",
        ["9:7: unknown key 'urlhost' (did you mean 'url_host'?)"],
    ),
    "unknown key in a list": (
        HEAD + "filter:\n- name: a\n  column: b\n  op: not_null\n  colum: c\n",
        ["9:3: unknown key 'colum' (did you mean 'column'?)"],
    ),
    "unknown key in other case": (HEAD + "MIXTURE: {}\n", ["5:1: unknown key 'MIXTURE' (did you mean 'mixture'?)"]),
    "two keys of a union": (
        HEAD + "document:\n  domain: {column: a, path: b}\n",
        ["6:11: expected exactly one of the keys 'column', 'url_host', 'path', 'constant'; not 'column' and 'path'"],
    ),
    "no key of a union": (
        HEAD + "document:\n  cluster: {}\n",
        ["6:12: expected exactly one of the keys 'column', 'url_host', 'path', 'constant'; found none"],
    ),
    "wrong type in a union": (
        HEAD + "document:\n  domain: {constant: 7}\n",
        ["6:22: expected text, found the number 7 (quote it)"],
    ),
    "list for a union": (
        HEAD + "document:\n  domain: [a]\n",
        ["6:11: expected text or a mapping with one of column, url_host, path, constant, found a list"],
    ),
    "duplicate key": (HEAD + "output: a\noutput: b\n", ["6:1: duplicate key 'output' (first on line 5)"]),
    "duplicate key, nested": (
        HEAD + "mixture:\n  weights: {a: 1, b: 2, 'a': 3}\n",
        ["6:25: duplicate key 'a' (first on line 6)"],
    ),
    "text for a list": (
        HEAD.replace("[data]", "data"),
        ["3:10: expected a list (text each), found the text 'data' (start each entry with '- ')"],
    ),
    "list for text": (HEAD + "output: [runs]\n", ["5:9: expected text, found a list"]),
    "mapping for text": (HEAD + "output: {a: b}\n", ["5:9: expected text, found a mapping"]),
    "text for a mapping": (
        HEAD + "limits: none\n",
        ["5:9: expected a mapping with keys such as document_bytes, dead_letter_share, expansion, found the text"],
    ),
    "nothing for a mapping": (HEAD + "limits:\n", ["5:1: expected a mapping with keys such as document_bytes"]),
    "number for text": (HEAD.replace("corpus", "2024"), ["1:7: expected text, found the number 2024 (quote it)"]),
    "yes is text": (HEAD + "excerpts: yes\n", ["5:11: expected true or false, found the text 'yes'"]),
    "fraction for a whole number": (
        HEAD + "limits: {expansion: 2.5}\n",
        ["5:21: expected a whole number, found the number 2.5"],
    ),
    "boolean for a number": (HEAD + "sample: {share: true}\n", ["5:17: expected a number, found true"]),
    "text in a list of numbers": (
        HEAD + "filter: [{name: a, column: b, op: in, value: [1, [2]]}]\n",
        ["5:50: expected text or a whole number or a number or true or false, found a list"],
    ),
    "other version": (HEAD + "version: 2\n", ["5:10: expected 1, found the number 2"]),
    "not one of the choices": (
        HEAD + "mixture:\n  unit: token\n  weights: {a: 1}\n",
        ["6:9: expected one of 'documents', 'bytes', 'tokens', found the text 'token' (did you mean 'tokens'?)"],
    ),
    "not one of the formats": (
        HEAD.replace("[data]", "[data]\n  format: parqet"),
        [
            "4:11: expected one of 'parquet', 'jsonl', 'jsonl.gz', 'jsonl.zst', 'arrow', 'tar', 'tar.gz', "
            "'tar.zst', 'imagefolder', 'auto', found the text 'parqet'"
        ],
    ),
    "missing keys": (
        "name: corpus\n",
        [
            "1:1: missing key 'snapshot' (a mapping with keys such as paths",
            "1:1: missing key 'tokenizer' (text or a mapping with keys such as path, engine)",
        ],
    ),
    "missing key, nested": (
        HEAD + "filter:\n  - column: a\n    op: is_null\n",
        ["6:5: missing key 'name' (text)"],
    ),
    "misspelt required key": (
        HEAD.replace("tokenizer:", "tokeniser:"),
        ["4:1: unknown key 'tokeniser' (did you mean 'tokenizer'?)"],
    ),
    "limits of images without images": (HEAD + "images: {max_pixels: 9}\n", ["1:1: images: sets limits for images"]),
    "archives without images": (
        HEAD.replace("[data]", "[data]\n  format: tar"),
        ["1:1: snapshot.format: tar holds images: name them in document.image"],
    ),
    "captions without a tokenizer": (
        HEAD.replace("tokenizer: tokenizer.json\n", "document: {image: image, text: caption}\n"),
        ["1:1: missing key 'tokenizer' (text or a mapping with keys such as path, engine)"],
    ),
    "a tokenizer without captions": (HEAD + "document: {image: image}\n", ["1:1: tokenizer: these images have no"]),
    "tokens of images": (
        HEAD.replace("tokenizer: tokenizer.json\n", "document: {image: image}\nmixture: {weights: {a: 1}}\n"),
        ["1:1: mixture.unit: images without captions have no tokens"],
    ),
    "above a bound": (HEAD + "limits: {dead_letter_share: 1.5}\n", ["5:29: must be at most 1, found 1.5"]),
    "at a bound": (HEAD + "sample:\n  share: 0\n", ["6:10: must be above 0, found 0"]),
    "below a bound": (HEAD + "mixture: {weights: {a: 1, b: -1}}\n", ["5:30: must be at least 0, found -1"]),
    "empty list": (HEAD.replace("[data]", "[]"), ["3:10: needs at least 1 entry"]),
    "empty text": (HEAD.replace("corpus", "''"), ["1:7: must have at least 1 character"]),
    "long text": (HEAD.replace("corpus", "x" * 121), ["1:7: must have at most 120 characters"]),
    "validator of a clause": (
        HEAD + "filter:\n  - {name: a, column: b, op: in, value: 3}\n",
        ["6:5: op 'in' needs a list of values"],
    ),
    "validator of the mixture": (HEAD + "mixture: {weights: {a: 0}}\n", ["5:10: the weights add up to nothing"]),
    "validator of the facets": (
        HEAD + "document:\n  facets: {domain: x}\n",
        ["6:3: facet name 'domain': use an identifier other than 'domain'"],
    ),
    "validator of the whole": (
        HEAD + "filter:\n- {name: a, column: b, op: not_null}\n- {name: a, column: c, op: not_null}\n",
        ["1:1: two filter clauses have the same name"],
    ),
    "infinity": (HEAD + "limits: {dead_letter_share: .inf}\n", ["5:29: .inf is not a finite number"]),
    "not a number": (HEAD + "sample: {share: .NaN}\n", ["5:17: .NaN is not a finite number"]),
    "overflow to infinity": (HEAD + "sample: {share: 1e999}\n", ["5:17: 1e999 is not a finite number"]),
    "tag of an object": (
        HEAD + "output: !!python/name:os.system x\n",
        ["5:9: tag !!python/name:os.system is"],
    ),
    "tag of a list": (HEAD + "filter: !set [a]\n", ["5:9: tag !set is not known here"]),
    "tag that does not fit": (
        HEAD + "limits: {expansion: !!int ten}\n",
        ["5:21: 'ten' is not a value of the type"],
    ),
    "a date is text": (
        HEAD + "per_document: 2024-01-31\n",
        ["5:15: expected true or false, found the text '2024-"],
    ),
    "merge key": (HEAD + "<<: {output: a}\n", ["5:1: unknown key '<<'"]),
    "key that is a list": (HEAD + "? [a]\n: b\n", ["5:3: a key must be a single value, not a list or a mapping"]),
    "no key": (HEAD + ": b\n", ["5:1: a key is missing before the colon"]),
    "surrogate": (HEAD + 'output: "\\ud800"\n', ["5:9: the text holds half of a surrogate pair"]),
    "tab for indentation": (HEAD + "limits:\n\texpansion: 3\n", ["6:1: not valid YAML: a tab where YAML wants spaces"]),
    "tab after spaces": (HEAD + "limits:\n  \texpansion: 3\n", ["6:3: not valid YAML: a tab where YAML wants spaces"]),
    "unclosed list": (HEAD + "filter: [1, 2\n", ["6:1: not valid YAML: expected ',' or ']', but got '<stream end>'"]),
    "unclosed quote": (HEAD + "output: 'a\n", ["6:1: not valid YAML: found unexpected end of stream"]),
    "two colons": (HEAD + "output: a: b\n", ["5:10: not valid YAML: mapping values are not allowed here"]),
    "reserved sign": (HEAD + "output: @a\n", ["5:9: not valid YAML: found character '@' that cannot start any token"]),
    "bad indentation": (HEAD + "limits:\n  expansion: 3\n dead_letter_share: 0\n", ["7:2: not valid YAML: "]),
    "unknown alias": (HEAD + "output: *x\n", ["5:9: not valid YAML: found undefined alias 'x'"]),
    "alias in itself": (HEAD + "filter: &x [*x]\n", ["5:9: an alias inside the value it stands for"]),
    "two documents": (HEAD + "---\nname: b\n", ["5:1: not valid YAML: a second YAML document starts here"]),
    "YAML 1.1": ("# note\n%YAML 1.1\n---\n" + HEAD, ["2:1: only YAML 1.2 is read"]),
    "empty": ("", ["1:1: the file is empty"]),
    "only comments": ("# nothing\n", ["1:1: the file is empty"]),
    "a list": ("- name: a\n", ["1:1: expected a mapping of keys such as name, snapshot"]),
    "a text": ("hello\n", ["1:1: expected a mapping of keys such as name, snapshot"]),
    "not UTF-8": (HEAD.encode() + "output: é".encode() + b"\xff\n", ["5:10: byte 0xFF is not UTF-8"]),
    "UTF-16": (HEAD.encode("utf-16"), ["1:1: byte 0xFF is not UTF-8"]),
    "NUL": (HEAD + "output: a\x00\n", ["5:10: character U+0000 is not allowed in YAML"]),
    "too large": (HEAD + "#" * 2**20, ["1:1: 1,048,577 bytes; at most 1,048,576 are read"]),
    "nested deeply": (HEAD + "filter: " + "[" * 60 + "]" * 60, ["5:48: nested too deeply"]),
    "nested past recursion": (HEAD + "filter: " + "[" * 5000, ["1:1: nested too deeply"]),
    "several at once, in order": (
        HEAD + "sample: {share: 2}\nlimit: 3\nexcerpts: 1\nsample: 3\n",
        [
            "5:17: must be at most 1, found 2",
            "6:1: unknown key 'limit'",
            "7:11: expected true or false, found the number 1",
            "8:1: duplicate key 'sample' (first on line 5)",
        ],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_mistakes_name_their_place(name: str, tmp_path: Path) -> None:
    text, expected = BAD[name]
    messages = mistakes(tmp_path, text)
    assert len(messages) == len(expected), messages
    for line, start in zip(messages, expected, strict=True):
        assert line.startswith(f"audit.yaml:{start}"), line


def test_many_aliases_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 8)}]" for n in range(1, 12)]
    messages = mistakes(tmp_path, HEAD + "\n".join(lines))
    assert len(messages) == 1 and "too many values or aliases" in messages[0]


def test_an_alias_is_a_copy(tmp_path: Path) -> None:
    text = HEAD + "document:\n  domain: &host {url_host: url}\n  cluster: *host\n"
    spec = load_audit(write(tmp_path, text)).spec
    assert spec.document.cluster == spec.document.domain


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"no\.yaml:1:1: there is no such file"):
        load_audit(tmp_path / "no.yaml")
    with pytest.raises(SpecError, match=r":1:1: this is a folder"):
        load_audit(tmp_path)


def test_a_byte_order_mark_and_windows_lines_are_fine(tmp_path: Path) -> None:
    text = b"\xef\xbb\xbf" + HEAD.replace("\n", "\r\n").encode()
    assert load_audit(write(tmp_path, text)).spec.name == "corpus"
    assert mistakes(tmp_path, text + b"\r\nlimit: 3\r\n")[0].startswith("audit.yaml:6:1: unknown key")


def test_overrides(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + "document: {domain: {column: source}}\nsample: {share: 0.5}\n")
    overrides = (
        "limits.expansion=7",
        "limits.expansion=300",
        "snapshot.paths.0=other",
        "document.domain.column=lang",
        'mixture.weights."c4.en"=1.5',
        "mixture.weights.code=2",
        "sample=",
        "filter=[{name: a, column: b, op: ==, value: 'x=y'}]",
    )
    spec = load_audit(path, overrides).spec
    assert spec.limits.expansion == 300
    assert spec.snapshot.paths == ("other",)
    assert spec.document.domain == ColumnSource(column="lang")
    assert spec.mixture is not None and spec.mixture.weights == {"c4.en": 1.5, "code": 2}
    assert spec.sample is None
    assert spec.filter[0].value == "x=y"
    assert load_audit(path).spec.limits.expansion == 200


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("limits.expansoin=3", "--set limits.expansoin=3: unknown key 'expansoin' (did you mean 'expansion'?)"),
        ("limits.expansion=x", "--set limits.expansion=x: expected a whole number, found the text 'x'"),
        ("limits.expansion=1", "--set limits.expansion=1: must be at least 2, found 1"),
        ("limits={a: 1, a: 2}", "--set limits={a: 1, a: 2}: duplicate key 'a'"),
        ("name.x=3", "--set name.x=3: 'name' holds a single value, not a mapping"),
        ("snapshot.paths.1=x", "--set snapshot.paths.1=x: 'snapshot.paths' is a list of 1; entries count from 0"),
        ("limits", "--set limits: expected KEY.KEY=VALUE"),
        ("=3", "--set =3: expected KEY.KEY=VALUE"),
        ("filter=[1", "--set filter=[1: in the value, column 3: not valid YAML: expected ',' or ']'"),
    ],
)
def test_bad_overrides(override: str, message: str, tmp_path: Path) -> None:
    assert mistakes(tmp_path, HEAD, override)[0].startswith(message)


def test_overrides_are_reported_after_the_file(tmp_path: Path) -> None:
    messages = mistakes(tmp_path, HEAD + "limit: 3\n", "excerpts=3", "nme=x")
    assert [line.split(":")[0] for line in messages] == ["audit.yaml", "--set excerpts=3", "--set nme=x"]


def test_the_committed_schema_is_current() -> None:
    assert SCHEMA_PATH.read_text(encoding="utf-8") == json_schema_text(), (
        "regenerate it: python -m corpus_audit.schemas.spec.audit_file > schemas/spec/audit.schema.json"
    )


def test_the_schema_names_every_key() -> None:
    schema = json_schema()
    assert schema["$schema"].startswith("https://json-schema.org/") and schema["title"]
    assert set(schema["properties"]) == set(AuditSpec.model_fields)
    assert schema["additionalProperties"] is False


def test_images_without_captions_need_no_tokenizer(tmp_path: Path) -> None:
    path = tmp_path / "audit.yaml"
    path.write_text("name: a\nsnapshot: {paths: [data]}\ndocument: {image: image}\n", encoding="utf-8")
    spec = load_audit(path).spec
    assert (spec.document.text, spec.tokenizer_path, spec.has_text) == (None, None, False)
    assert spec.image_limits.max_frames == 1000
    assert AuditSpec.model_validate_json(spec.model_dump_json()) == spec


def test_the_text_column_is_text_unless_there_are_images() -> None:
    assert DocumentSpec().text == "text"
    assert DocumentSpec(image="jpg").text is None
    assert DocumentSpec(image="jpg", text="txt").text == "txt"
