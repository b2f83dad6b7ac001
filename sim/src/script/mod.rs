//! A script: everything that a run does, line by line.
//!
//! It is text that a person can read, change and shorten: which nodes there are, what the network
//! is like, what the applications call, and which faults come at which time, or at which point of
//! the protocol. Lines name what they are about, so that one less changes nothing for the others.
//!
//! ```
//! use gridmux_sim::script::Script;
//!
//! let text = "\
//! gridmux-sim 1
//! seed 42
//! nodes 3
//! node n2 go
//! set whole=no latency=200us..5ms piece=40
//! at 1s call a n0 n1 echo size=512 timeout=2s after=10ms
//! at 1.2s cancel a
//! at 2s reset n0 n1 late=3s
//! when n0>n1 Request 3 byte=5 flip=0x20
//! heal 40s core=n0,n1
//! ";
//! let script: Script = text.parse()?;
//! assert_eq!(script.lines.len(), 4);
//! assert_eq!(script.to_string(), text);
//! # Ok::<_, gridmux_sim::script::ScriptError>(())
//! ```
//!
//! # The format
//!
//! One statement a line; words with blanks between them; `#` begins a comment; empty lines mean
//! nothing. The first line is `gridmux-sim 1`, with the version of the format. Words of the form
//! `key=value`, and `one-way`, `using`, `closed`, `reset` and `silent` of the deeds below, may stand in any
//! order behind the others. What is left out is as usual, and is left out when a script is
//! printed. Words that are not known are errors, which name those that are.
//!
//! * A *node* is `n0`, `n1` and so on; *nodes* are `n0,n2`, or `none`; a *way*, `n0>n1`, is what
//!   the first sends the second.
//! * A *time* is a decimal number and its unit: `3s`, `1.5ms`, `40us`, `7ns`.
//! * A *number* is whole and decimal; sizes are bytes.
//! * In the tables `[…]` may be left out; what is usual then stands at the right.
//!
//! ## What the run is like
//!
//! | statement | meaning | usually |
//! |---|---|---|
//! | `seed NUMBER` | what residual choices are drawn from | 0 |
//! | `nodes NUMBER` | how many nodes there are, 1 to 256; comes before all that name one | must be there |
//! | `node NODE ours` | one of ours | all are |
//! | `node NODE loop` | one of ours that a loop of its own drives | |
//! | `node NODE go` | one that does what a Go node gets wrong | |
//! | `node NODE hostile rules` | a peer whose messages break the rules | |
//! | `node NODE hostile handshakes` | a peer whose handshakes are slow, cut or wrong | |
//! | `node NODE hostile merges` | a peer whose merged messages are wrong | |
//! | `generation NUMBER` | where the generations of mux ids begin (PROTOCOL.md section 7.1) | 0 |
//! | `secure` | names begin with `https`, so that messages have no CRC | `http` |
//! | `token` | nodes know each other by one fixed token | by tokens made of a secret |
//! | `nested` | names of nodes begin with those of others: `http://n:9`, `http://n:90` | `http://n0:9000` |
//! | `limits [KEY=VALUE]…` | `message=`, `queued=`, `received=` bytes, `outgoing=`, `incoming=` calls to and from a peer, `unproved=` connections without a Connect | the defaults |
//! | `gate NODE TIME` | its first process listens for so long before it starts (PROTOCOL.md section 7.12) | it starts at once |
//! | `try NODE MISTAKE` | a node that starts first tries a configuration with a [mistake](Trial), which must be refused: `own-twice`, `slash`, `capitals`, `unknown-peer`, `own-peer`, `same-peer`, `no-auth`, `short-secret`, `short-life`, `split-token`, `same-route`, `http-route`, `limit` or `elsewhere` | none |
//! | `set [KEY=VALUE]…` | the [`Knobs`](crate::world::Knobs): see below | calm |
//! | `heal TIME [core=NODES]` | when all faults end, and which nodes must be well then | 10 s, all |
//!
//! The keys of `set`:
//!
//! | key | meaning | usually |
//! |---|---|---|
//! | `whole=yes` or `no` | frames are handed over whole, or bytes are split anywhere | `yes` |
//! | `latency=TIME..TIME` | how long bytes travel, at least and at most; or `TIME`, always | 100us..300us |
//! | `rate=NUMBER` | bytes a second on each path; 0 for any number | 0 |
//! | `buffer=NUMBER` | bytes that writer and reader of a connection hold | 1048576 |
//! | `piece=NUMBER` | the largest piece that bytes are split into | 65536 |
//! | `slack=TIME` | timers fire up to so late | 0s |
//! | `lazy-per-million=NUMBER` | of a million wake-ups of applications, so many are late… | 0 |
//! | `laziness=TIME` | … by up to so long | 0s |
//! | `spurious-per-million=NUMBER` | of a million events, so many wake a task for nothing | 0 |
//! | `grain=TIME` | clocks move in steps of so much | 1ns |
//! | `drift=NUMBER` | clocks differ in rate by up to so many millionths | 0 |
//! | `origin=TIME` | monotonic clocks show up to so much at first | 0s |
//! | `skew=TIME` | wall clocks differ by up to so much | 0s |
//!
//! ## What happens, and when
//!
//! `at TIME DEED` happens at a simulated time.
//!
//! `every TIME TIME..TIME DEED` happens again and again, so far apart, from the second time to the
//! third; no call and no cancel does.
//!
//! `when WAY OP NUMBER [byte=NUMBER] DEED` happens when the message of this op, the how-manieth on
//! this way from 1, is written. `OP` is a name of PROTOCOL.md such as `Request`, `Head` for the HTTP
//! upgrade, or `Any`. Damage comes in front of this byte of its WebSocket message, from 0
//! (usually 0). Instead of `damage WAY DAMAGE`, `DAMAGE` alone does for the way of the point.
//!
//! | deed | meaning |
//! |---|---|
//! | `call NAME NODE NODE ROUTE [KEY=VALUE]…` | the first node calls the second: see below |
//! | `cancel NAME` | the application drops that call |
//! | `reset NODE NODE [late=TIME]` | their connection breaks; the second learns it so much later (0s) |
//! | `damage WAY DAMAGE` | something happens to what is sent next |
//! | `stall WAY lasts=TIME` | nothing arrives for a while |
//! | `partition NODES lasts=TIME [one-way]` | nothing gets between these and all others; what these send does with `one-way` |
//! | `dial NODE NODE FATE lasts=TIME` | what becomes of dials: `works`, `refused`, `hangs` or `takes=TIME` |
//! | `squeeze WAY rate=NUMBER lasts=TIME` | so many bytes a second, and small buffers |
//! | `crash NODE [closed, reset or silent] [back=TIME]` | the process ends (`closed`: its connections end in order), and starts again after a while (never) |
//! | `pause NODE lasts=TIME` | the process is stopped |
//! | `jump NODE ahead=TIME` | the monotonic clock jumps |
//! | `skew NODE by=TIME` | the wall clock is moved; back with a `-`: `by=-5s` |
//! | `rate NODE millionths=NUMBER lasts=TIME` | the monotonic clock runs at so many millionths |
//! | `shutdown NODE grace=TIME [back=TIME]` | a graceful shutdown, and a new process so long after its end (never) |
//! | `twin NODE lasts=TIME` | a second process of that name dials the node's peers |
//! | `panic NODE NODE [using]` | the first one's machine of their link panics once, in what drives it or in what an application does next |
//! | `remove NODE NODE lasts=TIME` | the first takes the second out of its grid, and adds it again |
//!
//! | damage | meaning |
//! |---|---|
//! | `reset` | the connection is reset |
//! | `end` | the stream ends; what follows is lost |
//! | `silence` | nothing arrives any more, and nobody is told |
//! | `flip=BYTE` | this byte is changed in these bits, such as `0x20` |
//! | `drop=NUMBER` | so many bytes are missing |
//! | `insert=NUMBER` | so many bytes of noise stand in front of it |
//! | `stall=TIME` | nothing arrives for a while |
//!
//! ## Calls
//!
//! `NAME` is made of letters, digits, `-`, `_` and `.`, and no two calls have the same. `ROUTE` is
//! the [word](Route::word) of one of the [routes](Route): `echo`, `inline`, `run-to-end`, `sub`,
//! `missing`, `missing-sub`; and, for streams, `drip`, `source`, `gulp`, `sink`, `narrow`, `talk`,
//! `wide`, `missing-stream`, `mismatch`, `no-input`, `mistyped`, `mistyped-items`; the last two are `raw`.
//!
//! | key | meaning | usually |
//! |---|---|---|
//! | `size=NUMBER` or `nil` | bytes of the request | 64 |
//! | `as=FORM` | the [type](Form) in which request, items and result travel: `raw`, `bytes`, `json`, `mss`, `url`, `array`, `record`; `nothing`, of `echo` only | `raw` |
//! | `by=WAY` | the [functions](Way) by which both ends use it: `items`, `try`, `sink`; `bytes`, of `raw` and `bytes` only | `items` |
//! | `timeout=TIME` | the deadline | the default of single requests; none for streams |
//! | `wait-link=TIME` | how long the call waits for a link | not at all |
//! | `after=TIME` | the handler rests first | 0s |
//! | `items=NUMBER` | items that the handler gives | 0 |
//! | `item-size=NUMBER` | bytes of each, or of the one result; the answer to a single request is the question if it is 0 | 0 |
//! | `pace=TIME` | time between two of them | 0s |
//! | `take=NUMBER` | items that the handler takes before it ends | all |
//! | `take-pace=TIME` | time between two that it takes | 0s |
//! | `finish=ok`, `error`, `panic` or `never` | how the handler ends | `ok` |
//! | `send=NUMBER` | items that the caller sends | 0 |
//! | `send-size=NUMBER` | bytes of each | 0 |
//! | `send-pace=TIME` | time between two of them | 0s |
//! | `close=eof`, `drop` or `never` | how the caller ends its input | `eof` |
//! | `read-after=TIME` | the caller rests before it takes the first item | 0s |
//! | `read-pace=TIME` | time between two that it takes | 0s |
//! | `again-after=NAME` | made once that call of the same node has failed, and not otherwise | |
//! | `read-stop=NUMBER` | after so many it takes no more | never |

mod call;
mod deed;
mod fault;
mod form;
mod line;
mod parse;
mod print;
#[cfg(test)]
mod tests;
mod trial;
mod units;
mod words;

pub use self::call::{Call, Close, Finish, Input, Plan, Reading, Route};
pub use self::fault::{Fault, Moment, Point, Row, Times};
pub use self::form::{Form, Way};
pub use self::line::{Conduct, Deed, Line, NodeKind, Script};
pub use self::parse::ScriptError;
pub use self::trial::Trial;
pub use self::units::{parse_time, show_time};
