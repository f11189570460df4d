"""What a repository lacks of what is to be published there, and what there is not ours to replace."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from modelbuild.engine.publish import MANIFEST, manifest_in
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.names import plain
from modelbuild.reading import read_small
from modelbuild.sources.asking import Address
from modelbuild.sources.checkpoint import PICKLES
from modelbuild.sources.hub import PREFIX
from modelbuild.sources.hubcache import hashed
from modelbuild.sources.remote import Delivery, Parcel, Standing
from modelbuild.usecases import cardtext
from modelbuild.usecases.published import CARD

_WEIGHTS = (".safetensors", ".safetensors.index.json", *PICKLES)


class Shelf(Struct):
    """A branch of a repository, and what is to stand there.

    Args:
        address: of both.
        names: what is to be published, by name.
        private: whether the repository has to be.
        alone: whether only a recipe is published.
        given: whether the card is the user's, and replaces any.
        manifest: sha256 of the manifest of the model that the lock has, or "".
        keeps_card: set by `wanted`: whether the card there is somebody's, and stays.

    """

    address: Address
    names: Mapping[str, Parcel]
    private: bool
    alone: bool
    given: bool
    manifest: str
    keeps_card: bool = False

    def wanted(self, there: Standing | None) -> Delivery:
        """Return what is lacking; with no repository there, all of it.

        Raises:
            ModelbuildError: exit 8 if the repository is not private and has to be, or holds a model that is not ours to replace.

        """
        if there is None:
            return Delivery(tuple(self.names.values()), ())
        if self.private and not there.private:
            hint = "make it private on its page, or leave out --private"
            raise ModelbuildError(Problem(f"`{self.address.repo}` is there, and everyone can read it", hint=hint), Exit.UNSAFE)
        own = self._own(there)
        self._refuse_foreign(there, own)
        self.keeps_card = not self.given and self._is_edited(there)
        send = (one for one in self.names.values() if not one.is_at(there.files.get(one.name)))
        gone = () if self.alone else (name for name in sorted(own) if name in there.files and name not in self.names)
        return Delivery(tuple(one for one in send if not (self.keeps_card and one.name == CARD)), tuple(gone))

    def _own(self, there: Standing) -> frozenset[str]:
        """Return the files there that a push of a model brought."""
        if MANIFEST not in there.files:
            return frozenset()
        if MANIFEST in self.names and self.names[MANIFEST].is_at(there.files[MANIFEST]):
            return frozenset(self.names)
        folder = there.folder(self.address)
        folder.fetch(MANIFEST)
        return frozenset(manifest_in(folder.path(MANIFEST)).files)

    def _refuse_foreign(self, there: Standing, own: frozenset[str]) -> None:
        """Refuse to leave a repository with weights of two models, or with a recipe of another model than the one there."""
        weights = [name for name in there.files if "/" not in name and name.endswith(_WEIGHTS)]
        if self.alone:
            other = [] if self._is_same_model(there) else weights
            hint = "push the model with it: without --recipe"
        else:
            names = self.names
            other = [name for name in weights if name not in own and not (name in names and names[name].is_at(there.files[name]))]
            hint = "publish under another name or on another branch, or remove them there"
        if other:
            facts = (f"{PREFIX}{self.address.repo}@{self.address.revision} has {', '.join(map(plain, sorted(other)[:4]))}",)
            raise ModelbuildError(Problem(f"`{self.address.repo}` holds another model", facts=facts, hint=hint), Exit.UNSAFE)

    def _is_same_model(self, there: Standing) -> bool:
        """Tell whether the model that was pushed there is the one that the lock has."""
        if not self.manifest or MANIFEST not in there.files:
            return False
        return hashed(there.folder(self.address).path(MANIFEST), self.manifest) == self.manifest

    def _is_edited(self, there: Standing) -> bool:
        """Tell whether the card there is somebody's, who would miss it."""
        if CARD not in there.files or self.names[CARD].is_at(there.files[CARD]):
            return False
        folder = there.folder(self.address)
        folder.fetch(CARD)
        page = read_small(folder.path(CARD)).decode("utf-8", "replace")
        return not (cardtext.is_own(page) or cardtext.is_bare(page))
