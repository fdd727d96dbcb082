"""The model card: a README.md in the model's folder, for a colleague or a hub."""

from __future__ import annotations

from typing import Any

import numpy as np

from molrate.data.molecules import standardise
from molrate.encoders.cards import EncoderCard
from molrate.finetuning.comparison import describe_few, describe_size, unit_of
from molrate.finetuning.data import TrainingData
from molrate.models.applicability import Domain
from molrate.models.calibration import conformal_quantile

CARD = "README.md"
_COVERAGE = 0.9


def make_card(
    record: dict[str, Any],
    digest: str,
    answer: str,
    encoder: EncoderCard,
    data: TrainingData,
    structures: bool,
) -> str:
    """A model card in Markdown, with the metadata that hubs read.

    Parameters
    ----------
    record : dict
        Of ``model.json``.
    digest : str
        Of molecules and targets.
    answer : str
        What the selection found, in a sentence.
    encoder : EncoderCard
    data : TrainingData
    structures : bool
        Whether training molecules are in the folder.
    """
    sections = {
        "Data": _data(record, digest, data),
        "Error": _error(record),
        "Calibration": _calibration(record),
        "Where it can be asked": _applicability(record, data),
        "How it was made": _making(record, encoder),
        "Licence": _licence(encoder),
        "Intended use": _use(record),
        "Training structures": _structures(structures),
    }
    targets = ", ".join(record["task"]["targets"])
    front = ["---", *_metadata(encoder), "---", "", f"# {targets}: {record['encoder']['name']}", "", answer]
    body = [line for title, text in sections.items() for line in ("", f"## {title}", "", text)]
    return "\n".join([*front, *body]) + "\n"


def _metadata(encoder: EncoderCard) -> list[str]:
    licence = [f"license: {encoder.licence.lower()}"] if encoder.licence else []
    return [*licence, "library_name: molrate", "tags:", "- chemistry", "- molecules"]


def _data(record: dict[str, Any], digest: str, data: TrainingData) -> str:
    split, valid = record["split"], data.molecules.valid
    tested = data.n_molecules(data.split.test.tolist())
    known = data.n_molecules([*data.split.train, *data.split.validation])
    lines = [
        f"- {data.dataset.name}: {len(data.dataset)} rows, {int(valid.sum())} of them valid molecules, "
        f"{len(set(data.molecules.canonical[valid].tolist()))} different",
        f"- molecules and values: sha256 {digest}",
        f"- {split['method']} split: {tested} molecules to test on, and {known} in folds, each of "
        "which a member was measured on and not trained on",
    ]
    for target in data.targets:
        labelled = target.values[target.labelled & valid]
        if target.task == "regression":
            shown = f"{len(labelled)} values, {labelled.min():.4g} to {labelled.max():.4g}"
        else:
            counts = [f"{label} {int((labelled == code).sum())}" for code, label in enumerate(target.classes)]
            shown = ", ".join(counts)
        lines.append(f"- {target.name}: {shown}")
    lines += [f"- {note}" for note in record["notes"]]
    return "\n".join(lines)


def _error(record: dict[str, Any]) -> str:
    comparison = record["comparison"]
    few = describe_few(comparison)
    lines = [
        f"On {describe_size(comparison)} of the test part, which was split off first, chose nothing, and "
        "was looked at once:",
        "",
        f"| | {comparison['metric']}{unit_of(comparison)} | 95 % interval |",
        "|---|---|---|",
        *(f"| {row['what']} | {_number(row['value'])} | {_interval(row)} |" for row in comparison["rows"]),
        "",
        f"The molecules are {few}." if few else "Intervals are of a bootstrap over these molecules.",
        *record["seen"],
    ]
    return "\n".join(lines)


def _calibration(record: dict[str, Any]) -> str:
    lines = []
    for target, scores in record["calibration"].items():
        reach = conformal_quantile(scores, _COVERAGE)
        lines.append(f"- {target}: {len(scores)} measurements of the test part, {_reach(record, reach)}")
    return "\n".join(
        [
            "Bounds and label sets of predictions are conformal, from molecules that neither trained nor "
            "chose anything. They hold for molecules like these, and promise nothing for others.",
            "",
            *lines,
        ]
    )


def _reach(record: dict[str, Any], reach: float) -> str:
    if not np.isfinite(reach):
        return f"too few to bound {_COVERAGE:.0%} of molecules"
    if record["task"]["kind"] == "regression":
        return f"{_COVERAGE:.0%} of values within {reach:.3g} of the prediction"
    return f"{_COVERAGE:.0%} of classes have a probability of {1 - reach:.2g} or more"


def _applicability(record: dict[str, Any], data: TrainingData) -> str:
    known = np.concatenate([data.split.train, data.split.validation])
    domain = Domain(data.molecules.canonical[known].tolist())
    tested = data.dataset.smiles[data.split.test].tolist()
    nearest = domain.nearest(standardise(tested, data.policy.standardisation))
    low, middle = np.nanpercentile(nearest, [10, 50])
    text = (
        "The error above is of molecules whose similarity to the nearest training molecule (Tanimoto, "
        f"ECFP4) is {middle:.2f} in the median and above {low:.2f} in nine of ten. Of less similar ones "
        "nothing is known."
    )
    if record["unsupported"]:
        text += f" The encoder does not support {len(record['unsupported'])} of the molecules of the table."
    return text


def _making(record: dict[str, Any], encoder: EncoderCard) -> str:
    settings = record["settings"]
    how = "nothing of it was trained" if record["best"] is None else _training(record)
    beside = " RDKit's descriptors stand beside its embedding." if settings["descriptors"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    lines = [
        f"- encoder: {encoder.name}; {how}.{beside}",
        f"- {settings['ensemble']} model(s), whose mean predicts",
        f"- rows: standardisation {settings['standardisation']}, duplicates {settings['duplicates']}",
        f"- seed {settings['seed']}; versions: {versions}",
    ]
    return "\n".join(lines)


def _training(record: dict[str, Any]) -> str:
    if record["settings"]["frozen"]:
        return "its weights stayed as they were, and a head was trained"
    return "it was fine-tuned, and each model kept its best epoch, the frozen encoder among them"


def _licence(encoder: EncoderCard) -> str:
    if encoder.weights is None:
        return "No published weights are in this model."
    text = f"The weights of {encoder.name} are published under {encoder.licence or 'no stated licence'}"
    code = f", its code under {encoder.code_licence}" if encoder.code_licence else ""
    return f"{text}{code}. What was trained here derives from them."


def _use(record: dict[str, Any]) -> str:
    targets = ", ".join(record["task"]["targets"])
    return (
        f"To predict {targets} of molecules like those of the table, in order to choose which to make or "
        "measure. Not in place of a measurement, and not for decisions on safety.\n\n"
        "```\nmolrate predict new.csv -m FOLDER -o predicted.csv\n"
        "molrate screen library.smi.gz -m FOLDER -o hits/ --top 1000\n```"
    )


def _structures(structures: bool) -> str:
    if structures:
        return (
            "`training.smi` holds the training molecules as SMILES, so that predictions come with the "
            "similarity to them. Leave them out with `--no-structures` where they are confidential."
        )
    return (
        "No training molecule is in this folder, so predictions have no similarity. `model.json` and `jobs/` "
        "hold row numbers, and `jobs/` predictions of them, which need not be published. That weights tell "
        "nothing of single molecules is not shown."
    )


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3g}"


def _interval(row: dict[str, Any]) -> str:
    return "" if row["low"] is None else f"{row['low']:.3g} to {row['high']:.3g}"
