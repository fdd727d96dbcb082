"""Features from files: found, read in chunks, ranked as the measures alone would."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from molrate.data.targets import quantile_bins
from molrate.errors import InputError, UsageError
from molrate.files.matrices import find_features
from molrate.measures import h_score, logme, transrate
from molrate.ranking.score_features import score_features


@pytest.fixture(scope="module")
def arrays():
    generator = np.random.default_rng(0)
    labels = generator.random(240) < 0.4
    good = generator.normal(size=(240, 12)) + labels[:, None]
    return good, generator.normal(size=(240, 7)), labels.astype(int), good[:, 0] + generator.normal(size=240)


@pytest.fixture
def files(arrays, tmp_path):
    good, noise, labels, values = arrays
    np.savez(tmp_path / "both.npz", good=good, noise=np.asfortranarray(noise), row=np.arange(240))
    np.savez_compressed(tmp_path / "packed.npz", good=good.astype(np.float32))
    np.save(tmp_path / "good.npy", good)
    frame = pd.DataFrame(good, columns=[f"x{i}" for i in range(12)]).assign(row=range(240), active=labels)
    frame.to_parquet(tmp_path / "good.parquet")
    frame.to_csv(tmp_path / "good.csv", index=False)
    pd.DataFrame({"id": range(240), "active": labels, "y": values}).to_csv(
        tmp_path / "labels.csv", index=False
    )
    return tmp_path


@pytest.mark.parametrize("name", ["both.npz", "packed.npz", "good.npy", "good.parquet", "good.csv"])
def test_every_format_holds_the_same_features(files, arrays, name, monkeypatch):
    monkeypatch.setattr("molrate.files.matrices._CHUNK_VALUES", 12 * 50)
    file = find_features(files / name, ["active"])[0]
    assert file.shape == (240, 12)
    chunks = list(file.chunks())
    assert [len(chunk) for chunk in chunks] == [50, 50, 50, 50, 40]
    np.testing.assert_allclose(
        np.concatenate(chunks), arrays[0], rtol=1e-6 if name == "packed.npz" else 1e-14
    )


def test_every_matrix_of_an_archive_competes(files, arrays):
    good, noise, labels, values = arrays
    frame = score_features(
        [files / "both.npz"],
        files / "labels.csv",
        ["active", "y"],
        measures=["transrate", "logme", "h-score"],
        common_dimension="none",
    ).frame
    value = frame.set_index(["target", "measure", "layer"])["value"]
    assert value["active", "transrate", "noise"] == pytest.approx(transrate(noise, labels), rel=1e-9)
    assert value["active", "logme", "good"] == pytest.approx(logme(good, labels), rel=1e-9)
    assert value["y", "logme", "good"] == pytest.approx(logme(good, values.round(15), "regression"), rel=1e-6)
    assert value["y", "h-score", "good"] == pytest.approx(h_score(good, quantile_bins(values)), rel=1e-9)
    firsts = frame[frame["rank"] == 1]
    assert set(firsts["layer"]) == {"good"}
    assert set(frame["encoder"]) == {"both"}


@pytest.mark.parametrize("task", ["active", "y"])
def test_streamed_files_score_as_held_ones(files, monkeypatch, task):
    measures = ["transrate", "logme", "h-score", "cka", "h-score-plain", "gbc"]
    monkeypatch.setattr("molrate.ranking.score_features.BLOCKS", 10)
    monkeypatch.setattr("molrate.ranking.score_features.PERMUTATIONS", 2)
    held = score_features(
        [files / "good.npy"], files / "labels.csv", task, measures=measures, common_dimension=None
    )
    monkeypatch.setattr("molrate.ranking.score_features.HELD_VALUES", 100)
    monkeypatch.setattr("molrate.files.matrices._CHUNK_VALUES", 12 * 37)
    streamed = score_features(
        [files / "good.npy"], files / "labels.csv", task, measures=measures, common_dimension=None
    )
    for name in ("value", "null_mean", "excess"):
        np.testing.assert_allclose(streamed.frame[name], held.frame[name], rtol=1e-9)
    assert any("streamed" in note for note in streamed.notes)
    assert (streamed.frame["high"] > streamed.frame["low"]).all()


@pytest.fixture
def folder(arrays, tmp_path):
    """The features in seven parts, as molrate embed leaves them, with rows that could not be computed."""
    good, _, labels, values = arrays
    frame = pd.DataFrame(good, columns=[f"x{i}" for i in range(12)])
    frame = frame.assign(row=range(1, 241), status="ok", active=labels, y=values)
    frame.loc[[3, 77, 200], frame.columns[:12]] = np.nan
    frame.loc[[3, 77, 200], "status"] = "invalid"
    (tmp_path / "embedded" / "parts").mkdir(parents=True)
    for number, rows in enumerate(np.array_split(np.arange(240), 7)):
        frame.iloc[rows].to_parquet(tmp_path / "embedded" / "parts" / f"part-{number:06d}.parquet")
    return tmp_path / "embedded"


@pytest.mark.parametrize("task", ["active", "y"])
def test_a_folder_of_parts_is_one_matrix(folder, arrays, task, monkeypatch):
    good, _, labels, values = arrays
    kept = np.setdiff1d(np.arange(240), [3, 77, 200])
    monkeypatch.setattr("molrate.ranking.score_features.BLOCKS", 10)
    monkeypatch.setattr("molrate.ranking.score_features.PERMUTATIONS", 2)
    measures = ["transrate", "logme", "gbc"]
    column = {"active": labels, "y": values}[task]
    expected = score_features(
        {"embedded": good[kept]}, column[kept], measures=measures, common_dimension=None
    ).frame
    # In another order, so that ranks are compared by name.
    held = score_features(
        [folder], target=[task, *{"active", "y"} - {task}], measures=measures, common_dimension=None
    ).frame
    monkeypatch.setattr("molrate.ranking.score_features.HELD_VALUES", 100)
    streamed = score_features([folder], target=["active", "y"], measures=measures, common_dimension=None)
    for frame in (held, streamed.frame):
        found = frame[frame["target"] == task].set_index("measure")
        np.testing.assert_allclose(found["value"], expected.set_index("measure")["value"], rtol=1e-9)
        assert (found["n"] == 237).all()
    (note,) = (note for note in streamed.notes if "not finite" in note)
    assert note.startswith("3 rows left out whose features are not finite, the first row ")


def test_a_cluster_gathers_the_same_statistics(folder, monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setattr("molrate.ranking.score_features.HELD_VALUES", 100)
    options = {"target": ["active", "y"], "measures": ["transrate", "logme", "gbc", "cka"]}
    local = score_features([folder], **options).frame
    ray.init("local", num_cpus=3, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        spread = score_features([folder], engine="ray", **options).frame
    finally:
        ray.shutdown()
    for name in ("value", "null_mean", "excess", "low", "high"):
        np.testing.assert_allclose(spread[name], local[name], rtol=1e-9, atol=1e-12)


def test_folders_that_are_no_features(folder, tmp_path):
    with pytest.raises(UsageError, match="in this process already"):
        score_features({"a": np.eye(30)}, [0, 1] * 15, engine="ray")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no Parquet or csv file in it"):
        find_features(tmp_path / "empty")
    pd.DataFrame({"other": [1.0]}).to_parquet(folder / "parts" / "part-000009.parquet")
    with pytest.raises(InputError, match=r"part-000009\.parquet: its columns are not those of"):
        find_features(folder, ["active", "y"])


def test_measures_that_need_all_features_refuse_a_stream(files, monkeypatch):
    monkeypatch.setattr("molrate.ranking.score_features.HELD_VALUES", 100)
    ranking = score_features([files / "good.npy"], files / "labels.csv", "active", measures=["knn", "cka"])
    assert ranking.frame.set_index("measure")["status"].to_dict() == {"knn": "failed", "cka": "ok"}
    assert "knn" not in str(ranking.consensus)
    assert "needs all features in memory" in str(ranking)
    with pytest.raises(UsageError, match="need it in memory"):
        score_features([files / "good.npy"], files / "labels.csv", "active", sensitivity=True)


def test_arrays_are_ranked_by_name(arrays):
    good, noise, labels, _ = arrays
    ranking = score_features({"good": good, "noise": noise}, labels, measures=["cka"])
    assert ranking.frame["encoder"].tolist() == ["good", "noise"]
    assert ranking.best["encoder"] == "good"
    assert ranking.frame["tier"].tolist() == [1, 2]


def test_rows_without_features_are_left_out_of_all(arrays):
    good, noise, labels, _ = arrays
    holes = good.copy()
    holes[:5, 3] = np.nan
    ranking = score_features({"good": holes, "noise": noise}, labels, measures=["cka"])
    assert ranking.frame["n"].tolist() == [235, 235]
    assert any("5 rows left out" in note for note in ranking.notes)


def test_labels_may_stand_beside_the_features(files, arrays):
    options = {"measures": ["transrate"], "common_dimension": None}
    inside = score_features([files / "good.parquet"], target="active", **options)
    inside = inside.frame["value"].item()
    assert inside == pytest.approx(transrate(arrays[0], arrays[2]), rel=1e-9)


@pytest.mark.parametrize(
    ("features", "labels", "target", "message"),
    [
        ("none.npz", "labels.csv", "y", "no such file"),
        ("labels.txt", "labels.csv", "y", "features are read from"),
        ("broken.npz", "labels.csv", "y", "cannot be read as features"),
        ("only.csv", None, "y", "no features in it"),
        ("good.npy", "labels.csv", "z", "no column 'z'"),
        ("good.npy", "labels.csv", None, "name the target with target="),
        ("good.npy", "short.csv", "y", "'y' has 30 labels, the features 240 rows"),
        ("good.npy", None, None, "no column of labels"),
    ],
)
def test_what_cannot_be_ranked_is_an_error(files, features, labels, target, message):
    (files / "broken.npz").write_bytes(b"nothing")
    pd.DataFrame({"y": range(30)}).to_csv(files / "only.csv", index=False)
    pd.DataFrame({"y": range(30), "w": range(30)}).to_csv(files / "short.csv", index=False)
    with pytest.raises(InputError, match=message):
        score_features([files / features], None if labels is None else files / labels, target)


def test_features_of_unequal_length_are_an_error(arrays):
    with pytest.raises(InputError, match="unequal numbers of rows: a 240, b 239"):
        score_features({"a": arrays[0], "b": arrays[1][:-1]}, arrays[2])


def test_the_command_ranks_files_without_torch_or_rdkit(files):
    arguments = [
        "score",
        "--features",
        "both.npz",
        "--labels",
        "labels.csv",
        "-t",
        "active",
        "--measure",
        "all",
    ]
    code = f"""
import sys
sys.argv = ["molrate", *{arguments!r}, "--format", "csv"]
from molrate.cli import main
try:
    main()
finally:
    print(sorted({{"torch", "rdkit", "deepchem"}} & set(sys.modules)), file=sys.stderr)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=files, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr.splitlines()[-1] == "[]"
    assert result.stdout.startswith("rank,tier,")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--features", "both.npz", "freesolv"], "takes the place of DATASET"),
        (["--features", "both.npz", "--labels", "labels.csv", "--layer", "all"], "--layer is for molecules"),
        (["--labels", "labels.csv", "freesolv"], "--labels goes with --features"),
        ([], "name a DATASET"),
        (["freesolv", "-e", "ecfp4", "--measure", "magic"], "unknown measure 'magic'"),
    ],
)
def test_options_that_exclude_each_other(files, arguments, message):
    command = [sys.executable, "-m", "molrate", "score", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, cwd=files, check=False)
    assert result.returncode == 2
    assert message in result.stderr


def test_labels_are_no_feature_though_nobody_names_them(arrays, tmp_path):
    good, _, _, values = arrays
    frame = pd.DataFrame(good, columns=[f"x{i}" for i in range(12)]).assign(y=values)
    frame.insert(0, "id", range(len(frame)))
    frame.to_csv(tmp_path / "f.csv", index=False)
    frame[["id", "y"]].to_csv(tmp_path / "labels.csv", index=False)
    named = score_features([tmp_path / "f.csv"], tmp_path / "labels.csv", "y").frame
    unnamed = score_features([tmp_path / "f.csv"], tmp_path / "labels.csv").frame
    assert unnamed["dimension"].tolist() == named["dimension"].tolist() == [12]
    assert unnamed["value"].tolist() == named["value"].tolist()
    # What has no name takes no column away.
    for labels in (values, tmp_path / "x3.npy"):
        np.save(tmp_path / "x3.npy", values)
        frame.drop(columns="y").rename(columns={"x4": "label"}).to_csv(tmp_path / "f.csv", index=False)
        assert score_features([tmp_path / "f.csv"], labels).frame["dimension"].tolist() == [12]


def test_arrays_that_are_no_numbers_are_passed_over(arrays, tmp_path):
    good, _, labels, _ = arrays
    objects = np.array([f"M{n}" for n in range(240)], dtype=object)
    path = tmp_path / "mixed.npz"
    np.savez(path, good=good, y=labels, names=objects, words=np.full((240, 2), "a"), empty=np.empty((240, 0)))
    ranking = score_features([path], None, "y")
    assert ranking.frame["layer"].tolist() == ["good"]
    assert ranking.frame["value"][0] == score_features({"good": good}, labels).frame["value"][0]
    with pytest.raises(InputError, match="cannot be read as labels"):
        score_features([path], None, "names")
    np.save(tmp_path / "empty.npy", np.empty((240, 0)))
    np.save(tmp_path / "words.npy", np.full((240, 2), "a"))
    for name in ("empty.npy", "words.npy"):
        with pytest.raises(InputError, match="no features in it"):
            score_features([tmp_path / name], labels)
    with pytest.raises(UsageError, match="no features to rank"):
        score_features([], labels)


def replicated(rng, n=120, times=3):
    """Noise measured several times for each molecule, and features that say nothing but which one it is."""
    features = np.tile(rng.normal(size=(n, 300)), (times, 1))
    values = np.tile(rng.normal(size=n), times) + 0.05 * rng.normal(size=n * times)
    smiles = np.tile(["C" * (1 + row % 30) + "O" + "C" * (1 + row // 30) for row in range(n)], times)
    return features, values, smiles


@pytest.mark.parametrize("where", ["features", "labels", "python"])
def test_rows_of_one_molecule_never_predict_each_other(where, tmp_path):
    features, values, smiles = replicated(np.random.default_rng(3))
    table = pd.DataFrame(features, columns=[f"x{column}" for column in range(300)])
    labels = pd.DataFrame({"y": values})
    (table if where == "features" else labels)["smiles"] = smiles
    table.to_parquet(tmp_path / "f.parquet")
    labels.to_csv(tmp_path / "y.csv", index=False)
    if where == "python":
        ranking = score_features({"f": features}, values, measures=["loo"], groups=smiles)
    else:
        ranking = score_features([tmp_path / "f.parquet"], tmp_path / "y.csv", "y", measures=["loo"])
        said = "240 rows repeat an earlier molecule, 240 of them with another value of y"
        assert any(said in note and "told by smiles" in note for note in ranking.notes)
    [row] = ranking.frame.to_dict("records")
    # Without groups the other rows of a molecule give its value away: R2 of 0.9.
    assert row["value"] < 0.1
    assert row["low"] <= 0
    assert score_features({"f": features}, values, measures=["loo"]).frame["value"][0] > 0.8


def test_groups_are_one_for_each_row(arrays):
    with pytest.raises(UsageError, match=r"groups have the shape \(2,\); the features have \d+ rows"):
        score_features({"a": np.zeros((30, 2))}, np.arange(30.0), groups=["a", "b"])


def test_arrays_may_be_sparse_and_have_to_be_real_numbers(arrays):
    from scipy.sparse import csr_matrix

    rng = np.random.default_rng(0)
    features, values = rng.normal(size=(80, 4)), rng.normal(size=80)
    dense, sparse = (score_features({"a": given}, values).frame for given in (features, csr_matrix(features)))
    assert dense["value"][0] == sparse["value"][0]
    with pytest.raises(InputError, match="features 'a' are complex"):
        score_features({"a": features + 1j}, values)
    with pytest.raises(InputError, match="features 'a' are not all numbers"):
        score_features({"a": features.astype(str).astype(object) + "x"}, values)


def test_features_on_which_a_measure_fails_leave_the_others_alone():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 64))
    values = features[:, 0] + rng.normal(size=200)
    far = features * np.where(np.arange(200) < 2, 1e9, 1.0)[:, None]
    frame = score_features(
        {"far": far, "near": features}, values, measures=["transrate-icml", "logme"], common_dimension=None
    ).frame
    rows = frame.set_index(["encoder", "measure"])
    assert rows.loc[("far", "transrate-icml"), "status"] == "failed"
    assert (
        "transrate-icml: these features are numerically singular"
        in rows.loc[("far", "transrate-icml"), "note"]
    )
    assert rows.loc[[("near", "transrate-icml"), ("far", "logme"), ("near", "logme")], "rank"].notna().all()


def test_intervals_end_where_the_measure_does():
    rng = np.random.default_rng(5)
    features = rng.standard_t(2.2, size=(40, 5))
    highest = []
    for _ in range(12):
        values = features @ rng.normal(size=5) * 0.3 + rng.standard_t(1.5, size=40)
        [row] = score_features({"a": features}, values, measures=["loo"]).frame.to_dict("records")
        highest.append(row["high"] + row["null_mean"])
        assert row["low"] <= row["excess"] <= row["high"]
    # The largest R2 is 1, which heavy tails would leave far behind.
    assert max(highest) == pytest.approx(1.0)


def test_classes_that_differ_in_their_means_are_told_apart_by_default():
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], 150)
    noise = rng.normal(size=(300, 32))
    shifted = noise + np.outer(2.0 * labels, np.eye(32)[3]) + 5.0
    frame = score_features({"noise": noise, "shifted": shifted}, labels).frame
    assert frame["measure"].unique().tolist() == ["logme"]
    assert frame["encoder"].tolist() == ["shifted", "noise"]
    assert frame["tier"].tolist() == [1, 2]
    # TransRate stands beside.
    assert np.isfinite(frame["transrate"]).all()


@pytest.mark.parametrize("narrow", ["one column", "one direction"])
def test_a_narrow_candidate_takes_nothing_from_the_others(narrow):
    rng = np.random.default_rng(2)
    features, values = rng.normal(size=(300, 20)) ** 3, rng.normal(size=300)
    values = values + 2 * features[:, :4].sum(axis=1)
    column = rng.normal(size=(300, 1))
    few = column if narrow == "one column" else column @ rng.normal(size=(1, 12))
    options = {"measures": ["transrate"]}
    alone = score_features({"wide": features, "noise": rng.normal(size=(300, 20))}, values, **options).frame
    frame = score_features(
        {"wide": features, "noise": rng.normal(size=(300, 20)), "few": few}, values, **options
    ).frame.set_index("encoder")
    assert frame.loc["wide", "excess"] == pytest.approx(alone.set_index("encoder").loc["wide", "excess"])
    assert frame.loc["few", "status"] == "inapplicable"
    assert frame.loc["few", "note"].startswith("varies in 1 direction, and 4 or more are compared")
    # Of narrow ones among themselves the narrowest decides.
    three, five = features[:, :3], features[:, :5]
    both = score_features({"a": three, "b": five}, values, **options).frame.set_index("encoder")
    assert both["rank"].notna().all()
    in_three = score_features({"b": five}, values, common_dimension=3, **options).frame
    assert both.loc["b", "excess"] == pytest.approx(in_three["excess"].item())
