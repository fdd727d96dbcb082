"""Pages of tables whose names are markup."""

import pytest
from report.hostile import COLUMN, SCRIPT, write_table

import molrate
from molrate.data.datasets import load_dataset
from molrate.report.ranking import RankedMolecules, ranking_page


@pytest.fixture(scope="session")
def surroundings(tmp_path_factory):
    """Pages are made once; the cache they read is theirs."""
    patch = pytest.MonkeyPatch()
    patch.setenv("MOLRATE_CACHE", str(tmp_path_factory.mktemp("pages")))
    yield
    patch.undo()


def make_ranked(path, **given):
    dataset = load_dataset(path, COLUMN)
    return molrate.score(dataset, encoders=["gin-untrained", "ecfp4", "rdkit-descriptors"], **given), dataset


@pytest.fixture(scope="session")
def numbers(surroundings, tmp_path_factory):
    path = write_table(tmp_path_factory.mktemp("tables") / "numbers.csv")
    return make_ranked(path, layer="all", measures=["transrate", "logme", "loo"])


@pytest.fixture(scope="session")
def classes(surroundings, tmp_path_factory):
    path = write_table(tmp_path_factory.mktemp("tables") / "classes.csv", classes=True)
    return make_ranked(path)


@pytest.fixture(scope="session")
def number_page(numbers):
    ranking, dataset = numbers
    return ranking_page(ranking, RankedMolecules(dataset), command=f"molrate score {SCRIPT!r}")


@pytest.fixture(scope="session")
def class_page(classes):
    ranking, dataset = classes
    return ranking_page(ranking, RankedMolecules(dataset), command="molrate score classes.csv")


@pytest.fixture(scope="session")
def hidden_page(numbers):
    ranking, dataset = numbers
    return ranking_page(ranking, RankedMolecules(dataset), command="molrate score x.csv", structures=False)
