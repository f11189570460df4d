"""A repository on a hub as a place to publish: what stands there, and one commit that brings it to what is wanted.

Everything goes through huggingface_hub: its endpoint, its token, its way of storing large files.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.sources.asking import Address, ask
from modelbuild.sources.hub import HubFile, HubFolder
from modelbuild.sources.hubcache import hashed
from modelbuild.sources.refusals import refused_write, rooted

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

SHA256, SHA1 = 64, 40
"""Digits by which the hub knows large files, and git small ones."""


class Parcel(Struct, frozen=True):
    """A file to be published: its name there, its content (here on disk, or in memory), its size and sha256."""

    name: str
    content: Path | bytes
    size: int
    sha256: str

    def is_at(self, listed: HubFile | None) -> bool:
        """Tell whether that is what a repository lists; only a small file is ever read for it."""
        if listed is None or listed.size != self.size:
            return False
        return listed.digest == (self.sha256 if len(listed.digest) == SHA256 else self._sha1())

    def _sha1(self) -> str:
        """Return git's name of the content."""
        if isinstance(self.content, Path):
            return hashed(self.content, "0" * SHA1)
        return hashlib.sha1(b"blob %d\0" % self.size + self.content, usedforsecurity=False).hexdigest()


class Standing(Struct, frozen=True):
    """A branch of a repository as it is.

    Args:
        commit: that the branch is at, or where it is missing, that it would start from.
        files: of that commit.
        private: whether the repository is.
        has_branch: whether the branch is there.

    """

    commit: str
    files: Mapping[str, HubFile]
    private: bool
    has_branch: bool

    def folder(self, address: Address) -> HubFolder:
        """Return its files as those of a source: what is read of them is checked."""
        return HubFolder(address, self.commit, self.files, offline=False, ranges=False)


class Delivery(Struct, frozen=True):
    """What a branch lacks, and what it has too much."""

    send: tuple[Parcel, ...]
    remove: tuple[str, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of what is to be sent."""
        return sum(parcel.size for parcel in self.send)


class Done(Struct):
    """What a delivery came to: the commit that the branch is at, what was sent, was the repository made for it, what the hub warned of."""

    commit: str = ""
    delivery: Delivery = Delivery((), ())
    created: bool = False
    warnings: tuple[str, ...] = ()


Wanted = Callable[[Standing | None], Delivery]
"""Says of what stands in a repository (None: there is none) what it lacks."""


def standing(address: Address) -> Standing | None:
    """Ask what a branch holds; None where there is no repository that this token may see.

    Raises:
        ModelbuildError: exit 7 if the hub does not say.

    """
    return ask(address, f"`{address.repo}`", lambda: _standing(_api(), address), offline=False, refused=_refusal(address))


def writer(address: Address) -> str:
    """Return the name of who is logged in, who as far as can be told may write.

    Raises:
        ModelbuildError: exit 7 if nobody is, or the token is for reading.

    """
    from huggingface_hub import get_token

    hint = "log in with `hf auth login`, or set HF_TOKEN: a token that may write"
    if not get_token():
        raise ModelbuildError(Problem(f"to publish at `{address.repo}` somebody has to be logged in", hint=hint), Exit.NETWORK)
    who = ask(address, "who is logged in", _who, offline=False, refused=_refusal(address))
    role = ((who.get("auth") or {}).get("accessToken") or {}).get("role")
    if role == "read":
        raise ModelbuildError(
            Problem(f"the token of {who.get('name', 'who is logged in')} may read, and not write", hint=hint), Exit.NETWORK
        )
    return str(who.get("name", ""))


def _who() -> dict[str, Any]:
    """Ask who is logged in; {} where the hub has been asked that too often: then the first request that writes will tell."""
    from huggingface_hub import errors

    try:
        return _api().whoami()
    except errors.HfHubHTTPError as error:
        if error.response.status_code == 429:
            return {}
        raise


def deliver(address: Address, wanted: Wanted, message: str, *, private: bool, unmoved: Callable[[Iterable[Parcel]], None]) -> Done:
    """Bring a branch to what is wanted in one commit; where it is that already, make none.

    An attempt that fails half way is made again from the start: what was uploaded then is there, and a commit of which only the
    answer was lost is found to have been made.

    Args:
        address: the repository and its branch; what is missing of them is made.
        wanted: says what the branch lacks.
        message: of the commit.
        private: whether a repository that is made is private.
        unmoved: refuses to go on if what was sent is no longer what it was.

    Raises:
        ModelbuildError: exit 7 with what to do; 4 if what the hub holds is not what was sent.

    """
    done = Done()

    def attempt() -> str:
        api = _api()
        there = _standing(api, address)
        if there is None:
            there, done.created = _made(api, address, private=private), True
        if not there.has_branch:
            _branched(api, address)
            there = _standing(api, address) or there
        delivery = wanted(there)
        if not (delivery.send or delivery.remove):
            return there.commit
        done.delivery = delivery
        with _heard() as said:
            commit = _committed(api, address, there, delivery, message, unmoved)
        done.warnings = tuple(said)
        _refuse_other(api, address, commit, delivery)
        return commit

    with _no_bars():
        done.commit = ask(address, f"`{address.repo}`", attempt, offline=False, refused=_refusal(address))
    return done


@contextmanager
def _no_bars() -> Iterator[None]:
    """Keep the client from drawing bars of its own across ours."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if are_progress_bars_disabled() or os.environ.get("HF_HUB_DISABLE_PROGRESS_BARS"):
        yield  # then it is settled there
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Take what the client would print as Python's warnings: what the hub has to say of a card, for one."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield said
    said += dict.fromkeys(" ".join(str(one.message).split()) for one in caught if issubclass(one.category, UserWarning))


def _api() -> HfApi:
    from huggingface_hub import HfApi

    return HfApi(library_name="modelbuild")


def _refusal(address: Address) -> Callable[[Exception, int | None], ModelbuildError]:
    return lambda error, status: refused_write(address, error, status)


def _standing(api: HfApi, address: Address) -> Standing | None:
    from huggingface_hub import errors

    def looked(revision: str | None) -> tuple[str, dict[str, HubFile], bool]:
        info = api.model_info(address.repo, revision=revision, files_metadata=True)
        listed = info.siblings or ()
        files = {one.rfilename: HubFile(one.size or 0, (one.lfs.sha256 if one.lfs else one.blob_id) or "") for one in listed}
        return str(info.sha or ""), files, bool(info.private)

    try:
        return Standing(*looked(address.revision), has_branch=True)
    except errors.RevisionNotFoundError:
        return Standing(*looked(None), has_branch=False)
    except errors.GatedRepoError:
        raise
    except errors.RepositoryNotFoundError:
        return None


def _made(api: HfApi, address: Address, *, private: bool) -> Standing:
    """Make a repository."""
    api.create_repo(address.repo, private=private or None, exist_ok=True)
    made = _standing(api, address)
    if made is None:
        raise ModelbuildError(
            Problem(f"`{address.repo}` is there, and may not be seen with this token", hint="use a token of who owns it"), Exit.NETWORK
        )
    return made


def _branched(api: HfApi, address: Address) -> None:
    api.create_branch(address.repo, branch=address.revision, exist_ok=True)


def _committed(
    api: HfApi, address: Address, there: Standing, delivery: Delivery, message: str, unmoved: Callable[[Iterable[Parcel]], None]
) -> str:
    """Upload what is large, then make the commit that names it; nothing is to be seen of it before."""
    from huggingface_hub import CommitOperationDelete

    additions = [_addition(parcel) for parcel in delivery.send]
    operations: list[CommitOperationAdd | CommitOperationDelete] = [*additions]
    operations += [CommitOperationDelete(name, is_folder=False) for name in delivery.remove]
    try:
        # An empty list of patterns: no .gitignore there may leave a file out without a word.
        api.preupload_lfs_files(address.repo, additions, revision=address.revision, free_memory=False, gitignore_content="")
        unmoved(delivery.send)
        done = api.create_commit(
            address.repo, operations, commit_message=message, revision=address.revision, parent_commit=there.commit or None
        )
    except (RuntimeError, ValueError) as error:
        raise rooted(address, error)  # noqa: B904 - it has a cause of its own, or is that error itself
    return str(done.oid)


def _addition(parcel: Parcel) -> CommitOperationAdd:
    from huggingface_hub import CommitOperationAdd

    addition = CommitOperationAdd(parcel.name, parcel.content)
    addition.upload_info.sha256 = bytes.fromhex(parcel.sha256)  # known: the client need not read the file for it
    return addition


def _refuse_other(api: HfApi, address: Address, commit: str, delivery: Delivery) -> None:
    """Look at what was committed: it has to be what was sent."""
    made = _standing(api, Address(address.repo, commit))
    files = made.files if made else {}
    wrong = [parcel.name for parcel in delivery.send if not parcel.is_at(files.get(parcel.name))]
    wrong += [name for name in delivery.remove if name in files]
    if wrong:
        facts = (f"at {commit[:12]} these are others: {', '.join(wrong[:5])}",)
        hint = "push again; if it stays so, look at the repository's page"
        raise ModelbuildError(Problem(f"`{address.repo}` does not hold what was sent", facts=facts, hint=hint), Exit.DIGEST)
