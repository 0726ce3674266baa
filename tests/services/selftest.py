#!/usr/bin/env python3
"""ClickHouse's front keeps its promises, every fault is met once, and no service outlives whoever started it.

    tests/services/selftest.py [ClickHouse|Ports|Lifeline ...]

Other tests may keep the machine busy meanwhile: what should come is waited for long, and nothing depends on how quick it is.
"""

import http.client
import json
import pathlib
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import unittest.mock
import urllib.parse

import kafka

HERE = pathlib.Path(__file__).resolve().parent
WRITER = {"X-ClickHouse-User": "writer", "X-ClickHouse-Key": "secret"}
READER = {"X-ClickHouse-User": "reader", "X-ClickHouse-Key": "secret2"}
# Seconds.
PATIENCE = 60
WINDOW = "SETTINGS non_replicated_deduplication_window = 10000"


def start(program, *arguments, **how):
    """The process and the first line it prints."""
    process = subprocess.Popen([sys.executable, str(HERE / program), *map(str, arguments)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True, bufsize=1, **how)
    return process, process.stdout.readline()


def stop(process):
    process.terminate()
    status = process.wait(PATIENCE)
    process.stdin.close()
    process.stdout.close()
    return status


def alive(pid):
    """A zombie is over: its parent only has not asked yet."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def within(seconds, condition):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.05)
    return False


def row(number, text="x"):
    """RowBinary of (UInt64, String)."""
    return struct.pack("<Q", number) + bytes([len(text)]) + text.encode()


class ClickHouse(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.begin()

    @classmethod
    def begin(cls):
        cls.process, ready = start("clickhouse.py", "--dir", cls.folder.name + "/data", "--users",
                                   "writer:secret,reader:secret2:readonly", "--control-port", 0, "--slow-seconds", 0.5)
        words = ready.split()
        cls.port, cls.control_port = (int(words[at].rpartition(":")[2]) for at in (2, 5))

    @classmethod
    def tearDownClass(cls):
        assert stop(cls.process) == 0
        cls.folder.cleanup()

    def setUp(self):
        self.control("ok")
        self.ask("CREATE DATABASE IF NOT EXISTS vedette")
        name = self.id().rpartition(".")[2]
        self.table = f"vedette.{name}"
        self.ask(f"CREATE TABLE {self.table} (a UInt64, s String) ENGINE = MergeTree ORDER BY a {WINDOW}")

    def tearDown(self):
        self.control("ok")

    def control(self, line):
        with socket.create_connection(("127.0.0.1", self.control_port), PATIENCE) as connection:
            connection.sendall(line.encode() + b"\n")
            return json.loads(connection.makefile().readline())

    def http(self, body, user=WRITER, timeout=PATIENCE, method="POST", path="/", headers=None, **url):
        """Status, headers and body; `body` as a list goes out in chunks, as the Rust client sends inserts."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            chunked = isinstance(body, list)
            extra = {"Transfer-Encoding": "chunked"} if chunked else {}
            connection.request(method, f"{path}?{urllib.parse.urlencode(url)}", iter(body) if chunked else body,
                               user | extra | (headers or {}), encode_chunked=chunked)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def ask(self, query, **url):
        status, _, body = self.http(query, **url)
        self.assertEqual(status, 200, body)
        return body.decode().strip()

    def insert(self, rows, table=None, **url):
        query = f"INSERT INTO {table or self.table}(a,s) FORMAT RowBinary"
        return self.http([row(number) for number in rows], query=query, **url)

    def count(self, table=None):
        return int(self.ask(f"SELECT count() FROM {table or self.table}"))

    def test_rows_come_back(self):
        status, headers, _ = self.insert([1, 2, 3])
        self.assertEqual((status, json.loads(headers["X-ClickHouse-Summary"])["written_rows"]), (200, "3"))
        names = b"\x02\x01a\x01s\x06UInt64\x06String"
        status, _, body = self.http([names, row(4)], query=f"INSERT INTO {self.table} FORMAT RowBinaryWithNamesAndTypes")
        self.assertEqual((status, body), (200, b""))
        query = f"SELECT * FROM {self.table} ORDER BY a DESC LIMIT 1"
        self.assertEqual(self.http(query, default_format="RowBinaryWithNamesAndTypes")[2], names + row(4))
        self.assertEqual(self.ask(f"SELECT a FROM {self.table} LIMIT 1 FORMAT JSONEachRow"), '{"a":1}')
        self.assertEqual(self.http(None, method="GET", query="SELECT 1")[2], b"1\n")
        self.assertEqual(self.ask(f"INSERT INTO {self.table} VALUES (8, 'x; y'), (9, 'z')"), "")
        self.assertEqual(self.count(), 6)
        self.assertEqual(self.ask(f"SELECT count() FROM {self.table.split('.')[1]}", database="vedette"), "6")

    def test_rows_are_any_bytes(self):
        """Line ends and semicolons, in the first place too, in chunks that end anywhere."""
        data = b"".join(row(number * 256 + 10, "\n;\n ") for number in range(10, 20_000))
        pieces = [data[at : at + 4099] for at in range(0, len(data), 4099)]
        settings = "SETTINGS insert_deduplication_token = 'any'"
        for _ in range(2):
            reply = self.http(pieces, query=f"INSERT INTO {self.table} (a, s) {settings} FORMAT RowBinary")
            self.assertEqual(reply[0], 200, reply)
        self.assertEqual(self.ask(f"SELECT count(), min(a), any(hex(s)) FROM {self.table}"), "19990\t2570\t0A3B0A20")
        # As curl sends them: everything in the body.
        self.ask(f'INSERT INTO {self.table} FORMAT JSONEachRow\n{{"a":1}}\n\n{{"a":2,"s":"x\\ny"}}\n')
        self.ask(f"INSERT INTO {self.table} FORMAT TSV 3\tx\n4\ty\n")
        self.assertEqual(self.count(), 19994)
        self.assertEqual(self.http([], query=f"INSERT INTO {self.table} FORMAT RowBinary")[0], 200)

    def test_parameters(self):
        query = "SELECT {n:UInt8} + 1, {s:String} FORMAT TSVRaw"
        self.assertEqual(self.ask(query, param_n="5", param_s=r"it's\tso"), "6\tit's\tso")
        form = "".join(f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in
                       {"query": query, "param_n": "7", "param_s": "\\\\"}.items()) + "--b--\r\n"
        body = self.http(form, headers={"Content-Type": "multipart/form-data; boundary=b"})[2]
        self.assertEqual(body, b"8\t\\\n")

    def test_settings_reach_the_engine_and_stay_in_their_request(self):
        views = "deduplicate_blocks_in_dependent_materialized_views"
        for name in ("insert_deduplication_token", "max_threads", "async_insert", views):
            self.assertIn(self.ask(f"SELECT getSetting('{name}')::String", **{name: "1"}), ("1", "true"))
        self.assertEqual(self.ask("SELECT getSetting('insert_deduplication_token')", wait_end_of_query="1"), "")
        status, headers, body = self.http("SELECT 1", no_such_setting="1")
        self.assertEqual((status, headers["X-ClickHouse-Exception-Code"]), (404, "115"))
        self.assertRegex(body.decode(), r"^Code: 115\. DB::Exception: .* \(UNKNOWN_SETTING\) "
                                        r"\(version .* \(official build\)\)\n$")

    def test_a_repeated_token_is_dropped(self):
        for rows, token, expected in (([1, 2], "t1", 2), ([1, 2], "t1", 2), ([3], "t1", 2), ([1, 2], "t2", 4)):
            self.assertEqual(self.insert(rows, insert_deduplication_token=token, async_insert="0")[0], 200)
            self.assertEqual(self.count(), expected, f"{rows} {token}")
        # Without a token the rows themselves are one; without a window nothing is.
        self.insert([7])
        self.insert([7])
        self.assertEqual(self.count(), 5)
        self.ask(f"CREATE TABLE {self.table}_open (a UInt64, s String) ENGINE = MergeTree ORDER BY a")
        for _ in range(2):
            self.insert([1], table=self.table + "_open", insert_deduplication_token="t")
        self.assertEqual(self.count(self.table + "_open"), 2)

    def test_views_are_not_doubled(self):
        for name in "xy":
            self.ask(f"CREATE TABLE {self.table}_{name} (k UInt8, n UInt64) ENGINE = SummingMergeTree ORDER BY k {WINDOW}")
            self.ask(f"CREATE MATERIALIZED VIEW {self.table}_to_{name} TO {self.table}_{name} AS "
                     f"SELECT a % 2 AS k, count() AS n FROM {self.table} GROUP BY k")
        sums = lambda: [self.ask(f"SELECT sum(n) FROM {self.table}_{name}") for name in "xy"]
        once = {"insert_deduplication_token": "v", "deduplicate_blocks_in_dependent_materialized_views": "1"}
        for _ in range(3):
            self.insert(range(100), **once)
        self.assertEqual((self.count(), sums()), (100, ["100", "100"]))
        self.insert(range(100), **once | {"deduplicate_blocks_in_dependent_materialized_views": "0"})
        self.assertEqual((self.count(), sums()), (100, ["200", "200"]))

    def test_who_may(self):
        for user in ({}, WRITER | {"X-ClickHouse-Key": "no"}, {"X-ClickHouse-User": "nobody"}):
            status, headers, body = self.http("SELECT 1", user=user)
            self.assertEqual((status, headers["X-ClickHouse-Exception-Code"]), (403, "516"))
            self.assertIn(b"(AUTHENTICATION_FAILED)", body)
        self.assertEqual(self.http("SELECT 1", user={"Authorization": "Basic d3JpdGVyOnNlY3JldA=="})[0], 200)
        self.assertEqual(self.http("SELECT 1", user=READER, max_threads="1")[2], b"1\n")
        for reply in (self.insert([1], user=READER), self.http(f"DROP TABLE {self.table}", user=READER),
                      self.insert([1], user=READER, readonly="0"),
                      self.http(None, method="GET", query=f"DROP TABLE {self.table}")):
            self.assertEqual((reply[0], reply[1]["X-ClickHouse-Exception-Code"]), (500, "164"))
        self.assertEqual(self.count(), 0)

    def test_the_engines_own_errors(self):
        for query, status, code in (("SELEC 1", 400, "62"), ("SELECT * FROM nowhere", 404, "60"),
                                    ("SELECT throwIf(1)", 500, "395"), ("SELECT 1; SELECT 2", 400, "62")):
            reply = self.http(query)
            self.assertEqual((reply[0], reply[1]["X-ClickHouse-Exception-Code"]), (status, code), query)
        status, headers, _ = self.http([b"123"], query=f"INSERT INTO {self.table} FORMAT RowBinary")
        self.assertEqual((status, headers["X-ClickHouse-Exception-Code"]), (500, "33"))
        # These only show when the rows are written.
        self.ask(f"CREATE TABLE {self.table}_few (a UInt64, s String, CONSTRAINT few CHECK a < 200) "
                 "ENGINE = MergeTree ORDER BY a PARTITION BY a")
        self.ask(f"CREATE MATERIALIZED VIEW {self.table}_none ENGINE = Memory AS SELECT throwIf(a = 7) FROM {self.table}_few")
        for rows, code in (([200], "469"), (range(10, 150), "252"), ([7], "395")):
            status, headers, _ = self.insert(rows, table=self.table + "_few")
            self.assertEqual((status, headers["X-ClickHouse-Exception-Code"]), (500, code))
        self.assertEqual(self.http("SELECT 1", database="nope")[0], 404)
        self.assertEqual(self.ask("SELECT ';' AS x -- ; y\n;"), ";")
        self.assertEqual(self.count(), 0)

    def test_an_insert_that_breaks_off_is_not_executed(self):
        chunked = b"Transfer-Encoding: chunked\r\n\r\n9\r\n" + row(1, "") + b"\r\n"
        for framing in (chunked, b"Content-Length: 99\r\n\r\n" + row(1)):
            with socket.create_connection(("127.0.0.1", self.port)) as connection:
                query = urllib.parse.quote(f"INSERT INTO {self.table} FORMAT RowBinary")
                connection.sendall(f"POST /?query={query}&user=writer&password=secret HTTP/1.1\r\nHost: x\r\n".encode() + framing)
                connection.shutdown(socket.SHUT_WR)
                with self.assertRaises(ConnectionError):
                    connection.recv(1000) or self.fail("an answer was expected to be missing")
        self.assertEqual(self.count(), 0)

    def test_faults_that_answer(self):
        for fault, code in (("500:1", "252"), ("full:1@insert", "243"), ("error-241:1", "241")):
            self.control(fault)
            status, headers, body = self.insert([1])
            self.assertEqual((status, headers["X-ClickHouse-Exception-Code"]), (500, code))
            self.assertTrue(body.startswith(f"Code: {code}. DB::Exception: ".encode()))
        self.assertEqual(self.count(), 0)
        self.control("slow:1")
        begin = time.monotonic()
        self.ask("SELECT 1")
        self.assertGreater(time.monotonic() - begin, 0.5)

    def test_faults_that_do_not_answer(self):
        self.control("cut:1@insert,cut-after:1@insert")
        with self.assertRaises(ConnectionError):
            self.insert(range(1000))
        self.assertEqual(self.count(), 0)
        with self.assertRaises(ConnectionError):
            self.insert([1, 2])
        self.assertEqual(self.count(), 2)
        self.control("hang:1")
        with self.assertRaises(TimeoutError):
            self.insert([1], timeout=0.5)
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as idle:
            self.control("refuse")
            with self.assertRaises(ConnectionResetError):
                idle.recv(1)
        with self.assertRaises(ConnectionError):
            self.http(None, method="GET", path="/ping")
        self.control("ok")
        self.assertEqual(self.http(None, method="GET", path="/ping")[2], b"Ok.\n")

    def test_exceptions_in_a_200(self):
        self.control("exception-in-200:2")
        status, headers, body = self.http("SELECT number FROM numbers(10)")
        mark = headers["X-ClickHouse-Exception-Tag"].encode()
        self.assertEqual((status, headers["X-ClickHouse-Exception-Code"]), (200, None))
        # As the Rust client takes it apart: from the end, over the length, back to the message.
        end = b" " + mark + b"\r\n__exception__\r\n"
        self.assertTrue(body.endswith(end))
        rest, _, length = body.removesuffix(end).rpartition(b"\n")
        message = (rest + b"\n")[-int(length):]
        self.assertTrue(message.startswith(b"Code: 241. DB::Exception: "), message)
        self.assertTrue(body.startswith(b"0\n1\n"))
        self.assertEqual(self.insert([1])[0], 200)
        self.assertEqual(self.count(), 0)
        self.control("exception-in-200-old:1")
        self.assertTrue(self.http("SELECT 1")[2].endswith(b"(official build))\n"))

    def test_shares_and_counts(self):
        self.control("500:30%@insert")
        failed = sum(self.insert([number])[0] == 500 for number in range(100))
        self.assertTrue(15 < failed < 45, failed)
        self.assertEqual(self.count(), 100 - failed)
        self.assertIn("unknown fault", self.control("fly")["error"])
        before = self.control("ok")["inserts"]
        self.insert([1])
        self.assertEqual(self.control("stats")["inserts"], before + 1)
        curl = http.client.HTTPConnection("127.0.0.1", self.control_port)
        curl.request("GET", "/cut:3%25@query")
        self.assertEqual(json.load(curl.getresponse())["faults"][0]["fault"], "cut:3%@query")
        curl.close()

    def test_a_slow_query_holds_up_nobody(self):
        slow = threading.Thread(target=self.ask, args=("SELECT sleepEachRow(0.5) FROM numbers(12) SETTINGS max_block_size = 1",))
        slow.start()
        self.http(None, method="GET", path="/ping")
        self.insert([1])
        self.assertEqual(self.count(), 1)
        self.assertTrue(slow.is_alive())
        slow.join()

    def test_many_at_once(self):
        threads = [threading.Thread(target=lambda at=at: [self.insert(range(at * 1000 + n * 50, at * 1000 + n * 50 + 50),
                                                                      insert_deduplication_token=f"{at}-{n}") for n in range(10)])
                   for at in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.count(), 8 * 10 * 50)

    def test_zz_data_and_tokens_survive_a_restart_and_a_kill(self):
        for end in (signal.SIGTERM, signal.SIGKILL):
            self.insert([1, 2], insert_deduplication_token="kept")
            self.process.send_signal(end)
            self.process.wait(PATIENCE)
            stop(self.process)
            type(self).begin()
            self.insert([1, 2], insert_deduplication_token="kept")
            self.assertEqual(self.count(), 2)

    def test_https(self):
        with tempfile.TemporaryDirectory() as folder:
            process, ready = start("clickhouse.py", "--dir", folder + "/data", "--tls", folder + "/certs")
            try:
                trust = ssl.create_default_context(cafile=folder + "/certs/ca.pem")
                # One that never speaks holds up nobody.
                with socket.create_connection(ready.split()[-1].split(":")):
                    connection = http.client.HTTPSConnection(ready.split()[-1], context=trust, timeout=PATIENCE)
                    connection.request("POST", "/", "SELECT 1")
                    self.assertEqual(connection.getresponse().read(), b"1\n")
                    connection.close()
            finally:
                self.assertEqual(stop(process), 0)

    def test_control_file(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "faults"
            process, ready = start("clickhouse.py", "--dir", folder + "/data", "--control-file", file)
            try:
                connection = http.client.HTTPConnection(ready.split()[-1])

                def status():
                    connection.request("POST", "/", "SELECT 1")
                    answer = connection.getresponse()
                    answer.read()
                    return answer.status

                self.assertEqual(status(), 200)
                file.write_text("full\n")
                self.assertTrue(within(PATIENCE, lambda: status() == 500))
                connection.close()
            finally:
                self.assertEqual(stop(process), 0)


class Ports(unittest.TestCase):
    def test_a_port_is_promised_to_one_until_it_ends(self):
        with tempfile.TemporaryDirectory() as folder, unittest.mock.patch.object(kafka, "PORTS", pathlib.Path(folder) / "ports"):
            ports = kafka.free_ports(3)
            self.assertEqual(len(set(ports)), 3)
            self.assertFalse(any(kafka.promise(port) for port in ports))
            other = (f"import kafka, pathlib, sys; kafka.PORTS = pathlib.Path({str(kafka.PORTS)!r}); "
                     "print(*kafka.free_ports(3), flush=True); sys.stdin.read()")
            process = subprocess.Popen([sys.executable, "-c", other], cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       text=True)
            theirs = [int(port) for port in process.stdout.readline().split()]
            self.assertEqual(len(theirs), 3)
            self.assertFalse(any(kafka.promise(port) for port in theirs))
            process.kill()
            stop(process)
            self.assertTrue(all(kafka.promise(port) for port in theirs))

    def test_without_a_folder_there_are_ports_all_the_same(self):
        with unittest.mock.patch.object(kafka, "PORTS", pathlib.Path("/dev/null/ports")):
            self.assertEqual(len(set(kafka.free_ports(3))), 3)


def orphan(test, program, *arguments):
    """Starts a service below a shell, kills the shell, and gives the service's first line and pid."""
    service = [sys.executable, str(HERE / program), *map(str, arguments)]
    shell = subprocess.Popen(["sh", "-c", '"$@" & echo $!; wait', "sh", *service], stdout=subprocess.PIPE, text=True)
    with shell.stdout:
        pid, ready = int(shell.stdout.readline()), shell.stdout.readline()
        test.assertTrue(alive(pid))
        shell.kill()
        shell.wait()
    return pid, ready


class Lifeline(unittest.TestCase):
    def test_ends_with_its_parent(self):
        with tempfile.TemporaryDirectory() as folder:
            pid, _ = orphan(self, "clickhouse.py", "--dir", folder + "/data")
            self.assertTrue(within(PATIENCE, lambda: not alive(pid)))

    def test_java_ends_with_the_parent_of_its_parent(self):
        pid, ready = orphan(self, "kafka.py")
        broker = json.loads(ready)
        self.assertTrue(within(PATIENCE, lambda: not alive(pid) and not alive(broker["pid"])))
        self.assertFalse(pathlib.Path(broker["dir"]).exists())

    def test_java_ends_with_its_parent(self):
        with tempfile.TemporaryDirectory() as folder:
            process, ready = start("kafka.py", "--dir", folder)
            process.kill()
            process.wait()
            self.assertTrue(within(PATIENCE, lambda: not alive(json.loads(ready)["pid"])))
            stop(process)

    def test_stays_when_only_the_thread_that_started_it_ends(self):
        with tempfile.TemporaryDirectory() as folder:
            started = []
            thread = threading.Thread(target=lambda: started.append(start("clickhouse.py", "--dir", folder + "/data")))
            thread.start()
            thread.join()
            process, _ = started[0]
            self.assertFalse(within(1.5, lambda: process.poll() is not None))
            self.assertEqual(stop(process), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2, argv=[sys.argv[0], *sys.argv[1:]])
