//! A script: everything that a run does, line by line.
//!
//! It is text that a person can read, change and shorten: which nodes there are, what the network
//! is like, what the applications call, and which faults come at which time, or at which point of
//! the protocol. Lines name what they are about, so that one less changes nothing for the others.
//!
//! ```text
//! gridmux-sim 1
//! seed 42
//! nodes 3
//! set whole=no latency=200us..5ms piece=40
//! at 1s call a n0 n1 echo size=512 timeout=2s after=10ms
//! at 1.2s cancel a
//! at 2s reset n0 n1 late=3s
//! when n0>n1 Request 3 byte=5 reset
//! heal 40s core=n0,n1
//! ```

mod call;
mod fault;
mod line;
mod parse;
mod units;

pub use self::call::{Call, Close, Finish, Input, Plan, Reading, Route};
pub use self::fault::{Fault, Moment, Point, Row};
pub use self::line::{Conduct, Deed, Line, NodeKind, Script};
pub use self::parse::ScriptError;
pub use self::units::{parse_time, show_time};
