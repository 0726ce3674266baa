//! The datasets room.
