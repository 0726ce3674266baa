//! RADIUS: change of authorisation and disconnect (RFC 5176).
