"""A hub on this machine: real files over HTTP, with commits, branches, gates and faults, for the real client."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support import hubuploads
from tests.support.hubuploads import Store

SMALL = 4096
"""Files of at least so many bytes are large ones, known by sha256 and kept elsewhere; git's sha1 knows the others."""


def git_sha1(data: bytes) -> str:
    """Hash as git names a blob."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@dataclass
class Repository:
    """Commits by their id, each a table of files; branches and tags by name."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    private: bool = False
    messages: dict[str, str] = field(default_factory=dict)

    def commit(self, files: Mapping[str, bytes], ref: str = "main") -> str:
        """Add a commit and move a branch to it."""
        told = json.dumps([[name, hashlib.sha256(data).hexdigest()] for name, data in sorted(files.items())]).encode()
        name = hashlib.sha1(told + str(len(self.commits)).encode(), usedforsecurity=False).hexdigest()
        self.commits[name] = dict(files)
        self.refs[ref] = name
        return name


@dataclass
class Request:
    """What was asked."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


Fault = Callable[["Handler", "Request"], bool]
"""Answers a request in place of the hub, or returns False."""


class Hub:
    """The server's state: repositories by id, requests seen, and what goes wrong."""

    def __init__(self) -> None:
        """Start empty."""
        self.repositories: dict[str, Repository] = {}
        self.requests: list[Request] = []
        self.fault: Fault | None = None
        self.token = ""
        self.url = ""
        self.elsewhere = ""
        """Where large files are, by another name of this machine: no token may go there."""
        self.store, self.small = Store(), SMALL

    def repository(self, repo: str) -> Repository:
        """Return a repository, made at need."""
        return self.repositories.setdefault(repo, Repository())

    def content(self, oid: str) -> bytes:
        """Return a large file by its sha256, uploaded or of some repository."""
        found = self.store.content.get(oid) or hubuploads.held_by(self, oid)
        assert found is not None, oid
        return found

    def holds(self, oid: str) -> bool:
        """Tell whether a large file need not be sent."""
        return hubuploads.held_by(self, oid) is not None

    def put(self, repo: str, directory: Path, ref: str = "main") -> str:
        """Commit a directory."""
        return self.repository(repo).commit({path.name: path.read_bytes() for path in sorted(directory.iterdir())}, ref)

    def asked(self, word: str) -> list[Request]:
        """Return the requests whose path holds a word."""
        return [request for request in self.requests if word in request.path]


class Handler(BaseHTTPRequestHandler):
    """Answers as the hub does: its API's listing of a revision, and the files of one, the large ones by a redirect."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    hub: Hub

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._serve()

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    git_sha1 = staticmethod(git_sha1)

    @property
    def token(self) -> str:
        """What a request is authorised by."""
        return str(self.headers.get("Authorization", "")).removeprefix("Bearer ")

    def answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None, *, send: int | None = None) -> None:
        """Answer; `send` cuts the body short of what its length says."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if send is None else body[:send])
        if send is not None:
            self.wfile.flush()
            self.close_connection = True

    def refuse(self, status: int, code: str = "", message: str = "") -> None:
        """Refuse as the hub does."""
        headers = {name: value for name, value in (("X-Error-Code", code), ("X-Error-Message", message)) if value}
        self.answer(status, json.dumps({"error": message or code}).encode(), headers)

    def _serve(self) -> None:
        request = Request(self.command, self.path, dict(self.headers), self._body())
        self.hub.requests.append(request)
        if self.hub.fault and self.hub.fault(self, request):
            return
        path = self.path.partition("?")[0]
        if hubuploads.answer(self, self.command, path, request.body):
            return
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/(.+)", path):
            self._listing(match[1], match[2].replace("%2F", "/"))
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)", path):
            self._listing(match[1], "main")
        elif match := re.fullmatch(r"/blobs/([0-9a-f]{64})", path):
            self._bytes(self.hub.content(match[1]), {})
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._file(match[1], match[2].replace("%2F", "/"), match[3])
        else:
            self.refuse(404, message="no such page")

    def _body(self) -> bytes:
        """Read what comes with a request: of a length that it says, or in chunks."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().strip() or b"0", 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _found(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Find a commit, or refuse."""
        held, token = self.hub.repositories.get(repo), self.token
        known = bool(token) and (token == self.hub.token or token in self.hub.store.tokens)
        if held is None or (held.private and not known):
            self.refuse(401 if not known else 404, "RepoNotFound", "Repository not found")
        elif held.gated and token != (self.hub.token or None) and "/resolve/" in self.path:
            self.refuse(403 if token else 401, "GatedRepo", "Access to this model is restricted")
        elif (commit := held.refs.get(revision, revision)) not in held.commits:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            return commit, held.commits[commit]
        return None

    def _listing(self, repo: str, revision: str) -> None:
        if found := self._found(repo, revision):
            commit, files = found
            siblings = [
                {"rfilename": name, "size": len(data), "blobId": git_sha1(data)}
                | (
                    {"lfs": {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "pointerSize": 134}}
                    if len(data) >= SMALL
                    else {}
                )
                for name, data in files.items()
            ]
            table = {
                "_id": "1",
                "id": repo,
                "modelId": repo,
                "sha": commit,
                "siblings": siblings,
                "private": self.hub.repositories[repo].private,
                "tags": [],
                "downloads": 0,
            }
            self.answer(200, json.dumps(table).encode(), {"Content-Type": "application/json"})

    def _file(self, repo: str, revision: str, name: str) -> None:
        if found := self._found(repo, revision):
            commit, files = found
            if name not in files:
                self.refuse(404, "EntryNotFound", "Entry not found")
                return
            data, headers = files[name], {"X-Repo-Commit": commit}
            if len(data) < SMALL:
                self._bytes(data, {**headers, "ETag": f'"{git_sha1(data)}"'})
                return
            sha = hashlib.sha256(data).hexdigest()
            more = {"X-Linked-Etag": f'"{sha}"', "X-Linked-Size": str(len(data)), "Location": f"{self.hub.elsewhere}/blobs/{sha}"}
            self.answer(302, b"", headers | more)

    def _bytes(self, data: bytes, headers: Mapping[str, str]) -> None:
        """Send bytes, or the range of them that was asked for."""
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not match:
            self.answer(200, data, {**headers, "Content-Length": str(len(data)), "Accept-Ranges": "bytes"})
            return
        start = int(match[1])
        stop = min(int(match[2]) + 1 if match[2] else len(data), len(data))
        if start >= len(data):
            self.answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            return
        piece = data[start:stop]
        self.answer(206, piece, {**headers, "Content-Length": str(len(piece)), "Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"})


@contextmanager
def serving() -> Iterator[Hub]:
    """Serve a hub on loopback."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    hub.elsewhere = f"http://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
