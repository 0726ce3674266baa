"""ClickHouse's engine in this process (chdb): runs one request and answers with bytes, or with the engine's own error.

A request gets a session of its own, which costs a millisecond and keeps its settings, database and parameters to itself. The
sessions share one folder and may run side by side.
"""

import json
import os
import re
import threading

from chdb import session

# More at once would only add memory: the engine uses all cores for one query already.
AT_ONCE = 4
# Errors come as text; some begin with what the Python binding was doing.
ERROR = re.compile(r"Code: (\d+)\. DB::.*", re.S)
VERSION_AT_END = re.compile(r" \(version [^()]*(\([^()]*\))?\)\s*$")
# After the format come at most one line's end and the rows, which may begin with any byte.
INSERT_WITH_ROWS = re.compile(
    rb"\s*(?P<target>INSERT\s+INTO\s+.*?)(?P<settings>\sSETTINGS\s.*?)?\sFORMAT\s+(?P<format>\w+)[ \t\f]*(;?\r?\n)?",
    re.I | re.S,
)
NOT_A_TARGET = re.compile(rb"\b(SELECT|VALUES|INFILE)\b", re.I)
# An error that passed through two hands: the outer one repeats the code and adds nothing.
TWICE = re.compile(r"Code: (\d+)\. DB::Exception: (Code: \1\. .*) \(version [^()]*(\([^()]*\))?\)\. \(\w+\)", re.S)
# What may hold a semicolon without ending a statement, then a semicolon with something after it.
QUOTED_OR_NEXT = re.compile(
    r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`|--[^\n]*|/\*.*?\*/|(?P<next>;\s*[^\s;-])""", re.S
)


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
        text = VERSION_AT_END.sub("", found[0]).strip()
        twice = TWICE.fullmatch(text)
        return cls(int(found[1]), twice[2] if twice else text)


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
                chosen = (*settings, *parameters)
                for name, _ in chosen:
                    if not re.fullmatch(r"\w+", name):
                        raise EngineError(115, f"Code: 115. DB::Exception: Unknown setting '{name}'. (UNKNOWN_SETTING)")
                if chosen:
                    # Each statement costs a quarter of a millisecond, and a request has twenty settings.
                    own.query("SET " + ", ".join(f"{name} = {quoted(value)}" for name, value in chosen))
                return self._run(own, query, body, output)
            except EngineError:
                raise
            except Exception as error:  # the binding raises RuntimeError and its own ChdbError
                raise EngineError.of(error) from None
            finally:
                own.close()

    def _run(self, own, query, body, output):
        whole = query.encode() + b"\n" + body if query else body
        insert = INSERT_WITH_ROWS.match(whole)
        if insert is not None and not NOT_A_TARGET.search(insert["target"]):
            return self._insert(own, insert, memoryview(whole)[insert.end() :])
        # Rows after VALUES are data. Elsewhere a server runs one statement a request, the engine would run them all.
        if not is_insert(whole[:200].decode(errors="replace")):
            if any(match["next"] for match in QUOTED_OR_NEXT.finditer(whole.decode(errors="replace"))):
                raise EngineError(62, "Code: 62. DB::Exception: Syntax error (Multi-statements are not allowed). (SYNTAX_ERROR)")
        return answered(own.query(whole, output))

    @staticmethod
    def _insert(own, insert, rows):
        """As rows of a file that lives in memory. The binding's two other ways lose data: rows after the query end at the
        first end of a line, as in a terminal, and `send_insert` keeps silent about errors of views, constraints and
        partitions (chdb 26.9)."""
        target, settings, rows_format = (insert[part] or b"" for part in ("target", "settings", "format"))
        with open(os.memfd_create("rows"), "wb", buffering=0) as file:
            while rows:
                rows = rows[file.write(rows) :]
            path = f" FROM INFILE '/proc/self/fd/{file.fileno()}' COMPRESSION 'none'".encode()
            return answered(own.query(target + path + settings + b" FORMAT " + rows_format, "TabSeparated"))


def answered(result):
    """The bytes and X-ClickHouse-Summary: numbers as strings, as the server writes them."""
    counts = {
        "read_rows": result.storage_rows_read(), "read_bytes": result.storage_bytes_read(),
        "written_rows": result.rows_written(), "written_bytes": result.bytes_written(),
        "elapsed_ns": int(result.elapsed() * 1e9),
    }
    return result.bytes(), json.dumps({name: str(count) for name, count in counts.items()}, separators=(",", ":"))
