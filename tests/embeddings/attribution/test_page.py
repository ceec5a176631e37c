"""The examples of the pages of attribution, run on a small index: units and domains are replaced by its own."""

import re
import shlex

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from corpus_audit.runners.cli.main import run_command  # noqa: E402
from corpus_audit.runners.cli.shared.output import Session  # noqa: E402
from tests.pages import blocks, read  # noqa: E402

PAGE = "embeddings/attribution/README.md"
OWN = {"mlp.4:446": "mlp.0:0", "email": "shop", "asyncio": "news"}


def test_the_methods_page_runs():
    (part,) = blocks("embeddings/attribution/methods/README.md", language="python")
    exec(part.text, {})


@pytest.mark.slow
def test_the_commands_and_the_python_of_the_page_run(planted, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "index").symlink_to(planted.folder.parent)
    lines = [line for part in blocks(PAGE) for line in part.text.splitlines() if line.startswith("corpus-audit ")]
    assert [line.split()[1] for line in lines] == ["attribute", "attribute", "prototype"]
    for line in lines:
        for theirs, ours in OWN.items():
            line = line.replace(theirs, ours)
        assert (
            run_command([*shlex.split(line)[1:], *(["--checked", "1"] if " attribute " in line else [])], Session())
            == 0
        )
        out = capsys.readouterr().out
        assert "mlp.0:0" in out and len(out.splitlines()) > 8
    (part,) = blocks(PAGE, language="python")
    exec(part.text.replace("mlp.4:446", "mlp.0:0"), {})
    word, value, error = capsys.readouterr().out.split()
    assert word in ("zorp", "the") and float(value) > 1 and float(error) <= 1e-3


def test_the_page_names_every_option_of_attribute():
    from corpus_audit.runners.cli.attribute import attribute

    text = read(PAGE)
    own = {"example", "text", "domain", "min", "k", "method", "baseline", "checked", "audit", "json", "seed"}
    own |= {"image", "images", "layer", "patch", "stride", "output"}
    options = {name.removeprefix("--") for each in attribute.params for name in each.opts if name.startswith("--")}
    assert options - own == {"index", "snapshot", "model"}, "those of every command that asks an index"
    assert own <= set(re.findall(r"--(\w+)", text))
