import pytest

from molrate.errors import UsageError
from molrate.files.cache import KINDS, cache_usage, clear_cache, show_bytes


def test_usage_counts_what_is_kept_and_clearing_removes_that_kind_only(fresh_cache):
    for kind in ("embeddings", "weights"):
        (fresh_cache / kind / "deep").mkdir(parents=True)
        (fresh_cache / kind / "deep" / "a.bin").write_bytes(b"x" * 1234)
    usage = {usage.kind: usage for usage in cache_usage()}
    assert (usage["weights"].n_files, usage["weights"].n_bytes) == (1, 1234)
    assert usage["datasets"].n_files == 0
    assert clear_cache("weights").n_bytes == 1234
    assert [usage.n_files for usage in cache_usage()] == [int(kind == "embeddings") for kind in KINDS]
    assert clear_cache("weights").n_files == 0


def test_an_unknown_kind_is_refused(fresh_cache):
    with pytest.raises(UsageError, match="known: embeddings, scores, weights"):
        clear_cache("../..")


@pytest.mark.parametrize(("n_bytes", "shown"), [(0, "0 B"), (999, "999 B"), (25_000_000_000, "25.0 GB")])
def test_sizes_are_readable(n_bytes, shown):
    assert show_bytes(n_bytes) == shown
