#!/bin/sh
# Fills the caches that tests/services needs (the only step that uses the network) and does nothing when they are full.
exec python3 "$(dirname "$0")/caches.py"
