"""The batch API of the teacher's stand-in: files of questions, which are answered after some looks at their batch."""

import json
import time
from typing import Any, Callable

FINAL = ("completed", "expired", "failed")


class BatchDesk:
    """Files and batches. answer (Callable): body of a question -> its status and the body of its answer.

    looks (int): at a batch, until it has ended. limit (int): questions that a batch has time for; 0: all.
    """

    def __init__(self, answer: Callable[[bytes], tuple[int, Any]], looks: int, limit: int):
        self.answer, self.looks, self.limit = answer, looks, limit
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict] = {}
        self.seen: dict[str, int] = {}

    def reply(self, method: str, path: str, headers: dict[str, str], body: bytes) -> bytes | dict | None:
        """What a call gives: bytes of a file, or an object; None: there is no such address."""
        parts = path.removeprefix("/v1/").split("/")
        if (method, parts) == ("POST", ["files"]):
            return self._file(_uploaded(headers["content-type"], body))
        if method == "GET" and parts[0] == "files" and parts[2:] == ["content"]:
            return self.files[parts[1]]
        if (method, parts) == ("POST", ["batches"]):
            return self._batch(json.loads(body))
        if (method, parts) == ("GET", ["batches"]):
            newest_first = list(self.batches.values())[::-1]
            return {"object": "list", "data": newest_first, "has_more": False, "first_id": None, "last_id": None}
        if method == "GET" and parts[0] == "batches" and len(parts) == 2:
            return self._look(parts[1])
        return None

    def _file(self, content: bytes) -> dict:
        id = f"file-{len(self.files)}"
        self.files[id] = content
        size = {"bytes": len(content), "created_at": int(time.time()), "filename": "requests.jsonl"}
        return {"id": id, "object": "file", "purpose": "batch", "status": "processed", **size}

    def _batch(self, asked: dict) -> dict:
        id = f"batch_{len(self.batches)}"
        own = {name: asked[name] for name in ("input_file_id", "endpoint", "completion_window", "metadata")}
        self.batches[id] = {"id": id, "object": "batch", "created_at": int(time.time()), "status": "in_progress", **own}
        self.seen[id] = 0
        return self.batches[id]

    def _look(self, id: str) -> dict:
        batch = self.batches[id]
        self.seen[id] += 1
        if self.seen[id] >= self.looks and batch["status"] not in FINAL:
            self._end(batch)
        return batch

    def _end(self, batch: dict) -> None:
        lines = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        if len({line["custom_id"] for line in lines}) < len(lines):
            errors = {"object": "list", "data": [{"code": "duplicate", "message": "Two questions have one custom_id."}]}
            batch.update(status="failed", errors=errors)
            return
        in_time = lines[: self.limit or None]
        output, errors = [], []
        for line in in_time:
            status, body = self.answer(json.dumps(line["body"]).encode())
            response = {"status_code": status, "request_id": line["custom_id"][:9], "body": body}
            row = {"id": f"batch_req_{line['custom_id'][:9]}", "custom_id": line["custom_id"], "response": response}
            (output if status == 200 else errors).append({**row, "error": None})
        late = {"code": "batch_expired", "message": "This request could not be executed in time."}
        errors += [{"custom_id": line["custom_id"], "response": None, "error": late} for line in lines[len(in_time) :]]
        batch["status"] = "expired" if len(in_time) < len(lines) else "completed"
        for name, rows in (("output_file_id", output), ("error_file_id", errors)):
            content = "".join(json.dumps(row) + "\n" for row in rows).encode()
            batch[name] = self._file(content)["id"] if rows else None


def _uploaded(content_type: str, body: bytes) -> bytes:
    """The file of a form."""
    boundary = content_type.partition("boundary=")[2].strip('"').encode()
    for part in body.split(b"--" + boundary):
        head, _, content = part.partition(b"\r\n\r\n")
        if b'name="file"' in head:
            return content.removesuffix(b"\r\n")
    raise KeyError("file")
