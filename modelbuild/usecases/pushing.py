"""A target published on a hub: built, described, and brought to a repository in one commit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import asdict, replace

from modelbuild import usecases as use_cases
from modelbuild.cache import Cache
from modelbuild.cache.hashes import FileHashes
from modelbuild.engine.publish import MANIFEST
from modelbuild.engine.sources import SourceFiles
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.events import Noted, Report, Uploading, Warned
from modelbuild.lockfile import Lock
from modelbuild.names import is_file_name, plain
from modelbuild.plan import Plan
from modelbuild.reading import is_regular, read_small
from modelbuild.sources.asking import Address
from modelbuild.sources.remote import Delivery, Parcel, Standing, deliver, standing, writer
from modelbuild.usecases import describing
from modelbuild.usecases.freshness import status
from modelbuild.usecases.gating import gate
from modelbuild.usecases.lacking import Shelf
from modelbuild.usecases.locking import Keeper
from modelbuild.usecases.outcome import Options
from modelbuild.usecases.project import Project
from modelbuild.usecases.published import CARD, LOCK, MODELFILE, private_path, recipe_of, refuse_private
from modelbuild.usecases.recorded import Recorded, recorded
from modelbuild.usecases.where import Where

_PUBLISHED = (".safetensors", ".json", ".txt", ".model", ".jinja")
"""How the names of files end that an output has."""


State = Literal["pushed", "unchanged", "would push", "would build"]


class Pushed(Struct, frozen=True):
    """What became of a push.

    Args:
        target: the merge.
        to: hf://namespace/name@branch.
        state: "pushed"; "unchanged" where nothing was missing; of a dry run "would push" or "would build".
        commit: that the branch is at; "" of a dry run, or where there is none.
        sent: files that were, or would be, sent, with their sizes.
        removed: files of an earlier push that are no longer part of it.
        kept: how many files stood there already.
        created: whether the repository was, or would be, made.

    """

    target: str
    to: str
    state: State
    commit: str = ""
    sent: tuple[tuple[str, int], ...] = ()
    removed: tuple[str, ...] = ()
    kept: int = 0
    created: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of the files sent; the hub may have had some of them elsewhere."""
        return sum(size for _, size in self.sent)

    def to_json(self) -> dict[str, Any]:
        """Return the document that `--json` prints."""
        return {**asdict(self), "sent": dict(self.sent), "bytes": self.nbytes}


class Manner(Struct, frozen=True):
    """How to push.

    Args:
        to: hf://namespace/name[@branch]; "" for `output.push` of the target.
        dry_run: only say what would be sent.
        private: make the repository private, and refuse one that is not.
        message: of the commit; "" for one that names target and digest.
        recipe: send Modelfile, lock and card, and no weights.
        card: a card to send in place of the one that is made, or None.
        no_check: leave out the checks of the target.

    """

    to: str = ""
    dry_run: bool = False
    private: bool = False
    message: str = ""
    recipe: bool = False
    card: Path | None = None
    no_check: bool = False


def push(where: Where, target: str, manner: Manner, report: Report) -> Pushed:
    """See `modelbuild.usecases.push`."""
    project = Project.open(where)
    target = project.target(target)
    address = _address(project, target, manner)
    if where.overrides:
        raise ModelbuildError(Problem("what is published is the Modelfile as it stands", hint="write the overrides into it"))
    if where.offline:
        raise ModelbuildError(Problem("publishing asks the hub", hint="open the project without `offline`"), Exit.NETWORK)
    card = "" if manner.card is None else _read_card(manner.card, where.root)
    if not manner.dry_run:
        writer(address)
    if not manner.recipe:
        if manner.dry_run and status(where, (target,))[0].state != "fresh":
            return Pushed(target, _place(address), "would build")
        if not manner.dry_run:
            _built(where, target, report)
            gate(where, (target,), Options(), report, no_check=manner.no_check)
    return _Pusher(Project.open(where), target, address, manner, card, report).pushed()


def _address(project: Project, target: str, manner: Manner) -> Address:
    address = describing.destination(project, target, manner.to)
    if address is None:
        hint = f'name a repository: `--to hf://namespace/name`, or `output = {{ push = "hf://namespace/name" }}` in [merge.{target}]'
        raise ModelbuildError(Problem(f"where is `{target}` to be published?", hint=hint))
    if len(address.revision) == 40 and set(address.revision) <= set("0123456789abcdef"):
        raise ModelbuildError(Problem("a commit cannot be published to", facts=(f"`{address.revision}` is one",), hint="name a branch"))
    return address


def _read_card(path: Path, root: Path) -> str:
    """Read a card that the user wrote, once: what is wrong with it is said before any work, and it is sent as it was then.

    Raises:
        ModelbuildError: exit 2 if it is no text, 8 if it names places of this machine or holds a token.

    """
    try:
        page = read_small(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        fact = str(getattr(error, "strerror", None) or error)
        problem = Problem(f"`{path}` cannot be read as a model card", facts=(fact,), hint="name a file of text in `--card`")
        raise ModelbuildError(problem) from None
    refuse_private(page, str(path), root)
    return page


def _built(where: Where, target: str, report: Report) -> None:
    outcome = use_cases.build(where, (target,), Options(), report)
    if outcome.exit_code != Exit.DONE:
        raise ModelbuildError(outcome.problems, Exit(outcome.exit_code))


def _place(address: Address) -> str:
    return f"hf://{address.repo}@{address.revision}"


class _Pusher:
    def __init__(self, project: Project, target: str, address: Address, manner: Manner, card: str, report: Report) -> None:
        self.project, self.target, self.address, self.manner, self.report = project, target, address, manner, report
        self.card = card
        self.cache: Cache = project.cache()
        self.hashes, self.sources = FileHashes(self.cache.index), SourceFiles(self.cache)

    def pushed(self) -> Pushed:
        try:
            plan = self.project.plan((self.target,))
            lock = self.lock(plan)
            parcels = (*([] if self.manner.recipe else self.outputs(plan, lock)), *self.documents(plan, lock))
            if not self.manner.dry_run:
                return self.sent(parcels, lock)
            self.warn(plan, lock)
            return self.dry_run(parcels)
        finally:
            self.sources.close()
            self.cache.close()

    def lock(self, plan: Plan) -> Lock:
        """Return the lock, which has to be right; the first one is made."""
        keeper = Keeper(self.project, plan, self.hashes, self.sources)
        if self.project.lock is not None:
            keeper.refuse_stale()
            locked = self.project.lock.merges.get(self.target)
            if self.manner.recipe or (locked and locked.files):
                return self.project.lock
        lock = keeper.completed(() if self.manner.recipe else (self.target,), read=True)
        if not self.manner.dry_run and keeper.write(lock):
            self.report(Noted(f"wrote {self.project.where.lock}: what is published is pinned"))
        return lock

    def outputs(self, plan: Plan, lock: Lock) -> list[Parcel]:
        """Return the files of the output, which have to be the locked ones: its own and no others."""
        path, found = plan.targets[self.target].path, []
        for name, locked in sorted(lock.merges[self.target].files.items()):
            if not name.endswith(_PUBLISHED) or not is_file_name(name):
                raise ModelbuildError(
                    Problem(
                        f"`{plain(name)}` is no file of a model",
                        facts=(f"the lock lists it for `{self.target}`",),
                        hint="it is not published",
                    ),
                    Exit.UNSAFE,
                )
            file = path / name
            if not is_regular(file) or file.stat().st_size != locked.size or self.hashes.sha256(file) != locked.sha256:
                hint = "`modelbuild verify` says how; `modelbuild build` mends it"
                raise ModelbuildError(Problem(f"`{file}` is not what the lock says", hint=hint), Exit.DIGEST)
            found.append(Parcel(name, file, locked.size, locked.sha256))
            if name.endswith("config.json") and (own := private_path(read_small(file).decode("utf-8", "replace"), self.project.where.root)):
                self.report(Warned(f"`{name}`, as it came from a parent, names a path of somebody's machine: {plain(own)}"))
        return found

    def documents(self, plan: Plan, lock: Lock) -> list[Parcel]:
        """Return card, Modelfile and lock."""
        recipe = recipe_of(self.project, self.target, lock)
        page = self.card
        if self.manner.card is None:
            checks = self.recorded(plan, lock)
            page = describing.written(
                self.project, plan, self.target, self.address, lock, self.report, alone=self.manner.recipe, checks=checks
            )
        texts = {**recipe.beside, CARD: page.encode(), MODELFILE: recipe.modelfile.encode(), LOCK: recipe.lock_text.encode()}
        return [_parcel(name, data) for name, data in texts.items()]

    def recorded(self, plan: Plan, lock: Lock) -> tuple[Recorded, ...]:
        """Return what is recorded of the checks of the output that stands."""
        return recorded(self.project, plan, self.cache, self.sources, self.target, lock.root_of(self.target))

    def warn(self, plan: Plan, lock: Lock) -> None:
        """Say which checks would not let the target through, by what is recorded."""
        if self.manner.recipe or self.manner.no_check:
            return
        for one in self.recorded(plan, lock):
            if one.passed is False:
                said = "; ".join(one.said)
                self.report(Warned(f"`{self.target}` fails its check `{one.name}`, so nothing would be sent: {said}"))

    def dry_run(self, parcels: tuple[Parcel, ...]) -> Pushed:
        there = standing(self.address)
        delivery = self.shelf(parcels).wanted(there)
        told = self._told("would push" if delivery.send or delivery.remove else "unchanged", delivery, parcels)
        return replace(told, created=there is None)

    def sent(self, parcels: tuple[Parcel, ...], lock: Lock) -> Pushed:
        root, shelf = lock.merges[self.target].root, self.shelf(parcels)
        message = self.manner.message or f"{self.target}: {'recipe' if self.manner.recipe else 'model'}" + (f" {root[:12]}" if root else "")

        def wanted(there: Standing | None) -> Delivery:
            delivery = shelf.wanted(there)
            if delivery.send:
                self.report(Uploading(self.address.repo, len(delivery.send), delivery.nbytes))
            return delivery

        done = deliver(self.address, wanted, message, private=self.manner.private, unmoved=self._refuse_moved)
        for warning in done.warnings:
            self.report(Warned(f"the hub says: {plain(warning, 400)}"))
        if shelf.keeps_card:
            self.report(Noted(f"{CARD} of {self.address.repo} was edited there, and stays; `--card FILE` replaces it"))
        state: State = "pushed" if done.delivery.send or done.delivery.remove else "unchanged"
        return replace(self._told(state, done.delivery, parcels), commit=done.commit, created=done.created)

    def shelf(self, parcels: tuple[Parcel, ...]) -> Shelf:
        manner, locked = self.manner, self.project.lock.merges.get(self.target) if self.project.lock else None
        manifest = locked.files.get(MANIFEST) if locked else None
        return Shelf(
            self.address,
            {parcel.name: parcel for parcel in parcels},
            private=manner.private,
            alone=manner.recipe,
            given=manner.card is not None,
            manifest=manifest.sha256 if manifest else "",
        )

    def _told(self, state: State, delivery: Delivery, parcels: tuple[Parcel, ...]) -> Pushed:
        sent = tuple((one.name, one.size) for one in delivery.send)
        return Pushed(self.target, _place(self.address), state, "", sent, delivery.remove, len(parcels) - len(sent))

    def _refuse_moved(self, parcels: Iterable[Parcel]) -> None:
        """Refuse to name in a commit what has become another file while it was sent."""
        for one in parcels:
            if isinstance(one.content, Path) and self.hashes.sha256(one.content) != one.sha256:
                hint = "let no build run beside a push, and push again"
                raise ModelbuildError(Problem(f"`{one.content}` has changed while it was sent", hint=hint), Exit.DIGEST)


def _parcel(name: str, data: bytes) -> Parcel:
    return Parcel(name, data, len(data), hashlib.sha256(data).hexdigest())
