import numpy as np
import pandas as pd
import pytest

from molrate.errors import InputError
from molrate.models.head import RankingColumn
from molrate.screening.enrichment import curves, known_activities, measure_enrichment

NUMBERS = RankingColumn("p")


def bedroc_by_its_formula(ranks, n, alpha):
    """Truchon and Bayly 2007, equations 36 and 37; ranks from 1."""
    share = len(ranks) / n
    rie = np.exp(-alpha * np.array(ranks) / n).sum() / len(ranks)
    rie /= (1 - np.exp(-alpha)) / (np.exp(alpha / n) - 1) / n
    factor = share * np.sinh(alpha / 2) / (np.cosh(alpha / 2) - np.cosh(alpha / 2 - alpha * share))
    return rie * factor + 1 / (1 - np.exp(alpha * (1 - share)))


def test_measures_by_hand():
    generator = np.random.default_rng(0)
    active = (generator.uniform(size=1000) < 0.05).astype(int)
    scores = generator.normal(size=1000) + 2 * active
    found = measure_enrichment(scores, active)
    order = np.argsort(-scores)
    n_active = active.sum()
    assert found.ef_1 == pytest.approx(active[order[:10]].sum() / n_active / 0.01)
    assert found.ef_5 == pytest.approx(active[order[:50]].sum() / n_active / 0.05)
    ranks = np.flatnonzero(active[order]) + 1
    assert found.bedroc == pytest.approx(bedroc_by_its_formula(ranks, 1000, 20))
    pairs = scores[active == 1][:, None] > scores[active == 0][None]
    assert found.auroc == pytest.approx(pairs.mean())
    assert measure_enrichment(-scores, active, smallest=True) == found


def test_extremes_and_ties():
    active = np.repeat([1, 0], [10, 190])
    perfect = measure_enrichment(np.arange(200.0)[::-1], active)
    assert (perfect.ef_1, perfect.ef_5, perfect.auroc) == (20, 20, 1)
    assert perfect.bedroc == pytest.approx(1)
    # All scores equal: nothing is known, and the actives do not come first by luck of the file.
    tied = measure_enrichment(np.zeros(200), active)
    assert tied.ef_5 == 0
    assert tied.auroc == 0.5


def test_a_few_labelled_rows():
    found = measure_enrichment(np.array([3.0, 2.0]), np.array([1, 0]))
    assert (found.ef_1, found.ef_5, found.auroc) == (2, 2, 1)
    with pytest.raises(InputError, match="0 actives among 0 labelled rows"):
        known_activities([], NUMBERS)


def test_curves_have_the_areas_that_are_told():
    generator = np.random.default_rng(1)
    active = (generator.uniform(size=300) < 0.2).astype(int)
    scores = generator.normal(size=300) + active
    roc = curves(scores, active)["roc"]
    area = np.trapezoid(roc["true_positive_rate"], roc["false_positive_rate"])
    assert area == pytest.approx(measure_enrichment(scores, active).auroc)


def tables(labels):
    table = pd.DataFrame({"source": "l.csv", "row": range(1, len(labels) + 1), "label": labels})
    table["status"], table["p"] = "ok", np.arange(len(labels), dtype=float)
    table.loc[0, "status"] = "invalid"
    return [table.iloc[:3], table.iloc[3:]]


def test_rows_with_a_label_and_a_prediction_count():
    scores, active = known_activities(tables(["1", "Active", "", "0", None, "FALSE", "1.0", "NA"]), NUMBERS)
    assert scores.tolist() == [1, 3, 5, 6]
    assert active.tolist() == [1, 0, 0, 1]
    with pytest.raises(InputError, match=r"l\.csv row 4: label 'maybe' is none of 1"):
        known_activities(tables(["1", "1", "0", "maybe"]), NUMBERS)
    with pytest.raises(InputError, match="0 actives among 3 labelled rows"):
        known_activities(tables(["1", "0", "0", "0"]), NUMBERS)


@pytest.mark.parametrize(
    ("ranking", "labels", "expected"),
    [
        # The classes of the target, in any spelling, and the words that are known.
        (RankingColumn("p", "toxic", ("non-toxic",)), ["Toxic", "nontoxic", "1", "no"], [1, 0, 1, 0]),
        # The other class is sought: a 1 is still what the target calls positive.
        (
            RankingColumn("p", "non-toxic", ("toxic",), reverse=True),
            ["toxic", "non-toxic", "1", "0"],
            [0, 1, 0, 1],
        ),
        # A pair that nothing is known of, and a class of three.
        (RankingColumn("p", "bad", ("good",)), ["bad", "good", "yes", "false"], [1, 0, 1, 0]),
        (RankingColumn("p", "b", ("a", "c")), ["a", "b", "c", "b"], [0, 1, 0, 1]),
        # Numbers were predicted, and the labels are a pair in themselves.
        (NUMBERS, ["flagged", "not flagged", "flagged", "not flagged"], [1, 0, 1, 0]),
        (NUMBERS, ["BBB+", "BBB-", "BBB-", "BBB+"], [1, 0, 0, 1]),
        (NUMBERS, ["active", "decoy", "decoy", "active"], [1, 0, 0, 1]),
    ],
)
def test_labels_mean_what_they_say_of_the_class_that_is_sought(ranking, labels, expected):
    first, rest = tables(["skipped", *labels])
    _, active = known_activities([first, rest], ranking)
    assert active.tolist() == expected


def test_labels_of_other_classes_are_refused():
    with pytest.raises(InputError, match=r"row 3: label 'ugly' is none of 1.*; bad; good \(label_column=\)"):
        known_activities(tables(["1", "good", "ugly", "bad"]), RankingColumn("p", "bad", ("good",)))
    with pytest.raises(InputError, match="label 'red' is none of"):
        known_activities(tables(["1", "red", "blue", "red"]), NUMBERS)
