"""Runs in: the tests. The named services, played on this machine: their paths, statuses, bodies and oddities."""
