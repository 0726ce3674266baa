//! OpenC2 stateless packet filters.
