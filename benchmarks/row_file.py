"""A CSV file of results, to which rows are appended as they come; what has its rows is not run again."""

import csv
from pathlib import Path

import pandas as pd


class RowFile:
    """Rows of a benchmark.

    Parameters
    ----------
    path : path
    columns : sequence of str
    key : sequence of str
        Columns that say what was run.
    """

    def __init__(self, path, columns, key):
        self.path, self.columns, self.key = Path(path), list(columns), list(key)

    def done(self):
        """What has rows, as tuples of the key's values."""
        if not self.path.is_file():
            return set()
        return set(pd.read_csv(self.path)[self.key].itertuples(index=False, name=None))

    def append(self, *rows):
        """Write rows, each a dict, behind the others."""
        begins = not self.path.is_file()
        with self.path.open("a", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, self.columns, lineterminator="\n")
            if begins:
                writer.writeheader()
            writer.writerows(rows)
