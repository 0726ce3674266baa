#!/usr/bin/env python3
"""The store's migrations as statements, in plain or cluster form: what `vedette migrate` does, for tests without it.

    migrations.py [--cluster NAME] [--database vedette] [--users]    prints the SQL
"""

import argparse
import hashlib
import pathlib
import re

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "store/migrations"
DAYS = {"windows": 90, "contacts": 90, "evidence": 90, "findings": 730, "rejected": 30, "rollups": 730, "memory": 400}
FIELD = re.compile(r"\{(\w+)(?::(\w+)(?:\(([^)]*)\))?)?\}")
CLUSTER_ONLY = "-- cluster:\n"
# What the server itself fills in: its macros.
REPLICA = "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'"


def fields(database="vedette", cluster="", tokens=None, days=DAYS, **passwords):
    """`passwords` are the fields of users.sql; without them they are the hash of nothing."""
    kind = "replicated" if cluster else "non_replicated"
    window, durable = f"{kind}_deduplication_window = ", ", fsync_after_insert = 1, fsync_part_directory = 1"
    seconds = ", replicated_deduplication_window_seconds = 259200" if cluster else ""
    tokens = tokens or (20_000 if cluster else 100_000)
    known = {
        "database": database, "cluster": cluster, "on_cluster": f" ON CLUSTER '{cluster}'" if cluster else "",
        "local": "_local" if cluster else "", "tokens": f"{window}{tokens}{seconds}{durable}", "no_tokens": f"{window}0{durable}",
    }
    for user in ("writer", "reader"):
        known[f"{user}_password_sha256"] = passwords.get(user, hashlib.sha256().hexdigest())
    return known | {f"ttl_{name}_days": str(days[name]) for name in DAYS}


def expand(text, known):
    def one(match):
        name, engine, arguments = match.groups()
        if name != "engine":
            return known[name]
        arguments = arguments or ""
        if not known["cluster"]:
            return f"{engine}({arguments})" if arguments else engine
        return f"Replicated{engine}({REPLICA}{', ' + arguments if arguments else ''})"

    return FIELD.sub(one, text)


def statements(text, known):
    """Of one file, fields filled in."""
    for statement in text.split(";\n"):
        statement = statement.strip()
        if statement and (known["cluster"] or not statement.startswith(CLUSTER_ONLY)):
            yield expand(statement, known)


def files():
    return sorted(FOLDER.glob("[0-9]*.sql"))


def all_statements(**how):
    known = fields(**how)
    return [statement for file in files() for statement in statements(file.read_text(), known)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cluster", default="")
    parser.add_argument("--database", default="vedette")
    parser.add_argument("--users", action="store_true")
    arguments = parser.parse_args()
    known = fields(arguments.database, arguments.cluster)
    chosen = [FOLDER / "users.sql"] if arguments.users else files()
    for file in chosen:
        for statement in statements(file.read_text(), known):
            print(statement + ";\n")


if __name__ == "__main__":
    main()
