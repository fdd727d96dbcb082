"""Output in parts, one for each chunk, that survives being stopped at any moment.

A folder has ``parts/part-000000.parquet``, ... and ``manifest.json``. While a run goes on, ``journal.jsonl``
has a line for each finished part; at the end the lines move into the manifest. A part is written beside its
place and renamed, and counts once its line is in the journal. Nothing in a finished folder depends on when or
how often its run was stopped.
"""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molrate.errors import InputError, UsageError
from molrate.files.locks import FOLDER_LOCK
from molrate.files.output import MANIFEST, PARTS, file_digest, write_atomically
from molrate.files.requests import refuse_another

if TYPE_CHECKING:
    import pandas as pd

    from molrate.files.library import Chunk, Row

logger = logging.getLogger(__name__)

JOURNAL = "journal.jsonl"
MODEL_FOLDER = "model"
"""Subfolder of a model that was fitted for the run."""
_TEXT = ("source", "id", "label", "smiles", "canonical_smiles", "status", "error", "note")
_FORMAT = 1


@dataclass(frozen=True)
class OutputPart:
    """What came of a chunk.

    Attributes
    ----------
    index : int
        Of the chunk.
    input : str
        SHA-256 of its rows.
    first, last : str
        Its first and last row, as ``SOURCE:ROW``; empty of a library without rows.
    file, digest : str
        Path in the folder, and SHA-256, of the file.
    statuses : dict of str to int
        Rows by status.
    """

    index: int
    input: str
    first: str
    last: str
    file: str
    digest: str
    statuses: dict[str, int]


def make_part(chunk: Chunk, table: pd.DataFrame, suffix: str) -> tuple[OutputPart, bytes]:
    """A chunk's table as the content of a file, and what the journal says of it."""
    content = encode(table, suffix)
    part = OutputPart(
        chunk.index,
        chunk.digest,
        _shown(chunk.rows[:1]),
        _shown(chunk.rows[-1:]),
        f"{PARTS}/part-{chunk.index:06d}{suffix}",
        sha256(content).hexdigest(),
        dict(sorted(Counter(table["status"].tolist()).items())),
    )
    return part, content


def _shown(rows: Sequence[Row]) -> str:
    return "".join(f"{row.source}:{row.number}" for row in rows)


def encode(table: pd.DataFrame, suffix: str) -> bytes:
    """A table as Parquet or CSV; equal tables are equal bytes."""
    if suffix == ".csv":
        return table.to_csv(index=False).encode()
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = BytesIO()
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(), sink)
    return sink.getvalue()


class PartFolder:
    """A folder of parts.

    Parameters
    ----------
    path : pathlib.Path
    settings : dict
        Plain values of all that changes the parts.
    resume : bool
        Go on where an earlier run stopped.
    remarks : dict, optional
        Plain values for the manifest that no part depends on.

    Raises
    ------
    UsageError
        If the folder holds something else, a run that was not to be resumed, or one of other settings.
    InputError
        If it cannot be used.
    """

    def __init__(
        self,
        path: Path,
        settings: dict[str, Any],
        resume: bool = False,
        remarks: dict[str, Any] | None = None,
    ) -> None:
        self.path, self.settings = path, json.loads(json.dumps(settings))
        self.remarks = remarks or {}
        self.parts: dict[int, OutputPart] = {}
        self._journal = path / JOURNAL
        self._begun = False
        check_place(path, resume)
        try:
            if _is_begun(path):
                self._take_up()
            path.mkdir(parents=True, exist_ok=True)
            (path / PARTS).mkdir(exist_ok=True)
            for left in filter(_is_partial, [*path.iterdir(), *(path / PARTS).iterdir()]):
                left.unlink()
        except OSError as error:
            raise InputError(f"-o {path}: cannot be used: {error.strerror or error}") from error

    def _take_up(self) -> None:
        """Read what an earlier run left."""
        manifest, lines = _read_manifest(self.path)
        earlier = manifest["settings"]
        refuse_another(f"-o {self.path}", earlier, self.settings)
        self.parts = {line["index"]: OutputPart(**line) for line in lines}

    def has(self, chunk: Chunk) -> bool:
        """Whether a chunk's part is there and whole.

        Raises
        ------
        UsageError
            If the part was made from other rows.
        """
        part = self.parts.get(chunk.index)
        if part is None:
            return False
        if part.input != chunk.digest:
            raise UsageError(
                f"-o {self.path}: the input is not what it was when {part.file} was written ({part.first} to "
                f"{part.last}); screen it into another folder"
            )
        path = self.path / part.file
        if path.is_file() and file_digest(path) == part.digest:
            return True
        logger.warning("%s is missing or damaged; computing it again", path)
        return False

    def add(self, part: OutputPart, content: bytes) -> None:
        """Write a part and its line in the journal.

        Raises
        ------
        InputError
            If the file system refuses, for example because it is full.
        """
        self._begin()
        write_atomically(self.path / part.file, content)
        try:
            with self._journal.open("a", encoding="utf-8") as journal:
                journal.write(json.dumps(asdict(part)) + "\n")
                journal.flush()
                os.fsync(journal.fileno())
        except OSError as error:
            raise InputError(f"{self._journal}: cannot be written: {error.strerror}") from error
        self.parts[part.index] = part

    def finish(self, n_chunks: int) -> None:
        """Say that all chunks are done.

        Raises
        ------
        UsageError
            If there are parts of more chunks than the input has.
        """
        stray = {one.name for one in (self.path / PARTS).iterdir()}
        stray -= {Path(part.file).name for part in self.parts.values()}
        for name in stray:
            # Of a run that was killed before it could note the part, and then got a shorter library.
            (self.path / PARTS / name).unlink()
        if len(self.parts) > n_chunks:
            raise UsageError(
                f"-o {self.path}: the input ends before {self.parts[n_chunks].first}, which was screened; "
                "screen it into another folder"
            )
        self._write_manifest(finished=True)
        self._journal.unlink(missing_ok=True)

    def _records(self) -> list[dict[str, Any]]:
        return [asdict(part) for _, part in sorted(self.parts.items())]

    def _begin(self) -> None:
        """Open the folder for parts: the journal of what is there, then a manifest without it."""
        if self._begun:
            return
        self._begun = True
        lines = [json.dumps(record) + "\n" for record in self._records()]
        write_atomically(self._journal, "".join(lines).encode())
        self._write_manifest(finished=False)

    def _write_manifest(self, finished: bool) -> None:
        parts = self._records() if finished else []
        manifest = {
            "format": _FORMAT,
            "settings": self.settings,
            "finished": finished,
            **self.remarks,
            "parts": parts,
        }
        write_atomically(self.path / MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())

    def tables(self) -> Iterator[pd.DataFrame]:
        """Tables of all parts in order."""
        import pandas as pd

        for _, part in sorted(self.parts.items()):
            path = self.path / part.file
            yield _read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)


def check_place(path: Path, resume: bool) -> None:
    """Refuse a folder that holds something else, or a run that is not to be resumed.

    Raises
    ------
    UsageError
        If it does.
    InputError
        If it cannot be read.
    """
    try:
        if _is_begun(path):
            if not resume:
                raise UsageError(f"-o {path}: it holds a run; go on with it by --resume, or name another")
            return
        own = (MANIFEST, JOURNAL, PARTS, MODEL_FOLDER, FOLDER_LOCK)
        foreign = [one.name for one in path.glob("*") if one.name not in own and not _is_partial(one)]
        if foreign or (path.exists() and not path.is_dir()):
            raise UsageError(f"-o {path}: it holds other files; name an empty or a new folder")
    except OSError as error:
        raise InputError(f"-o {path}: cannot be used: {error.strerror or error}") from error


def _is_begun(path: Path) -> bool:
    """Whether a folder has any part of a run; one that ended before its first part is as good as new."""
    if not (path / MANIFEST).is_file():
        return False
    manifest, lines = _read_manifest(path)
    return bool(lines) or manifest["finished"]


def _read_manifest(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A folder's manifest, and what is known of its parts.

    Raises
    ------
    InputError
        If it is none.
    """
    try:
        manifest: dict[str, Any] = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        if manifest["format"] != _FORMAT:
            raise TypeError(f"it is of format {manifest['format']}, and this version writes {_FORMAT}")
        lines = manifest["parts"] or _whole_lines(path / JOURNAL)
        for line in lines:
            OutputPart(**line)
        if not isinstance(manifest["settings"], dict) or not isinstance(manifest["finished"], bool):
            raise TypeError("it is of another format")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path / MANIFEST}: cannot be read: {error}; name a new folder") from error
    return manifest, lines


def _read_csv(path: Path) -> pd.DataFrame:
    """A part, with text as it was written."""
    import pandas as pd

    header = pd.read_csv(path, nrows=0).columns
    text = {name: str for name in header if name in _TEXT or str(name).startswith("classes_")}
    return pd.read_csv(
        path,
        dtype=text,
        keep_default_na=False,
        na_values={name: [""] for name in header if name not in text},
        float_precision="round_trip",
    )


def _is_partial(path: Path) -> bool:
    """Whether a file is what a killed run left of one (:func:`molrate.files.output.write_atomically`)."""
    return path.name.startswith(".") and path.suffix == ".part"


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """Lines of a journal; a last one that was cut off does not count."""
    if not path.is_file():
        return []
    content = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in content[: content.rfind("\n") + 1].splitlines()]
