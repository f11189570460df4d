"""Texts that models are to predict: documents of characters, or windows of tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from msgspec import Struct

from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.reading import SMALL, read_small


class Text(Struct, frozen=True):
    """One text.

    Args:
        name: how the part of the check that it makes is called.
        documents: texts that are independent of each other; () where tokens are given.
        windows: token ids, each window read on its own; () where documents are given.

    """

    name: str
    documents: tuple[str, ...] = ()
    windows: tuple[tuple[int, ...], ...] = ()


def read_text(path: Path, tensors: tuple[str, ...]) -> tuple[Text, ...]:
    """Read a file of text: the whole of it is one document, but each line of JSON Lines is one, and safetensors hold windows of tokens.

    Args:
        path: a file of UTF-8, .jsonl whose lines are objects with `text`, or .safetensors.
        tensors: of a safetensors file, integers of shape (windows, tokens); each is a text of its own.

    Raises:
        ModelbuildError: exit 2 if it is none of these.

    """
    try:
        if path.suffix == ".safetensors":
            return tuple(Text(name, windows=_windows(path, name)) for name in tensors)
        text = read_small(path, SMALL).decode()
        documents = tuple(_line(line) for line in text.splitlines() if line.strip()) if path.suffix == ".jsonl" else (text,)
    except ModelbuildError:
        raise
    except (OSError, ValueError) as error:
        fact = str(getattr(error, "strerror", None) or error)
        problem = Problem(f"`{path}` cannot be read as text", facts=(fact,), hint="correct `text`, or the file")
        raise ModelbuildError(problem, Exit.USAGE) from None
    if not any(map(str.strip, documents)):
        raise ModelbuildError(Problem(f"`{path}` holds no text", hint="name another file in `text`"), Exit.USAGE)
    return (Text(path.name, documents),)


def _line(line: str) -> str:
    try:
        match json.loads(line):
            case {"text": str(text)}:
                return text
    except RecursionError:
        pass  # it holds more than an object with `text`
    raise ValueError("a line is no object with `text`")


def _windows(path: Path, name: str) -> tuple[tuple[int, ...], ...]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            if name not in file.keys():  # noqa: SIM118 - it is no mapping
                facts = (f"it holds {', '.join(file.keys()) or 'none'}",)
                raise ModelbuildError(Problem(f"`{path}` has no tensor `{name}`", facts=facts, hint="correct `tensors`"), Exit.USAGE)
            values: Any = file.get_tensor(name)
    except (SafetensorError, TypeError) as error:  # the latter for types that numpy has not
        raise ValueError(str(error)) from None
    if values.ndim != 2 or values.dtype.kind not in "iu" or values.shape[1] < 2:
        raise ValueError(f"`{name}` is no table of token ids: {values.dtype}, shape {values.shape}")
    return tuple(tuple(map(int, row)) for row in values)
