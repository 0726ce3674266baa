"""Faults a test switches on while a service runs: which request gets which one, and the port or file that says so.

A fault is `NAME[:COUNT][@KIND]` or `NAME:SHARE%[@KIND]`, several are separated by commas and used up one after the other:
`500:2,cut-after:1` fails two requests, loses one answer and is well again. KIND is `insert` or `query`; without it both are
meant. Names are in `NAMES`, and `error-CODE` is any of `ERRORS`. `ok` ends all faults, `stats` only asks.
"""

import json
import pathlib
import random
import re
import socketserver
import sys
import threading
import time

# Answered with status 500 and the engine's usual words.
ERRORS = {
    159: ("TIMEOUT_EXCEEDED", "Timeout exceeded: elapsed 5001.2 ms, maximum: 5000 ms"),
    202: ("TOO_MANY_SIMULTANEOUS_QUERIES", "Too many simultaneous queries. Maximum: 100"),
    241: ("MEMORY_LIMIT_EXCEEDED", "Memory limit (total) exceeded: would use 14.40 GiB, maximum: 14.40 GiB"),
    242: ("TABLE_IS_READ_ONLY", "Table is in readonly mode: replica_path=/clickhouse/tables/1"),
    243: ("NOT_ENOUGH_SPACE", "Cannot reserve 1.00 MiB, not enough space"),
    252: ("TOO_MANY_PARTS", "Too many parts (3000 with average size of 1.00 KiB) in table. Merges are processing significantly "
          "slower than inserts"),
    319: ("UNKNOWN_STATUS_OF_INSERT", "Unknown status, client must retry"),
    999: ("KEEPER_EXCEPTION", "Coordination::Exception: Session expired"),
}
NAMES = {
    "500": "TOO_MANY_PARTS, not executed",
    "full": "NOT_ENOUGH_SPACE, not executed",
    "hang": "read, never answered, not executed",
    "slow": "answered late",
    "cut": "half of the body is read, then the connection ends",
    "cut-after": "executed, then the connection ends without an answer",
    # Inserts are not executed.
    "exception-in-200": "status 200, half of the answer, then an exception as servers since 25.11 write it",
    "exception-in-200-old": "the same as older servers write it",
    "refuse": "connections are reset, those that are open as well",
}
ALIASES = {"500": "error-252", "full": "error-243"}
SPEC = re.compile(r"(?P<name>[a-z0-9-]+?)(:(?P<count>\d+)(?P<share>%)?)?(@(?P<kind>insert|query))?")


class Fault:
    def __init__(self, text):
        found = SPEC.fullmatch(text)
        name = ALIASES.get(found["name"], found["name"]) if found else ""
        known = name in NAMES or (name.startswith("error-") and name[6:].isdigit() and int(name[6:]) in ERRORS)
        if not known:
            raise ValueError(f"unknown fault `{text}`, expected NAME[:COUNT|:SHARE%][@insert|@query] with a name of "
                             f"{', '.join(NAMES)}, error-CODE")
        self.text, self.name, self.kind = text, name, found["kind"]
        number = int(found["count"]) if found["count"] else None
        self.share = number / 100 if found["share"] else 1.0
        self.left = None if found["share"] else number


class Faults:
    """What is to go wrong next. Shares are drawn from a seed, so that a test sees the same run each time."""

    def __init__(self, seed=1):
        self.lock = threading.Lock()
        self.random = random.Random(seed)
        self.queue, self.requests, self.inserts, self.fired = [], 0, 0, 0

    def set(self, text):
        """`text` as above. Answers the state as JSON; ValueError leaves the state as it was."""
        text = text.strip()
        if text not in ("stats", ""):
            fresh = [] if text == "ok" else [Fault(part.strip()) for part in text.split(",")]
            with self.lock:
                self.queue = fresh
        return self.stats()

    def stats(self):
        """`requests` and `inserts` count what was executed, `fired` the faults."""
        with self.lock:
            waiting = [{"fault": fault.text, "left": fault.left} for fault in self.queue]
            return json.dumps({"faults": waiting, "requests": self.requests, "inserts": self.inserts, "fired": self.fired})

    def executed(self, kind):
        with self.lock:
            self.requests += 1
            self.inserts += kind == "insert"

    def refuses(self):
        """Whether connections are refused until somebody says otherwise. Counts nothing."""
        with self.lock:
            return bool(self.queue) and (self.queue[0].name, self.queue[0].left) == ("refuse", None)

    def take(self, kind, only=None):
        """The name of the fault that a request of this kind meets, or None. `kind` may be None: not known yet."""
        with self.lock:
            while self.queue and self.queue[0].left == 0:
                self.queue.pop(0)
            if not self.queue:
                return None
            fault = self.queue[0]
            if (only is not None and fault.name != only) or (fault.kind is not None and fault.kind != kind):
                return None
            if fault.share < 1 and self.random.random() >= fault.share:
                return None
            if fault.left is not None:
                fault.left -= 1
            self.fired += 1
            return fault.name


class Control(socketserver.ThreadingTCPServer):
    """One line in, one line of JSON out; `curl 127.0.0.1:PORT/cut:3` works as well."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, port, faults):
        self.faults = faults
        super().__init__(("127.0.0.1", port), _Line)


class _Line(socketserver.StreamRequestHandler):
    def handle(self):
        line = self.rfile.readline(4096).decode(errors="replace").strip()
        http = re.fullmatch(r"[A-Z]+ /(\S*) HTTP/1\.[01]", line)
        try:
            answer, status = self.server.faults.set(http[1].replace("%25", "%") if http else line), "200 OK"
        except ValueError as error:
            answer, status = json.dumps({"error": str(error)}), "400 Bad Request"
        if http:
            # The headers are read, since closing a socket with unread bytes would take the answer along.
            while self.rfile.readline(4096).strip():
                pass
            self.wfile.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(answer) + 1}\r\nConnection: close\r\n\r\n".encode())
        self.wfile.write(answer.encode() + b"\n")


def follow(path, faults, period=0.1):
    """Takes over what a control file says whenever that changes. For a thread of its own."""
    last = None
    while True:
        try:
            text = pathlib.Path(path).read_text()
        except OSError:
            text = None
        if text is not None and text != last:
            try:
                faults.set(text)
            except ValueError as error:
                print(f"{path}: {error}", file=sys.stderr, flush=True)
        last = text
        time.sleep(period)
