"""Files that are known by hash: found in folders, downloaded, and verified at every use."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from molrate.errors import InputError, MolrateError, WeightsError
from molrate.files.locks import waiting
from molrate.paths import cache_folder, search, user_folders

logger = logging.getLogger(__name__)

_TIMEOUT = 30


def github_address(source: dict[str, str]) -> str:
    """Download address of a file pinned by the keys repository, commit and path."""
    return "https://raw.githubusercontent.com/{repository}/{commit}/{path}".format(**source)


def _short(error: OSError) -> str:
    """A network error in a few words; the full chain of causes is of no use to a reader."""
    return (
        str(error)[:120] if type(error).__name__ == "HTTPError" else f"no connection ({type(error).__name__})"
    )


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
    sha256, git_blob : str or None
        The known digest: SHA-256 of the content, or git's blob id where only that is published.
    urls : tuple of str
        Places to download it from, in order.
    folder : pathlib.Path or None
        Where it ships with molrate; it is looked for nowhere else then.
    """

    file: str
    kind: str
    aliases: tuple[str, ...] = ()
    sha256: str | None = None
    git_blob: str | None = None
    urls: tuple[str, ...] = ()
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
        return f"sha256:{self.sha256}" if self.sha256 else f"git-blob:{self.git_blob}"

    def matches(self, path: Path) -> bool:
        """Whether the file at `path` has the known digest."""
        content = path.read_bytes()
        if self.sha256:
            return hashlib.sha256(content).hexdigest() == self.sha256
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

    def locate(self, download: bool = True) -> Path:
        """Path of a verified copy: user's folders, then the cache, then a download.

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
        if not download:
            raise self._error(f"{self.file} is not on this machine. {self._advice()}")
        try:
            with waiting(self._cached):
                # Another process may have had it meanwhile.
                if self._cached.is_file() and self.matches(self._cached):
                    return self._cached
                return self._download()
        except OSError as error:
            raise self._error(
                f"cannot keep {self._cached}: {error.strerror or error}. Set MOLRATE_CACHE to another folder"
            ) from error

    def _error(self, message: str) -> MolrateError:
        return WeightsError(message) if self.kind == "weights" else InputError(message)

    def _advice(self, start: str = "Put") -> str:
        where = f" It is published at {self.urls[0]}" if self.urls else ""
        return (
            f"{start} {self.file} ({self.digest}) into a folder named by {self.variable}, "
            f"or into the cache as {self._cached}.{where}"
        )

    def _download(self) -> Path:
        """Download into the cache: continued where a cut-off one ended, moved into place if sound."""
        partial = self._cached.with_name(self._cached.name + ".part")
        problems = []
        for url in self.urls:
            logger.warning("downloading %s from %s", self.file, url)
            try:
                self._fetch(url, partial)
            except OSError as error:
                problems.append(f"{url}: {_short(error)}")
                continue
            if self.matches(partial):
                partial.replace(self._cached)
                return self._cached
            partial.unlink()
            problems.append(f"{url}: the file there has another digest than {self.digest}")
        reasons = "; ".join(problems) or "no download address is known"
        raise self._error(f"cannot download {self.file} ({reasons}). {self._advice()}")

    def _fetch(self, url: str, partial: Path) -> None:
        """Fetch `url` into `partial`, asking only for the bytes it lacks.

        A server may refuse the range or ignore it and send everything again, so what does not verify
        is fetched once more from its beginning.
        """
        from pooch import HTTPDownloader

        start = partial.stat().st_size if partial.is_file() else 0
        if start:
            logger.warning("continuing at byte %d", start)
            try:
                with partial.open("ab") as stream:
                    headers = {"Range": f"bytes={start}-"}
                    HTTPDownloader(headers=headers, timeout=_TIMEOUT)(url, stream, None)
            except OSError as error:
                logger.warning("cannot be continued (%s); starting again", _short(error))
            if self.matches(partial):
                return
        with partial.open("wb") as stream:
            HTTPDownloader(timeout=_TIMEOUT)(url, stream, None)
