"""A server of this machine that answers as the Hugging Face Hub does when a folder is uploaded and read."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Hub:
    """What was uploaded.

    Attributes:
        files: Their bytes by path, `ORG/NAME/config.json`.
        private: The repositories that were made private.
        messages: Of the commits.
        address: Of the server.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.private: list[str] = []
        self.messages: list[str] = []
        self.address = ""


class _Handler(http.server.BaseHTTPRequestHandler):
    hub: Hub

    def do_POST(self) -> None:
        lines = self.rfile.read(int(self.headers["Content-Length"])).decode().splitlines()
        asked = [json.loads(line) for line in lines]
        parts = self.path.split("/")
        if self.headers.get("Authorization") != "Bearer right":
            self._answer({"error": "Invalid username or password."}, 401)
        elif self.path == "/api/repos/create":
            name = f"{asked[0].get('organization', 'me')}/{asked[0]['name']}"
            is_private = asked[0].get("private") or asked[0].get("visibility") == "private"
            self.hub.private += [name] if is_private else []
            self._answer({"url": f"{self.hub.address}/{name}", "name": name})
        elif self.path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif parts[5] == "preupload":
            files = [{**file, "uploadMode": "regular", "shouldIgnore": False} for file in asked[0]["files"]]
            self._answer({"files": files})
        else:
            self._commit("/".join(parts[3:5]), asked)

    def _commit(self, repository: str, asked: list[dict]) -> None:
        for line in asked:
            if line["key"] == "file":
                content = base64.b64decode(line["value"]["content"])
                self.hub.files[f"{repository}/{line['value']['path']}"] = content
            elif line["key"] == "header":
                self.hub.messages.append(line["value"]["summary"])
        url = f"{self.hub.address}/{repository}/commit/{'0' * 40}"
        self._answer({"success": True, "commitOid": "0" * 40, "commitUrl": url, "hookOutput": ""})

    def do_HEAD(self) -> None:
        self._file(with_body=False)

    def do_GET(self) -> None:
        self._file(with_body=True)

    def _file(self, *, with_body: bool) -> None:
        repository, _, rest = self.path.strip("/").partition("/resolve/")
        content = self.hub.files.get(f"{repository}/{rest.partition('/')[2]}")
        if content is None:
            self._answer({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
            return
        headers = {"X-Repo-Commit": "0" * 40, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
        self._send(content, 200, headers, with_body=with_body)

    def _answer(self, document: dict, status: int = 200, headers: dict[str, str] | None = None) -> None:
        more = {"Content-Type": "application/json", **(headers or {})}
        self._send(json.dumps(document).encode(), status, more, with_body=self.command != "HEAD")

    def _send(self, content: bytes, status: int, headers: dict[str, str], *, with_body: bool) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@contextmanager
def hub_stand_in() -> Iterator[Hub]:
    """The server, while the block runs."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
