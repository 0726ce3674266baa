//! Mosquitto's dynamic security plug-in.
