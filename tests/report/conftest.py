"""Pages of tables whose names are markup."""

import pytest
from report.hostile import COLUMN, SCRIPT, write_table

import molrate
from molrate.data.datasets import load_dataset
from molrate.finetuning.config import FinetuningConfig
from molrate.finetuning.data import TrainingData
from molrate.finetuning.finetune import run_finetuning
from molrate.models.model import TunedModel
from molrate.report.model import model_page
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


def fitted(path, folder):
    """A linear model on fingerprints of a table, with what it was fitted to."""
    data = TrainingData.of(load_dataset(path, COLUMN))
    run_finetuning(data, "ecfp4", folder, FinetuningConfig(estimators=("linear",)))
    return TunedModel.load(folder), data


@pytest.fixture(scope="session")
def number_model(surroundings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("number-model")
    return fitted(write_table(folder / "numbers.csv"), folder / "model")


@pytest.fixture(scope="session")
def class_model(surroundings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("class-model")
    return fitted(write_table(folder / "classes.csv", classes=True), folder / "model")


@pytest.fixture(scope="session")
def model_number_page(number_model):
    return model_page(*number_model, command="molrate finetune numbers.csv")


@pytest.fixture(scope="session")
def model_class_page(class_model):
    return model_page(*class_model, command="molrate finetune classes.csv")
