//! Registries and clusters.

mod azure;
mod kubernetes;
mod thingsboard;
