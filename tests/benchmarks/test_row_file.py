import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def row_file(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import row_file

    yield row_file
    del sys.modules["row_file"]


def test_what_was_appended_is_done_and_keeps_its_kind(row_file, tmp_path):
    path = tmp_path / "rows.csv"
    file = row_file.RowFile(path, ["dataset", "seed", "trained", "test"], ["dataset", "seed", "trained"])
    assert file.done() == set()
    file.append({"dataset": "esol", "seed": 0, "trained": True, "test": 0.5})
    assert file.done() == {("esol", 0, True)}
    two = [{"dataset": "bace", "seed": seed, "trained": False, "test": None} for seed in (0, 1)]
    row_file.RowFile(path, file.columns, file.key).append(*two)
    assert file.done() == {("esol", 0, True), ("bace", 0, False), ("bace", 1, False)}
    assert path.read_bytes() == (
        b"dataset,seed,trained,test\nesol,0,True,0.5\nbace,0,False,\nbace,1,False,\n"
    )


def test_a_column_that_the_file_lacks_is_refused(row_file, tmp_path):
    file = row_file.RowFile(tmp_path / "rows.csv", ["seed", "test"], ["seed"])
    with pytest.raises(ValueError, match="epoch"):
        file.append({"seed": 0, "test": 1.0, "epoch": 3})
