"""A stage over a library: what is missing is computed, and every row comes out once and in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from molrate.files.library import Chunk, Library
from molrate.files.locks import exclusive
from molrate.files.requests import library_versions
from molrate.screening.local_workers import run_locally
from molrate.screening.parts import OutputPart, PartFolder
from molrate.screening.stage import Stage
from molrate.screening.workers import PartBytes

CHUNK_SIZE = 10_000

Engine = Callable[[Iterator[Chunk], Stage, str], Iterator[PartBytes]]
Progress = Callable[[int, float | None], None]
"""Called with rows done since the last call, and the share of the library that has been read."""


@dataclass
class Summary:
    """What a run did.

    Attributes
    ----------
    n_chunks, n_resumed : int
        Chunks of the library, and those that an earlier run had done.
    statuses : Counter of str
        Rows by status.
    """

    n_chunks: int = 0
    n_resumed: int = 0
    statuses: Counter[str] = field(default_factory=Counter)

    @property
    def n_rows(self) -> int:
        """All rows."""
        return self.statuses.total()

    @property
    def n_failed(self) -> int:
        """Rows without a result."""
        return self.n_rows - self.statuses["ok"]

    def count(self, part: OutputPart) -> None:
        """Add a part."""
        self.n_chunks += 1
        self.statuses.update(part.statuses)

    def describe(self) -> str:
        """One line."""
        text = f"{self.statuses['ok']} of {self.n_rows} rows done"
        if self.n_resumed:
            text += f" ({self.n_resumed} of {self.n_chunks} chunks by an earlier run)"
        failed = [f"{count} {status}" for status, count in sorted(self.statuses.items()) if status != "ok"]
        return text + (f"; {', '.join(failed)}, with the reason in their rows" if failed else "") + "."


def run_settings(stage: Stage, library: Library, chunk_size: int, suffix: str) -> dict[str, Any]:
    """All that the parts of a run depend on."""
    return {
        **stage.identity(),
        "sources": library.sources,
        "smiles_column": library.smiles_column,
        "id_column": library.id_column,
        "label_column": library.label_column,
        "chunk_size": chunk_size,
        "part_format": suffix,
        "versions": library_versions(),
    }


def run_into_folder(
    library: Library,
    stage: Stage,
    folder: Path,
    *,
    suffix: str = ".parquet",
    chunk_size: int = CHUNK_SIZE,
    engine: Engine | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> tuple[PartFolder, Summary]:
    """Run a stage over a library into a folder of parts, or what is missing of them.

    Parameters
    ----------
    library : Library
    stage : Stage
    folder : pathlib.Path
    suffix : {".parquet", ".csv"}
    chunk_size : int
        Rows of a part.
    engine : callable, optional
        Makes parts of chunks; by default this process.
    resume : bool
    progress : callable, optional

    Raises
    ------
    UsageError
        If the folder holds something else, the input changed, or another process writes the folder.
    InputError
        If the library cannot be read or the folder not written.
    """
    with exclusive(folder):
        return _run_into_folder(library, stage, folder, suffix, chunk_size, engine, resume, progress)


def _run_into_folder(
    library: Library,
    stage: Stage,
    folder: Path,
    suffix: str,
    chunk_size: int,
    engine: Engine | None,
    resume: bool,
    progress: Progress | None,
) -> tuple[PartFolder, Summary]:
    stage.prepare()
    settings = run_settings(stage, library, chunk_size, suffix)
    parts = PartFolder(folder, settings, resume, {"passed_over": library.passed_over})
    summary = Summary()

    def missing() -> Iterator[Chunk]:
        for chunk in library.chunks(chunk_size):
            if parts.has(chunk):
                summary.n_resumed += 1
                summary.count(parts.parts[chunk.index])
                _tell(progress, len(chunk.rows), library)
            else:
                yield chunk

    for part, content in (engine or _this_process)(missing(), stage, suffix):
        parts.add(part, content)
        summary.count(part)
        _tell(progress, sum(part.statuses.values()), library)
    parts.finish(summary.n_chunks)
    return parts, summary


def run_into_stream(
    library: Library,
    stage: Stage,
    write: Callable[[bytes], None],
    summary: Summary,
    *,
    chunk_size: int = CHUNK_SIZE,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> None:
    """Run a stage over a library and write CSV as it comes, one header at the top.

    Parameters
    ----------
    library : Library
    stage : Stage
    write : callable
        Takes the bytes.
    summary : Summary
        Counts what has been written, also of a stream that its reader closes.
    chunk_size : int
        Rows written at a time.
    engine, progress : callable, optional
        As for :func:`run_into_folder`.

    Raises
    ------
    InputError
        If the library cannot be read; the rows before are written.
    """
    stage.prepare()
    for part, content in (engine or _this_process)(library.chunks(chunk_size, broken=True), stage, ".csv"):
        header_end = content.index(b"\n") + 1
        write(content[header_end:] if summary.n_chunks else content)
        summary.count(part)
        _tell(progress, sum(part.statuses.values()), library)


def _this_process(chunks: Iterator[Chunk], stage: Stage, suffix: str) -> Iterator[PartBytes]:
    return run_locally(chunks, stage, suffix, 1)


def _tell(progress: Progress | None, n_rows: int, library: Library) -> None:
    if progress is not None:
        progress(n_rows, library.share_read)


LOW_SIMILARITY = 0.3
"""Tanimoto similarity (ECFP4) below which two molecules hardly have more in common than any two drugs."""


def top_rows(
    parts: PartFolder,
    column: str,
    n: int,
    smallest: bool = False,
    min_similarity: float | None = None,
) -> pd.DataFrame:
    """The rows of highest (or lowest) value, best first, equal values in the order of the library.

    Parameters
    ----------
    parts : PartFolder
    column : str
    n : int
        At most.
    smallest : bool
        Whether lower values are better.
    min_similarity : float, optional
        Rows whose nearest training molecule is less similar are left out.
    """
    best: list[pd.DataFrame] = []
    for table in parts.tables():
        usable = table["status"] == "ok"
        if min_similarity is not None:
            usable &= table["similarity"] >= min_similarity
        candidates = pd.concat([*best, table[usable]])
        best = [candidates.sort_values(column, ascending=smallest, kind="stable").head(n)]
    return best[0].reset_index(drop=True)


def top_notes(best: pd.DataFrame, n: int, min_similarity: float | None) -> list[str]:
    """What to mind of the best rows: how many are unlike all that the model was trained on."""
    notes = []
    if min_similarity is not None and len(best) < n:
        notes.append(f"{len(best)} rows, not {n}, are as similar as {min_similarity:g} (--min-similarity).")
    n_far = int((best["similarity"] < LOW_SIMILARITY).sum()) if len(best) else 0
    if n_far:
        notes.append(
            f"{n_far} of {len(best)} rows are less similar than {LOW_SIMILARITY:g} "
            "to any training molecule; "
            "predictions and bounds say little of them; --min-similarity leaves such out."
        )
    return notes
