#!/usr/bin/env python3
"""The migrations make the documented tables, in which nothing is there twice, whatever is sent again.

    tests/services/selftest_tables.py STATEMENTS.json

The file has the statements of `store/migrations` as `vedette migrate` fills them in, by database: `vedette`, which keeps all
rows, and `short`, which keeps them for the usual time. A test in tests/live/tables writes it.
"""

import http.client
import json
import pathlib
import sys
import tempfile
import time
import unittest
import urllib.parse

import example_rows
import panels
from example_rows import DAY, VERSIONED
from selftest import READER, WRITER, start, stop

BEGIN = 20_000 * DAY
# As `vedette` sends them with every insert.
INSERT = {"async_insert": "0", "deduplicate_blocks_in_dependent_materialized_views": "1"}
# How a column's type is called that is documented as ...
NATIVE = {"q": "DateTime64(6, 'UTC')", "s": "String", "H": "UInt16", "I": "UInt32", "Q": "UInt64", "f": "Float32", "d": "Float64"}


class Tables(unittest.TestCase):
    statements = {}

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.process, ready = start("clickhouse.py", "--dir", cls.folder.name + "/data", "--users",
                                   "writer:secret,reader:secret2:readonly")
        cls.port = int(ready.rpartition(":")[2])
        cls.rows = example_rows.rows(BEGIN)
        # Everything twice.
        for _ in range(2):
            for statement in cls.statements["vedette"]:
                cls.ask(statement)
            for table, rows in cls.rows.items():
                cls.insert(table, rows, insert_deduplication_token=f"readings/0/1/{table}/0")

    @classmethod
    def tearDownClass(cls):
        assert stop(cls.process) == 0
        cls.folder.cleanup()

    @classmethod
    def http(cls, body, user=WRITER, **url):
        connection = http.client.HTTPConnection("127.0.0.1", cls.port, timeout=30)
        try:
            connection.request("POST", "/?" + urllib.parse.urlencode(url), body, user)
            answer = connection.getresponse()
            return answer.status, answer.headers["X-ClickHouse-Exception-Code"], answer.read().decode()
        finally:
            connection.close()

    @classmethod
    def ask(cls, body, **url):
        status, _, answer = cls.http(body, **url)
        assert status == 200, f"{answer}\n{body}"
        return answer.strip()

    @classmethod
    def insert(cls, table, rows, **url):
        target = f"vedette.{VERSIONED.get(table, table)}"
        names = ", ".join(name for name, _, _ in example_rows.columns(table)) + (", version" if table in VERSIONED else "")
        query = f"INSERT INTO {target} ({names}) FORMAT RowBinary"
        cls.ask(example_rows.row_binary(table, rows), query=query, **INSERT | url)

    def one(self, query):
        return json.loads(self.ask(query + " FORMAT JSONCompact", output_format_json_quote_64bit_integers="0"))["data"]

    def test_columns_are_the_documented_ones(self):
        for table in example_rows.documented():
            described = [line.split("\t")[:2] for line in self.ask(f"DESCRIBE vedette.{table} FORMAT TSVRaw").split("\n")]
            hidden = {"rejected": ["received_at"]}.get(table, [])
            self.assertEqual([name for name, _ in described],
                             [name for name, _, _ in example_rows.columns(table)] + hidden, table)
            for (name, native), (_, kind, null) in zip(described, example_rows.columns(table)):
                plain = native.removeprefix("LowCardinality(").removesuffix(")") if native.startswith("Low") else native
                self.assertEqual(plain, f"Nullable({NATIVE[kind]})" if null else NATIVE[kind], f"{table}.{name}")
        self.assertEqual(self.ask("SELECT * FROM vedette.rejected LIMIT 1").count("\t"), 5)

    def test_one_copy_of_each_row(self):
        for table, rows in self.rows.items():
            different = f"(SELECT count() FROM (SELECT DISTINCT * FROM vedette.{table}))"
            found = self.one(f"SELECT count(), {different} FROM vedette.{table}")
            self.assertEqual(found, [[len(rows), len(rows)]], table)

    def test_rows_come_back_as_they_were(self):
        for table, rows in self.rows.items():
            columns = example_rows.columns(table)
            asked = ", ".join(name if kind != "q" else f"toUnixTimestamp64Micro({name})" for name, kind, _ in columns)
            found = self.one(f"SELECT {asked} FROM vedette.{table}")
            written = [[row[name] for name, _, _ in columns] for row in rows]
            self.assertEqual(sorted(found, key=str), sorted(written, key=str), table)

    def test_roll_ups_count_once(self):
        hours = ("SELECT sum(windows), sum(readings), sum(messages), sum(bytes_out), max(max_score), "
                 "count(DISTINCT hour, device_id)")
        windows = self.rows["windows"]
        self.assertEqual(self.one(hours + " FROM vedette.windows_1h"), [[
            len(windows), sum(row["records"] for row in windows), sum(row["messages"] for row in windows),
            1000.0 * len(windows), 9.5, 15]])
        kinds = "SELECT kind, sum(findings) FROM vedette.findings_1d GROUP BY kind ORDER BY kind"
        self.assertEqual(self.one(kinds), [[kind, 6] for kind in ("change", "compromise", "fault", "unknown_device")])
        self.assertEqual(self.one("SELECT uniqExact(day) FROM vedette.findings_1d"), [[3]])
        first = ("SELECT device_type, dateDiff('day', fromUnixTimestamp64Micro(toInt64(%d), 'UTC'), min(first_seen)) "
                 "FROM vedette.destinations_first_seen WHERE destination = '%s' GROUP BY device_type ORDER BY device_type")
        self.assertEqual(self.one(first % (BEGIN, "198.51.100.7")), [["camera", 1]])
        self.assertEqual(self.one(first % (BEGIN, "ntp.example")), [["", 0], ["camera", 0], ["thermostat", 0]])

    def test_another_token_or_day_is_kept(self):
        later = [row | {"window_start": row["window_start"] + 10 * DAY, "window_end": row["window_end"] + 10 * DAY}
                 for row in self.rows["windows"]]
        later_than = f"toDateTime({(BEGIN + 9 * DAY) // 1_000_000})"
        count = f"SELECT count() FROM vedette.windows WHERE window_start >= {later_than}"
        for token, expected in (("a", len(later)), ("a", len(later)), ("b", 2 * len(later))):
            self.insert("windows", later, insert_deduplication_token=token)
            self.assertEqual(self.one(count), [[expected]])
        for table, column in (("windows", "window_start"), ("windows_1h", "hour")):
            self.ask(f"ALTER TABLE vedette.{table} DELETE WHERE {column} >= {later_than}", mutations_sync="2")

    def test_the_newest_state_wins_whenever_it_arrives(self):
        incident = self.rows["incidents"][0]
        versions = [(3, "critical"), (2, "low"), (3, "critical"), (1, incident["severity"])]
        for version, severity in versions:
            self.insert("incidents", [incident | {"version": version, "severity": severity}])
            asked = "SELECT count(), any(severity) FROM vedette.incidents WHERE incident_id = 'incident-0'"
            self.assertEqual(self.one(asked), [[1, "critical"]])
        # Back to what it was, under a token of before.
        self.insert("incidents", [incident | {"version": 4}], insert_deduplication_token="readings/0/1/incidents/0")
        self.assertEqual(self.one(asked), [[1, incident["severity"]]])
        # Without versions the incident that has come further, closed or with more findings.
        for findings, closed, expected in ((3, 0, [3, 0]), (2, 1, [3, 0]), (3, 1, [3, 1]), (3, 0, [3, 1]), (4, 0, [4, 0])):
            self.ask("INSERT INTO vedette.incidents_state (incident_id, findings, last_window, closed_at) "
                     f"SELECT 'grown', {findings}, now(), if({closed}, now(), NULL)", **INSERT)
            found = self.one("SELECT findings, isNotNull(closed_at) FROM vedette.incidents WHERE incident_id = 'grown'")
            self.assertEqual(found, [expected])
        self.ask("DELETE FROM vedette.incidents_state WHERE incident_id = 'grown'")
        # The last device written.
        for owner in ("one", "two", "one", "two", "three"):
            self.ask(f"INSERT INTO vedette.devices_state (device_id, owner) VALUES ('moved', '{owner}')", **INSERT)
            found = self.one("SELECT owner FROM vedette.devices WHERE device_id = 'moved'")
            self.assertEqual(found, [[owner]])
        self.ask("DELETE FROM vedette.devices_state WHERE device_id = 'moved'")

    def test_what_was_forgotten_can_be_remembered_again(self):
        query = "INSERT INTO vedette.lane_memory (who, tick, part, parts, bytes) FORMAT TSV\n"
        for _ in range(2):
            for _ in range(2):
                self.ask(query + "0\t60\t0\t2\tabc\n0\t60\t1\t2\tdef\n", insert_deduplication_token="memory/0/60", **INSERT)
            asked = ("SELECT arrayStringConcat(groupArray(bytes)) FROM "
                     "(SELECT * FROM vedette.lane_memory FINAL WHERE who = '0' AND tick = 60 ORDER BY part)")
            self.assertEqual(self.ask(asked), "abcdef")
            self.ask("DELETE FROM vedette.lane_memory WHERE who = '0' AND tick < 61")
            self.assertEqual(self.ask(asked), "")

    def test_what_is_older_than_the_days_kept_goes(self):
        for statement in self.statements["short"]:
            self.ask(statement)
        names = ", ".join(name for name, _, _ in example_rows.columns("windows"))
        self.ask(f"INSERT INTO short.windows ({names}) SELECT {names} FROM vedette.windows", **INSERT)
        self.ask("OPTIMIZE TABLE short.windows FINAL")
        self.assertEqual(self.one("SELECT count() FROM short.windows"), [[0]])
        self.ask("OPTIMIZE TABLE vedette.windows FINAL")
        self.assertEqual(self.one("SELECT count() > 0 FROM vedette.windows"), [[1]])
        self.ask("DROP DATABASE short")

    def test_every_panel_shows_something(self):
        # With the reader's rights.
        self.ask("INSERT INTO vedette.lane_memory (who, tick, part, parts, bytes) VALUES ('3', 60, 0, 1, 'abc')")
        begin, end = BEGIN // 1_000_000, int(time.time()) + 60
        shown = {}
        for panel in panels.panels(begin, end, "cam-1"):
            status, _, body = self.http(panel["sql"] + " FORMAT JSONCompact", user=READER, database="vedette")
            self.assertEqual(status, 200, f"{panel}: {body}")
            shown[panel["panel"]] = json.loads(body)["data"]
            self.assertTrue(shown[panel["panel"]], panel)
        self.assertGreater(len(shown), 20)
        self.assertEqual(shown["Actions by state"], [["refused", 6], ["denied", 1], ["failed", 1], ["proposed", 1],
                                                     ["released", 1], ["verified", 1], ["would act", 1]])
        self.assertEqual(shown["Devices restricted now"], [[1]])
        self.assertEqual([row[2:6] for row in shown["Restricted now"]], [["quarantine", "broker", "verified", "talking"]])
        self.assertEqual([row[1] for row in shown["Waiting for approval"]], ["cam-1"])
        self.assertEqual(shown["Time to isolate"], [["quarantine", "broker", 2, 4, 4, 180]])
        states = sorted({(row[4], row[5]) for row in shown["Refused and failed"]})
        self.assertEqual([state for state, _ in states], ["denied", "failed", "refused"])
        self.assertTrue(all(reason for _, reason in states), states)
        self.assertEqual(shown["Rejected by reason"], [["no_time", 12], ["not_json", 12]])
        self.assertEqual([row[:2] for row in shown["Time to detect"]], [["change", 6], ["compromise", 6]])
        self.assertEqual({(row[1], row[2], row[3]) for row in shown["Evidence, near misses included"]},
                         {("contacts", "https 198.51.100.7", "90000 bytes out")})
        self.assertEqual([row[0] for row in shown["Unknown devices"]], ["unknown-7"])
        self.assertEqual(shown["Devices at risk"][0][:3], ["cam-1", "camera", "high"])
        # Nothing of another time.
        for panel in panels.panels(1000, 2000, "cam-1"):
            if "toDateTime(1000)" not in panel["sql"]:
                continue
            rows = json.loads(self.ask(panel["sql"] + " FORMAT JSONCompact", database="vedette"))["data"]
            self.assertTrue(rows in ([], [[0, 0]], [[0]]), f"{panel}: {rows}")
        # A day counts as a whole, also for somebody who looks at a few of its hours.
        noon = begin + 12 * 3_600
        days = next(panel["sql"] for panel in panels.panels(noon, noon + 3_600, "cam-1") if panel["panel"] == "Findings a day")
        counted = json.loads(self.ask(days + " FORMAT JSONCompact", database="vedette"))["data"]
        self.assertEqual([(row[1], int(row[2])) for row in counted], [("change", 2), ("compromise", 2), ("fault", 2),
                                                                      ("unknown_device", 2)])
        # The text of a variable stays a text.
        for panel in panels.panels(begin, end, "it's 'hers'"):
            self.assertEqual(self.http(panel["sql"], user=READER, database="vedette")[0], 200, panel)

    def test_baselines_are_told_as_the_program_tells_them(self):
        version = example_rows.filled("baselines", version=9, from_time=BEGIN + 5 * DAY, confidence="ready", devices=2, days=3)
        held_back = json.dumps({"training": {"by": "schedule", "held_back": "it finds too much"}})
        announced = [{"segment": "announced", "from_time": BEGIN + day * DAY, "body": json.dumps({"at": at, "by": "pin"})}
                     for at, day in ((2, 8), (1, 9))]
        sql = next(panel["sql"] for panel in panels.panels(1000, 2000, "") if panel["panel"] == "Baselines")
        self.addCleanup(self.ask, "ALTER TABLE vedette.baselines DELETE WHERE version = 9", mutations_sync="2")
        # Of a version that was pinned twice the later word counts, whatever was thought of it before.
        for rows, told in (([version | {"device_type": "camera"}, version | {"body": held_back}], (None, "it finds too much")),
                           ([version | row for row in announced], (8, ""))):
            self.insert("baselines", rows)
            first = json.loads(self.ask(sql + " FORMAT JSON", database="vedette"))["data"][0]
            since = told[0] and self.ask(f"SELECT fromUnixTimestamp64Micro(toInt64({BEGIN + told[0] * DAY}), 'UTC')")
            self.assertEqual((first["version"], first["types"]), (9, 1))
            self.assertEqual((first["holds_from"], first["held_back"]), (since, told[1]))

    def test_a_reader_only_reads(self):
        self.assertEqual(self.http("SELECT count() FROM vedette.devices", user=READER)[0], 200)
        for query in ("INSERT INTO vedette.verdicts VALUES ('x', 'true', 'me', 0, '')", "DROP TABLE vedette.windows",
                      "TRUNCATE TABLE vedette.findings", "DELETE FROM vedette.actions WHERE 1",
                      "CREATE TABLE vedette.x (a UInt8) ENGINE = Memory",
                      "ALTER TABLE vedette.windows MODIFY TTL window_start + INTERVAL 1 DAY"):
            self.assertEqual(self.http(query, user=READER)[1], "164", query)


if __name__ == "__main__":
    Tables.statements = json.loads(pathlib.Path(sys.argv.pop()).read_text())
    unittest.main(verbosity=2)
