"""The decision of a ranking, in words and as it is drawn, from candidates whose order is known."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from molrate.data.molecules import standardise
from molrate.data.policy import RowPolicy
from molrate.data.structures import limit_atoms
from molrate.data.targets import Target
from molrate.errors import UsageError
from molrate.measures import MEASURES
from molrate.ranking import evidence, expected
from molrate.ranking.candidates import Candidate, ScoredTarget
from molrate.ranking.evidence import how_sure
from molrate.ranking.expected import Expected, expectations_of
from molrate.ranking.forecasts import Relation
from molrate.ranking.notes import label_advice, molecule_advice, order_advice, outlier_advice, size_advice
from molrate.ranking.ranking import Ranking, rank_targets, ranking_frame, with_expectations
from molrate.ranking.report import View
from molrate.ranking.score_features import score_features
from molrate.ranking.verdict import make_verdict
from molrate.statistics.resampling import make_resampling

N = 240


@pytest.fixture(autouse=True)
def relation(monkeypatch):
    monkeypatch.setattr(expected, "relation_of", lambda *_: Relation(1.2, 0.2, 4, 13))


def features(quality, seed=0, width=2):
    """Columns of the signal under noise, and others of noise alone."""
    generator = np.random.default_rng(seed)
    return np.c_[signal() + generator.normal(size=(N, 2)) / quality, generator.normal(size=(N, width))]


def signal():
    return np.random.default_rng(99).normal(size=(N, 2))


def values(noise=0.4, seed=98):
    return signal() @ [1.0, 0.7] + noise * np.random.default_rng(seed).normal(size=N)


GOOD = Candidate("good", "last", features(4.0, 1), "pretrained", trainable=True)
FAIR = Candidate("fair", "last", features(0.7, 2), "pretrained", trainable=True)
BITS = Candidate("ecfp4", "bits", features(0.2, 3), "baseline")
UNTRAINED = Candidate("net-untrained", "last", features(0.1, 4), "control", trainable=True)


def scored(labels, task="regression", name="y", unit=""):
    labels = np.asarray(labels)
    classes = tuple(f"c{code}" for code in np.unique(labels)) if task == "classification" else ()
    target = Target(name, task, labels.astype(float), classes, unit=unit)
    return ScoredTarget(target, np.arange(len(labels)), make_resampling(labels, task))


def ranked(candidates, *targets, measures=("transrate",), seen=None, seconds=2.4):
    rows, replicates = rank_targets(candidates, targets, [MEASURES[name]() for name in measures])
    expectations = expectations_of(candidates, targets)
    units = {each.target.name: each.target.unit for each in targets}
    frame = ranking_frame("drawn", with_expectations(rows, expectations, units, "drawn", seen or {}))
    return Ranking(frame, run={"seconds": seconds}, replicates=replicates, expectations=expectations)


def test_the_first_lines_say_which_whether_and_how_sure():
    ranking = ranked([FAIR, GOOD, BITS, UNTRAINED], scored(values(), unit="kJ/mol"))
    verdict = ranking.verdict
    (choice,) = verdict.choices
    assert (verdict.encoder, choice.encoder, choice.metric, choice.unit) == ("good", "good", "rmse", "kJ/mol")
    assert verdict.heading == "drawn, y: regression, 240 molecules, 4 candidates, 2 s"
    row = ranking.frame.iloc[0]
    assert (choice.expected, choice.low, choice.high) == (
        row["finetuned"],
        row["finetuned_low"],
        row["finetuned_high"],
    )
    assert choice.low < choice.expected < choice.high
    assert f"good: expected RMSE {row['frozen']:.2f} kJ/mol (95 %: " in choice.fine_tune
    assert f"fine-tuned about {row['finetuned']:.2f}" in choice.fine_tune
    assert "going by other datasets" in choice.fine_tune
    (against,) = choice.comparisons
    bits = ranking.frame.set_index("encoder").loc["ecfp4"]
    assert against.gain == pytest.approx(bits["frozen"] - row["frozen"])
    assert (against.outcome, choice.finetuned) == ("better", False)
    assert choice.worth_it.startswith(
        f"yes: before fine-tuning it is better than ecfp4 ({bits['frozen']:.2f})"
    )
    assert [label for label, _ in verdict.labelled] == ["", "Fine-tune", "Worth it?", "How sure"]
    assert str(verdict) == "\n".join(verdict.sentences)


def test_a_baseline_that_is_better_or_as_good_is_said_to_be():
    best = Candidate("descriptors", "values", features(40.0, 5, 0), "baseline")
    sentence = ranked([FAIR, best, BITS], scored(values())).verdict.choices[0].worth_it
    assert sentence.startswith("no: ")
    assert " Take descriptors." in sentence
    almost = GOOD.features + 0.01 * np.random.default_rng(6).normal(size=GOOD.features.shape)
    same = Candidate("same", "values", almost, "baseline")
    sentence = ranked([GOOD, same], scored(values())).verdict.choices[0].worth_it
    assert re.match(r"not clear: .* same \(.*\), but anything from .* worse to .* better\. ", sentence)
    # Whatever else it was compared with, descriptors are what is hard to beat.
    assert sentence.endswith("Against descriptors it is not known: add --encoder rdkit-descriptors.")


def test_a_forest_that_reads_a_baseline_better_is_what_it_is_worth_over():
    bent = np.c_[np.exp(4 * signal() @ [1.0, 0.7]), np.random.default_rng(7).normal(size=N)]
    curved = Candidate("descriptors", "values", bent, "baseline")
    ranking = ranked([FAIR, GOOD, curved, BITS], scored(values()))
    row = ranking.frame.set_index("encoder").loc["descriptors"]
    assert row["frozen_from"] == "forest"
    (comparison,) = (each for each in ranking.verdict.choices[0].comparisons if each.model == "forest")
    assert (comparison.baseline, comparison.value) == ("descriptors", row["frozen"])
    assert f"descriptors ({row['frozen']:.2f}, forest)" in ranking.verdict.choices[0].worth_it
    legend = "(of baselines with a forest, where that is better)"
    assert legend in " ".join(ranking.to_text().split())
    assert legend not in " ".join(ranked([FAIR, GOOD], scored(values())).to_text().split())
    seen = ranked([GOOD, curved], scored(values()), seen={"good": "yes"}).verdict.choices[0]
    assert seen.worth_it.startswith("start from the best baseline, descriptors with a forest: expected RMSE")


def test_encoders_not_told_from_the_first_are_named():
    twins = [
        Candidate(f"twin-{place}", "last", features(4.0, place), "pretrained") for place in range(10, 15)
    ]
    choice = ranked([*twins, UNTRAINED], scored(values())).verdict.choices[0]
    assert len(choice.tied) == 4
    assert "and 1 more" in choice.fine_tune
    assert "net-untrained" not in choice.tied
    assert ranked([GOOD, UNTRAINED], scored(values())).verdict.choices[0].tied == ()


def test_an_encoder_of_clearly_more_error_to_expect_is_not_tied():
    twins = [
        Candidate(f"twin-{place}", "last", features(4.0, place), "pretrained") for place in range(10, 12)
    ]
    ranking = ranked(twins, scored(values()))
    (choice,) = ranking.verdict.choices
    (other,) = choice.tied
    known = ranking.expectations.by_candidate
    frozen = known["y", other, "last"].frozen
    worse = replace(frozen, value=1.5 * frozen.value)
    for_verdict = replace(ranking.expectations, by_candidate={**known, ("y", other, "last"): Expected(worse)})
    (again,) = make_verdict(ranking.frame, "transrate", for_verdict, "").choices
    assert (again.encoder, again.tied) == (choice.encoder, ())


def test_where_nothing_helps_it_says_so():
    shuffled = np.random.default_rng(7).permutation(values())
    ranking = ranked([GOOD, FAIR, BITS], scored(shuffled))
    verdict = ranking.verdict
    (choice,) = verdict.choices
    assert (verdict.encoder, choice.encoder) == ("", "")
    assert re.fullmatch(
        r"nothing yet: none of the 3 candidates predicts y better than their mean does \(1\.\d\d\)\.",
        choice.fine_tune,
    )
    assert choice.worth_it.startswith("no: no candidate finds a relation of the labels to structure.")
    assert "three" not in verdict.how_sure
    assert order_advice(ranking) == []
    assert verdict.record()["choices"][0]["expected"] is None
    json.dumps(verdict.record(), allow_nan=False)


def test_one_value_that_makes_all_squares_is_no_absence_of_a_relation():
    slipped = values()
    slipped[7] = 1e4
    target = scored(slipped)
    ranking = ranked([GOOD, FAIR, BITS], target)
    (choice,) = ranking.verdict.choices
    assert choice.worth_it.startswith("not known: 1 molecule makes half of the squared error of all 240")
    assert ranking.verdict.how_sure.startswith("not at all: a few molecules rule the squared errors")
    (advice,) = outlier_advice([target], ranking.expectations)
    assert advice.startswith("y: 1 molecule holds half of the squared deviations from the mean, ")
    assert "the farthest in row 8 (10000). Correct it, or leave it out, if it is wrong;" in advice
    assert "logarithm" not in advice
    decades = scored(10.0 ** (4 * values()))
    (advice,) = outlier_advice([decades], ranked([GOOD, BITS], decades).expectations)
    assert advice.endswith("if it is right, rank and train the logarithms of all values.")
    assert outlier_advice([scored(values())], ranked([GOOD], scored(values())).expectations) == []


def test_a_relation_that_only_the_measure_finds_is_said():
    bent = (signal() ** 2).sum(axis=1)
    (choice,) = ranked([GOOD, BITS], scored(bent)).verdict.choices
    assert choice.encoder == ""
    assert "though TransRate finds a relation of the labels to good." in choice.worth_it


@pytest.mark.parametrize("measure", ["transrate", "logme"])
def test_noise_is_no_relation_by_the_measure_either(measure):
    said = []
    for seed in range(12):
        shuffled = scored(np.random.default_rng(seed).permutation(values()))
        (choice,) = ranked([GOOD, FAIR, BITS, UNTRAINED], shuffled, measures=[measure]).verdict.choices
        said.append(choice.worth_it.split(" ")[0])
    assert said.count("no:") >= 11


def test_rows_of_one_molecule_are_not_counted_as_molecules():
    groups = np.arange(N) % 30
    labels = values()
    target = Target("y", "regression", labels)
    repeated = ScoredTarget(target, np.arange(N), make_resampling(labels, "regression", groups=groups))
    verdict = ranked([GOOD, FAIR, BITS], repeated).verdict
    assert "30 molecules in 240 rows" in verdict.heading
    assert (verdict.choices[0].molecules, verdict.choices[0].rows) == (30, N)
    assert verdict.how_sure.startswith("not sure: 30 molecules are too few")


def test_a_target_that_nothing_predicts_has_no_vote():
    noise = scored(np.random.default_rng(3).permutation(values()), name="noise")
    verdict = ranked([FAIR, GOOD, BITS], scored(values(), name="real"), noise).verdict
    assert [choice.encoder for choice in verdict.choices] == ["good", ""]
    assert (
        "For all",
        "good, the encoder of the best mean rank over what is predicted: real.",
    ) in verdict.labelled


def test_where_all_failed_nothing_is_said_of_the_labels():
    ranking = ranked([GOOD, BITS], scored(np.random.default_rng(7).permutation(values())))
    ranking.frame[["rank", "tier"]] = None
    (choice,) = make_verdict(ranking.frame, "transrate", ranking.expectations, "").choices
    assert choice.fine_tune == "nothing: no candidate could be ranked; the notes say why."
    assert "relation" not in choice.worth_it


def test_how_sure_knows_what_was_ranked():
    codes = (np.argsort(np.argsort(-values())) < 6).astype(int)
    rare = ranked([GOOD, FAIR, BITS], scored(codes, "classification")).verdict.how_sure
    assert rare.startswith("not sure: 6 molecules of the rarest class are too few")
    assert ranked([GOOD, BITS], scored(values())).verdict.how_sure == "there was one encoder to choose from."
    baseline = replace(FAIR, encoder="ecfp4", kind="baseline")
    assert ranked([baseline], scored(values())).verdict.how_sure.startswith("nothing is proposed")
    ranking = ranked([GOOD, FAIR, BITS], scored(values()))
    of_layers = replace(ranking, run={"arguments": {"layer": "all", "pooling": "mean"}}).verdict.how_sure
    assert of_layers.endswith("how far the order holds with --layer it does not say.")
    given = score_features({"good": GOOD.features, "fair": FAIR.features}, values()).verdict.how_sure
    assert given.startswith("not known: our study is of encoders of molecules")


def test_a_layer_that_is_cut_at_is_taken_as_it_is():
    inner = replace(GOOD, layer="layer-1")
    last = replace(FAIR, encoder="good", layer="layer-2")
    ranking = ranked([inner, last, BITS], scored(values()))
    (choice,) = ranking.verdict.choices
    assert (choice.layer, choice.trainable) == ("layer-1", False)
    assert re.match(r"good, layer-1: expected RMSE \S+ \(95 %: \S+ to \S+\) as it is\.", choice.fine_tune)
    assert choice.fine_tune.endswith("To fine-tune it, take all its layers.")
    assert choice.expected == ranking.frame["frozen"].iloc[0]
    assert ": as it is, better than ecfp4" in choice.worth_it
    # The study fine-tuned whole networks, and none that was cut.
    forecasts = ranking.frame.set_index("layer")["finetuned"]
    assert np.isnan(forecasts["layer-1"])
    assert np.isfinite(forecasts["layer-2"])
    assert ranking.verdict.labelled[1][0] == "Take"
    (line,) = [line for line in lines_of(ranking) if line.startswith("good") and "layer-1" in line]
    assert line.endswith("-1.00")


def test_what_cannot_be_fine_tuned_is_taken():
    verdict = ranked([replace(GOOD, trainable=False), FAIR, BITS], scored(values())).verdict
    assert verdict.labelled[1][0] == "Take"
    assert "fine-tuned about" not in verdict.choices[0].fine_tune


@pytest.mark.parametrize("unit", [1e-30, 1e-7, 1e9, 1e30])
def test_figures_have_an_exponent_where_they_are_very_large_or_small(unit):
    ranking = ranked([GOOD, FAIR, BITS], scored(unit * values()))
    assert re.search(r"expected RMSE \d\.\d\de[+-]\d\d \(", ranking.verdict.choices[0].fine_tune)
    table = lines_of(ranking)
    assert max(map(len, table)) <= 80
    assert any(line.startswith("A") and " good " in line for line in table)


def test_a_figure_that_would_read_as_none_has_more_decimals():
    exact = Candidate("exact", "last", np.c_[values(), signal()], "pretrained", trainable=True)
    nearly = Candidate("nearly", "last", np.c_[values() + 1e-3 * signal()[:, 0]], "pretrained")
    (choice,) = ranked([nearly, BITS], scored(values())).verdict.choices
    assert "0.00 " not in choice.fine_tune
    assert ranked([exact, BITS], scored(values())).verdict.choices[0].encoder == "exact"


def test_the_legend_names_what_orders():
    for measures in (["knn"], ["knn", "transrate"], ["transrate"]):
        text = " ".join(lines_of(ranked([GOOD, FAIR], scored(values()), measures=measures)))
        assert (
            f"{'TransRate' if measures == ['transrate'] else 'knn'} (higher is better) orders the rows"
            in text
        )


def test_only_baselines_and_only_contaminated_encoders_leave_nothing_to_fine_tune():
    bits = Candidate("ecfp4", "bits", features(0.7, 3), "baseline")
    choice = ranked([bits], scored(values())).verdict.choices[0]
    assert choice.fine_tune.startswith("nothing: only baselines were ranked")
    assert choice.worth_it.startswith("start from the best baseline, ecfp4: expected RMSE")
    choice = ranked([GOOD, BITS], scored(values()), seen={"good": "yes"}).verdict.choices[0]
    assert choice.fine_tune.startswith("nothing: every pretrained encoder here was trained on labels")
    # Those of whom nobody knows are proposed, and the notes say what to mind.
    assert ranked([GOOD, BITS], scored(values()), seen={"good": "unknown"}).verdict.encoder == "good"
    assert ranked([GOOD, FAIR], scored(values()), seen={"good": "yes"}).verdict.encoder == "fair"


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes_are_expected_by_their_area(n_classes):
    codes = np.digitize(values(), np.quantile(values(), np.arange(1, n_classes) / n_classes))
    choice = ranked([GOOD, BITS], scored(codes, "classification")).verdict.choices[0]
    assert (choice.encoder, choice.metric) == ("good", "auroc")
    assert re.match(r"good: expected AUROC 0\.\d\d \(95 %: 0\.\d\d to 0\.\d\d\) as it is", choice.fine_tune)
    assert choice.comparisons[0].gain > 0


def test_several_targets_have_a_choice_each_and_one_for_all():
    other = np.where(values() > 0, 1, 0)
    ranking = ranked([GOOD, FAIR, BITS], scored(values(), name="a"), scored(other, "classification", "b"))
    verdict = ranking.verdict
    assert [choice.target for choice in verdict.choices] == ["a", "b"]
    assert verdict.heading == "drawn: 2 targets, 3 candidates, 2 s"
    assert ("For all", "good, the encoder of the best mean rank over the targets.") in verdict.labelled
    text = ranking.to_text()
    assert text.count("How sure") == 1
    assert text.count("tier encoder") == 2


def test_given_features_are_taken_and_compared_with_a_guess():
    ranking = score_features({"good": GOOD.features, "fair": FAIR.features}, values())
    assert [label for label, _ in ranking.verdict.labelled][1] == "Take"
    assert re.match(
        r"better than their mean \(.*\) by .* \(.* to .*\)\.", ranking.verdict.choices[0].worth_it
    )
    assert "fine-tuned about" not in str(ranking)


def test_the_promising_and_the_first_are_both_compared_with_a_guess():
    # TransRate orders here, which loses a signal among many columns of noise.
    hidden, plain = features(40.0, 21, 110), features(2.0, 2, 12)
    ranking = score_features({"hidden": hidden, "plain": plain}, values(0.1), measures=["transrate"])
    (choice,) = ranking.verdict.choices
    assert (choice.encoder, choice.promising) == ("plain", "hidden")
    assert re.match(
        r"with hidden better than their mean \(.*\) by .*\. With the first better than their mean",
        choice.worth_it,
    )


def test_where_nothing_was_ranked_nothing_is_sure():
    ranking = score_features({"flat": np.ones((60, 9))}, values()[:60])
    assert ranking.verdict.how_sure == "not at all: nothing was ranked."
    with pytest.raises(UsageError, match="'logme' ranked nothing here, nor did another measure"):
        ranking.plot()


def test_how_sure_is_the_studys_or_not_known(monkeypatch):
    sentence = how_sure("transrate", "excess")
    assert sentence.startswith("in our study of 8 datasets and up to 16 networks, the first network of such")
    assert re.search(r"was [\d.]+% worse than the best; training the first three and keeping", sentence)
    assert re.search(r"Forecasts of fine-tuning were off by \d+% in AUROC and \d+% in RMSE\.", sentence)
    assert "AUROC" not in how_sure("transrate", "excess", metrics=["rmse"])
    assert how_sure("mine", "excess").startswith("not known: an order by mine (excess)")
    monkeypatch.setattr(evidence, "agreement_table", lambda: None)
    assert how_sure("transrate", "excess") == "not known: the files of molrate's study are not here."
    assert evidence.evidence_notes(["transrate"], "excess") == [
        "How far to trust it: not known: the files of molrate's study are not here."
    ]


def test_what_an_order_hides_is_said():
    above = Candidate("net-untrained", "last", features(4.0, 8), "control")
    ranking = ranked([FAIR, above], scored(values()))
    (note,) = order_advice(ranking)
    assert "net-untrained, which was never trained, comes before every pretrained encoder" in note
    assert order_advice(ranked([GOOD, UNTRAINED], scored(values()))) == []


def few_rows(candidate, n=30):
    return replace(candidate, features=candidate.features[:n])


def test_of_few_molecules_nobody_is_sure():
    few = scored(values()[:30])
    verdict = ranked([few_rows(GOOD), few_rows(BITS)], few).verdict
    name = verdict.encoder
    assert verdict.choices[0].fine_tune.startswith(
        f"undecided: 30 molecules are too few to choose by. First is {name}: expected RMSE"
    )
    assert verdict.how_sure == (
        "not sure: 30 molecules are too few to rank by. Go by the prior and the baselines, and rank again "
        "with 50 or more."
    )
    assert "too few" not in ranked([GOOD, BITS], scored(values())).verdict.how_sure
    part = replace(scored(values()[:30], name="part"), rows=np.arange(30))
    both = ranked([GOOD, BITS], scored(values()), part).verdict.how_sure
    assert both.startswith("not sure: 30 molecules with part are too few to rank by.")
    assert "For the rest: " in both


def test_rare_labels_say_what_to_do():
    few = scored(values()[:30])
    assert size_advice([few, scored(values())]) == []
    (rare,) = label_advice([scored(np.arange(400) < 20, "classification")])
    assert "5% are of class" in rare
    assert "--metric auprc" in rare
    (fewer,) = label_advice([scored(np.arange(400) < 6, "classification")])
    assert "only 6 molecules of class" in fewer
    assert label_advice([scored(np.arange(400) % 2, "classification"), few]) == []


def lines_of(ranking, **view):
    return ranking.to_text(View(**view)).split("\n")


def test_a_piped_ranking_has_80_columns_and_no_colours_and_a_terminals_has():
    ranking = ranked([GOOD, FAIR, BITS, UNTRAINED], scored(values()))
    plain = lines_of(ranking)
    assert max(map(len, plain)) <= 80
    assert "\x1b" not in "\n".join(plain)
    assert plain[0] == ranking.verdict.heading
    drawn = "\n".join(lines_of(ranking, colour=True))
    assert "\x1b[" in drawn
    without = re.sub(r"\x1b\[[0-9;]*m", "", drawn)
    assert [line.rstrip() for line in without.split("\n")] == plain


def test_ten_encoders_the_baselines_and_a_control_are_shown_and_all_if_asked_for():
    many = [Candidate(f"e{place}", "last", features(3.0, place), "pretrained") for place in range(12)]
    controls = [
        Candidate(f"c{place}-untrained", "last", features(0.1, place), "control") for place in range(3)
    ]
    ranking = ranked([*many, *controls, BITS], scored(values()))
    table = "\n".join(lines_of(ranking))
    shown = re.findall(r"^[A-Z] ?=? +(\S+)", table, re.MULTILINE)
    assert sum(name.startswith("e") and name != "ecfp4" for name in shown) == 10
    assert "ecfp4" in shown
    assert sum("untrained" in name for name in shown) == 1
    assert "... 4 more rows: --all" in table
    every = re.findall(r"^[A-Z] ?=? +(\S+)", "\n".join(lines_of(ranking, every=True)), re.MULTILINE)
    assert len(every) == 16


def test_columns_are_chosen_and_unknown_ones_refused():
    ranking = ranked([GOOD, BITS], scored(values()))
    text = "\n".join(lines_of(ranking, columns=["encoder", "null_mean"]))
    assert re.search(r"^encoder +null_mean$", text, re.MULTILINE)
    with pytest.raises(UsageError, match=r"no column 'nul' \(columns=\); there are rank, tier"):
        lines_of(ranking, columns=["nul"])


def test_a_warning_that_all_rows_share_is_said_once_and_others_are_marked():
    ranking = ranked([GOOD, FAIR, BITS], scored(values()))
    ranking.frame["status"] = "unreliable"
    ranking.frame["note"] = "too few"
    text = "\n".join(lines_of(ranking))
    assert text.count("too few") == 1
    assert "unreliable in every row" in text
    assert "*" not in text.split("\n\n")[1]
    ranking.frame.loc[0, "status"] = "ok"
    text = "\n".join(lines_of(ranking))
    assert "unreliable in 2 of 3 rows (*)" in text
    assert text.split("\n\n")[1].count("*") == 2


def test_a_handful_of_advice_is_shown_and_the_rest_counted():
    ranking = ranked([GOOD, BITS], scored(values()))
    ranking.advice.extend(f"advice {place}" for place in range(8))
    ranking.notes.append("a note")
    text = "\n".join(lines_of(ranking))
    assert "! advice 4" in text
    assert "advice 5" not in text
    assert "-v: 3 more warnings" in text
    whole = "\n".join(lines_of(ranking, verbose=True))
    assert "advice 7" in whole
    assert "- a note" in whole
    assert "null: its mean under permuted labels" in whole


def test_the_file_and_the_notebook_have_the_same_verdict():
    ranking = ranked([GOOD, BITS], scored(values(), name="<y>"))
    document = json.loads(ranking.to_json())
    assert document["verdict"]["encoder"] == "good"
    assert document["verdict"]["choices"][0]["comparisons"][0]["outcome"] == "better"
    html = ranking._repr_html_()
    assert "<b>Fine-tune</b> good: expected RMSE" in html
    assert "ecfp4 (baseline)" in html
    assert "<y>" not in html
    assert "&lt;y&gt;" in html


def test_layers_say_where_to_cut():
    layers = [features(share, place) for place, share in enumerate((0.3, 4.0, 0.2))]
    deep = [Candidate("deep", f"l{place}", layer, "pretrained") for place, layer in enumerate(layers)]
    flat = [
        Candidate("flat", f"l{place}", features(1.5, 20) + 0.01 * features(1.0, 21 + place), "pretrained")
        for place in range(3)
    ]
    ranking = ranked([*deep, *flat, BITS], scored(values()))
    table = ranking.layers.set_index("encoder")
    assert table.loc["deep", "cut_at"] == "l1"
    assert table.loc["deep", "frozen_best"] < table.loc["deep", "frozen_last"]
    # No layer is clearly above the last: deeper is better.
    assert table.loc["flat", "cut_at"] == "l2"
    text = "\n".join(lines_of(ranking))
    assert "where to cut, by transrate, y" in text
    assert "deep, layer l1: expected RMSE" in ranking.verdict.choices[0].fine_tune


def test_no_cut_is_made_that_more_error_is_expected_of():
    layers = [features(share, place) for place, share in enumerate((0.3, 4.0, 0.2))]
    deep = [Candidate("deep", f"l{place}", layer, "pretrained") for place, layer in enumerate(layers)]
    ranking = ranked([*deep, BITS], scored(values()))
    assert ranking.layers.set_index("encoder").loc["deep", "cut_at"] == "l1"
    expected = dict(ranking.expectations.by_candidate)
    best, last = (next(key for key in expected if key[1:] == ("deep", layer)) for layer in ("l1", "l2"))
    expected[best], expected[last] = expected[last], expected[best]
    turned = replace(ranking, expectations=replace(ranking.expectations, by_candidate=expected))
    assert turned.layers.set_index("encoder").loc["deep", "cut_at"] == "l2"


def test_an_encoder_that_promises_clearly_less_error_than_the_first_is_named_too():
    # Among many columns of noise leading components lose a signal that ridge regression still finds.
    hidden = Candidate("hidden", "last", features(40.0, 21, 110), "pretrained", trainable=True)
    plain = Candidate("plain", "last", features(2.0, 2, 12), "pretrained", trainable=True)
    choice = ranked([plain, hidden, BITS], scored(values(0.1))).verdict.choices[0]
    assert (choice.encoder, choice.promising) == ("plain", "hidden")
    assert choice.fine_tune.startswith("hidden: expected RMSE ")
    assert ", the best forecast. First by TransRate is plain: expected RMSE " in choice.fine_tune
    assert choice.worth_it.startswith("with hidden yes: better than ecfp4")
    assert ". With the first " in choice.worth_it
    assert ranked([GOOD, FAIR, BITS], scored(values())).verdict.choices[0].promising == ""


def test_a_broken_ring_is_no_large_molecule():
    smiles = ["CCO", "CCCCCCCC", "c1cccc1", "", "nonsense"]
    large, invalid = molecule_advice(limit_atoms(standardise(smiles), 5), RowPolicy(max_atoms=5), [])
    assert large.startswith("1 row left out, of molecules of more than 5 atoms")
    assert invalid.startswith("3 rows without a valid SMILES left out, the first is row 3")
