//! What users declare and pass: routes, payloads, secrets.
#![expect(clippy::unwrap_used, reason = "a helper of tests may panic")]

mod auth_tokens;
mod payload_body;
mod payload_size;
mod payload_vectors;
mod route_declared;
mod route_table;
mod settings;
