"""Bytes of files on a hub, read by range: headers, and single tensors of files that are never fetched whole."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from modelbuild import files
from modelbuild.checkpoint.header import TensorInfo
from modelbuild.sources.asking import Address, ask, not_here

Write = Callable[[int, bytes], None]
"""write(offset in the file, bytes)"""

Span = tuple[int, int]
"""(first byte, last + 1)"""

_GAP = 1 << 16
"""Spans that lie no further apart are read as one: another request costs more."""


class RemoteFile(Struct, frozen=True):
    """A file of a commit."""

    address: Address
    commit: str
    name: str
    offline: bool

    def __str__(self) -> str:
        return f"`{self.name}` of hf://{self.address.repo}@{self.commit[:12]}"

    def read(self, span: Span, write: Write) -> None:
        """Hand on the bytes of a span as they come; after a fault from its start again.

        Raises:
            ModelbuildError: exit 5 or 7 if the hub does not give them.

        """
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_stream_backoff

        start, stop = span

        def call() -> None:
            if self.offline:
                raise not_here(str(self))
            headers = {**build_hf_headers(), "Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
            url = hf_hub_url(self.address.repo, self.name, revision=self.commit)
            with http_stream_backoff("GET", url, headers=headers, follow_redirects=True, max_retries=0) as response:
                hf_raise_for_status(response)
                at = start if response.status_code == 206 else 0  # a server that knows no ranges sends all of it
                for piece in response.iter_bytes():
                    wanted = piece[max(0, start - at) : stop - at]
                    if wanted:
                        write(max(at, start), wanted)
                    at += len(piece)
                    if at >= stop:
                        break
            if at < stop:
                raise ConnectionError

        ask(self.address, str(self), call, offline=self.offline)


class PartialFile:
    """A weight file of which some tensors are here: of its full size, with holes, beside a list of what it holds.

    The hub gives digests of whole files alone: what is here of one cannot be held against them.
    """

    def __init__(self, path: Path, size: int) -> None:
        """Name a partial file; nothing is made yet."""
        self.path, self._size, self._list = path, size, path.with_name(f"{path.name}.json")

    def fetch(self, remote: RemoteFile, header: bytes, infos: Iterable[TensorInfo]) -> int:
        """Bring the tensors that are not here, and return their bytes."""
        held = self._held()
        missing = [(info.offset, info.offset + info.nbytes) for info in infos if (info.offset, info.offset + info.nbytes) not in held]
        if not missing:
            return 0
        files.make_directory(self.path.parent)
        fd = files.open_sparse(self.path, self._size)
        try:
            files.write_at(fd, self.path, header, 0)
            for span in _joined(sorted(missing)):
                remote.read(span, lambda at, data: files.write_at(fd, self.path, data, at))
            files.sync(fd, self.path)
        finally:
            os.close(fd)
        files.replace_file(self._list, json.dumps(sorted(held.union(missing))).encode())
        return sum(stop - start for start, stop in missing)

    def _held(self) -> set[Span]:
        try:
            held = json.loads(self._list.read_bytes())
            return {(int(start), int(stop)) for start, stop in held} if self.path.stat().st_size == self._size else set()
        except (OSError, ValueError, TypeError):
            return set()


def _joined(spans: Sequence[Span]) -> Iterator[Span]:
    """Join spans that lie close to each other."""
    first, last = spans[0]
    for start, stop in spans[1:]:
        if start - last > _GAP:
            yield first, last
            first = start
        last = max(last, stop)
    yield first, last
