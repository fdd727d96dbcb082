"""Workers that make parts of chunks, wherever they are: parts leave in the order of the chunks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator

from molrate.errors import MolrateError
from molrate.files.library import Chunk
from molrate.screening.parts import OutputPart

PartBytes = tuple[OutputPart, bytes]


class Workers(ABC):
    """Some workers, each with at most one chunk at a time.

    Attributes
    ----------
    n_ahead : int
        Chunks that are in work, or wait for an earlier one to be finished; no more are held in memory.
    """

    n_ahead: int

    @property
    @abstractmethod
    def is_free(self) -> bool:
        """Whether one of them can begin a chunk."""

    @abstractmethod
    def begin(self, chunk: Chunk) -> None:
        """Give a chunk to one that is free."""

    @abstractmethod
    def finish_one(self) -> tuple[int, PartBytes | Exception]:
        """Wait for one to be done; the index of its chunk, and its part or what was raised."""

    def run(self, chunks: Iterator[Chunk]) -> Iterator[PartBytes]:
        """Parts in order, of all that were read also where reading fails.

        Raises
        ------
        Exception
            As making a part raised it, after the parts before it.
        MolrateError
            As reading a chunk raised it, after all parts.
        """
        failures: list[MolrateError] = []
        begun: deque[int] = deque()
        finished: dict[int, PartBytes | Exception] = {}
        for chunk in _readable(chunks, failures):
            while not self.is_free or len(begun) >= self.n_ahead:
                yield from self._parts_after_one(begun, finished)
            self.begin(chunk)
            begun.append(chunk.index)
        while begun:
            yield from self._parts_after_one(begun, finished)
        if failures:
            raise failures[0]

    def _parts_after_one(
        self, begun: deque[int], finished: dict[int, PartBytes | Exception]
    ) -> Iterator[PartBytes]:
        """Parts that can leave once one more is done."""
        index, result = self.finish_one()
        finished[index] = result
        while begun and begun[0] in finished:
            made = finished.pop(begun.popleft())
            if isinstance(made, Exception):
                raise made
            yield made


def _readable(chunks: Iterator[Chunk], failures: list[MolrateError]) -> Iterator[Chunk]:
    try:
        yield from chunks
    except MolrateError as error:
        failures.append(error)
