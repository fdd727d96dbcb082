"""Files as users have them, through the commands: what comes out, and what is said."""

import gzip
import io
import json
import os
import subprocess
import sys

import pandas as pd
import pytest
from click.testing import CliRunner

from molrate.cli.main import cli
from molrate.errors import InputError, UsageError
from molrate.screening.hits import screen

SMILES = ["C" * n for n in range(1, 41)]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        return CliRunner().invoke(cli, [str(argument) for argument in arguments])

    return call


def read(text):
    return pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)


@pytest.fixture
def model(run, tmp_path):
    pd.DataFrame({"smiles": SMILES, "y": range(40)}).to_csv("train.csv", index=False)
    (tmp_path / "one.smi").write_text("CCO\n")
    done = run(
        "screen", "one.smi", "--train", "train.csv", "-t", "y", "-e", "ecfp4", "-o", "hits", "--jobs", 1
    )
    assert done.exit_code == 0, done.output
    return tmp_path / "hits" / "model"


def test_embed_into_a_file_a_folder_and_a_stream_are_the_same_rows(run, tmp_path):
    (tmp_path / "t.csv").write_bytes(
        b'id,smiles,name\na,CC(=O)Oc1ccccc1 C(=O)O,x\nb,"CC\nO",x\nc,CCO\tCCN,x\nd,"C,x\n'
        b"e,CC.c1ccccc1 |m:0:2.3.4|,x\nf,C[C@H](N)C(=O)O |&1:1|,x\ng,CCO,caf\xe9\nh,CC\n\n"
    )
    assert run("embed", "t.csv", "-e", "ecfp4", "-o", "t.out.csv").exit_code == 5
    assert run("embed", "t.csv", "-e", "ecfp4", "-o", "out", "--part-format", "csv").exit_code == 5
    streamed = run("embed", "t.csv", "-e", "ecfp4", "-o", "-", "-q").stdout
    whole = (tmp_path / "t.out.csv").read_text()
    assert whole == (tmp_path / "out" / "parts" / "part-000000.csv").read_text() == streamed
    table = read(whole)
    assert table["row"].tolist() == [str(n) for n in range(1, 10)]
    assert table["status"].tolist() == [
        *["invalid"] * 3,
        "unreadable",
        "unsupported",
        "ok",
        "ok",
        *["unreadable"] * 2,
    ]
    assert "white space; text after it was not read" in table["error"][0]
    assert "line break" in table["error"][1]
    assert table["error"][3] == "stray quote: unexpected end of data (line 6)"
    assert table["error"][7] == "2 fields where the header has 3 (line 10)"
    assert table["note"][5] == "CXSMILES enhanced stereo (&1) dropped"
    assert table["note"][6] == "name: not UTF-8 text (byte 0xe9)"


def test_predict_and_screen_say_the_same_of_every_row(run, model, tmp_path):
    (tmp_path / "l.csv").write_text(
        ',smiles, y ,note,note\n0,CCO,1,a,b\n1,CCO x,2,c,d\n2,"C\n3,CCCN.Cl,3,"two\nlines",f\n'
    )
    predicted = run("predict", "l.csv", "-m", model, "-q")
    assert predicted.exit_code == 5
    assert predicted.stdout.splitlines()[0].startswith(
        ",smiles, y ,note,note,canonical_smiles,predicted_y,low_y,"
    )
    assert run("screen", "l.csv", "-m", model, "-o", "l.out.csv", "--jobs", 1, "-q").exit_code == 5
    rows, screened = read(predicted.stdout), read((tmp_path / "l.out.csv").read_text())
    shared = [name for name in screened if name not in ("source", "row", "id", "smiles", "note")]
    assert rows[shared].equals(screened[shared])
    assert rows["molrate_note"].equals(screened["note"])
    assert rows["molrate_note"][3] == "smaller fragments left out: Cl"
    assert rows["status"].tolist() == ["ok", "invalid", "unreadable", "ok"]
    assert rows["note"].tolist() == ["a", "c", "", "two\nlines"]


def test_predict_keeps_types_and_index_of_parquet(run, model, tmp_path):
    frame = pd.DataFrame({"smiles": SMILES, "key": [2**60 + n for n in range(40)]}).iloc[10::3]
    for name, table in (("positions", frame), ("named", frame.set_index("key"))):
        table.to_parquet(f"{name}.parquet")
        assert run("predict", f"{name}.parquet", "-m", model, "-o", "p.parquet").exit_code == 0
        predicted = pd.read_parquet("p.parquet")
        pd.testing.assert_frame_equal(predicted[table.columns], table)
        run("predict", f"{name}.parquet", "-m", model, "-o", "p.csv")
        own = {"positions": "__index_level_0__", "named": "key"}[name]
        assert read((tmp_path / "p.csv").read_text())[own].tolist() == list(map(str, table.index))
    with gzip.open("p.csv.gz", "wb") as file:
        file.write(b"old")
    assert run("predict", "named.parquet", "-m", model, "-o", "p.csv.gz").exit_code == 0
    assert gzip.decompress((tmp_path / "p.csv.gz").read_bytes()).startswith(
        b"smiles,key,canonical_smiles,predicted_y"
    )


def test_hits_unlike_the_training_molecules_are_said_and_can_be_left_out(run, model, tmp_path):
    far = ["c1ccc2[nH]ccc2c1", "O=S(=O)(N)c1ccccc1", "N#Cc1ccncc1"]
    (tmp_path / "l.smi").write_text("\n".join([*far, "CCCCCCC", "CCCCCCCC"]) + "\n")
    shared = ["screen", "l.smi", "-m", model, "--jobs", 1, "--top", 5]
    done = run(*shared, "-o", "all")
    assert "3 of 5 rows are less similar than 0.3 to any training molecule" in done.output
    near = run(*shared, "-o", "near", "--min-similarity", 0.5)
    assert "2 rows, not 5, are as similar as 0.5" in near.output
    assert set(pd.read_csv("near/top.csv")["smiles"]) == {"CCCCCCCC", "CCCCCCC"}


def test_what_is_passed_over_in_a_folder_is_said_and_recorded(run, tmp_path):
    (tmp_path / "libs").mkdir()
    for name in ("a.smi", "b.ism", ".c.smi"):
        (tmp_path / "libs" / name).write_text("CCO\n")
    assert run("embed", "libs", "-e", "ecfp4", "-o", "out", "--jobs", 1).exit_code == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["passed_over"] == ["libs/b.ism (unknown format)"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["embed", "t.csv", "-e", "ecfp4", "-o", "t.xlsx"], ".xlsx is not written; it can be a file (.csv,"),
        (
            ["screen", "t.csv", "-m", "m", "-o", "hits.parquet"],
            ".parquet is not written; it can be a file (.csv,",
        ),
        (["screen", "t.csv", "--train", "t.csv", "-o", "hits.csv"], "name a folder with -o"),
        (["predict", "t.csv", "-m", "m", "-o", "p"], "it has no ending; it can be a file (.csv,"),
        (["score", "t.csv", "-t", "y", "-o", "r.txt"], ".txt is not written; it can be a file (.csv,"),
        (["finetune", "t.csv", "-e", "ecfp4", "-o", "model.csv"], ".csv is not written; it can be a folder"),
        (["embed", "t.csv", "-e", "ecfp4", "-o", "o", "--device", "nonsense"], "--device nonsense"),
        (["embed", "t.csv", "-e", "ecfp4", "-o", "o", "--layer", "layer-3"], "ecfp4 has no layer 'layer-3'"),
        (
            ["embed", "t.csv", "-e", "ecfp4", "-o", "o.csv", "--layer", "layer-3"],
            "ecfp4 has no layer 'layer-3'",
        ),
        (
            ["embed", "t.csv", "-e", "ecfp4", "-o", "o", "--input-format", "smi"],
            "--input-format is of standard input",
        ),
        (["embed", "t.smi", "-e", "ecfp4", "-o", "o", "--id-column", "x"], "no column 'x' (--id-column)"),
    ],
)
def test_what_does_not_apply_is_refused(tmp_path, command, message):
    (tmp_path / "t.csv").write_text("smiles,y\nC,1\n")
    (tmp_path / "t.smi").write_text("C\n")
    ended = subprocess.run(
        [sys.executable, "-m", "molrate", *command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode in (2, 3)
    assert message in ended.stderr.replace("\n", " ")
    # A folder may have been begun; no part of a result is in it.
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {
        "t.csv",
        "t.smi",
        "manifest.json",
    }


def test_a_locale_without_utf_8_gives_no_traceback(tmp_path):
    text = "smiles,y,größe\n" + "".join(f"{smiles},{n},é\n" for n, smiles in enumerate(SMILES))
    (tmp_path / "däta.csv").write_text(text, encoding="utf-8")
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    score = [sys.executable, "-m", "molrate", "score", "-e", "ecfp4"]
    for arguments, stdin in ((["däta.csv", "--target", "y"], b""), (["-", "--target", "y"], text.encode())):
        done = subprocess.run(
            [*score, *arguments], cwd=tmp_path, env=plain, input=stdin, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
    wrong = subprocess.run(
        [*score, "däta.csv", "--target", "höhe"], cwd=tmp_path, env=plain, capture_output=True, check=False
    )
    assert wrong.returncode == 3
    assert b"Traceback" not in wrong.stderr


def test_descriptors_of_a_large_molecule_are_not_computed(run, tmp_path):
    (tmp_path / "t.csv").write_text(f"smiles\nCCO\n{'OCC' * 180}\n")
    done = run("embed", "t.csv", "-e", "rdkit-descriptors", "-o", "o.csv")
    assert done.exit_code == 5
    table = read((tmp_path / "o.csv").read_text())
    assert table["status"].tolist() == ["ok", "unsupported"]
    assert table["error"][1] == "540 atoms, more than the 500 that rdkit-descriptors describes"
    limited = run("embed", "t.csv", "-e", "ecfp4", "-o", "o.csv", "--max-atoms", 100)
    assert "(--max-atoms 100)" in limited.output


def test_an_output_that_is_also_read_is_refused_and_stays(run, tmp_path, model):
    pd.DataFrame({"smiles": SMILES, "y": range(40)}).to_csv("t.csv", index=False)
    (tmp_path / "link.csv").symlink_to("t.csv")
    content = (tmp_path / "t.csv").read_bytes()
    for source, output in (("t.csv", "t.csv"), ("t.csv", "link.csv"), ("link.csv", "./t.csv")):
        for command in (
            ("predict", source, "-m", model),
            ("embed", source, "-e", "ecfp4"),
            ("screen", source, "-m", model),
            ("score", source, "-t", "y", "-e", "ecfp4"),
            ("score", "--features", "other.csv", "--labels", source),
        ):
            refused = run(*command, "-o", output)
            assert isinstance(refused.exception, UsageError), refused.output
            assert "name another" in str(refused.exception)
    assert (tmp_path / "t.csv").read_bytes() == content
    assert (tmp_path / "link.csv").is_symlink()
    (tmp_path / "features").mkdir()
    refused = run("score", "--features", "features", "--labels", "t.csv", "-o", "features/ranking.parquet")
    assert isinstance(refused.exception, UsageError)
    assert "files of its folder are read" in str(refused.exception)
    (tmp_path / "ranking.csv").write_bytes(content)
    refused = run("select", "ranking.csv", "-t", "y", "-o", tmp_path, "--max-jobs", 1)
    assert "ranking.csv: it is read and would be overwritten" in str(refused.exception)
    (tmp_path / "w.safetensors").write_bytes(b"")
    refused = run("convert", "w.safetensors", "-o", "w.safetensors")
    assert isinstance(refused.exception, UsageError)


def test_a_result_beside_its_input_is_replaced_by_the_same_command(run, tmp_path, model):
    (tmp_path / "l").mkdir()
    (tmp_path / "l" / "a.smi").write_text("CCO\n")
    for library in ("l", "l/*"):
        for _ in range(2):
            done = run("screen", library, "-m", model, "-o", "l/hits.csv", "--jobs", 1)
            assert done.exit_code == 0, done.output
        assert len(read((tmp_path / "l" / "hits.csv").read_text())) == 1


def test_a_run_over_a_pattern_goes_on_beside_models_and_other_results(run, tmp_path, model):
    (tmp_path / "a.smi").write_text("CCO\nCCC\n")
    command = ("screen", "*", "-m", model, "-o", "new", "--jobs", 1)
    (tmp_path / "train.csv").unlink()
    assert run(*command).exit_code == 0
    parts = sorted((tmp_path / "new").rglob("*"))
    manifest = (tmp_path / "new" / "manifest.json").read_bytes()
    assert json.loads(manifest)["settings"]["sources"] == ["a.smi", "one.smi"]
    assert json.loads(manifest)["passed_over"] == ["hits (results of another run)"]
    done = run(*command, "--resume")
    assert done.exit_code == 0, done.output
    assert sorted((tmp_path / "new").rglob("*")) == parts
    assert (tmp_path / "new" / "manifest.json").read_bytes() == manifest


def test_predictions_stand_beside_columns_of_their_names(run, tmp_path, model):
    (tmp_path / "t.csv").write_text("canonical_smiles,status,error,note\nCCO,in stock,e,n\nC C,sold,,\n")
    for output in ("p.csv", "p.parquet"):
        assert run("predict", "t.csv", "-m", model, "-o", output).exit_code == 5
    table = read((tmp_path / "p.csv").read_text())
    own = ["canonical_smiles", "status", "error", "note"]
    assert table.columns.tolist()[:6] == [*own, "molrate_canonical_smiles", "predicted_y"]
    assert table["status"].tolist() == ["in stock", "sold"]
    assert table["molrate_status"].tolist() == ["ok", "invalid"]
    assert table["molrate_error"][1].startswith("SMILES contains white space")
    assert pd.read_parquet(tmp_path / "p.parquet").columns.tolist() == table.columns.tolist()
    again = run("predict", "p.csv", "-m", model, "-o", "q.csv")
    assert "it has a column 'molrate_canonical_smiles' already" in str(again.exception)


def test_parquet_of_two_columns_of_one_name_is_refused(run, tmp_path, model):
    (tmp_path / "t.csv").write_text("smiles,a,b,a,b\nCCO,1,2,3,4\n")
    refused = run("predict", "t.csv", "-m", model, "-o", "p.parquet")
    assert isinstance(refused.exception, InputError)
    assert "several of its columns are named 'a', 'b', which Parquet cannot hold" in str(refused.exception)
    assert not (tmp_path / "p.parquet").exists()
    assert run("predict", "t.csv", "-m", model, "-o", "p.csv").exit_code == 0
    assert (tmp_path / "p.csv").read_text().startswith("smiles,a,b,a,b,canonical_smiles,")


@pytest.mark.parametrize("content", ["smiles,name\n", "smiles,name"])
def test_a_library_without_rows_gives_a_table_without_rows(run, tmp_path, model, content):
    (tmp_path / "e.csv").write_text(content)
    (tmp_path / "one.csv").write_text("smiles,name\nCCO,a\n")
    assert run("screen", "one.csv", "-m", model, "-o", "one.out.csv", "--jobs", 1).exit_code == 0
    header = (tmp_path / "one.out.csv").read_text().splitlines()[0] + "\n"
    assert run("screen", "e.csv", "-m", model, "-o", "e.out.csv", "--jobs", 1).exit_code == 0
    assert (tmp_path / "e.out.csv").read_text() == header
    assert run("screen", "e.csv", "-m", model, "-o", "-", "--jobs", 1, "-q").stdout == header
    screening = ("screen", "e.csv", "-m", model, "-o", "empty", "--jobs", 1, "--top", 3, "--resume")
    for _ in range(2):
        assert run(*screening).exit_code == 0
        assert (tmp_path / "empty" / "top.csv").read_text() == header
        assert pd.read_parquet(tmp_path / "empty" / "parts").columns.tolist() == header.strip().split(",")
    assert run("embed", "e.csv", "-e", "ecfp4", "-o", "embedded", "--jobs", 1).exit_code == 0
    embedded = pd.read_parquet(tmp_path / "embedded" / "parts")
    assert len(embedded) == 0
    assert "x0" in embedded
    hits = screen(tmp_path / "e.csv", model, tmp_path / "python", jobs=1)
    assert hits.frame.columns.tolist() == header.strip().split(",")
    assert len(hits.top(3)) == 0
