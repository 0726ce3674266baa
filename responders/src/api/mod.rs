//! The HTTP API: actions, incidents, verdicts, mode, playbooks, health.
