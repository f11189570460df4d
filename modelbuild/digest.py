"""Digests of tensors and keys of actions: blake3 over tagged, canonical bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Protocol

from blake3 import blake3

Value = bool | int | float | str | tuple["Value", ...]
"""What a description may hold.  Tuples nest; None has no place in a key."""

KEY_FORMAT = 1


class Sink(Protocol):
    """What a description is told to: the hasher and the explainer alike."""

    def field(self, name: str, value: Value) -> None:
        """Take one named ingredient; names are unique and order is part of the description."""


def encode(value: Value) -> bytes:
    """Write a value so that no two different values share bytes.

    Floats are written as hex, -0.0 as 0.0; every piece carries its type and length.
    """
    if isinstance(value, str):
        data = value.encode()
        return b"s%d:%s" % (len(data), data)
    if isinstance(value, tuple):
        return b"(%d:%s)" % (len(value), b"".join(map(encode, value)))
    if isinstance(value, bool):
        return b"b1:%d" % value
    if isinstance(value, int):
        data, tag = b"%d" % value, b"i"
    else:
        data, tag = (value + 0.0).hex().encode(), b"f"
    return b"%s%d:%s" % (tag, len(data), data)


@cache
def _begun(tag: str) -> bytes:
    return encode(("modelbuild", tag, KEY_FORMAT))


@cache
def _name(name: str) -> bytes:
    return encode(name)


class KeyHasher:
    """The sink that turns a description into a key."""

    def __init__(self, tag: str) -> None:
        """Start a key of kind `tag`, which keeps keys of different kinds apart."""
        self._parts = [_begun(tag)]

    def field(self, name: str, value: Value) -> None:
        """Take one named ingredient."""
        self._parts += (_name(name), encode(value))

    def key(self) -> str:
        """Return the key, 64 hexadecimal digits."""
        return blake3(b"".join(self._parts)).hexdigest()


def tensor_hasher(dtype: str, shape: Sequence[int]) -> blake3:
    """Start the digest of a tensor: feed it the raw little-endian bytes, then `hexdigest()`."""
    hasher = blake3()
    hasher.update(encode(("tensor", dtype, tuple(shape))))
    return hasher


def merkle_root(leaves: Iterable[tuple[str, str, Sequence[int], str]]) -> str:
    """Digest of a whole model: over (name, dtype, shape, digest) of its tensors, sorted by name.

    It depends on tensors alone, so it survives re-sharding.
    """
    hasher = blake3(encode(("modelbuild", "root", KEY_FORMAT)))
    for name, dtype, shape, digest in sorted(leaves):
        hasher.update(encode((name, dtype, tuple(shape), digest)))
    return hasher.hexdigest()
