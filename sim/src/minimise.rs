//! Shortens scripts.
