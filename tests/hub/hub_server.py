"""A small Hub on the loopback interface: as much of its HTTP API as huggingface_hub uses to push and load models.

Repositories with branches and commits, regular and LFS files, tokens with and without the right to write, and faults
on demand.
"""

import base64
import contextlib
import hashlib
import json
import re
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

WRITE_TOKEN, READ_TOKEN = "hf_write", "hf_read"
USER = "me"


@dataclass
class Repository:
    """Commits are whole trees: path -> content."""

    private: bool
    settings: dict
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, branch: str, tree: dict[str, bytes], message: str) -> str:
        oid = hashlib.sha1(f"{branch}{len(self.commits)}".encode()).hexdigest()
        self.commits[oid] = tree
        self.branches[branch] = oid
        self.messages.append(message)
        return oid

    def find(self, revision: str) -> str | None:
        return self.branches.get(revision, revision if revision in self.commits else None)


class HubServer(ThreadingHTTPServer):
    """The Hub; `url` is its endpoint."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, Repository] = {}
        self.lfs_objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        # (pattern of "METHOD /path", status or "drop" or "lose the answer"), each used once
        self.faults: list[tuple[str, int | str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextlib.contextmanager
def serve_hub():
    """A running `HubServer`."""
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _RefusalError(Exception):
    def __init__(self, status: int, message: str, code: str = ""):
        super().__init__(message)
        self.status, self.code = status, code


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    def log_message(self, *args):
        pass

    def do_GET(self):
        self._answer()

    # names of the standard library
    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def _answer(self):
        self.parts = urlsplit(self.path)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        line = f"{self.command} {unquote(self.parts.path)}"
        self.server.requests.append(line)
        for fault in self.server.faults:
            if re.search(fault[0], line):
                self.server.faults.remove(fault)
                if fault[1] == "drop":
                    self._drop()
                    return
                if fault[1] == "lose the answer":
                    self._send = lambda *args: self._drop()
                    break
                self._send(fault[1], {"error": "made to fail"})
                return
        try:
            for pattern, method in _ROUTES:
                match = re.fullmatch(pattern, line)
                if match:
                    getattr(self, method)(**{name: unquote(value) for name, value in match.groupdict().items()})
                    return
            raise _RefusalError(404, f"no such address: {line}", "EntryNotFound")
        except _RefusalError as refusal:
            self._send(refusal.status, {"error": str(refusal)}, {"X-Error-Code": refusal.code})

    def _drop(self):
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def _send(self, status: int, content, headers: dict | None = None):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        headers = {"Content-Length": len(data), **(headers or {})}
        if not isinstance(content, bytes):
            headers.setdefault("Content-Type", "application/json")
        for name, value in headers.items():
            self.send_header(name, str(value))
        if "X-Error-Code" in headers:
            self.send_header("X-Error-Message", json.loads(data)["error"])
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _token(self) -> str | None:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None

    def _need_to_write(self):
        if self._token() not in (WRITE_TOKEN, READ_TOKEN):
            raise _RefusalError(401, "Invalid username or password.")
        if self._token() == READ_TOKEN:
            raise _RefusalError(403, "Forbidden: this token may only read.")

    def _repository(self, kind: str, name: str) -> Repository:
        repository = self.server.repositories.get(f"{kind}/{name}")
        is_hidden = repository is not None and repository.private and self._token() is None
        if repository is None or is_hidden:
            raise _RefusalError(401 if self._token() is None else 404, "Repository not found", "RepoNotFound")
        return repository

    def _tree(self, kind: str, name: str, revision: str) -> tuple[str, dict[str, bytes]]:
        repository = self._repository(kind, name)
        oid = repository.find(revision)
        if oid is None:
            raise _RefusalError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return oid, repository.commits[oid]

    def whoami(self):
        if self._token() not in (WRITE_TOKEN, READ_TOKEN):
            raise _RefusalError(401, "Invalid username or password.")
        self._send(200, {"type": "user", "name": USER, "auth": {}, "orgs": []})

    def create(self):
        self._need_to_write()
        asked = json.loads(self.body)
        kind = f"{asked.get('type') or 'model'}s"
        name = f"{asked.get('organization') or USER}/{asked['name']}"
        url = f"{self.server.url}/{'spaces/' if kind == 'spaces' else ''}{name}"
        if f"{kind}/{name}" in self.server.repositories:
            self._send(409, {"error": "You already created this repo", "url": url})
            return
        is_private = asked.get("visibility") == "private" or bool(asked.get("private"))
        repository = Repository(private=is_private, settings=asked)
        repository.commit("main", {".gitattributes": b"*.safetensors filter=lfs\n"}, "initial commit")
        self.server.repositories[f"{kind}/{name}"] = repository
        self._send(200, {"url": url})

    def branch(self, kind, name, revision):
        self._need_to_write()
        repository = self._repository(kind, name)
        if revision in repository.branches:
            raise _RefusalError(409, "Reference already exists")
        repository.branches[revision] = repository.branches["main"]
        self._send(200, {})

    def info(self, kind, name, revision="main"):
        oid, tree = self._tree(kind, name, revision)
        siblings = [{"rfilename": path} for path in sorted(tree)]
        private = self._repository(kind, name).private
        self._send(200, {"id": name, "sha": oid, "private": private, "siblings": siblings, "tags": []})

    def tree(self, kind, name, revision, folder=""):
        _, tree = self._tree(kind, name, revision)
        found = {path: data for path, data in sorted(tree.items()) if path.startswith(folder)}
        if folder and not found:
            raise _RefusalError(404, "no such folder", "EntryNotFound")
        entries = [
            {"type": "file", "path": path, "size": len(data), "oid": _git_oid(data)} for path, data in found.items()
        ]
        self._send(200, entries)

    def validate_yaml(self):
        self._send(200, {"warnings": [], "errors": []})

    def preupload(self, kind, name, revision):
        self._need_to_write()
        _, tree = self._tree(kind, name, revision)
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith((".safetensors", ".png")) else "regular",
                "shouldIgnore": False,
                "oid": _git_oid(tree[file["path"]]) if file["path"] in tree else None,
            }
            for file in json.loads(self.body)["files"]
        ]
        self._send(200, {"files": files})

    def lfs_batch(self, name):
        self._need_to_write()
        objects = []
        for wanted in json.loads(self.body)["objects"]:
            entry = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.server.lfs_objects:
                entry["actions"] = {
                    "upload": {"href": f"{self.server.url}/lfs/{wanted['oid']}"},
                    "verify": {"href": f"{self.server.url}/lfs-verify"},
                }
            objects.append(entry)
        self._send(200, {"transfer": "basic", "objects": objects})

    def lfs_put(self, oid):
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise _RefusalError(400, "content does not have this hash")
        self.server.lfs_objects[oid] = self.body
        self._send(200, {})

    def lfs_verify(self):
        asked = json.loads(self.body)
        data = self.server.lfs_objects.get(asked["oid"])
        if data is None or len(data) != asked["size"]:
            raise _RefusalError(404, "object is not here")
        self._send(200, {})

    def commit(self, kind, name, revision):
        self._need_to_write()
        _, tree = self._tree(kind, name, revision)
        tree, message = dict(tree), ""
        for line in self.body.decode().splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                message = value["summary"]
            elif entry["key"] == "file":
                tree[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                tree[value["path"]] = self.server.lfs_objects[value["oid"]]
        oid = self._repository(kind, name).commit(revision, tree, message)
        self._send(200, {"success": True, "commitOid": oid, "commitUrl": f"{self.server.url}/{name}/commit/{oid}"})

    def resolve(self, name, revision, path, kind="models"):
        oid, tree = self._tree(kind, name, revision)
        if path not in tree:
            self._send(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": oid})
            return
        data = tree[path]
        headers = {"X-Repo-Commit": oid, "ETag": f'"{hashlib.sha256(data).hexdigest()}"', "Accept-Ranges": "bytes"}
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if start:
            data = data[int(start[1]) :]
        self._send(206 if start else 200, data, headers)


def _git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


_REPO = r"(?P<kind>models|spaces)/(?P<name>[^/]+/[^/]+)"
_ROUTES = [
    (r"GET /api/whoami-v2", "whoami"),
    (r"POST /api/repos/create", "create"),
    (r"POST /api/validate-yaml", "validate_yaml"),
    (rf"POST /api/{_REPO}/branch/(?P<revision>.+)", "branch"),
    (rf"GET /api/{_REPO}/revision/(?P<revision>.+)", "info"),
    (rf"GET /api/{_REPO}/tree/(?P<revision>[^/]+)/?(?P<folder>.*)", "tree"),
    (rf"POST /api/{_REPO}/preupload/(?P<revision>.+)", "preupload"),
    (rf"POST /api/{_REPO}/commit/(?P<revision>.+)", "commit"),
    (rf"GET /api/{_REPO}", "info"),
    (r"POST /(?:spaces/)?(?P<name>[^/]+/[^/]+)\.git/info/lfs/objects/batch", "lfs_batch"),
    (r"PUT /lfs/(?P<oid>\w+)", "lfs_put"),
    (r"POST /lfs-verify", "lfs_verify"),
    (r"(?:GET|HEAD) /(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)", "resolve"),
]
