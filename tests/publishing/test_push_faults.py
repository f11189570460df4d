"""Pushes that a hub does not take: what is said, and that nothing half done is to be seen."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from modelbuild.errors import Exit
from tests.publishing.conftest import READER, Push, files_of, refused
from tests.support.hub import Fault, Handler, Hub, Request
from tests.support.projects import Project

REPO = "lab/release"
AGAIN = "run the same command again: what is there already is not sent twice"
LOG_IN = "log in with `hf auth login`, or set HF_TOKEN: a token that may write"

UPLOAD, BATCH, COMMIT, PREUPLOAD = "/lfs/", "/objects/batch", "/commit/", "/preupload/"


def answering(status: int, place: str, method: str = "", message: str = "", code: str = "") -> Fault:
    """Refuse every request to a place."""

    def fault(handler: Handler, request: Request) -> bool:
        hit = place in request.path and method in ("", request.method)
        if hit:
            handler.refuse(status, code, message)
        return hit

    return fault


def cutting(place: str, times: int = 1 << 30) -> Fault:
    """End the connection of the first requests to a place without an answer."""
    left = [times]

    def fault(handler: Handler, request: Request) -> bool:
        if place not in request.path or not left[0]:
            return False
        left[0] -= 1
        handler.close_connection = True
        return True

    return fault


@pytest.fixture
def built(family: Project, hub: Hub) -> Project:
    """A project that is built, and the repository as it was before."""
    family.build()
    hub.repository(REPO).commit({"LICENSE": b"words"})
    return family


@pytest.mark.slow
@pytest.mark.parametrize("place", [PREUPLOAD, BATCH, UPLOAD, COMMIT])
@pytest.mark.parametrize(
    ("status", "fact", "hint"),
    [
        (401, f"the hub answered 401: it does not know the token, or {REPO} is somebody else's", LOG_IN),
        (403, "the hub answered 403", "use a token that may write to lab, or publish where you may write"),
        (413, "the hub answered 413: what was sent is larger than it takes", 'write smaller files: `output = { shard_size = "5GB" }`'),
        (500, "the hub answered 500", AGAIN),
        (0, "the connection failed: ", AGAIN),
    ],
    ids=["401", "403", "413", "500", "cut"],
)
def test_a_refusal_at_any_point_says_what_to_do_and_leaves_the_branch_as_it_was(
    built: Project, hub: Hub, push: Push, place: str, status: int, fact: str, hint: str
):
    hub.fault = answering(status, place) if status else cutting(place)

    error = refused(lambda: push(built))

    assert (Exit.NETWORK, f"nothing was published at `{REPO}`") == (error.exit_code, error.problems[0].what)
    assert any(one.startswith(fact) for one in error.problems[0].facts), error
    assert error.problems[0].hint.startswith(hint)
    assert {"LICENSE": b"words"} == files_of(hub)
    hub.fault = None
    assert "pushed" == push(built).state


@pytest.mark.slow
@pytest.mark.parametrize("place", [PREUPLOAD, BATCH, UPLOAD, "/verify", COMMIT, "/revision/"])
def test_a_fault_that_passes_is_outlived(built: Project, hub: Hub, push: Push, place: str):
    hub.fault = cutting(place, 2)

    push(built)

    assert 1 == len(hub.repositories[REPO].messages)


def test_a_commit_of_which_the_answer_is_lost_is_not_made_twice(built: Project, hub: Hub, push: Push):
    """The connection ends after the hub has done it."""
    done = []

    def fault(handler: Handler, request: Request) -> bool:
        if COMMIT not in request.path or done:
            return False
        done.append(1)
        handler.answer = lambda *_, **__: setattr(handler, "close_connection", True)  # type: ignore[method-assign]
        return False

    hub.fault = fault
    pushed = push(built)

    assert ("pushed", 1) == (pushed.state, len(hub.repositories[REPO].messages))
    assert pushed.commit == hub.repositories[REPO].refs["main"]


@pytest.mark.slow
def test_who_has_committed_meanwhile_is_not_overwritten(built: Project, hub: Hub, push: Push):
    def fault(handler: Handler, request: Request) -> bool:
        if UPLOAD in request.path:
            hub.repositories[REPO].commit({"LICENSE": b"other words"})
        return False

    hub.fault = fault
    error = refused(lambda: push(built))

    assert "the hub answered 412: somebody else has changed the branch meanwhile" in error.problems[0].facts
    assert {"LICENSE": b"other words"} == files_of(hub)


@pytest.mark.slow
def test_a_file_that_becomes_another_while_it_is_sent_is_in_no_commit(built: Project, hub: Hub, push: Push):
    weights = built.root / "out/release/model.safetensors"

    def fault(handler: Handler, request: Request) -> bool:
        if request.path.endswith("/verify"):
            weights.chmod(0o644)
            weights.write_bytes(weights.read_bytes()[:-1] + b"x")
        return False

    hub.fault = fault
    error = refused(lambda: push(built))

    assert (Exit.DIGEST, f"`{weights}` has changed while it was sent") == (error.exit_code, error.problems[0].what)
    assert {"LICENSE": b"words"} == files_of(hub)


@pytest.mark.slow
def test_a_commit_that_holds_something_else_is_told(built: Project, hub: Hub, push: Push):
    def fault(handler: Handler, request: Request) -> bool:
        commit = hub.repositories[REPO].refs["main"]
        if f"/revision/{commit}" in request.path:
            hub.repositories[REPO].commits[commit]["config.json"] = b"{}"
        return False

    hub.fault = fault
    error = refused(lambda: push(built))

    assert (Exit.DIGEST, f"`{REPO}` does not hold what was sent") == (error.exit_code, error.problems[0].what)
    assert error.problems[0].facts[0].endswith("these are others: config.json")


@pytest.mark.slow
def test_a_connection_lost_half_way_is_taken_up_where_it_was(built: Project, hub: Hub, push: Push):
    """What was uploaded before the commit failed is not sent again."""
    hub.fault = answering(500, COMMIT)
    refused(lambda: push(built))
    large = [request for request in hub.requests if request.method == "PUT"]
    hub.fault, hub.requests[:] = None, []
    push(built)

    assert large
    assert not [request for request in hub.requests if request.method == "PUT"]


Setting = Callable[[pytest.MonkeyPatch, Hub], None]


def nobody(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> None:
    monkeypatch.delenv("HF_TOKEN")


def reader(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> None:
    monkeypatch.setenv("HF_TOKEN", READER)


def unknown(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_unknown")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (nobody, f"error: to publish at `{REPO}` somebody has to be logged in\nhint: {LOG_IN}"),
        (reader, f"error: the token of reader may read, and not write\nhint: {LOG_IN}"),
        (
            unknown,
            "\n".join(
                [
                    f"error: nothing was published at `{REPO}`",
                    f"  the hub answered 401: it does not know the token, or {REPO} is somebody else's",
                    f"hint: {LOG_IN}",
                ]
            ),
        ),
    ],
)
def test_who_may_not_write_is_told_before_anything_is_built(
    family: Project, hub: Hub, push: Push, monkeypatch: pytest.MonkeyPatch, setting: Setting, words: str
):
    setting(monkeypatch, hub)

    error = refused(lambda: push(family))

    assert (Exit.NETWORK, words) == (error.exit_code, str(error))
    assert not (family.root / "out").exists()


def test_a_gated_repository_is_said_to_be_one(family: Project, hub: Hub, push: Push):
    hub.repository(REPO).commit({"LICENSE": b"words"})
    hub.repositories[REPO].gated = True

    error = refused(lambda: push(family))

    assert (Exit.NETWORK, f"`{REPO}` is gated, and you have no access") == (error.exit_code, error.problems[0].facts[0])


@pytest.mark.slow
def test_a_namespace_of_others_is_refused_by_name(family: Project, hub: Hub, push: Push):
    error = refused(lambda: push(family, to="hf://others/release"))

    assert (Exit.NETWORK, "use a token that may write to others, or publish where you may write") == (
        error.exit_code,
        error.problems[0].hint,
    )
    assert "it says: You don't have the rights to create a model under the namespace others" in error.problems[0].facts
    assert "others/release" not in hub.repositories


@pytest.mark.slow
def test_a_token_is_sent_to_the_hub_alone_and_said_nowhere(built: Project, hub: Hub, push: Push):
    """Large files go to another place, which gets none."""
    hub.fault = answering(403, COMMIT)
    error = refused(lambda: push(built))

    assert "hf_writer" not in str(error)
    elsewhere = [request for request in hub.requests if request.headers.get("Host", "").startswith("localhost")]
    assert elsewhere
    assert not any("Authorization" in request.headers for request in elsewhere)
