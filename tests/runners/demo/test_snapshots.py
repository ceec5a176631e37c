from __future__ import annotations

from pathlib import Path

from corpus_audit.runners.demo.sources import PART, PackageChange, Source, choose_change


def document(
    package: str, number: int, size: int, domain: str = "other-packages", label: str = "site-packages"
) -> Source:
    return Source(f"{label}/{package}/{number}.py", domain, package, size, Path())


def installation() -> list[Source]:
    """A standard library, two packages that are domains, a very large package and forty small ones."""
    sources = [document(f"std{n % 20}", n, 2_000, "stdlib", "stdlib") for n in range(100)]
    sources += [document("big", n, 1_000, "big") for n in range(80)] + [
        document("small", n, 1_000, "small") for n in range(40)
    ]
    sources += [document("huge", n, 5_000) for n in range(60)]
    return sources + [document(f"p{n % 40}", n, 1_000, ("stubs", "other-packages")[n % 2]) for n in range(400)]


def text_share(sources: list[Source], packages: set[str]) -> float:
    return sum(source.size for source in sources if source.package in packages)


def test_each_side_loses_about_a_part_and_a_domain_comes() -> None:
    sources = installation()
    whole = sum(source.size for source in sources)
    change = choose_change(sources)
    left, came = set(change.left), set(change.came)
    assert change.new_domain == "small" and "small" in came
    assert not left & came
    assert PART * whole <= text_share(sources, left) <= 1.5 * PART * whole
    assert PART * whole <= text_share(sources, came - {"small"}) <= 1.5 * PART * whole
    # The standard library, the large domain and the package that is too large alone are in both.
    assert (left | came) - {"small"} <= {f"p{n}" for n in range(40)}


def test_the_largest_are_named_first_and_the_order_of_files_does_not_matter() -> None:
    sources = installation() + [document("p7", n, 3_000) for n in range(400, 403)]
    change = choose_change(sources)
    for packages in (change.left, change.came):
        sizes = [text_share(sources, {package}) for package in packages]
        assert sizes == sorted(sizes, reverse=True)
    assert choose_change(sources[::-1]) == change


def test_a_document_is_in_both_snapshots_or_in_one() -> None:
    change = PackageChange(("gone",), ("fresh",), None)
    sides = {
        name: (change.before(document(name, 0, 1)), change.now(document(name, 0, 1))) for name in ("gone", "fresh", "x")
    }
    assert sides == {"gone": (True, False), "fresh": (False, True), "x": (True, True)}


def test_without_packages_modules_of_the_standard_library_differ() -> None:
    change = choose_change([document(f"m{n % 50}", n, 1_000, "stdlib", "stdlib") for n in range(500)])
    assert change.left and change.came and change.new_domain is None


def test_a_few_large_files_make_no_difference() -> None:
    assert choose_change([document(f"m{n}", n, 1_000, "stdlib", "stdlib") for n in range(4)]) == PackageChange(
        (), (), None
    )
    assert choose_change([]) == PackageChange((), (), None)
