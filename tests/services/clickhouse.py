#!/usr/bin/env python3
"""ClickHouse for tests: its real engine behind the HTTP interface that clients and curl know, with faults on demand.

    clickhouse.py --dir DATA --port 0 --users writer:secret,reader:secret2:readonly --control-port 0

prints `listening on 127.0.0.1:PORT control on 127.0.0.1:PORT` when it is ready. The folder outlives it. `faults.py` says what the
control port understands. An answer is sent whole, as a server does with wait_end_of_query=1.
"""

import argparse
import base64
import http.server
import os
import random
import re
import select
import socket
import socketserver
import ssl
import string
import struct
import sys
import threading
import time
import urllib.parse
import uuid

import caches
import certs

if __name__ == "__main__":
    caches.become_engine_python()

from engine import Engine, EngineError, is_insert  # noqa: E402: only the venv's Python has the engine
from faults import ERRORS, Control, Faults, follow  # noqa: E402
from lifeline import Lifeline  # noqa: E402

# Parameters of the HTTP interface itself; all others are settings.
RESERVED = {
    "query", "database", "default_format", "user", "password", "quota_key", "query_id", "session_id", "session_timeout",
    "session_check", "close_session", "role", "compress", "decompress", "wait_end_of_query", "buffer_size", "stacktrace",
    "client_protocol_version",
}
# What the server does to a user who may less. Statements of ours, see `Engine.run`. A reader's are the profile of
# store/migrations/users.sql as far as it changes answers.
ROLES = {
    "": (),
    "readonly": ("SET join_use_nulls = 1, aggregate_functions_null_for_empty = 1, prefer_column_name_to_alias = 1",
                 "SET readonly = 2"),
    "noddl": ("SET allow_ddl = 0",),
    # A server set up by somebody who had other things in mind; `vedette` sends what it needs with each request.
    "contrary": ("SET async_insert = 1, wait_for_async_insert = 0, insert_deduplicate = 0, deduplicate_insert = 'disable', "
                 "deduplicate_blocks_in_dependent_materialized_views = 0, max_partitions_per_insert_block = 1, "
                 "input_format_with_types_use_header = 0, materialized_views_ignore_errors = 1, max_insert_block_size = 100, "
                 "min_insert_block_size_rows = 1, min_insert_block_size_bytes = 1",),
}
# From the server's exceptionCodeToHTTPStatus; any other code is a 500.
STATUS = {
    code: status
    for status, codes in {
        400: (6, 15, 26, 27, 36, 38, 41, 43, 44, 49, 53, 62, 72, 117, 167, 168, 321, 427, 441, 675, 676),
        401: (194,),
        403: (192, 193, 497, 512, 516),
        404: (46, 47, 50, 56, 60, 63, 73, 78, 81, 111, 115, 119, 511),
        408: (159,),
        501: (48,),
        503: (76, 209, 439),
    }.items()
    for code in codes
}
NO_LINGER = struct.pack("ii", 1, 0)


class Cut(Exception):
    """The connection ends here, by a fault or because the client has gone."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "ClickHouse", ""
    # Small answers go out at once instead of waiting for the client's acknowledgement.
    disable_nagle_algorithm = True

    def log_message(self, *args):
        if self.server.verbose:
            super().log_message(*args)

    def handle_one_request(self):
        # Whoever is refused loses the connections that nobody uses just now, too.
        while not select.select([self.connection], [], [], 0.1)[0]:
            if self.server.faults.refuses():
                return self.reset()
        super().handle_one_request()

    def do_GET(self):
        self.serve()

    def do_POST(self):
        self.serve()

    def do_HEAD(self):
        self.serve()

    def serve(self):
        try:
            address = urllib.parse.urlsplit(self.path)
            if self.server.faults.take(None, only="refuse"):
                raise Cut
            if address.path in ("/ping", "/replicas_status"):
                return self.send(200, b"Ok.\n")
            self.answer(urllib.parse.parse_qsl(address.query, keep_blank_values=True))
        except EngineError as error:
            self.send_error_of(error)
        except (Cut, OSError):
            self.reset()

    def answer(self, pairs):
        url = dict(pairs)
        kind = "insert" if is_insert(url.get("query", "")) else None
        # An insert in the body, as curl sends it, is known only after the body is read: then `cut` reads all of it.
        fault = self.server.faults.take(kind) if kind else None
        body = self.read_body(half=fault == "cut")
        query, body, parameters = self.parts(url.pop("query", ""), body)
        if kind is None:
            kind = "insert" if is_insert(query or body[:200].decode(errors="replace")) else "query"
            fault = self.server.faults.take(kind)
        self.before_running(fault)

        before = self.rights(url)
        if not query and not body:
            return self.send(200, b"Ok.\n")
        parameters += [(name, value) for name, value in pairs if name.startswith("param_")]
        settings = [(name, value) for name, value in pairs if name not in RESERVED and not name.startswith("param_")]
        if url.get("compress") == "1" or url.get("decompress") == "1":
            raise EngineError(48, "Code: 48. DB::Exception: compress and decompress are not spoken here. (NOT_IMPLEMENTED)")
        output = url.get("default_format") or self.headers.get("X-ClickHouse-Format") or "TabSeparated"
        database = url.get("database") or self.headers.get("X-ClickHouse-Database") or ""
        if fault in ("exception-in-200", "exception-in-200-old") and kind == "insert":
            return self.send_exception_in_200(b"", fault)
        answer, summary = self.server.engine.run(
            query, body, before=before, database=database, settings=settings, parameters=parameters, output=output
        )
        self.server.faults.executed(kind)
        if fault == "cut-after":
            raise Cut
        if fault in ("exception-in-200", "exception-in-200-old"):
            return self.send_exception_in_200(answer[: len(answer) // 2], fault)
        headers = {"X-ClickHouse-Summary": summary, "X-ClickHouse-Format": output, "X-ClickHouse-Exception-Tag": tag()}
        self.send(200, answer, headers | {"X-ClickHouse-Query-Id": url.get("query_id") or str(uuid.uuid4())})

    def before_running(self, fault):
        if fault in ("cut", "refuse"):
            raise Cut
        if fault == "hang":
            # Until the client gives up, or sends more.
            select.select([self.connection], [], [])
            raise Cut
        if fault == "slow":
            time.sleep(self.server.slow)
        if fault is not None and fault.startswith("error-"):
            raise injected(int(fault[6:]))

    def rights(self, url):
        """The statements that bind this user; EngineError when there is none such."""
        user, password = self.headers.get("X-ClickHouse-User"), self.headers.get("X-ClickHouse-Key")
        basic = self.headers.get("Authorization", "")
        if user is None and basic.startswith("Basic "):
            user, _, password = base64.b64decode(basic[6:]).decode(errors="replace").partition(":")
        if user is None:
            user, password = url.get("user"), url.get("password")
        user = user or "default"
        known, role = self.server.users.get(user, (None, ""))
        if known is None or known != (password or ""):
            raise EngineError(516, f"Code: 516. DB::Exception: {user}: Authentication failed: password is incorrect, or there is "
                              "no user with such name. (AUTHENTICATION_FAILED)")
        # As the server does, so that a link cannot change anything.
        return ROLES["readonly"] if self.command != "POST" else ROLES[role]

    def parts(self, query, body):
        """Query, rows and parameters; with parameters, the Rust client sends the query as a field of a form."""
        kind = self.headers.get("Content-Type", "")
        boundary = re.match(r"multipart/form-data;.*boundary=\"?([^\";]+)", kind)
        if boundary is None:
            return query, body, []
        fields = []
        for part in body.split(b"--" + boundary[1].encode())[1:-1]:
            head, _, value = part.partition(b"\r\n\r\n")
            name = re.search(rb'name="([^"]*)"', head)
            fields.append((name[1].decode() if name else "", value.removesuffix(b"\r\n").decode()))
        named = dict(fields)
        return query or named.get("query", ""), b"", [field for field in fields if field[0].startswith("param_")]

    def read_body(self, half=False):
        """All of it, or half of what arrives first. A body that ends too early is a Cut: nothing of it may be executed."""
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            length = int(self.headers.get("Content-Length") or 0)
            return self.exactly(length // 2 if half else length)
        pieces = []
        while True:
            line = self.rfile.readline(1024)
            if not line.endswith(b"\n"):
                raise Cut
            length = int(line.split(b";")[0], 16)
            if half:
                return self.exactly(length // 2)
            if length == 0:
                while self.rfile.readline(1024).strip():
                    pass
                return b"".join(pieces)
            pieces.append(self.exactly(length))
            self.exactly(2)

    def exactly(self, length):
        data = self.rfile.read(length)
        if len(data) < length:
            raise Cut
        return data

    def send(self, status, body, headers=None):
        """Without a body (None) the caller sends chunks."""
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=UTF-8")
        self.send_header("X-ClickHouse-Server-Display-Name", "vedette-tests")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if body is not None:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if body and self.command != "HEAD":
            self.wfile.write(body)

    def send_error_of(self, error):
        text = self.server.worded(error) + "\n"
        self.send(STATUS.get(error.code, 500), text.encode(), {"X-ClickHouse-Exception-Code": str(error.code)})

    def send_exception_in_200(self, data, fault):
        """As a chunk of its own: the Rust client looks for an exception at the end of each piece that it receives."""
        text = (self.server.worded(injected(241)) + "\n").encode()
        headers = {}
        if fault == "exception-in-200":
            mark = tag()
            headers["X-ClickHouse-Exception-Tag"] = mark
            mark = mark.encode()
            text = (b"\r\n__exception__\r\n" + mark + b"\r\n" + text + str(len(text)).encode() + b" " + mark
                    + b"\r\n__exception__\r\n")
        self.send(200, None, headers | {"Transfer-Encoding": "chunked"})
        for piece in filter(None, (data, text)):
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def reset(self):
        """RST instead of an orderly end: the client must not take the end of the connection for the end of an answer."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, arguments, engine, faults):
        self.engine, self.faults = engine, faults
        self.users, self.slow, self.verbose = arguments.users, arguments.slow_seconds, arguments.verbose
        super().__init__(("127.0.0.1", arguments.port), Handler)

    def server_bind(self):
        # Without the base class's look-up of our own name, which may ask a name server.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address

    def worded(self, error):
        return f"{error.text} (version {self.engine.version} (official build))"

    def verify_request(self, request, client_address):
        if self.faults.take(None, only="refuse"):
            request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            return False
        return True

    def shutdown_request(self, request):
        # The base class would say an orderly goodbye first.
        if request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(NO_LINGER)) == NO_LINGER:
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def handle_error(self, request, client_address):
        # A client that goes away in the middle is what these tests are about.
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def injected(code):
    name, words = ERRORS[code]
    return EngineError(code, f"Code: {code}. DB::Exception: {words}. ({name})")


def tag():
    return "".join(random.choices(string.ascii_lowercase, k=16))


def users(text):
    """`name:password[:role]`, separated by commas."""
    known = {}
    for entry in text.split(","):
        name, password, role, *_ = [*entry.split(":"), "", ""]
        if role not in ROLES:
            raise argparse.ArgumentTypeError(f"unknown role `{role}`, expected one of {', '.join(filter(None, ROLES))}")
        known[name] = (password, role)
    return known


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", required=True, help="the data folder")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--users", type=users, default="default:", metavar="NAME:PASSWORD[:ROLE],...")
    parser.add_argument("--control-port", type=int, help="listen here for faults; 0 chooses a port")
    parser.add_argument("--control-file", help="a file that is watched for faults")
    parser.add_argument("--faults", default="ok", help="what to begin with")
    parser.add_argument("--seed", type=int, default=1, help="for faults with a share")
    parser.add_argument("--slow-seconds", type=float, default=2.0)
    parser.add_argument("--tls", metavar="DIR", help="speak HTTPS; the authority to trust is DIR/ca.pem, made if it is missing")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()

    lifeline = Lifeline()
    faults = Faults(arguments.seed)
    faults.set(arguments.faults)
    engine = Engine(arguments.dir)
    server = Server(arguments, engine, faults)
    if arguments.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certs.make(arguments.tls) / "server-all.pem")
        # The handshake waits for the connection's own thread: a client that does not speak must hold up nobody else.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    ready = f"listening on 127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    if arguments.control_port is not None:
        control = Control(arguments.control_port, faults)
        threading.Thread(target=control.serve_forever, daemon=True).start()
        ready += f" control on 127.0.0.1:{control.server_address[1]}"
    if arguments.control_file:
        threading.Thread(target=follow, args=(arguments.control_file, faults), daemon=True).start()
    print(ready, flush=True)

    while not lifeline.over(0.5):
        pass
    server.shutdown()
    engine.close()
    # Threads that hang on purpose are not waited for.
    os._exit(0)


if __name__ == "__main__":
    main()
