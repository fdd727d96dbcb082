"""The files of a library: what paths, folders and patterns stand for, and what of it is passed over."""

from __future__ import annotations

import glob
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from molrate.errors import InputError, UsageError
from molrate.files.columns import natural_key
from molrate.files.formats import DAMAGED, READABLE, STDIN, format_of, opened, required_format
from molrate.files.output import MANIFEST, MODEL_RECORD, PARTS
from molrate.files.requests import REQUEST

_RESULT_HEADER = b"source,row,id,"
"""How csv begins that a library was streamed into."""


@dataclass
class Sources:
    """Files that names stand for, as they are found.

    Attributes
    ----------
    output : pathlib.Path, optional
        Where results go: a folder, of which nothing is read, or a file.
    passed_over : list of str
        What is not read, with the reason.
    """

    output: Path | None = None
    passed_over: list[str] = field(default_factory=list)

    def find(self, name: str) -> list[str]:
        """Files that a path, folder or pattern stands for; ``-`` stands for itself.

        Raises
        ------
        InputError
            If there is none, or its format is unknown.
        UsageError
            If it is where results go.
        """
        if name == STDIN:
            return [name]
        path = Path(name)
        if not path.exists() and glob.has_magic(name):
            return self._matches(name)
        if not path.exists():
            raise InputError(f"{name}: no such file or folder")
        if any(map(self._is_output, (path, *path.absolute().parents))):
            raise UsageError(f"-o {self.output}: {name} is read there; name another output")
        return self._named(name)

    def _named(self, name: str) -> list[str]:
        """A file, or those in a folder."""
        if not Path(name).is_dir():
            required_format(name)
            return [name]
        inside = self._inside(Path(name))
        if not inside:
            raise InputError(f"{name}: no library in this folder; molrate reads {READABLE}")
        return inside

    def _matches(self, pattern: str) -> list[str]:
        """Files that a pattern matches, and those in folders that it matches."""
        matches = sorted(glob.glob(pattern, recursive=True), key=natural_key)  # noqa: PTH207 (Path.glob takes no absolute one)
        if not matches:
            raise InputError(f"{pattern}: no file matches")
        named = Path(*takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts))
        above = {named, *named.parents}
        usable = [
            match for match in matches if not any(map(self._is_passed_over, _below(Path(match), above)))
        ]
        if not usable:
            raise InputError(
                f"{pattern}: all that matches are results; name their folder itself to have them read"
            )
        return [source for match in usable for source in self._named(match)]

    def _inside(self, folder: Path) -> list[str]:
        """Readable files below a folder, in natural order; the others are passed over."""
        sources: list[str] = []
        for path in sorted(folder.iterdir(), key=lambda entry: natural_key(entry.name)):
            if path.name.startswith("."):
                continue
            if path.is_dir() and path.is_symlink() and not self._is_output(path):
                self._pass_over(path, "a link to a folder; name it to have it read")
            elif not path.is_dir() and format_of(path) is None:
                self._pass_over(path, "unknown format")
            elif not self._is_passed_over(path):
                sources += self._inside(path) if path.is_dir() else [str(path)]
        return sources

    def _is_passed_over(self, path: Path) -> bool:
        """Whether a folder has results, or a path is where this run writes them.

        Raises
        ------
        UsageError
            If it is the file that this run writes, and holds something else.
        """
        if self._is_output(path):
            if not path.is_dir():
                self._pass_over_result(path)
            return True
        if is_result(path):
            self._pass_over(path, "results of another run")
            return True
        return False

    def _is_output(self, path: Path) -> bool:
        return (
            self.output is not None and self.output.exists() and path.exists() and path.samefile(self.output)
        )

    def _pass_over_result(self, path: Path) -> None:
        if not _has_rows_of_results(path):
            raise UsageError(
                f"-o {self.output}: {path} is one of the files to be read and would be overwritten; name "
                "another output"
            )
        self._pass_over(path, "the output of this run")

    def _pass_over(self, path: Path, why: str) -> None:
        entry = f"{path} ({why})"
        if entry not in self.passed_over:
            self.passed_over.append(entry)


def _below(path: Path, above: set[Path]) -> list[Path]:
    """The folders that a path lies in, the outermost first and without those above, and the path."""
    return [each for each in (*reversed(path.parents), path) if each not in above]


def is_result(folder: Path) -> bool:
    """Whether a folder holds a model, a selection, the results of a benchmark, or of a run over a library."""
    if (folder / MANIFEST).is_file() and (folder / PARTS).is_dir():
        return True
    return any(_is_record(folder / name) for name in (MODEL_RECORD, REQUEST))


def _is_record(path: Path) -> bool:
    """Whether a file is what molrate notes of its runs, and not another program's of that name."""
    if not path.is_file():
        return False
    try:
        record = json.loads(path.read_bytes())
    except ValueError:
        return False
    return isinstance(record, dict) and "versions" in record


def _has_rows_of_results(path: Path) -> bool:
    """Whether a file is what an earlier run wrote of a library."""
    try:
        with opened(str(path), required_format(path)) as stream:
            return stream.read(len(_RESULT_HEADER)) == _RESULT_HEADER
    except (InputError, *DAMAGED):
        # A file that cannot be read may be anything.
        return False


def refuse_input(output: Path | None, inputs: Sequence[str | Path | None]) -> None:
    """Make sure that a result does not take the place of what it is computed from.

    Parameters
    ----------
    output : pathlib.Path, optional
        A file.
    inputs : sequence of str or pathlib.Path
        Files, folders of files, and other names; None of an input that there is not.

    Raises
    ------
    UsageError
        If the output is one of them, whatever links lead there, or lies in a folder of them.
    """
    if output is None:
        return
    for path in [Path(name) for name in inputs if name is not None]:
        if path.is_dir() and output.parent.samefile(path):
            raise UsageError(f"-o {output}: files of its folder are read; name another folder")
        if path.is_file() and output.exists() and output.samefile(path):
            raise UsageError(f"-o {output}: it is read and would be overwritten; name another file")
