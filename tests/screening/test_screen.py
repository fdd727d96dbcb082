import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from screening.conftest import Lengths

from molrate.errors import InputError, UsageError
from molrate.files.library import Library
from molrate.files.output import MANIFEST, PARTS
from molrate.screening.local_workers import run_locally
from molrate.screening.parts import JOURNAL
from molrate.screening.screen import Summary, run_into_folder, run_into_stream, top_rows


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def run(library, folder, size=4, **options):
    return run_into_folder(library, Lengths(), folder, chunk_size=size, **options)


def test_every_row_comes_out_once_and_in_order(library, tmp_path):
    parts, summary = run(library, tmp_path / "out")
    table = pd.concat(parts.tables(), ignore_index=True)
    assert table["row"].tolist() == [*range(1, 11), *range(1, 14)]
    assert [Path(source).name for source in table["source"]] == ["a.smi"] * 10 + ["b.csv"] * 13
    assert table["id"].tolist()[:2] == ["a0", "a1"]
    status = table["status"].tolist()
    expected = ["ok", "ok", "invalid", "ok", "invalid", "ok", "ok", "unsupported", "ok", "ok"]
    assert status[:10] == expected
    assert table["error"][7] == "30 atoms, more than 20 (--max-atoms)"
    assert table["error"][22] == "3 fields where the header has 2 (line 14)"
    assert table["canonical_smiles"][6] == "[Cl-]"
    assert table["length"].isna().tolist() == [one != "ok" for one in status]
    assert summary.n_rows == 23
    assert summary.n_failed == 4
    assert pd.read_parquet(tmp_path / "out" / PARTS)["row"].tolist() == table["row"].tolist()


def test_chunk_size_and_processes_change_no_value(library, tmp_path):
    whole = pd.concat(run(library, tmp_path / "whole", size=100)[0].tables(), ignore_index=True)
    for size, n_jobs in ((1, 1), (5, 2), (23, 1)):
        folder = tmp_path / f"{size}-{n_jobs}"

        def engine(chunks, stage, suffix, n_jobs=n_jobs):
            return run_locally(chunks, stage, suffix, n_jobs)

        parts, _ = run(library, folder, size, engine=engine)
        pd.testing.assert_frame_equal(pd.concat(parts.tables(), ignore_index=True), whole)


@pytest.mark.parametrize("stop_after", range(7))
@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_stopped_run_goes_on_and_nobody_can_tell(library, tmp_path, stop_after, suffix):
    run(library, tmp_path / "straight", suffix=suffix)

    def stops(chunks, stage, suffix):
        for number, made in enumerate(run_locally(chunks, stage, suffix, 1)):
            if number == stop_after:
                raise KeyboardInterrupt
            yield made

    out = tmp_path / "out"
    if stop_after < 6:
        with pytest.raises(KeyboardInterrupt):
            run(library, out, engine=stops, suffix=suffix)
        if stop_after:
            assert not json.loads((out / MANIFEST).read_text())["finished"]
        # What a kill can leave: half a line, and half a file beside its place.
        with (out / JOURNAL).open("a") as journal:
            journal.write('{"index": 3, "inp')
        (out / PARTS / f".part-000005{suffix}.77.part").write_bytes(b"half")
    else:
        run(library, out, suffix=suffix)
    _, summary = run(library, out, resume=True, suffix=suffix)
    assert summary.n_resumed == min(stop_after, 6)
    assert contents(out) == contents(tmp_path / "straight")


def test_a_damaged_part_is_computed_again(library, tmp_path, caplog):
    run(library, tmp_path / "straight")
    run(library, tmp_path / "out")
    (tmp_path / "out" / PARTS / "part-000002.parquet").write_bytes(b"damaged")
    (tmp_path / "out" / PARTS / "part-000003.parquet").unlink()
    _, summary = run(library, tmp_path / "out", resume=True)
    assert summary.n_resumed == 4
    assert caplog.text.count("missing or damaged; computing it again") == 2
    assert contents(tmp_path / "out") == contents(tmp_path / "straight")


def test_what_is_not_the_same_run_is_refused(library, tmp_path):
    out = tmp_path / "out"
    run(library, out)
    before = contents(out)
    with pytest.raises(UsageError, match="it holds a run; go on with it by resume="):
        run(library, out)
    with pytest.raises(UsageError, match=r"another request: chunk_size \(4 before, 5 now\)"):
        run(library, out, size=5, resume=True)
    with pytest.raises(UsageError, match=r"another request: factor \(1 before, 2 now\)"):
        run_into_folder(library, Lengths(factor=2), out, chunk_size=4, resume=True)
    other = Library.find(library.sources[:1])
    with pytest.raises(UsageError, match="another request: sources"):
        run(other, out, resume=True)
    assert contents(out) == before
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.txt").write_text("")
    with pytest.raises(UsageError, match="it holds other files"):
        run(library, tmp_path / "foreign")


@pytest.mark.parametrize("change", ["another row", "a row less", "rows gone"])
def test_a_changed_library_is_refused(library, tmp_path, change):
    out = tmp_path / "out"
    run(library, out)
    path = Path(library.sources[1])
    lines = path.read_text().splitlines(keepends=True)
    changed = {
        "another row": [*lines[:5], "b4,CO\n", *lines[6:]],
        "a row less": lines[:-1],
        "rows gone": lines[:4],
    }
    path.write_text("".join(changed[change]))
    with pytest.raises(UsageError, match=r"the input is not what it was|the input ends before"):
        run(library, out, resume=True)


def test_a_library_that_vanishes_keeps_what_is_done(library, tmp_path):
    content = Path(library.sources[1]).read_bytes()
    Path(library.sources[1]).unlink()
    with pytest.raises(InputError, match=r"b\.csv: no such file"):
        run(library, tmp_path / "out")
    assert len(list((tmp_path / "out" / PARTS).iterdir())) == 2
    Path(library.sources[1]).write_bytes(content)
    _, summary = run(library, tmp_path / "out", resume=True)
    assert summary.n_resumed == 2
    run(library, tmp_path / "straight")
    assert contents(tmp_path / "out") == contents(tmp_path / "straight")


def test_a_read_only_folder(library, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "out").mkdir(mode=0o555)
    with pytest.raises(InputError, match="cannot be"):
        run(library, tmp_path / "out")


def test_a_stream_has_one_header(library):
    stream, summary = io.BytesIO(), Summary()
    run_into_stream(library, Lengths(), stream.write, summary, chunk_size=3)
    table = pd.read_csv(io.BytesIO(stream.getvalue()))
    assert len(table) == summary.n_rows == 23
    assert stream.getvalue().count(b"canonical_smiles") == 1


def test_a_refused_run_changes_nothing_and_one_without_parts_is_as_good_as_none(library, tmp_path):
    out = tmp_path / "out"
    run(library, out)
    before = contents(out)
    path = Path(library.sources[1])
    path.write_text(path.read_text().replace("b4,", "b44,"))
    with pytest.raises(UsageError, match="the input is not what it was"):
        run(library, out, resume=True)
    assert contents(out) == before
    failed = Library([str(tmp_path / "none.csv")])
    with pytest.raises(InputError):
        run(failed, tmp_path / "typo")
    # The corrected command needs no --resume and no other folder.
    _, summary = run(library, tmp_path / "typo", size=5)
    assert summary.n_rows == 23


def test_parts_of_rows_that_are_gone_do_not_stay(library, tmp_path):
    """A part can be in place before a kill that its line in the journal does not survive."""
    out = tmp_path / "out"

    def stops(chunks, stage, suffix):
        yield next(run_locally(chunks, stage, suffix, 1))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(library, out, engine=stops)
    (out / PARTS / "part-000009.parquet").write_bytes(b"of an earlier, longer library")
    run(library, out, resume=True)
    run(library, tmp_path / "straight")
    assert contents(out) == contents(tmp_path / "straight")


def test_rows_of_an_empty_library(tmp_path):
    (tmp_path / "empty.csv").write_text("smiles\n")
    parts, summary = run(Library.find([str(tmp_path / "empty.csv")]), tmp_path / "out")
    assert summary.n_rows == 0
    assert top_rows(parts, "length", 3).empty


def test_text_is_as_it_was_written(tmp_path):
    (tmp_path / "l.csv").write_text("id,smiles,y\n007,C,1\nNA,CC,1\n1e5,CCC,0\n")
    library = Library.find([str(tmp_path / "l.csv")], label_column="y")
    for suffix in (".csv", ".parquet"):
        parts, _ = run(library, tmp_path / suffix, suffix=suffix)
        table = next(parts.tables())
        assert table["id"].tolist() == ["007", "NA", "1e5"]
        assert table["label"].tolist() == ["1", "1", "0"]
        assert table["error"].tolist() == ["", "", ""]
        assert table["length"].tolist() == [1, 2, 3]


def test_the_best_rows_over_all_parts(library, tmp_path):
    parts, _ = run(library, tmp_path / "out", size=3)
    best = top_rows(parts, "length", 4)
    assert best["length"].tolist() == [12, 11, 10, 9]
    least = top_rows(parts, "length", 3, smallest=True)
    # Equal ones in the order of the library.
    assert least["id"].tolist() == ["b0", "a9", "b1"]
    assert (best["status"] == "ok").all()


KILLED = """
import sys
import time
from pathlib import Path
from molrate.files.library import Library
from molrate.screening.local_workers import run_locally
from molrate.screening.screen import run_into_folder
from screening.conftest import Lengths

class Slow(Lengths):
    def columns(self, molecules):
        time.sleep(0.02)
        return super().columns(molecules)

# Once for what is imported late, so that kills fall into the work.
list(run_locally(Library.find(sys.argv[2:3]).chunks(1), Lengths(), ".parquet", 1))
library = Library.find(sys.argv[2:])
print("ready", flush=True)
run_into_folder(library, Slow(), Path(sys.argv[1]), chunk_size=1, resume=True)
"""


def test_killed_at_random_moments(library, tmp_path):
    """Every kill loses at most the chunk in work; the folder ends as if there had been none."""
    run(library, tmp_path / "straight", size=1)
    out, tests = tmp_path / "out", Path(__file__).parents[1]
    generator, kills, finished, patience = random.Random(0), 0, False, 0.1
    while not finished:
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(out), *library.sources],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(tests)},
        )
        assert process.stdout.readline() == b"ready\n"
        time.sleep(generator.uniform(0, patience))
        patience *= 1.3
        finished = process.poll() is not None
        if not finished:
            process.send_signal(signal.SIGKILL)
            kills += 1
        assert process.wait() in (0, -signal.SIGKILL)
        process.stdout.close()
    assert kills >= 1
    assert contents(out) == contents(tmp_path / "straight")
