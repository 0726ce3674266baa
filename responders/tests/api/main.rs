//! The API as callers meet it: a real server on a real port, and a desk that remembers what it was asked.

mod audit;
mod client;
mod document;
mod limits;
mod matrix;
mod support;
mod tls;
mod tokens;
