"""Rows for every table of docs/tables.md, a few dozens over three days, the same each time; and RowBinary of them.

Two cameras, two thermostats and an unknown device; one camera is taken over on the second day.
"""

import json
import pathlib
import re
import struct

TABLES = pathlib.Path(__file__).resolve().parents[2] / "docs/tables.md"
DAY, HOUR, MINUTE = 86_400_000_000, 3_600_000_000, 60_000_000
TYPES = {"timestamp (us, UTC)": "q", "text": "s", "u16": "H", "u32": "I", "u64": "Q", "f32": "f", "f64": "d"}
NUMBERS = set("HIQfdq")
# What is written beyond the documented columns.
VERSIONED = {"incidents": "incidents_state", "devices": "devices_state"}


def columns(table):
    """Name, kind and whether it may be null, in the order of writing, for `table` as it is documented."""
    page = TABLES.read_text()
    section = re.search(rf"^## {table}\n(.*?)(?=^## |\Z)", page, re.S | re.M)[1]
    found = re.findall(r"^\| `(\w+)` \| (.+?)(, or null)? \|", section, re.M)
    return [(name, TYPES[kind], bool(null)) for name, kind, null in found]


def documented():
    return re.findall(r"^## (\w+)$", TABLES.read_text(), re.M)


def row_binary(table, rows):
    known = columns(table) + ([("version", "Q", False)] if table in VERSIONED else [])
    data = bytearray()
    for row in rows:
        for name, kind, null in known:
            value = row[name]
            if null:
                data.append(value is None)
                if value is None:
                    continue
            if kind == "s":
                text = value.encode()
                data += varint(len(text)) + text
            else:
                data += struct.pack("<" + kind, value)
    return bytes(data)


def varint(number):
    data = bytearray()
    while number > 127:
        data.append(number & 127 | 128)
        number >>= 7
    return bytes(data) + bytes([number])


def filled(table, **values):
    """A row with these values; nothing, zero or null in the other columns."""
    row = {name: None if null else ("" if kind == "s" else 0) for name, kind, null in columns(table)}
    unknown = values.keys() - row.keys() - {"version"}
    assert not unknown, f"{table} has no {unknown}"
    return row | values


DEVICES = [("cam-1", "camera"), ("cam-2", "camera"), ("heat-1", "thermostat"), ("heat-2", "thermostat"), ("unknown-7", "")]


# What became of the six compromises: states with seconds after the decision; and what was noted meanwhile.
LIVES = [
    ("observe", []),
    ("approve", []),
    ("auto", [("approved", 0), ("applying", 0), ("applied", 1), ("verified", 2), ("quiet", 180), ("releasing", 3600), ("released", 3602)]),
    ("auto", [("approved", 0), ("applying", 0), ("applied", 3), ("verified", 4), ("talking", 200)]),
    ("auto", [("approved", 0), ("applying", 0), ("attempt", 5), ("failed", 14_400)]),
    ("approve", [("denied", 60)]),
]
REASONS = {"failed": "given up: connection refused", "denied": "it is the new firmware", "released": "its time is over"}
NOTES = {"quiet", "talking", "attempt"}


def life(number, same, kind, decided):
    """The rows of one action: of a compromise as above, of a change a refusal, of everything else words."""
    refused = "a fleet finding names 2 devices; only single devices are restricted"
    mode, then = {"compromise": LIVES[number // 4], "change": ("auto", [("refused", 0)])}.get(kind, ("auto", [("approved", 0)]))
    level = "quarantine" if kind in ("compromise", "change") else "notify"
    state, made = "proposed", []
    for step, (what, after) in enumerate([("proposed", 0)] + then):
        state = state if what in NOTES else what
        made.append(filled(
            "actions", **same, action_id=f"action-{number}", finding_id=f"finding-{number}", seq=number * 10 + step + 1,
            at=decided + after * 1_000_000, state=state, note=what if what in NOTES else "", level=level, mode=mode,
            gateway="broker" if level == "quarantine" else "", playbook="certain-compromise" if kind == "compromise" else kind,
            by="nell" if what == "denied" else "policy", decided_at=decided,
            reason=refused if what == "refused" else REASONS.get(what, f"{kind} of severity high"),
            until=decided + HOUR if level == "quarantine" and "applying" in (state, *(past["state"] for past in made)) else None))
    return made


def rows(begin):
    """All tables' rows, `begin` being the first day in microseconds since the epoch."""
    attack = begin + DAY + 10 * HOUR
    made = {table: [] for table in documented()}
    for day in range(3):
        for at, (device, kind) in enumerate(DEVICES):
            start = begin + day * DAY + 10 * HOUR
            who = {"device_id": device, "device_type": kind, "window_start": start, "window_end": start + MINUTE}
            bad = device == "cam-1" and start == attack
            made["windows"] += [
                filled("windows", **who | {"window_start": start + minute * MINUTE, "window_end": start + minute * MINUTE + MINUTE},
                       segment="iot", site="north", messages=10.0 + at, bytes_out=1000.0, bytes_in=500.0, records=12 + minute,
                       score=9.5 if bad else 0.5, p_value=0.5, evidence=14.0 if bad else 1.0, line=12.0,
                       details='{"posture":"x"}' if bad else None)
                for minute in range(3)
            ]
            for ordinal, destination in enumerate(["cloud.example", "ntp.example"] + ["198.51.100.7"] * bad):
                made["contacts"].append(filled(
                    "contacts", **who, ordinal=ordinal, service="https", destination=destination, port=443, protocol="tcp",
                    direction="outbound", flows=3, bytes_out=900 * (1 + 99 * bad), bytes_in=400, packets_out=9, packets_in=7,
                    duration=1.5, peer_device_id="heat-1" if bad else None))
            made["evidence"].append(filled(
                "evidence", **who, detector="contacts", subject="https 198.51.100.7", observed="90000 bytes out",
                expected_type="never seen", evidence=9.5 if bad else 0.5, total=14.0 if bad else 1.0, line=12.0,
                technique="T1048" if bad else None, first_source=0 if bad else None, first_offset=7 if bad else None,
                last_source=0 if bad else None, last_offset=9 if bad else None))
    kinds = [("compromise", "high"), ("fault", "medium"), ("change", "low"), ("unknown_device", "medium")]
    for number in range(24):
        day, (kind, severity) = number % 3, kinds[number % 4]
        device, of_type = ("", "camera") if kind == "change" else DEVICES[4] if kind == "unknown_device" else DEVICES[number % 4]
        start = begin + day * DAY + (number % 20) * HOUR
        end = start + MINUTE
        same = {"incident_id": f"incident-{number // 2}", "device_id": device, "device_type": of_type}
        made["findings"].append(filled(
            "findings", **same, finding_id=f"finding-{number}", scope="device" if device else "fleet", kind=kind,
            severity=severity, devices=device or "cam-1,cam-2", confidence="ready", score=14.0 + number, line=12.0, p_value=1e-5,
            detectors="contacts,statistics", emitted_at=end + 2 * MINUTE, window_start=start, window_end=end,
            baseline_version=1,
            reasons=json.dumps([{"detector": "contacts", "subject": "https 198.51.100.7"}]), explanation="talks to a stranger"))
        made["actions"] += life(number, same, kind, end + 2 * MINUTE)
        made["verdicts"].append(filled(
            "verdicts", finding_id=f"finding-{number}", verdict="true", author="nell", given_at=end + HOUR, note="seen on site"))
        made["rejected"].append(filled(
            "rejected", file="records.json", offset=number, reason=("no_time", "not_json")[number % 2], sample="{}",
            detail="`time` is missing"))
        made["baselines"].append(filled(
            "baselines", version=1 + number // 6, device_type=f"type-{number % 6}", from_time=begin + number // 6 * DAY,
            confidence="ready", devices=2, windows=4320, days=3, body="{}"))
        if number % 2 == 0:
            made["incidents"].append(filled(
                "incidents", **same, scope="device" if device else "fleet", kind=kind, severity=severity,
                opened_at=end + 2 * MINUTE, closed_at=end + 4 * HOUR if number % 4 else None, first_window=start,
                last_window=end, findings=2, version=1))
    for device, kind in DEVICES:
        made["devices"].append(filled(
            "devices", device_id=device, device_type=kind, site="north", segment="iot", owner="facilities", criticality="high",
            standing="active" if kind else "unknown", first_seen=begin + 10 * HOUR, last_seen=begin + 2 * DAY + 11 * HOUR,
            version=1))
    never_heard = {"device_id": "cam-3", "device_type": "camera", "criticality": "low", "standing": "active"}
    made["devices"].append(filled("devices", **never_heard, version=1))
    return made
