//! Placeholder until the layer below stands.
