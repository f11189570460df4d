"""What a hub takes: repositories, branches, large files in one piece or in parts, commits; told by the client's own protocol."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from tests.support.hub import Handler, Hub, Repository

ATTRIBUTES = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
"""What a hub puts into a repository that it makes."""


@dataclass
class Store:
    """What was uploaded.

    Args:
        tokens: what each may do: "write" or "read"; the names of who has them are "someone" and "reader".
        part: bytes from which on a file is taken in parts of so many.
        content: large files by sha256.
        parts: pieces that have come, by (sha256, number).
        taken: bytes of bodies that brought content: pieces of large files, and commits.

    """

    tokens: dict[str, str] = field(default_factory=dict)
    part: int = 1 << 30
    content: dict[str, bytes] = field(default_factory=dict)
    parts: dict[tuple[str, int], bytes] = field(default_factory=dict)
    taken: int = 0


def answer(handler: Handler, method: str, path: str, body: bytes) -> bool:
    """Answer a request that publishes, or say that it is none."""
    for verb, pattern, act in _ROUTES:
        if verb == method and (match := re.fullmatch(pattern, path)):
            act(handler, body, *map(unquote, match.groups()))
            return True
    return False


def _json(handler: Handler, table: Any, status: int = 200) -> None:
    handler.answer(status, json.dumps(table).encode(), {"Content-Type": "application/json"})


def _role(handler: Handler) -> str:
    return handler.hub.store.tokens.get(handler.token, "")


def _whoami(handler: Handler, body: bytes) -> None:
    role = _role(handler)
    if not role:
        handler.refuse(401, message="Invalid credentials in Authorization header")
        return
    name = "someone" if role == "write" else "reader"
    _json(handler, {"type": "user", "name": name, "orgs": [], "auth": {"accessToken": {"displayName": "t", "role": role}}})


def _may_write(handler: Handler, owner: str) -> bool:
    """Tell whether the token may write to a namespace: those of "someone" are lab and someone; refuse otherwise."""
    role = _role(handler)
    if not role:
        handler.refuse(401, message="Invalid username or password.")
    elif role != "write" or owner not in ("lab", "someone"):
        handler.refuse(403, message=f"You don't have the rights to create a model under the namespace {owner}")
    else:
        return True
    return False


def _create(handler: Handler, body: bytes) -> None:
    wanted = json.loads(body)
    owner = wanted.get("organization") or "someone"
    repo = f"{owner}/{wanted['name']}"
    if not _may_write(handler, owner):
        return
    if repo in handler.hub.repositories:
        _json(handler, {"error": "You already created this model repo", "url": f"{handler.hub.url}/{repo}"}, 409)
        return
    made = handler.hub.repository(repo)
    made.private = wanted.get("visibility") == "private" or bool(wanted.get("private"))
    made.commit({".gitattributes": ATTRIBUTES})
    _json(handler, {"url": f"{handler.hub.url}/{repo}", "name": repo})


def _repository(handler: Handler, repo: str) -> Repository | None:
    """Find a repository that is to be written to, or refuse."""
    held = handler.hub.repositories.get(repo)
    if held is None:
        handler.refuse(404 if _role(handler) else 401, "RepoNotFound", "Repository not found")
    elif held.gated and handler.token != handler.hub.token:
        handler.refuse(403, "GatedRepo", "Access to this model is restricted")
    elif _may_write(handler, repo.partition("/")[0]):
        return held
    return None


def _branch(handler: Handler, body: bytes, repo: str, branch: str) -> None:
    if (held := _repository(handler, repo)) is None:
        return
    if branch in held.refs:
        handler.refuse(409, message="Reference already exists")
        return
    held.refs[branch] = held.refs["main"]
    _json(handler, {})


def _preupload(handler: Handler, body: bytes, repo: str, revision: str) -> None:
    if (held := _repository(handler, repo)) is None:
        return
    if revision not in held.refs:
        handler.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return
    wanted, files = json.loads(body), held.commits[held.refs[revision]]
    ignored = wanted.get("gitIgnore", files.get(".gitignore", b"").decode()).split()
    told = []
    for one in wanted["files"]:
        assert base64.b64decode(one["sample"])[:1] or not one["size"]
        large, held_now = one["size"] >= handler.hub.small, files.get(one["path"])
        oid = None if held_now is None else hashlib.sha256(held_now).hexdigest() if large else handler.git_sha1(held_now)
        told.append({"path": one["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": one["path"] in ignored, "oid": oid})
    _json(handler, {"files": told})


def _batch(handler: Handler, body: bytes, repo: str) -> None:
    if _repository(handler, repo) is None:
        return
    store, told = handler.hub.store, []
    for one in json.loads(body)["objects"]:
        oid, size = one["oid"], one["size"]
        entry: dict[str, Any] = {"oid": oid, "size": size}
        if oid not in store.content and not handler.hub.holds(oid):
            place = f"{handler.hub.elsewhere}/lfs/{oid}"
            header: dict[str, Any] = {}
            if size > store.part:
                header = {"chunk_size": str(store.part)} | {str(i + 1): f"{place}/{i + 1}" for i in range(-(-size // store.part))}
                place = f"{handler.hub.url}/lfs/{oid}/complete"
            verify = {"href": f"{handler.hub.url}/lfs/{repo}/verify"}
            entry["actions"] = {"upload": {"href": place, "header": header}, "verify": verify}
        told.append(entry)
    _json(handler, {"transfer": "basic", "objects": told})


def _whole(handler: Handler, body: bytes, oid: str) -> None:
    handler.hub.store.taken += len(body)
    if hashlib.sha256(body).hexdigest() != oid:
        handler.refuse(400, message="the content is not what it is called")
        return
    handler.hub.store.content[oid] = body
    handler.answer(200)


def _piece(handler: Handler, body: bytes, oid: str, number: str) -> None:
    store = handler.hub.store
    store.taken += len(body)
    store.parts[oid, int(number)] = body
    handler.answer(200, b"", {"ETag": f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'})


def _complete(handler: Handler, body: bytes, oid: str) -> None:
    store, listed = handler.hub.store, json.loads(body)["parts"]
    pieces = [store.parts.pop((oid, one["partNumber"])) for one in listed]
    assert [one["etag"] for one in listed] == [f'"{hashlib.md5(piece, usedforsecurity=False).hexdigest()}"' for piece in pieces]
    whole = b"".join(pieces)
    if hashlib.sha256(whole).hexdigest() != oid:
        handler.refuse(400, message="the content is not what it is called")
        return
    store.content[oid] = whole
    _json(handler, {})


def _verify(handler: Handler, body: bytes, repo: str) -> None:
    one = json.loads(body)
    held = handler.hub.store.content.get(one["oid"])
    if held is None or len(held) != one["size"]:
        handler.refuse(404, message="it has not come")
        return
    _json(handler, {})


def _commit(handler: Handler, body: bytes, repo: str, branch: str) -> None:
    if (held := _repository(handler, repo)) is None:
        return
    store, lines = handler.hub.store, [json.loads(line) for line in body.splitlines()]
    header = next(line["value"] for line in lines if line["key"] == "header")
    if branch not in held.refs:
        handler.refuse(404, "RevisionNotFound", f"Invalid rev id: {branch}")
        return
    if header.get("parentCommit", held.refs[branch]) != held.refs[branch]:
        handler.refuse(412, message="A commit has happened since. Please refresh and try again.")
        return
    files = dict(held.commits[held.refs[branch]])
    for line in lines:
        value = line["value"]
        match line["key"]:
            case "file":
                files[value["path"]] = base64.b64decode(value["content"])
            case "lfsFile":
                files[value["path"]] = handler.hub.content(value["oid"])
            case "deletedFile":
                del files[value["path"]]
    store.taken += sum(len(files[line["value"]["path"]]) for line in lines if line["key"] == "file")
    oid = held.commit(files, branch)
    held.messages[oid] = header["summary"]
    _json(handler, {"commitUrl": f"{handler.hub.url}/{repo}/commit/{oid}", "commitOid": oid, "pullRequestUrl": None})


def _yaml(handler: Handler, body: bytes) -> None:
    """Hold a card's front matter to what the hub asks of one; a card without is only warned of."""
    import yaml

    content = json.loads(body)["content"]
    match = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
    table = yaml.safe_load(match[1]) if match else None
    sound = match is None or (isinstance(table, dict) and isinstance(table.get("license", ""), str))
    errors = [] if sound else [{"message": "license must be a string"}]
    warnings = [] if match else [{"message": "empty or missing yaml metadata in repo card"}]
    _json(handler, {"errors": errors, "warnings": warnings}, 400 if errors else 200)


_REPO = r"([^/]+/[^/]+)"
_ROUTES: tuple[tuple[str, str, Callable[..., None]], ...] = (
    ("GET", "/api/whoami-v2", _whoami),
    ("POST", "/api/repos/create", _create),
    ("POST", "/api/validate-yaml", _yaml),
    ("POST", rf"/api/models/{_REPO}/branch/(.+)", _branch),
    ("POST", rf"/api/models/{_REPO}/preupload/(.+)", _preupload),
    ("POST", rf"/api/models/{_REPO}/commit/(.+)", _commit),
    ("POST", rf"/{_REPO}\.git/info/lfs/objects/batch", _batch),
    ("POST", rf"/lfs/{_REPO}/verify", _verify),
    ("POST", r"/lfs/([0-9a-f]{64})/complete", _complete),
    ("PUT", r"/lfs/([0-9a-f]{64})", _whole),
    ("PUT", r"/lfs/([0-9a-f]{64})/(\d+)", _piece),
)


def held_by(hub: Hub, oid: str) -> bytes | None:
    """Return a file of some repository by its sha256."""
    return next(
        (
            data
            for repo in hub.repositories.values()
            for files in repo.commits.values()
            for data in files.values()
            if hashlib.sha256(data).hexdigest() == oid
        ),
        None,
    )
