"""What goes wrong with a hub: the right exit code, a line of cause and one of remedy, and nothing broken is used."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from contextlib import suppress

import pytest
from msgspec.structs import replace

from modelbuild import usecases as use_cases
from modelbuild.errors import Exit, ModelbuildError
from tests.support.hub import Fault, Handler, Hub, Request, git_sha1
from tests.support.hubs import blobs
from tests.support.projects import Project

CANARY = "hf_canaryCanaryCANARYcanary"


def answers(status: int, code: str = "", message: str = "", *, at: str = "", method: str = "") -> Fault:
    """Refuse what is asked for at paths with a word in them."""

    def fault(handler: Handler, request: Request) -> bool:
        meant = at in request.path and method in ("", request.method)
        if meant:
            handler.refuse(status, code, message)
        return meant

    return fault


def once(fault: Fault, times: int = 1) -> Fault:
    """Have a fault happen so many times, then no more."""
    left = [times]

    def limited(handler: Handler, request: Request) -> bool:
        if left[0] and fault(handler, request):
            left[0] -= 1
            return True
        return False

    return limited


def hangs_up(handler: Handler, request: Request) -> bool:
    """Close the connection without an answer."""
    handler.close_connection = True
    return True


def spoils(handler: Handler, request: Request) -> bool:
    """Send a large file of the right size with a bit flipped in its last byte."""
    if "/blobs/" not in request.path or "Range" in request.headers:
        return False
    sha = request.path.rpartition("/")[2]
    data = bytearray(found(handler.hub, sha))
    data[-1] ^= 1
    handler.answer(200, bytes(data))
    return True


def cuts(handler: Handler, request: Request) -> bool:
    """Send half of a large file, and hang up."""
    if "/blobs/" not in request.path or "Range" in request.headers:
        return False
    data = found(handler.hub, request.path.rpartition("/")[2])
    handler.answer(200, data, send=len(data) // 2)
    return True


def spoils_config(handler: Handler, request: Request) -> bool:
    """Send another config.json of the same size."""
    if not request.path.endswith("/config.json") or request.method != "GET":
        return False
    repo = handler.hub.repositories["lab/base"]
    data = repo.commits[repo.refs["main"]]["config.json"]
    headers = {"X-Repo-Commit": repo.refs["main"], "ETag": f'"{git_sha1(data)}"'}
    handler.answer(200, data.replace(b"llama", b"lambs"), headers)
    return True


def found(hub: Hub, sha: str) -> bytes:
    """Return a large file by its sha256."""
    every = (data for repo in hub.repositories.values() for files in repo.commits.values() for data in files.values())
    return next(data for data in every if hashlib.sha256(data).hexdigest() == sha)


def ignores_ranges(handler: Handler, request: Request) -> bool:
    """Send all of a file whatever is asked for."""
    if "/blobs/" not in request.path:
        return False
    handler.answer(200, found(handler.hub, request.path.rpartition("/")[2]))
    return True


FATAL: dict[str, tuple[Fault, Exit, str]] = {
    "the repository is missing": (answers(401, "RepoNotFound", "Repository not found"), Exit.SOURCE, "there is no repository `lab/base`"),
    "the revision is missing": (answers(404, "RevisionNotFound", "Invalid rev id"), Exit.SOURCE, "does not exist"),
    "a file is missing": (answers(404, "EntryNotFound", "Entry not found", at="/resolve/"), Exit.SOURCE, "does not exist"),
    "the repository is gated": (answers(403, "GatedRepo", "restricted", at="/resolve/"), Exit.NETWORK, "is gated"),
    "it is gated and nobody is logged in": (answers(401, "GatedRepo", "restricted", at="/resolve/"), Exit.NETWORK, "is gated"),
    "access is forbidden": (answers(403, message="no"), Exit.NETWORK, "does not let you read"),
    "the token is not valid": (
        answers(401, message="Invalid credentials in Authorization header"), Exit.NETWORK, "does not let you read"
    ),
    "too many requests, for good": (answers(429), Exit.NETWORK, "it answered 429"),
    "a bad gateway, for good": (answers(502, at="/resolve/"), Exit.NETWORK, "it answered 502"),
    "the hub hangs up": (hangs_up, Exit.NETWORK, "the connection failed"),
    "a large file is spoilt, every time": (spoils, Exit.DIGEST, "is not what the hub says, twice over"),
    "a small file is spoilt, every time": (spoils_config, Exit.DIGEST, "is not what the hub says, twice over"),
}  # fmt: skip
HEALED: dict[str, Fault] = {
    "too many requests, twice": once(answers(429), 2),
    "a server error, three times": once(answers(500), 3),
    "a large file is spoilt, once": once(spoils),
    "a large file is cut off, once": once(cuts),
    "ranges are ignored": ignores_ranges,
}


@pytest.fixture(autouse=True)
def logged_in(monkeypatch: pytest.MonkeyPatch, family: Project) -> None:
    """A token that must be seen nowhere."""
    monkeypatch.setenv("HF_TOKEN", CANARY)


def refusal(call: Callable[[], object]) -> ModelbuildError:
    """Return the error that a call ends in."""
    with pytest.raises(ModelbuildError) as raised:
        call()
    return raised.value


def nowhere(family: Project) -> bool:
    """Tell whether the token is in no file that was written."""
    return not any(CANARY.encode() in path.read_bytes() for path in family.root.parent.rglob("*") if path.is_file())


def touch(family: Project) -> None:
    """Let the next build look at everything again."""
    family.write(family.where.file.read_text() + "\n")


def is_at_the_api(fault: Fault) -> bool:
    """Tell whether a fault is of every answer, and not of files alone."""

    class Probe:
        """A handler that answers nothing."""

        hub, close_connection = Hub(), False

        def refuse(self, *_: object) -> None:
            """Take note of nothing."""

    return fault(Probe(), Request("GET", "/api/models/lab/base/revision/main", {}))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", FATAL)
def test_a_fault_that_stays_ends_in_its_exit_code_with_one_cause_and_one_remedy(family: Project, hub: Hub, name):
    hub.fault, code, cause = FATAL[name]
    error = refusal(family.build)

    assert code == error.exit_code
    assert cause in str(error)
    for problem in error.problems:
        assert len(problem.facts) <= 2
        assert problem.hint
    assert CANARY not in str(error)
    assert nowhere(family)
    assert not (family.root / "out").exists()


@pytest.mark.parametrize("name", FATAL)
def test_after_a_fault_has_passed_the_same_command_gives_the_same_bytes(family: Project, hub: Hub, name):
    hub.fault = FATAL[name][0]
    refusal(family.build)
    hub.fault = None
    family.build()
    after = family.hashes()
    (family.root / "elsewhere").mkdir()
    clean = Project(family.root / "elsewhere")
    clean.write((family.root / "Modelfile.toml").read_text())
    clean.build()

    assert clean.hashes() == after


@pytest.mark.parametrize("name", FATAL)
def test_what_is_here_is_used_offline_whatever_the_hub_does(family: Project, hub: Hub, name):
    family.build()
    before = family.hashes()
    hub.fault = FATAL[name][0]
    hub.requests.clear()
    touch(family)
    outcome = use_cases.build(replace(family.where, offline=True))

    assert (Exit.DONE, before, []) == (outcome.exit_code, family.hashes(), hub.requests)


@pytest.mark.parametrize("name", FATAL)
def test_with_everything_here_a_fault_is_told_only_where_a_branch_is_asked_for(family: Project, hub: Hub, name):
    """Only that a branch is resolved needs the hub; the old output stands."""
    family.build()
    before = family.hashes()
    hub.fault, code, cause = FATAL[name]
    touch(family)
    if is_at_the_api(hub.fault):
        error = refusal(family.build)
        assert code == error.exit_code
        assert cause in str(error)
    else:
        family.build()
    assert before == family.hashes()


@pytest.mark.parametrize("name", FATAL)
def test_with_a_lock_and_everything_here_the_hub_is_not_asked(family: Project, hub: Hub, name):
    use_cases.lock(family.where)
    family.build()
    before = family.hashes()
    hub.fault = FATAL[name][0]
    hub.requests.clear()
    shutil.rmtree(family.root / "cache")
    shutil.rmtree(family.root / "out")
    family.build(locked=True)

    assert (before, []) == (family.hashes(), hub.requests)


@pytest.mark.parametrize("name", FATAL)
def test_with_a_lock_and_nothing_here_a_fault_is_the_same_fault(family: Project, hub: Hub, name):
    use_cases.lock(family.where)
    text = family.where.lock.read_bytes()
    shutil.rmtree(family.root.parent / "home")
    hub.fault, code, cause = FATAL[name]
    error = refusal(lambda: family.build(locked=True))

    assert code == error.exit_code
    assert cause in str(error)
    assert text == family.where.lock.read_bytes()
    assert not (family.root / "out").exists()


@pytest.mark.parametrize("name", HEALED)
def test_a_fault_that_passes_is_healed(family: Project, hub: Hub, name):
    hub.fault = HEALED[name]
    family.build()
    hub.fault = None
    clean = Project(family.root / "elsewhere")
    clean.root.mkdir()
    clean.write((family.root / "Modelfile.toml").read_text())
    clean.build()

    assert clean.hashes() == family.hashes()
    assert nowhere(family)


def test_a_file_spoilt_on_this_machine_is_fetched_again(family: Project, hub: Hub):
    family.build()
    before = family.hashes()
    large = max(blobs(family.root.parent / "home"), key=lambda path: path.stat().st_size)
    data = bytearray(large.read_bytes())
    data[-1] ^= 1
    large.chmod(0o644)
    large.write_bytes(data)
    touch(family)
    family.build()

    assert before == family.hashes()


@pytest.mark.parametrize("at", [0, 20, 60])
def test_a_header_spoilt_on_this_machine_is_fetched_again(family: Project, hub: Hub, at):
    """Whether it can be read any more or not; one that says something else takes a second run, for the plan was made of it."""
    family.build()
    before = family.hashes()
    large = max(blobs(family.root.parent / "home"), key=lambda path: path.stat().st_size)
    data = bytearray(large.read_bytes())
    data[at] ^= 1
    large.write_bytes(data)
    touch(family)
    with suppress(ModelbuildError):
        family.build()
    family.build()

    assert before == family.hashes()


def test_a_token_is_not_sent_to_where_the_large_files_are(family: Project, hub: Hub):
    family.build()

    assert any("authorization" in (name.lower() for name in request.headers) for request in hub.asked("/api/"))
    assert hub.asked("/blobs/")
    assert not any("authorization" in (name.lower() for name in request.headers) for request in hub.asked("/blobs/"))
