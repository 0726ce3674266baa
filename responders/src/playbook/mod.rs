//! Playbooks: what is done about which findings, to which devices, through whom, for how long.
