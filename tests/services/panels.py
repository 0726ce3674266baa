#!/usr/bin/env python3
"""The SQL of all ClickHouse panels and variables, ready to run: what Grafana would send for a time and a device.

    panels.py --from 1727950000 --to 1728040000 --device cam-1    prints [{"dashboard", "panel", "sql"}, ...]
"""

import argparse
import json
import pathlib
import re

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "dashboards"
CLICKHOUSE = "grafana-clickhouse-datasource"
# Others than these would need more of Grafana than is here; a bare `${device}` would let its text be SQL.
ALLOWED = re.compile(r"\$__timeFilter\((\w+)\)|\$__fromTime\b|\$__toTime\b|\$\{device:sqlstring\}")


def filled(sql, begin, end, device):
    """As the plug-in does it: whole seconds, both ends included. `sqlstring` is Grafana's: in quotes, those within doubled."""
    text = "'" + device.replace("'", "''") + "'"

    def one(match):
        if match[1]:
            return f"{match[1]} >= toDateTime({begin}) AND {match[1]} <= toDateTime({end})"
        return {"$__fromTime": f"toDateTime({begin})", "$__toTime": f"toDateTime({end})"}.get(match[0], text)

    sql = ALLOWED.sub(one, sql)
    assert "$" not in sql, f"an unknown macro or variable: {sql}"
    return sql


def panels(begin, end, device):
    for file in sorted(FOLDER.glob("*.json")):
        dashboard = json.loads(file.read_text())
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                sql = filled(variable["query"], begin, end, device)
                yield {"dashboard": file.stem, "panel": f"variable {variable['name']}", "sql": sql}
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                if target["datasource"]["type"] == CLICKHOUSE:
                    yield {"dashboard": file.stem, "panel": panel["title"], "sql": filled(target["rawSql"], begin, end, device)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", type=int, required=True, dest="begin", help="seconds since the epoch")
    parser.add_argument("--to", type=int, required=True, dest="end")
    parser.add_argument("--device", required=True)
    arguments = parser.parse_args()
    print(json.dumps(list(panels(arguments.begin, arguments.end, arguments.device)), indent=1))


if __name__ == "__main__":
    main()
