//! Who may do what: tokens, roles, expiry.
