#!/usr/bin/env python3
"""Traffic for the tests: `talk.py serve` echoes, `talk.py` does what its standard input says and answers `ok` or `no`."""

import socket
import sys
import threading
import time

ECHO, FLOOD, LEASES = 7777, 7778, 67
PATIENCE = 0.8


def echo(connection):
    try:
        while data := connection.recv(4096):
            connection.sendall(data)
    except OSError:
        pass


def serve():
    listener = socket.create_server(("::", ECHO), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
    flood = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    flood.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    flood.bind(("0.0.0.0", FLOOD))
    counted = [0]

    def count():
        while True:
            data, sender = flood.recvfrom(2048)
            if data == b"count":
                flood.sendto(str(counted[0]).encode(), sender)
            else:
                counted[0] += 1

    def lease():
        """In the place of a DHCP server: it answers."""
        leases = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        leases.bind(("0.0.0.0", LEASES))
        while True:
            data, sender = leases.recvfrom(2048)
            leases.sendto(data, sender)

    threading.Thread(target=count, daemon=True).start()
    threading.Thread(target=lease, daemon=True).start()
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=echo, args=(connection,), daemon=True).start()


class Talker:
    def __init__(self):
        self.connections = {}
        self.sent = 0

    def open(self, address):
        """A new connection, beside the one that stands."""
        connection = socket.create_connection((address, ECHO), timeout=PATIENCE)
        self.connections.setdefault(address, connection)

    def say(self, address):
        """Over the connection that stands: what was lost before is repeated by TCP, so each word is told from the others."""
        connection = self.connections[address]
        self.sent = self.sent % 255 + 1
        connection.sendall(bytes([self.sent]))
        until = time.monotonic() + PATIENCE
        while True:
            connection.settimeout(max(until - time.monotonic(), 0.001))
            data = connection.recv(4096)
            if not data:
                raise OSError("closed")
            if self.sent in data:
                return

    def flood(self, address):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(300):
                sender.sendto(bytes(1000), (address, FLOOD))
                time.sleep(0.001)

    def renew(self, address):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(PATIENCE)
            asker.sendto(b"lease", (address, LEASES))
            asker.recv(64)

    def count(self, address):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(PATIENCE)
            asker.sendto(b"count", (address, FLOOD))
            return asker.recv(64).decode()


def main():
    talker = Talker()
    for line in sys.stdin:
        word, address = line.split()
        try:
            print("ok", getattr(talker, word)(address) or "", flush=True)
        except OSError as error:
            print("no", error, flush=True)


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["serve"] else main()
