"""Sources on a hub: a commit of a repository, whose headers are read by range and whose files are fetched when they are needed.

Everything goes through huggingface_hub and into its shared cache: its endpoint, its tokens, its way of resuming a download.
Beside that cache, in the client's place for other programs' files, stands what it does not keep: which files a commit has,
the headers of weight files that were never fetched, and which files were checked against the hub's digests.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from msgspec import Struct

from modelbuild import files
from modelbuild.cache.stattable import stat_tuple
from modelbuild.checkpoint.header import TensorInfo, header_length, parse_header, read_header
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.names import plain
from modelbuild.sources import arriving
from modelbuild.sources.arriving import Told
from modelbuild.sources.asking import Address, ask, not_here
from modelbuild.sources.checkpoint import read_json
from modelbuild.sources.hubcache import hashed, read_table, repository, shelf, snapshot
from modelbuild.sources.ranges import PartialFile, RemoteFile

PREFIX = "hf://"

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
_ADDRESS = re.compile(rf"hf://(?P<repo>(?![^@]*(?:--|\.\.)){_NAME}/{_NAME}(?<!\.git))(?:@(?P<revision>(?!.*\.\.)[\w.][\w./-]*))?")
"""The names are those that the hub's client lets pass: every one of them may also be the name of a directory."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_HEAD_BYTES = 1 << 17
"""What is read of a weight file at first: most headers are shorter."""


def is_address(text: str) -> bool:
    """Tell whether a text is `hf://namespace/name[@revision]`."""
    return _ADDRESS.fullmatch(text) is not None


def is_hub(location: str) -> bool:
    """Tell whether a source's location is one on the hub."""
    return location.startswith(PREFIX)


def parse_address(location: str, said: str = "`from` is") -> Address:
    """Read `hf://namespace/name[@revision]`.

    Args:
        location: the text.
        said: what an error calls it by.

    Raises:
        ModelbuildError: exit 2 if it is not of that form.

    """
    match = _ADDRESS.fullmatch(location)
    if not match:
        facts = (f"{said} {plain(location)}", "names there have letters, digits, `-`, `_` and `.`, at most 96, and no `--`, `..` or `.git`")
        hint = "write hf://namespace/name or hf://namespace/name@revision"
        raise ModelbuildError(Problem("this is no place on the hub", facts=facts, hint=hint))
    return Address(match["repo"], match["revision"] or "main")


class HubFile(Struct, frozen=True):
    """A file of a commit: bytes, and the sha256 of its content (64 digits) or git's sha1 of it (40)."""

    size: int
    digest: str


class HubFolder:
    """A commit of a repository."""

    def __init__(self, address: Address, commit: str, listing: Mapping[str, HubFile], *, offline: bool, ranges: bool) -> None:
        """Take a commit whose files are known; see `open_hub`."""
        self.address, self.commit, self.listing, self._offline, self._ranges = address, commit, listing, offline, ranges
        self._lock = threading.Lock()
        self._told: dict[str, tuple[TensorInfo, ...]] = {}

    @property
    def place(self) -> str:
        """Repository and commit."""
        return f"{PREFIX}{self.address.repo}@{self.commit[:12]}"

    def names(self) -> tuple[str, ...]:
        """Return the names of its files, sorted."""
        return tuple(sorted(self.listing))

    def path(self, name: str) -> Path:
        """Return where a file lies in the hub's cache, or will; where tensors are fetched one by one, beside it."""
        return self._partial(name).path if self.is_partial(name) else self._whole(name)

    def astray(self, name: str) -> str:
        """Return "": where files lie is the hub's client's to say."""
        del name
        return ""

    def is_partial(self, name: str) -> bool:
        """Tell whether a file is not fetched whole, but by its tensors."""
        return self._ranges and name.endswith(".safetensors") and not self._whole(name).exists()

    def _whole(self, name: str) -> Path:
        return snapshot(self.address.repo, self.commit) / name

    def header(self, name: str) -> tuple[TensorInfo, ...]:
        """Read the header of a weight file: of the file if it is here, else by range."""
        if name not in self._told:
            self._told[name] = self._header(name)
        return self._told[name]

    def _header(self, name: str) -> tuple[TensorInfo, ...]:
        path = self.path(name)
        if self._whole(name).exists():
            try:
                return read_header(path)
            except ModelbuildError:  # not what was fetched
                self.fetch(name)
                return read_header(path)
        kept = self._shelf / f"{name}.header"
        if kept.is_file():
            return parse_header(path, self.listing[name].size, kept.read_bytes())
        start = self._head(name, _HEAD_BYTES)
        length = header_length(path, self.listing[name].size, start)
        if len(start) < 8 + length:
            start = self._head(name, 8 + length)
        infos = parse_header(path, self.listing[name].size, start)
        files.replace_file(kept, start[: 8 + length])
        return infos

    def json(self, name: str) -> dict[str, Any]:
        """Fetch a JSON object."""
        self.fetch(name)
        return read_json(self.path(name))

    def fetch(self, name: str, told: Told = lambda arrived: None) -> bool:
        """Bring a file here if it is not, check it against the hub's digest, and tell whether it had to be brought.

        Args:
            name: of the file.
            told: told of the bytes that are here.

        Raises:
            ModelbuildError: exit 4 if it is not what the hub lists, twice over; 5 or 7 if the hub does not give it.

        """
        path = self._whole(name)
        there = path.exists()
        if not there:
            self._download(name, told, again=False)
        if not self._sound(name):
            self._download(name, told, again=True)
            if not self._sound(name):
                facts = (f"the hub lists {self.listing[name].digest}", f"{path} is {hashed(path, self.listing[name].digest)}")
                raise ModelbuildError(
                    Problem(f"`{name}` of {self.place} is not what the hub says, twice over", facts=facts, hint="try again later"),
                    Exit.DIGEST,
                )
            there = False
        self._confirm(name)
        return not there

    def fetch_tensors(self, name: str, infos: Iterable[TensorInfo]) -> int:
        """Bring tensors of a partial file here, and return how many bytes that took; the hub has no digest of them."""
        kept = self._shelf / f"{name}.header"
        return self._partial(name).fetch(self._remote(name), kept.read_bytes(), infos)

    def _sound(self, name: str) -> bool:
        """Tell whether a file is what the hub lists; its bytes are read once, and again only when its stat has moved."""
        path, listed = self._whole(name), self.listing[name]
        taken = stat_tuple(path)
        with self._lock:
            if self._checked.get(name) == [*taken.numbers(), listed.digest]:
                return True
        if taken.size != listed.size or (listed.digest and hashed(path, listed.digest) != listed.digest):
            return False
        if not taken.racy:
            with self._lock:
                self._checked[name] = [*taken.numbers(), listed.digest]
                files.replace_file(self._shelf / "checked.json", json.dumps(self._checked).encode())
        return True

    def _confirm(self, name: str) -> None:
        """See that a file that is here has the header that was read before: by range, or before it was fetched again."""
        told, path = self._told.get(name), self._whole(name)
        if told and [(one.name, one.dtype, one.shape, one.offset) for one in told] != [
            (one.name, one.dtype, one.shape, one.offset) for one in read_header(path)
        ]:
            files.unlink(self._shelf / f"{name}.header")
            hint = "run the same command: it goes by the file now"
            raise ModelbuildError(Problem(f"`{name}` of {self.place} had another header before it was fetched", hint=hint), Exit.DIGEST)

    def _download(self, name: str, told: Told, *, again: bool) -> None:
        import huggingface_hub

        def call() -> object:
            return huggingface_hub.hf_hub_download(
                self.address.repo,
                name,
                revision=self.commit,
                local_files_only=self._offline,
                force_download=again,
                tqdm_class=arriving.bar(told),
            )

        ask(self.address, f"`{name}` of {self.place}", call, offline=self._offline)

    def _head(self, name: str, count: int) -> bytes:
        """Return what a file starts with."""
        start = bytearray()
        self._remote(name).read((0, min(count, self.listing[name].size)), lambda at, data: start.__setitem__(slice(at, None), data))
        return bytes(start)

    def _remote(self, name: str) -> RemoteFile:
        return RemoteFile(self.address, self.commit, name, self._offline)

    def _partial(self, name: str) -> PartialFile:
        return PartialFile(self._shelf / "ranges" / name, self.listing[name].size)

    @cached_property
    def _shelf(self) -> Path:
        return shelf(f"{self.address.repo}@{self.commit}")

    @cached_property
    def _checked(self) -> dict[str, Any]:
        return read_table(self._shelf / "checked.json")


def open_hub(address: Address, pin: str, *, offline: bool, ranges: bool = False) -> HubFolder:
    """Find the commit of an address and list its files: a commit that was listed before costs no request.

    Args:
        address: the repository and its revision.
        pin: the commit that the lock holds, or "".
        offline: make no request.
        ranges: fetch tensors, not weight files.

    Raises:
        ModelbuildError: exit 5 if there is no such repository or revision, 7 if it may not be read or the hub cannot be asked.

    """
    from huggingface_hub import constants

    offline = offline or constants.HF_HUB_OFFLINE
    commit = pin or (address.revision if _COMMIT.fullmatch(address.revision) else "")
    if offline and not commit:
        commit = _commit_seen(address)
    listing = _listed(address.repo, commit, offline=offline) if commit else {}
    if not listing:
        if offline:
            raise not_here(f"`{address.repo}` at {pin[:12] or address.revision}")
        commit, listing = _ask_for_listing(address, commit)
    return HubFolder(address, commit, listing, offline=offline, ranges=ranges)


def _ask_for_listing(address: Address, commit: str) -> tuple[str, Mapping[str, HubFile]]:
    from huggingface_hub import HfApi

    def call() -> Any:
        return HfApi().model_info(address.repo, revision=commit or address.revision, files_metadata=True)

    info = ask(address, f"`{address.repo}` at {commit[:12] or address.revision}", call, offline=False)
    found = str(info.sha)
    if not _COMMIT.fullmatch(found):
        facts, hint = (f"it says {plain(found)}",), "see that HF_ENDPOINT is a hub"
        raise ModelbuildError(Problem(f"the hub names no commit of `{address.repo}`", facts=facts, hint=hint), Exit.NETWORK)
    listing = {one.rfilename: HubFile(one.size or 0, (one.lfs.sha256 if one.lfs else one.blob_id) or "") for one in info.siblings or ()}
    table = {name: [file.size, file.digest] for name, file in listing.items()}
    files.replace_file(shelf(f"{address.repo}@{found}") / "files.json", json.dumps(table).encode())
    if not commit:
        refs = shelf(address.repo) / "refs.json"
        files.replace_file(refs, json.dumps(read_table(refs) | {address.revision: found}).encode())
    return found, listing


def _listed(repo: str, commit: str, *, offline: bool) -> Mapping[str, HubFile]:
    """Return the files of a commit as they were listed before; offline also as far as the hub's cache holds them."""
    table = read_table(shelf(f"{repo}@{commit}") / "files.json")
    if table or not offline:
        return {name: HubFile(size, digest) for name, (size, digest) in table.items()}
    root = snapshot(repo, commit)
    found = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {path.relative_to(root).as_posix(): HubFile(path.stat().st_size, _digest_by_name(path)) for path in found}


def _digest_by_name(path: Path) -> str:
    """Return the digest that the hub's cache named a file's content by, or "" where it was copied and not linked."""
    name = path.resolve().name
    return name if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", name) else ""


def _commit_seen(address: Address) -> str:
    """Return the commit that a revision was, last time anybody on this machine asked, or ""."""
    seen = read_table(shelf(address.repo) / "refs.json").get(address.revision, "")
    if not seen:
        with suppress(OSError):
            seen = (repository(address.repo) / "refs" / address.revision).read_text().strip()
    return seen if isinstance(seen, str) and _COMMIT.fullmatch(seen) else ""
