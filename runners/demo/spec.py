"""The demo's audit files: ``before.yaml`` for the first snapshot, ``audit.yaml`` for the second, ``part.yaml`` for the
part of it that a model is run over."""

from __future__ import annotations

from collections.abc import Mapping

from corpus_audit.schemas.yaml.yaml_tree import yaml_scalar

_INTENDED = {
    "stdlib": 0.18,
    "stdlib-tests": 0.10,
    "package-tests": 0.10,
    "stubs": 0.04,
    "documentation": 0.14,
    "licences": 0.02,
    "other-packages": 0.18,
}
"""Intended shares of tokens; the named packages share the rest equally."""

MODEL = "all-MiniLM-L6-v2"
"""What the demo's folder calls the model; a link to where it is installed."""

_DOCUMENT = """\
document:
  text: text
  id: id
  domain: source      # the primary facet: where a file comes from
  facets:
    package: package  # a second way to cut the corpus
"""


def before_text() -> str:
    """The audit of the first snapshot."""
    return f"""\
# The demo's first snapshot, which audit.yaml is compared with.

version: 1
name: Python installation, before

snapshot:
  paths:
    - data/both         # shards that the second snapshot has too
    - data/before

{_DOCUMENT}
tokenizer: tokenizer.json

output: runs-before
store: runs/.store      # what was counted here need not be counted again for the second snapshot
"""


def part_text() -> str:
    """The audit of the part that is indexed."""
    return f"""\
# Documents of the demo's second snapshot, as many as a small model reads in a minute. Which of them make its
# units fire: corpus-audit index part.yaml, then corpus-audit lookup, search, units and explain.

version: 1
name: Python installation, a part

snapshot:
  paths:
    - part

{_DOCUMENT}
tokenizer: tokenizer.json

embedding:
  model: {MODEL}   # by default, all neurons of it
  vectors:
    projection: 0           # a drawing of the windows for the report of a run of this part

output: runs-part
"""


def audit_text(domains: Mapping[str, int], budget: int) -> str:
    """The audit of the second snapshot.

    Args:
        domains: documents by domain.
        budget: training tokens of the sampling section.
    """
    intended = _intended(domains)
    return f"""\
# The demo: source code and documentation of this machine's Python installation, after some packages left and
# others came. Change something and run it again: corpus-audit run audit.yaml

version: 1
name: Python installation

snapshot:
  paths:
    - data/both         # shards that the first snapshot has too: they are not read again
    - data/now

{_DOCUMENT}  #cluster: package   # files of a package are alike, and intervals by package honest; in before.yaml too

tokenizer: tokenizer.json

# What a team might have meant to train on, in shares of tokens. The report shows how far the corpus is from it.
mixture:
  unit: tokens
  weights:
{_weights(intended, 4)}

# The run to compare with: the newest one of the first snapshot.
baseline:
  - {{run: runs-before, label: before}}

# What strategies would draw for a budget of a few epochs. The last two read the same weights in two ways, as samplers
# do: as shares of tokens and as shares of documents.
sampling:
  budget: {budget:.1e}
  parameters: {budget / 20:.1e}
  strategies:
    - proportional
    - temperature: {{alpha: 0.3}}
    - unimax: {{epoch_cap: 4.0}}
    - name: mixture by token
      weights: &intended
{_weights(intended, 8)}
    - name: mixture by document
      unit: documents
      weights: *intended

# A benchmark whose answer is known: some of its items are passages of this corpus. Their ids say which.
benchmarks:
  - {{name: planted, paths: [benchmark.jsonl], prompt: question, answer: answer, id: id}}

# The rules that judge the run. Of this corpus one should fail: the benchmark was planted.
policy: policy.yaml

#filter:
#  - {{name: python_only, column: path, op: matches, value: '\\.pyi?$'}}   # in before.yaml too

#embedding:            # index all of it, in an hour or two: corpus-audit index audit.yaml; the next run then reports it
#  model: {MODEL}

#per_document: true   # also write a table with the counts of every document

output: runs
"""


def _intended(domains: Mapping[str, int]) -> dict[str, float]:
    named = sorted(domain for domain in domains if domain not in _INTENDED)
    rest = 1 - sum(_INTENDED.values())
    weights = {domain: share for domain, share in _INTENDED.items() if domain in domains}
    return weights | {domain: round(rest / len(named), 3) for domain in named}


def _weights(weights: Mapping[str, float], indent: int) -> str:
    return "\n".join(f"{' ' * indent}{yaml_scalar(domain)}: {share:g}" for domain, share in weights.items())
