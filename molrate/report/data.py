"""The data of a page: counts, problems, and how the values of targets lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from molrate.data.datasets import Dataset
from molrate.data.duplicates import measurement_notes
from molrate.data.molecules import Molecules
from molrate.data.targets import Target
from molrate.report.charts import Chart, bars, histogram
from molrate.report.page import Block, Facts, Heading, Section, Text
from molrate.report.rows import cut_note
from molrate.report.tables import Table

_MOST_TARGETS = 12
_MOST_CLASSES = 30


def data_section(
    dataset: Dataset,
    molecules: Molecules,
    duplicates: str,
    free: Callable[[Sequence[str]], list[str]],
    notes: Sequence[str] = (),
    repeated: Sequence[str] | None = None,
) -> Section:
    """Counts of rows, what is wrong with them, and a chart of each target.

    Parameters
    ----------
    dataset : Dataset
    molecules : Molecules
        Of its rows.
    duplicates : {"keep", "merge"}
        What became of rows that repeat a molecule.
    free : callable
        Leaves out sentences that are not to be shown.
    notes : sequence of str
        What else is to be said of the data.
    repeated : sequence of str, optional
        What rows that repeat a molecule have in common; their canonical SMILES if not given.
    """
    valid, targets = molecules.valid, [target for target in dataset.targets if not target.error]
    facts = [
        ("Rows", f"{len(dataset):,}"),
        ("Valid molecules", f"{int(valid.sum()):,}"),
        ("Unique molecules", f"{len(set(molecules.canonical[valid].tolist())):,}"),
        *((f"Measured: {target.name}", f"{int((target.labelled & valid).sum()):,}") for target in targets),
    ]
    blocks: list[Block] = [Facts(facts)]
    for place, target in enumerate(targets[:_MOST_TARGETS]):
        known = target.where(valid)
        if known.labelled.any():
            blocks.append(target_chart(f"target-{place}", known))
    blocks += cut_note(len(targets), _MOST_TARGETS)
    problems = free(list(dict.fromkeys([*_problems(dataset, molecules, duplicates, repeated), *notes])))
    if problems:
        blocks += [Heading("Problems"), Text(problems, listed=True)]
    return Section("data", "Data", blocks)


def _problems(
    dataset: Dataset, molecules: Molecules, duplicates: str, repeated: Sequence[str] | None
) -> list[str]:
    lines = [*molecules.left_out()]
    if molecules.n_stripped:
        lines.append(f"{molecules.n_stripped} molecules reduced to their largest fragment")
    lines += [target.error for target in dataset.targets if target.error]
    together = molecules.canonical.tolist() if repeated is None else repeated
    found = measurement_notes(together, dataset.targets, duplicates)
    if molecules.n_duplicates and not any("repeat an earlier molecule" in note for note in found):
        lines.append(f"{molecules.n_duplicates} rows repeat an earlier molecule, with the same values")
    return lines + found


def target_chart(key: str, target: Target) -> Chart:
    """A histogram of numbers, or bars of classes.

    Parameters
    ----------
    key : str
    target : Target
    """
    values = target.values[target.labelled]
    name = f"{target.name} ({target.unit})" if target.unit else target.name
    if target.classes:
        counts = {
            label: int((values == code).sum()) for code, label in enumerate(target.classes[:_MOST_CLASSES])
        }
        numbers = Table(
            f"molecules by class of {name}",
            ["class", "molecules"],
            [[label, str(count)] for label, count in counts.items()],
            frozenset(["class"]),
        )
        described = ", ".join(f"{label} {count}" for label, count in counts.items())
        caption = f"Classes of {name}."
        if len(target.classes) > _MOST_CLASSES:
            caption = f"Classes of {name}: the first {_MOST_CLASSES} of {len(target.classes)}."
        return Chart(key, caption, f"Bars of classes: {described}.", bars(counts), numbers)
    spec, rows = histogram(values, name)
    low, middle, high = np.percentile(values, [0, 50, 100])
    description = f"Histogram of {name}: {low:.3g} to {high:.3g}, median {middle:.3g}."
    caption = f"{len(values):,} values of {name}, {low:.3g} to {high:.3g}, half of them below {middle:.3g}."
    numbers = Table(f"molecules by {name}", [name, "molecules"], rows, frozenset([name]))
    return Chart(key, caption, description, spec, numbers)
