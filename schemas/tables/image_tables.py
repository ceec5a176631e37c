"""Arrow schemas of the tables of an image corpus: what its images are, which are copies, and how they changed."""

from __future__ import annotations

import pyarrow as pa

from corpus_audit.schemas.tables.fields import ADJUSTED, BASELINE, DOMAIN, DOMAIN_OR_ALL, field

_WIDE = pa.decimal128(38, 0)
_DOMAIN = field("domain", pa.string(), "value of the primary facet")
_SIZE_UNIT = field(
    "unit",
    pa.string(),
    "short_side (pixels), pixels, aspect (longer side by shorter, in thousandths), "
    "bytes_per_pixel (of the file, in thousandths)",
)
_PROPERTY = field("property", pa.string(), "format, mode, orientation, frames, flat or mislabelled")
_VALUE = field("value", pa.string(), "the property's value, such as JPEG, CMYK, 6, 2 to 10, yes, PNG named JPEG")
_LOW = field("low", pa.float64(), "lower 95 % bound", "share", nullable=True)
_HIGH = field("high", pa.float64(), "upper 95 % bound", "share", nullable=True)

IMAGE_TOTALS = pa.schema(
    [
        _DOMAIN,
        field("images", pa.int64(), "images", "images"),
        field("frames", pa.int64(), "pictures in their files", "pictures"),
        field("pixels", pa.int64(), "pixels of the first pictures", "pixels"),
        field("bytes", pa.int64(), "bytes of the files", "bytes"),
        field("sum_pixels_squared", _WIDE, "sum over images of pixels^2", "pixels^2"),
        field("sum_bytes_squared", _WIDE, "sum over images of bytes^2", "bytes^2"),
    ],
    metadata={"title": "Images, pixels and bytes by domain", "order": "domain"},
)

IMAGE_CLUSTER_GROUPS = pa.schema(
    [
        _DOMAIN,
        field("group", pa.int32(), "hash group of the cluster key, 0 to 1023"),
        field("images", pa.int64(), "images", "images"),
        field("pixels", pa.int64(), "pixels", "pixels"),
        field("bytes", pa.int64(), "bytes", "bytes"),
    ],
    metadata={"title": "Totals of images by hash group of the cluster key", "order": "domain, group"},
)
"""Written only when a cluster field is set."""

IMAGE_SHARES = pa.schema(
    [
        _DOMAIN,
        field("unit", pa.string(), "images, pixels or bytes"),
        field("count", pa.int64(), "the domain's total in that unit", "unit"),
        field("total", pa.int64(), "the corpus total in that unit", "unit"),
        field("share", pa.float64(), "count / total", "share"),
        _LOW,
        _HIGH,
        field("low_simultaneous", pa.float64(), "lower bound, 95 % jointly for all domains", "share", nullable=True),
        field("high_simultaneous", pa.float64(), "upper bound, 95 % jointly for all domains", "share", nullable=True),
        field("method", pa.string(), "how the interval was made"),
    ],
    metadata={"title": "Domains' shares of the images, pixels and bytes", "order": "unit, count descending, domain"},
)

IMAGE_SIZES = pa.schema(
    [
        _DOMAIN,
        _SIZE_UNIT,
        field("low", pa.int64(), "smallest size in the bucket", "unit"),
        field("high", pa.int64(), "largest size in the bucket", "unit"),
        field("images", pa.int64(), "images whose size is in the bucket", "images"),
    ],
    metadata={"title": "Sizes of images, log buckets of 1 % relative error", "order": "domain, unit, low"},
)

IMAGE_SIZE_QUANTILES = pa.schema(
    [
        DOMAIN_OR_ALL,
        _SIZE_UNIT,
        field("quantile", pa.float64(), "0.05, 0.25, 0.5, 0.75, 0.95, 0.99"),
        field("value", pa.float64(), "the size, within 1 % of the exact one", "unit"),
        field("low", pa.float64(), "lower 95 % bound (order statistics)", "unit", nullable=True),
        field("high", pa.float64(), "upper 95 % bound (order statistics)", "unit", nullable=True),
        field("images", pa.int64(), "images in the domain", "images"),
    ],
    metadata={"title": "Quantiles of sizes of images", "order": "domain ((all) first), unit, quantile"},
)

IMAGE_KINDS = pa.schema(
    [
        DOMAIN_OR_ALL,
        _PROPERTY,
        _VALUE,
        field("images", pa.int64(), "images of that value", "images"),
        field("total", pa.int64(), "images in the domain", "images"),
        field("share", pa.float64(), "images / total", "share"),
        _LOW,
        _HIGH,
    ],
    metadata={
        "title": "Formats, modes, orientations, animations, flat and mislabelled images",
        "order": "domain ((all) first), property, images descending, value",
    },
)
"""Bounds take images as drawn one by one; null where a cluster field is set."""

IMAGE_DUPLICATES = pa.schema(
    [
        DOMAIN_OR_ALL,
        field("by", pa.string(), "bytes: the same file; pixels: the same shape, mode and pixels"),
        field("images", pa.int64(), "images", "images"),
        field("distinct", pa.int64(), "distinct files or pictures within the domain", "images"),
        field("duplicate_images", pa.int64(), "images - distinct", "images"),
        field("across_images", pa.int64(), "images of which another domain has a copy", "images"),
        field("share", pa.float64(), "duplicate_images / images", "share", nullable=True),
        _LOW,
        _HIGH,
    ],
    metadata={"title": "Exact copies of images", "order": "domain ((all) first), by"},
)

_HASH = field("hash", pa.binary(16), "BLAKE2b-128 of the height, width, mode and RGB pixels")

IMAGE_FILES = pa.schema(
    [
        field("hash", pa.binary(16), "BLAKE2b-128 of the file"),
        field("domain", DOMAIN, "value of the primary facet"),
        field("images", pa.int64(), "copies of the file in the domain", "images"),
        field("bytes", pa.int64(), "bytes of the file", "bytes"),
    ],
    metadata={"title": "Every distinct image file by domain", "order": "hash, domain"},
)

IMAGE_PICTURES = pa.schema(
    [
        _HASH,
        field("domain", DOMAIN, "value of the primary facet"),
        field("images", pa.int64(), "images that show the picture in the domain", "images"),
        field("pixels", pa.int64(), "pixels of the picture", "pixels"),
        field("phash", pa.uint64(), "64-bit perceptual hash; the first coefficient is the highest bit"),
        field("variance", pa.int64(), "variance of the grey image; below 64 the picture is flat, and its phash noise"),
        field("patch", pa.binary(192), "mean colours of 8 x 8 fields, RGB, row by row"),
    ],
    metadata={"title": "Every distinct picture by domain, and what finds those like it", "order": "hash, domain"},
)

IMAGE_NEAR_DUPLICATES = pa.schema(
    [
        DOMAIN_OR_ALL,
        field("scope", pa.string(), "within: near a picture of the same domain; across: of another domain"),
        field("images", pa.int64(), "images that were compared: all that are not flat", "images"),
        field("near_images", pa.int64(), "of these, images near a picture that has other pixels", "images"),
        field("share", pa.float64(), "near_images / images", "share", nullable=True),
        _LOW,
        _HIGH,
        field("groups", pa.int64(), "sets of pictures that near duplicates connect", "sets", nullable=True),
        field("flat", pa.int64(), "flat images, which are not compared", "images"),
        field("bits", pa.int64(), "most bits of the perceptual hashes that differ", "bits"),
        field("distance", pa.int64(), "most mean squared difference of the patches", "levels^2"),
        field("chance", pa.float64(), "share of random pairs of pictures within so many bits", "share", nullable=True),
        field("reason", pa.string(), "why there is no share", nullable=True),
    ],
    metadata={"title": "Near duplicates of images", "order": "scope, domain ((all) first)"},
)

IMAGE_NEAR_PAIRS = pa.schema(
    [
        _HASH,
        _DOMAIN,
        field("near_hash", pa.binary(16), "hash of the other picture"),
        field("near_domain", pa.string(), "domain of the other picture"),
        field("bits", pa.int64(), "bits of the perceptual hashes that differ", "bits"),
        field("distance", pa.int64(), "mean squared difference of the patches", "levels^2"),
    ],
    metadata={"title": "The nearest pairs of pictures that are not equal", "order": "bits, distance, hash, near_hash"},
)

IMAGE_BENCHMARKS = pa.schema(
    [
        field("benchmark", pa.string(), "name of the benchmark"),
        field("items", pa.int64(), "its images that could be decoded", "images"),
        field("refused", pa.int64(), "images that could not: nobody searched for them", "images"),
        field("flat", pa.int64(), "items of nearly one grey, of which only exact copies are found", "images"),
        field("exact", pa.int64(), "items whose picture the corpus holds", "images"),
        field("near", pa.int64(), "further items of which it holds a near duplicate", "images"),
        field("share", pa.float64(), "(exact + near) / items", "share"),
        field("low", pa.float64(), "lower 95 % bound", "share"),
        field("high", pa.float64(), "upper 95 % bound", "share"),
    ],
    metadata={"title": "Benchmark images in the corpus", "order": "benchmark"},
)

IMAGE_BENCHMARK_MATCHES = pa.schema(
    [
        field("benchmark", pa.string(), "name of the benchmark"),
        field("item", pa.string(), "path of the item below the benchmark's folder"),
        field("match", pa.string(), "exact or near"),
        _DOMAIN,
        _HASH,
        field("images", pa.int64(), "images of the domain that show the picture", "images"),
        field("bits", pa.int64(), "bits of the perceptual hashes that differ", "bits"),
        field("distance", pa.int64(), "mean squared difference of the patches", "levels^2"),
    ],
    metadata={"title": "Which pictures are like benchmark images", "order": "benchmark, item, match, domain, hash"},
)

IMAGE_BENCHMARK_CHECK = pa.schema(
    [
        field("benchmark", pa.string(), "name of the benchmark"),
        field("copy", pa.string(), "kind of copy"),
        field("about", pa.string(), "what was done to the item"),
        field("required", pa.bool_(), "whether the search must find all"),
        field("planted", pa.int64(), "copies that were planted", "images"),
        field("found", pa.int64(), "of these, copies that the search matched with their item", "images"),
    ],
    metadata={"title": "Planted copies of benchmark images that the search finds", "order": "benchmark, copy"},
)

IMAGE_THUMBNAILS = pa.schema(
    [
        _DOMAIN,
        _HASH,
        field("images", pa.int64(), "images that show the picture in the domain", "images"),
        field("width", pa.int64(), "width of the picture, upright", "pixels"),
        field("height", pa.int64(), "height of the picture, upright", "pixels"),
        field("thumbnail", pa.binary(), "JPEG of at most 128 pixels a side"),
    ],
    metadata={"title": "Pictures of lowest hash in each domain", "order": "domain, hash"},
)

IMAGE_DRIFT_SIZES = pa.schema(
    [
        BASELINE,
        DOMAIN_OR_ALL,
        _SIZE_UNIT,
        field("statistic", pa.string(), "p05, p25, p50, p75, p95, p99, mean; ks: largest gap of the distributions"),
        field("value_baseline", pa.float64(), "value in the baseline", "unit", nullable=True),
        field("value_current", pa.float64(), "value now", "unit", nullable=True),
        field("change", pa.float64(), "log2 of now / baseline; the gap itself for ks", nullable=True),
        field("low", pa.float64(), "lower 95 % bound of the change", nullable=True),
        field("high", pa.float64(), "upper 95 % bound of the change", nullable=True),
        field("p", pa.float64(), "of the largest gap, if nothing changed", nullable=True),
        ADJUSTED,
        field("reason", pa.string(), "why there is no change, or no bound", nullable=True),
    ],
    metadata={
        "title": "How the sizes of images changed",
        "order": "baseline, domain ((all) first), unit, statistic",
    },
)

IMAGE_DRIFT_KINDS = pa.schema(
    [
        BASELINE,
        _PROPERTY,
        _VALUE,
        field("share_baseline", pa.float64(), "share of the images in the baseline", "share"),
        field("share_current", pa.float64(), "share of the images now", "share"),
        field("difference", pa.float64(), "share_current - share_baseline", "share"),
        field("low", pa.float64(), "lower 95 % bound of the difference", "share", nullable=True),
        field("high", pa.float64(), "upper 95 % bound of the difference", "share", nullable=True),
        field("p", pa.float64(), "of no difference", nullable=True),
        field("q", pa.float64(), "Benjamini-Hochberg over the property's values", nullable=True),
        ADJUSTED,
        field("reason", pa.string(), "why there are no bounds, or no test", nullable=True),
    ],
    metadata={"title": "How formats and other kinds of images changed", "order": "baseline, property, value"},
)
"""Files that both snapshots hold count as independent in bounds and p, which hides drift and never shows any."""

IMAGE_TABLES: dict[str, pa.Schema] = {
    "image_totals": IMAGE_TOTALS,
    "image_cluster_groups": IMAGE_CLUSTER_GROUPS,
    "image_shares": IMAGE_SHARES,
    "image_sizes": IMAGE_SIZES,
    "image_size_quantiles": IMAGE_SIZE_QUANTILES,
    "image_kinds": IMAGE_KINDS,
    "image_duplicates": IMAGE_DUPLICATES,
    "image_files": IMAGE_FILES,
    "image_pictures": IMAGE_PICTURES,
    "image_near_duplicates": IMAGE_NEAR_DUPLICATES,
    "image_near_pairs": IMAGE_NEAR_PAIRS,
    "image_benchmarks": IMAGE_BENCHMARKS,
    "image_benchmark_matches": IMAGE_BENCHMARK_MATCHES,
    "image_benchmark_check": IMAGE_BENCHMARK_CHECK,
    "image_thumbnails": IMAGE_THUMBNAILS,
    "image_drift_sizes": IMAGE_DRIFT_SIZES,
    "image_drift_kinds": IMAGE_DRIFT_KINDS,
}
"""File name (without .parquet) of every table of an image corpus, and its schema."""
