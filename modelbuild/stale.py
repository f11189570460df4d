"""Fresh, or stale because: the judgement of one action, and what it means for those that rest on it.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct

from modelbuild.digest import KeyHasher, Value
from modelbuild.plan import Action, Leaf, Ref, describe

Description = tuple[tuple[str, Value], ...]
"""What an action's key was made of: (field, value) pairs in order."""


class Change(Struct, frozen=True):
    """One ingredient that differs; "" where it was or is not there."""

    field: str
    old: str
    new: str


class Fresh(Struct, frozen=True):
    """Its record is there: the result is known without computing it.

    Args:
        digest: of the result.
        key: of the record.
        needs: the digests of what it reads, which the key holds.

    """

    digest: str
    key: str
    needs: tuple[str, ...]


class Stale(Struct, frozen=True):
    """It must run, because `reason`; `changes` are the ingredients that moved since it last ran."""

    reason: str
    changes: tuple[Change, ...] = ()


class Pending(Struct, frozen=True):
    """It cannot be judged before its inputs have run: `waits_for` names them."""

    waits_for: tuple[str, ...]


Judgement = Fresh | Stale | Pending


def key_of(action: Action, digests: tuple[str, ...], device: str) -> str:
    """Return the key of an action whose inputs' digests are known."""
    hasher = KeyHasher("action")
    describe(action, digests, device, hasher)
    return hasher.key()


class Explainer:
    """The sink that keeps a description for people."""

    def __init__(self) -> None:
        """Start empty."""
        self._fields: list[tuple[str, Value]] = []

    def field(self, name: str, value: Value) -> None:
        """Take one named ingredient."""
        self._fields.append((name, value))

    def description(self) -> Description:
        """Return what was told."""
        return tuple(self._fields)


def description_of(action: Action, digests: tuple[str, ...], device: str) -> Description:
    """Return what an action's key is made of."""
    explainer = Explainer()
    describe(action, digests, device, explainer)
    return explainer.description()


def changes(
    old: Description, new: Description, names: Mapping[str, str] = MappingProxyType({}), needs: Sequence[str] = ()
) -> tuple[Change, ...]:
    """Compare two descriptions field by field; inputs one by one, those that only stand in another order as one.

    Args:
        old: what it was.
        new: what it is; an input that is not known may be in words.
        names: what tensors are called, by digest.
        needs: what the base, the inputs and the survey of the new one are called, in this order.

    """
    before, after = _flat(old), _flat(new)
    gone, come = _inputs(before), _inputs(after)
    called = dict(zip([*after.keys() & {"base"}, *come, *after.keys() & {"survey"}], needs, strict=False))
    moved = []
    if gone != come and sorted(gone.values()) == sorted(come.values()):
        moved.append(Change("inputs (order)", *(", ".join(names.get(one, one) for one in table.values()) for table in (gone, come))))
        before |= come

    def shown(field: str, value: str, name: str) -> str:
        return f"{value} ({name})" if _is_input(field) and name and value else value

    return (
        *moved,
        *(
            Change(
                field,
                shown(field, before.get(field, ""), names.get(before.get(field, ""), "")),
                shown(field, after.get(field, ""), called.get(field) or names.get(after.get(field, ""), "")),
            )
            for field in dict.fromkeys([*before, *after])
            if before.get(field) != after.get(field)
        ),
    )


def _is_input(field: str) -> bool:
    return field in ("base", "survey") or field.startswith("inputs[")


def _inputs(table: Mapping[str, str]) -> dict[str, str]:
    return {field: value for field, value in table.items() if field.startswith("inputs[")}


def _flat(description: Description) -> dict[str, str]:
    table = {}
    for name, value in description:
        if isinstance(value, tuple | list) and name != "shape":
            for i, one in enumerate(value):
                table[f"{name}[{i}]"] = str(one)
        else:
            table[name] = str(value)
    return table


def judge(
    actions: Sequence[Action],
    leaf_digest: Callable[[Leaf], str],
    record: Callable[[str], str],
    device: str,
    *,
    force: bool = False,
) -> Mapping[Action, Judgement]:
    """Judge actions in building order, without computing anything.

    Args:
        actions: inputs before what reads them.
        leaf_digest: the digest of a source's tensor, or "" where its file is not known.
        record: the digest that a key's record holds, or "".
        device: as for `describe`.
        force: take nothing from records.

    """
    judged: dict[Action, Judgement] = {}
    digests: dict[Ref, str] = {}

    def digest(ref: Ref) -> str:
        if ref not in digests:
            digests[ref] = leaf_digest(ref) if isinstance(ref, Leaf) else ""
        return digests[ref]

    for action in actions:
        unknown = tuple(need.label for need in action.needs if not digest(need))
        if unknown:
            judged[action] = Pending(unknown)
            continue
        if force:
            judged[action] = Stale("forced")
            continue
        needs = tuple(map(digest, action.needs))
        key = key_of(action, needs, device)
        if known := record(key):
            digests[action] = known
            judged[action] = Fresh(known, key, needs)
        else:
            judged[action] = Stale("not built before")
    return judged
