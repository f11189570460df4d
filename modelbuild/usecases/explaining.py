"""Why tensors and outputs are, or would be, built again: every ingredient that changed, with its old value and its new one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

from msgspec import Struct

from modelbuild.cache.builds import Builds
from modelbuild.cache.history import Past
from modelbuild.errors import ModelbuildError, Problem, did_you_mean, some
from modelbuild.plan import Action, Leaf, Ref, Target
from modelbuild.schedule import chain
from modelbuild.sources.hub import is_hub
from modelbuild.stale import Change, Description, Fresh, Pending, changes, description_of, key_of
from modelbuild.usecases.foretelling import Forecast
from modelbuild.usecases.outcome import Options
from modelbuild.usecases.project import Project
from modelbuild.usecases.unlike import is_absent, output_changes, recipe_changes
from modelbuild.usecases.view import View
from modelbuild.usecases.where import Where

State = Literal["fresh", "stale", "pending"]


class Explanation(Struct, frozen=True):
    """Why something is fresh or stale.

    Args:
        tensor: NODE::TENSOR, or the target itself.
        state: "fresh", "stale", or "pending" if what it reads has yet to be built or read.
        why: in words.
        changes: what moved, old and new.

    """

    tensor: str
    state: State
    why: str
    changes: tuple[Change, ...]


class Explainer:
    """Explains the actions of a view."""

    def __init__(self, view: View) -> None:
        """Look at nothing yet."""
        self.view = view
        self._past: dict[str, Mapping[str, Past]] = {}
        self._last: dict[Path, Mapping[str, str]] = {}

    def digest(self, ref: Ref) -> str:
        """Return a tensor's digest if it is known, whether or not its bytes are anywhere."""
        return self.view.digest(ref)

    @cached_property
    def names(self) -> dict[str, str]:
        """What tensors are called, by digest: those that files of sources held when they were last read, and all that are known now."""
        where, cache = self.view.project.where, self.view.cache
        refs = dict.fromkeys(need for action in self.view.plan.actions for need in action.needs)
        leaves = [ref for ref in refs if isinstance(ref, Leaf)]
        last = next(iter(Builds(cache.index, where.file).all()), None)
        places = {name: where.root / one.location for name, one in last.sources.items() if not is_hub(one.location)} if last else {}
        source = {file: name for name, place in places.items() for file in (place.glob("*.safetensors") if place.is_dir() else (place,))}
        source |= {leaf.info.path: leaf.source for leaf in leaves}
        found = {digest: f"{source[path]}::{name}" for path in source for name, digest in self.last_digests(path).items()}
        return found | {digest: ref.label for ref in reversed(refs) if (digest := self.digest(ref))}

    def unread(self, action: Action) -> bool:
        """Tell whether all that an action waits for are sources that have not been read as they are now."""
        return all(isinstance(need, Leaf) for need in action.needs if not self.digest(need))

    def explained(self, action: Action) -> Explanation:
        """Explain one action."""
        judgement = self.view.judged.judgements[action]
        past = self._past_of(action.node).get(action.tensor)
        last, before = (self._description(key) for key in (past.key, past.before)) if past else ((), ())
        moved = self._moved(action, last) if last else ()
        if isinstance(judgement, Pending):
            after = ", ".join(self._waits(action))
            return Explanation(action.label, "pending", f"{after}{'; so far these changed:' if moved else ''}", moved)
        if isinstance(judgement, Fresh):
            if action in self.view.judged.running:
                return self._gone(action, judgement.digest)
            why, told = "its bytes are known; no build of it under this name is on record", moved
            if moved:
                why = "it was built with these values before"
            elif before:
                why, told = "nothing changed since the last build; what changed before that:", changes(before, last, self.names)
            elif last:
                why = "nothing changed since the last build"
            return Explanation(action.label, "fresh", why, told)
        if moved:
            return Explanation(action.label, "stale", "these changed:", moved)
        if past:
            return self._lost(action, past.key)
        return Explanation(action.label, "stale", judgement.reason, ())

    def _waits(self, action: Action) -> Iterator[str]:
        """Say what an action waits for: sources to be read, and merges to be built."""
        unknown = [need for need in action.needs if not self.digest(need)]
        unread = tuple(need.label for need in unknown if isinstance(need, Leaf))
        unbuilt = tuple(need.label for need in unknown if not isinstance(need, Leaf))
        for names, what in ((unread, "not read yet"), (unbuilt, "to be built first")):
            if names:
                yield f"{some(names)} {what}"

    def _past_of(self, node: str) -> Mapping[str, Past]:
        """Return the keys that a node's tensors had; the row of a node is read once."""
        if node not in self._past:
            self._past[node] = self.view.history.of(node)
        return self._past[node]

    def last_digests(self, path: Path) -> Mapping[str, str]:
        """Return the digests that a source file's tensors had when it was last read; its row is read once."""
        if path not in self._last:
            self._last[path] = self.view.cache.stats.last(path)
        return self._last[path]

    def _description(self, key: str) -> Description:
        """Return what a key was made of, () where nobody knows."""
        record = self.view.cache.records.get(key) if key else None
        return record.description if record else ()

    def _moved(self, action: Action, last: Description) -> tuple[Change, ...]:
        """Compare an action with its last description; of inputs that are not known, say why."""
        digests = tuple(self.digest(need) or self._awaited(need) for need in action.needs)
        return changes(last, description_of(action, digests, self.view.device), self.names, tuple(need.label for need in action.needs))

    def _awaited(self, ref: Ref) -> str:
        if isinstance(ref, Action):
            return "to be built first"
        return f"not read since {ref.info.path.name} changed" if self.last_digests(ref.info.path) else "not read yet"

    def _gone(self, action: Action, digest: str) -> Explanation:
        """Explain an action that is known and runs all the same, because its bytes are needed."""
        node = self.view.plan.graph.nodes.get(action.node)
        if node is not None and not node.merge.keep:
            why = "what reads it runs, and its own bytes are not kept:"
            return Explanation(action.label, "stale", why, (Change("keep", "", "false"),))
        pack = self.view.cache.packs.said_to_hold(digest)
        was = f"in pack {pack}" if pack else "in a pack"
        return Explanation(
            action.label, "stale", "nothing of it changed, but its bytes are gone:", (Change("bytes", was, "in no pack of the cache"),)
        )

    def _lost(self, action: Action, last: str) -> Explanation:
        """Explain an action of whose last build no description is left."""
        key = key_of(action, tuple(map(self.digest, action.needs)), self.view.device)
        if key == last:
            change = Change("record", f"of key {key}", "not in the cache's index")
            return Explanation(action.label, "stale", "nothing of it changed, but the record of its result is lost:", (change,))
        why = "it changed, and what it was made of is no longer in the cache's index:"
        return Explanation(action.label, "stale", why, (Change("key", last, key),))


def explain(where: Where, targets: Sequence[str], tensor: str) -> tuple[Explanation, ...]:
    """See `modelbuild.usecases.explain`."""
    view = View(where, targets or (Project.open(where).target(""),))
    try:
        for target in view.plan.targets.values() if tensor else ():
            _read(view, target, tensor)
        explainer, done = Explainer(view), set[Action]()
        return tuple(one for name in view.plan.targets for one in _explained(explainer, name, tensor, done))
    finally:
        view.close()


def _explained(explainer: Explainer, target: str, tensor: str, done: set[Action]) -> Iterator[Explanation]:
    """Explain a target or one of its tensors, and the actions that it rests on, but for those that are done."""
    view = explainer.view
    tensors = view.plan.targets[target].tensors
    refs = [tensors[tensor]] if tensor else [*tensors.values()]
    whole = () if tensor else explained_output(view, target)
    yield from whole
    if tensor and isinstance(refs[0], Leaf):
        yield Explanation(f"{target}::{tensor}", "fresh", f"it is {refs[0].label}, handed on", ())
    actions = chain(*refs)
    yield from (explainer.explained(action) for action in actions if action not in done)
    done.update(actions)
    if not (tensor or whole or actions):
        yield Explanation(target, "fresh", "it stands as it was published, and every tensor of it is one of a source", ())


def explained_output(view: View, target: str) -> tuple[Explanation, ...]:
    """Explain a target as a whole: what of its recipe changed since it was last built, and what of its output is not as it would be."""
    planned = view.plan.targets[target]
    runs = any(action in view.judged.running for action in chain(*planned.tensors.values()))
    state: State = "stale" if runs or view.forecast.target(planned).state == "stale" else "fresh"
    since, recipe = recipe_changes(view, target)
    output = output_changes(view, planned) if state == "stale" else ()
    told = []
    if recipe:
        told.append(Explanation(target, state, f"of its recipe these changed since build {since}:", recipe))
    if output:
        what = "its output is not there:" if is_absent(output, planned) else "its output is not as it would be:"
        told.append(Explanation(target, state, what, output))
    return tuple(told)


def _read(view: View, target: Target, tensor: str) -> None:
    """Learn the digests of source tensors that one tensor rests on and that lie here, and judge again.

    Raises:
        ModelbuildError: exit 2 if there is no such tensor.

    """
    if tensor not in target.tensors:
        facts = (f"it has {len(target.tensors)}; modelbuild show {target.name} lists them",)
        raise ModelbuildError(Problem(f"`{target.name}` has no tensor `{tensor}`", facts=facts, hint=did_you_mean(tensor, target.tensors)))
    leaves = {need for action in chain(target.tensors[tensor]) for need in action.needs if isinstance(need, Leaf)}
    unread = [leaf for leaf in leaves if leaf.info.path.exists() and not view.sources.known(leaf)]
    for leaf in unread:
        view.sources.digest(leaf)
    if unread:
        view.forecast = Forecast(view.plan, view.cache, Options(), view.sources)
        view.judged = view.forecast.judged
