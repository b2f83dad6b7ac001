//! The fuzz targets as plain functions: `core/fuzz` gives them what a fuzzer makes up, and the tests
//! beside this module the corpora. Each takes any bytes and panics if something that always holds does not.

mod acceptor;
mod payload;
mod peers;
mod pieces;
mod websocket;
mod wire;

pub use self::acceptor::{NOW, TOKEN, acceptor, names};
pub use self::payload::payload;
pub use self::peers::{Said, act, hold, peers};
pub use self::websocket::websocket;
pub use self::wire::wire;

/// A target.
pub type Target = fn(&[u8]);

/// Every target, by the name of its binary and of its corpus.
pub const TARGETS: [(&str, Target); 5] = [
    ("wire", wire),
    ("websocket", websocket),
    ("acceptor", acceptor),
    ("payload", payload),
    ("peers", peers),
];
