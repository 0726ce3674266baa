"""ClickHouse's engine in this process (chdb): runs one request and answers with bytes, or with the engine's own error.

A request gets a session of its own, which costs a millisecond and keeps its settings, database and parameters to itself. The
sessions share one folder and may run side by side.
"""

import json
import re
import threading

from chdb import session

# More at once would only add memory: the engine uses all cores for one query already.
AT_ONCE = 4
# Errors come as text; some begin with what the Python binding was doing.
ERROR = re.compile(r"Code: (\d+)\. DB::.*", re.S)
VERSION_AT_END = re.compile(r" \(version [^()]*(\([^()]*\))?\)\s*$")
INSERT_WITH_ROWS = re.compile(r"\s*(?P<insert>INSERT\s+INTO\s+.*?)\s+FORMAT\s+(?P<format>\w+)\s*;?\s*", re.I | re.S)
NOT_A_TARGET = re.compile(r"\b(SELECT|VALUES)\b", re.I)
# What may hold a semicolon without ending a statement, then a semicolon with something after it.
QUOTED_OR_NEXT = re.compile(
    r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`|--[^\n]*|/\*.*?\*/|(?P<next>;\s*[^\s;-])""", re.S
)
PIECE = 1 << 20


class EngineError(Exception):
    """`code` and the text a server would send, without the version at its end."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code, self.text = code, text

    @classmethod
    def of(cls, error):
        found = ERROR.search(str(error))
        if found is None:
            return cls(1002, f"Code: 1002. DB::Exception: {error}. (UNKNOWN_EXCEPTION)")
        return cls(int(found[1]), VERSION_AT_END.sub("", found[0]).strip())


def quoted(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def is_insert(query):
    return re.match(r"\s*INSERT\b", query, re.I) is not None


class Engine:
    def __init__(self, folder):
        self.folder = str(folder)
        self.slots = threading.Semaphore(AT_ONCE)
        # Kept open: with its last session the engine would shut down.
        self.keeper = session.Session(self.folder)
        self.version = self.keeper.query("SELECT version()", "TSVRaw").bytes().decode().strip()

    def close(self):
        """Waits for running requests, so that what they wrote is whole; a stuck one does not keep us."""
        for _ in range(AT_ONCE):
            self.slots.acquire(timeout=5)
        self.keeper.close()

    def run(self, query, body=b"", *, before=(), database="", settings=(), parameters=(), output="TabSeparated"):
        """`query` comes from the address, `body` are its rows or, without it, the query; the answer and its summary.

        `before` are statements of ours, run ahead of the caller's settings so that these cannot undo them.
        """
        with self.slots:
            own = session.Session(self.folder)
            try:
                for statement in before:
                    own.query(statement)
                if database:
                    own.query("USE `" + database.replace("`", "\\`") + "`")
                for name, value in (*settings, *parameters):
                    if not re.fullmatch(r"\w+", name):
                        raise EngineError(115, f"Code: 115. DB::Exception: Unknown setting '{name}'. (UNKNOWN_SETTING)")
                    own.query(f"SET {name} = {quoted(value)}")
                return self._run(own, query, body, output)
            except EngineError:
                raise
            except Exception as error:  # the binding raises RuntimeError and its own ChdbError
                raise EngineError.of(error) from None
            finally:
                own.close()

    def _run(self, own, query, body, output):
        insert = INSERT_WITH_ROWS.fullmatch(query)
        if insert is not None and not NOT_A_TARGET.search(insert["insert"]):
            return self._insert(own, insert["insert"], insert["format"], body)
        whole = query.encode() + b"\n" + body if query else body
        # Rows after FORMAT are data. Elsewhere a server runs one statement a request, the engine would run them all.
        if not is_insert(whole[:200].decode(errors="replace")):
            if any(match["next"] for match in QUOTED_OR_NEXT.finditer(whole.decode(errors="replace"))):
                raise EngineError(62, "Code: 62. DB::Exception: Syntax error (Multi-statements are not allowed). (SYNTAX_ERROR)")
        result = own.query(whole, output)
        return result.bytes(), summary(result.storage_rows_read(), result.storage_bytes_read(), 0, 0, result.elapsed())

    @staticmethod
    def _insert(own, insert, rows_format, body):
        with own.send_insert(insert, rows_format) as rows:
            for start in range(0, len(body), PIECE):
                rows.append(body[start : start + PIECE])
            done = rows.finish()
        return b"", summary(0, 0, done.rows_written, done.bytes_written, done.elapsed)


def summary(read_rows, read_bytes, written_rows, written_bytes, seconds):
    """X-ClickHouse-Summary: numbers as strings, as the server writes them."""
    counts = {
        "read_rows": read_rows, "read_bytes": read_bytes, "written_rows": written_rows, "written_bytes": written_bytes,
        "elapsed_ns": int(seconds * 1e9),
    }
    return json.dumps({name: str(count) for name, count in counts.items()}, separators=(",", ":"))
