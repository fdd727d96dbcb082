"""Encoders that were registered from Python, in the processes that work for this one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from molrate.encoders.base import Encoder, add_encoder, registered_encoders
from molrate.encoders.cards import EncoderCard
from molrate.errors import UsageError

Carried = dict[str, Any]
"""By name, the card of an encoder with what builds it, or why it cannot be sent."""


@dataclass(frozen=True)
class _Parcel:
    """An object that cloudpickle has written; pickle, which moves it to a worker, unpacks it there."""

    content: bytes

    def __reduce__(self) -> tuple[Any, ...]:
        import cloudpickle

        return cloudpickle.loads, (self.content,)


def pack_registered() -> Carried:
    """Write the registered encoders so that a worker of this program can take them over, through pickle."""
    registered = registered_encoders()
    if not registered:
        return {}
    import cloudpickle

    carried: Carried = {}
    for name, entry in registered.items():
        try:
            carried[name] = _Parcel(cloudpickle.dumps(entry))
        except Exception as error:
            # A user's object may refuse in any way, and may not be the one that is needed.
            carried[name] = f"{type(error).__name__}: {error}"
    return carried


def unpack_registered(carried: Carried) -> None:
    """Register in a worker what :func:`pack_registered` wrote and pickle moved there."""
    for name, content in carried.items():
        if isinstance(content, str):
            card = EncoderCard(name, name, "Registered from Python.", "registered", "pretrained")
            add_encoder(name, card, _Refused(name, content))
        else:
            add_encoder(name, *content)


@dataclass(frozen=True)
class _Refused:
    """In the place of what builds an encoder that could not be sent."""

    name: str
    reason: str

    def __call__(self, **options: Any) -> Encoder:
        raise UsageError(
            f"{self.name} was registered from Python and cannot be sent to other processes ({self.reason}); "
            "take one job, or offer it as an entry point of a package"
        )


@dataclass(frozen=True)
class Carrying:
    """A function that knows the registered encoders wherever it is called.

    Parameters
    ----------
    function : callable
        Of a module, so that it can be pickled.
    """

    function: Callable[..., Any]

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call the function."""
        return self.function(*arguments, **options)

    def __reduce__(self) -> tuple[Any, ...]:
        """Take the registered encoders along."""
        return rebuild, (Carrying, (self.function,), pack_registered())


def rebuild(kind: Callable[..., Any], arguments: tuple[Any, ...], carried: Carried) -> Any:
    """Make an object in another process, after the registered encoders are known there."""
    unpack_registered(carried)
    return kind(*arguments)
