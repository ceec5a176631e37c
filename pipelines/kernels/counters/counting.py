"""Document-clustered token counters and their 64 hash groups, in one pass over the token ids of a block."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from corpus_audit.pipelines.kernels.compiler.jit import inlined, kernel
from corpus_audit.pipelines.kernels.counters.bits import lowest_bit

GROUPS = 64
"""Hash groups of documents; the permutation tests of later analyses exchange whole groups."""


class TokenCells(NamedTuple):
    """Counters of a block: C cells (domain, token) that occur, sorted; R runs (domain, token, group) that occur.

    Attributes:
        domain, token: int32 [C].
        sums: int64 [C, 4]: occurrences Y, documents df, sum of y^2 and sum of y n over the domain's documents, y of
            whose n tokens are the cell's.
        run_stop: int64 [C]; the runs of cell c are those from ``run_stop[c - 1]`` (0 for the first) to ``run_stop[c]``.
        run_group: uint8 [R], the cell's hash groups, ascending.
        run_count: int64 [R], its occurrences in each; they add up to Y.
        lowest: int32 [vocabulary], the lowest rank of a document that holds the token, D if none does.
    """

    domain: np.ndarray
    token: np.ndarray
    sums: np.ndarray
    run_stop: np.ndarray
    run_group: np.ndarray
    run_count: np.ndarray
    lowest: np.ndarray


@inlined
def _sort_distinct(tokens, n, marks):
    """Sort the first ``n`` of a domain's distinct ``tokens``, in place.

    By a bit a token of the vocabulary in ``marks`` uint64, which are 0 before and after: many small domains of a large
    vocabulary do not pay for all of it, and compiling ``np.sort`` took longer than a small audit.
    """
    for j in range(n):
        marks[tokens[j] >> 6] |= np.uint64(1) << np.uint64(tokens[j] & 63)
    n = np.int64(0)
    for word in range(len(marks)):
        bits = marks[word]
        marks[word] = 0
        while bits != 0:
            tokens[n] = word * 64 + lowest_bit(bits)
            n += 1
            bits &= bits - np.uint64(1)


@inlined
def _sort_runs(present, runs, run_token, run_count, run_group, sorted_count, sorted_group):
    """Sort the runs of one domain by token, in place, by counting; groups stay in the order that they are in.

    Turns ``runs`` [vocabulary], the number of runs of each token, into where they end. ``sorted_count`` int64 and
    ``sorted_group`` uint8 are room for all of them.
    """
    start = np.int64(0)
    for token in present:
        stop = start + runs[token]
        runs[token] = start
        start = stop
    for r in range(len(run_token)):
        token = run_token[r]
        slot = runs[token]
        runs[token] = slot + 1  # by the last run, every start has moved to its stop
        sorted_count[slot] = run_count[r]
        sorted_group[slot] = run_group[r]
    for r in range(len(run_token)):  # assigning to a slice takes numba two seconds to compile
        run_count[r] = sorted_count[r]
        run_group[r] = sorted_group[r]


@kernel
def _count_tokens(
    ids, offsets, order, domains, groups, ranks,
    in_document, touched, in_group, group_tokens, in_domain, domain_runs, domain_tokens, marks,
    sorted_count, sorted_group,
    cell_domain, cell_token, cell_sums, run_stop, run_token, run_group, run_count, best,
):  # fmt: skip
    """Count the tokens of D documents; arguments as for `count_tokens`, and:

    ``order`` int64 [D] lists the documents by (domain, group). Dense arrays and outputs are allocated by the caller, as
    compiling an allocation takes longer than compiling a loop: ``in_document``, ``in_group`` int32, ``domain_runs``
    int64 [vocabulary], ``in_domain`` int64 [4 vocabulary] and ``marks`` are 0, before and after.

    Returns the number of cells and of runs.

    Three dense arrays with a row a token id, one for each level, hand over to the next when their part ends::

        domain 0 |  group 3               |  group 7      |  ...
                 |  doc 12  doc 5  doc 31 |  doc 2        |
                 |    |       |      |    |
                 |  in_document: y of each token; at the document's end y, y^2 and y n go up, and it is cleared
                 |  in_group: occurrences;        at the group's end a run (token, group, count) is written
                 |  in_domain: df, sum y^2, sum y n; at the domain's end the runs are sorted by token: its cells

    1. Count a document into ``in_document``, and list the tokens that are new to it in ``touched``.
    2. Hand its counts over to ``in_group`` and ``in_domain``, token by token, which clears ``in_document``. The rank of
       the document lowers ``best``, by which a token's example document is chosen.
    3. At the end of a group write a run for every token that it holds, unsorted.
    4. At the end of a domain list its tokens in order, sort its runs by token, and write a cell a token. A cell's
       occurrences are the sum of its runs.

    Why so: dense arrays need no hash and no sort a token, only an addition, as long as they stay in the cache; that is
    why documents come ordered by domain. The list of what was touched makes clearing an array as cheap as filling it
    was. All sums are of integers, so the outcome does not depend on the order of a group's documents.
    """
    n_cells = 0
    n_runs = 0
    for i in range(len(best)):
        best[i] = len(order)

    k = 0
    while k < len(order):
        domain = domains[order[k]]
        first_run = n_runs
        n_domain = np.int64(0)
        while k < len(order) and domains[order[k]] == domain:
            group = groups[order[k]]
            n_group = np.int64(0)
            while k < len(order) and domains[order[k]] == domain and groups[order[k]] == group:
                # Step 1. Lists are written without a branch, which the processor could not predict: a token is
                # always written at the end, and the end moves only if it is new. Hence room for one more.
                d = order[k]
                k += 1
                document = ids[offsets[d] : offsets[d + 1]]
                n_touched = np.int64(0)
                for token in document:
                    before = in_document[token]
                    touched[n_touched] = token
                    n_touched += np.int64(before == 0)
                    in_document[token] = before + np.int32(1)
                # Step 2.
                length = np.int64(len(document))
                rank = np.int32(ranks[d])
                for j in range(n_touched):
                    token = np.uint32(touched[j])
                    y = np.int64(in_document[token])
                    in_document[token] = 0
                    group_tokens[n_group] = token
                    n_group += np.int64(in_group[token] == 0)
                    in_group[token] += np.int32(y)
                    in_domain[4 * token] += 1
                    in_domain[4 * token + 1] += y * y
                    in_domain[4 * token + 2] += y * length
                    best[token] = min(best[token], rank)
            # Step 3.
            for j in range(n_group):
                token = group_tokens[j]
                run_token[n_runs] = token
                run_count[n_runs] = in_group[token]
                run_group[n_runs] = group
                in_group[token] = 0
                domain_tokens[n_domain] = token
                n_domain += np.int64(domain_runs[token] == 0)
                domain_runs[token] += 1
                n_runs += 1

        # Step 4. Groups were visited in ascending order, so that they ascend within each token.
        _sort_distinct(domain_tokens, n_domain, marks)
        present = domain_tokens[:n_domain]
        counts = run_count[first_run:n_runs]
        _sort_runs(
            present, domain_runs, run_token[first_run:n_runs], counts, run_group[first_run:n_runs],
            sorted_count, sorted_group,
        )  # fmt: skip
        start = np.int64(0)
        for token in present:
            stop = domain_runs[token]
            total = np.int64(0)
            for r in range(start, stop):
                total += counts[r]
            cell_token[n_cells] = token
            cell_domain[n_cells] = domain
            cell_sums[4 * n_cells] = total
            for j in range(3):
                cell_sums[4 * n_cells + j + 1] = in_domain[4 * token + j]
                in_domain[4 * token + j] = 0
            run_stop[n_cells] = first_run + stop
            n_cells += 1
            domain_runs[token] = 0
            start = stop
    return n_cells, n_runs


def count_tokens(
    ids: np.ndarray,
    offsets: np.ndarray,
    domains: np.ndarray,
    groups: np.ndarray,
    ranks: np.ndarray,
    vocabulary: int,
) -> TokenCells:
    """Count every token of a block by domain, clustered by document.

    Documents are visited by (domain, group), so that the dense accumulators of one domain stay in the cache; measured
    2.8 ns a token with 50,257 entries and 10 domains.

    Args:
        ids: uint16 or uint32 [T], all below ``vocabulary``.
        offsets: int64 [D + 1] into ``ids``.
        domains: int32 [D]; groups: uint8 [D], below `GROUPS`.
        ranks: int64 [D], the rank of each document's content hash within the block.
        vocabulary: one more than the largest token id.
    """
    order = np.lexsort((groups, domains)).astype(np.int64)
    # Every token of the text can be a cell or a run of its own. Memory that is not written to is not used.
    cells, runs = min(len(np.unique(domains)) * vocabulary, len(ids)), len(ids)
    scratch = (
        np.zeros(vocabulary, np.int32),
        np.empty(vocabulary + 1, np.int32),
        np.zeros(vocabulary, np.int32),
        np.empty(vocabulary + 1, np.int32),
        np.zeros(4 * vocabulary, np.int64),
        np.zeros(vocabulary, np.int64),
        np.empty(vocabulary + 1, np.int32),
        np.zeros(vocabulary // 64 + 1, np.uint64),
        np.empty(runs, np.int64),
        np.empty(runs, np.uint8),
    )
    domain, token = np.empty(cells, np.int32), np.empty(cells, np.int32)
    sums, run_stop = np.empty(4 * cells, np.int64), np.empty(cells, np.int64)
    run_token, run_group, run_count = np.empty(runs, np.int32), np.empty(runs, np.uint8), np.empty(runs, np.int64)
    lowest = np.empty(vocabulary, np.int32)
    outputs = (domain, token, sums, run_stop, run_token, run_group, run_count, lowest)
    n_cells, n_runs = _count_tokens(ids, offsets, order, domains, groups, ranks, *scratch, *outputs)
    return TokenCells(
        domain[:n_cells],
        token[:n_cells],
        sums[: 4 * n_cells].reshape(-1, 4),
        run_stop[:n_cells],
        run_group[:n_runs],
        run_count[:n_runs],
        lowest,
    )
