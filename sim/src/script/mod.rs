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
//! Refused are also lines that could have no effect, such as a fault after the healing; what fails without
//! anybody's fault, such as a hostile node in the core; and what is beyond the [`bounds`].
//!
//! ## What the run is like
//!
//! | statement | meaning | usually |
//! |---|---|---|
//! | `seed NUMBER` | what residual choices are drawn from | 0 |
//! | `nodes NUMBER` | how many nodes there are, 1 to 64; comes before all that name one | must be there |
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
//! | `limits [KEY=VALUE]…` | `message=`, `queued=`, `received=`, `responses=`, `handlers=` bytes, `outgoing=`, `incoming=` calls to and from a peer, `unproved=` connections without a Connect | the defaults |
//! | `gate NODE TIME` | its first process listens for so long before it starts (PROTOCOL.md section 7.12), up to 10 s | it starts at once |
//! | `try NODE MISTAKE` | a node that starts first tries a configuration with a [mistake](Trial), which must be refused: `own-twice`, `slash`, `capitals`, `unknown-peer`, `own-handle`, `own-peer`, `same-peer`, `no-auth`, `short-secret`, `short-life`, `split-token`, `same-route`, `http-route`, `limit` or `elsewhere` | none |
//! | `set [KEY=VALUE]…` | the [`Knobs`](crate::world::Knobs): see below | calm |
//! | `heal TIME [core=NODES]` | when all faults end, up to a day, and which nodes must be well then, none of them hostile | 10 s, all |
//!
//! The keys of `set`:
//!
//! | key | meaning | allowed | usually |
//! |---|---|---|---|
//! | `whole=yes` or `no` | frames are handed over whole, or bytes are split anywhere | | `yes` |
//! | `latency=TIME..TIME` | how long bytes travel, at least and at most; or `TIME`, always | up to 250 ms | 100us..300us |
//! | `rate=NUMBER` | bytes a second on each path; 0 for any number | 0, or from 100,000 | 0 |
//! | `buffer=NUMBER` | bytes that writer and reader of a connection hold | from 1; with more latency from [more](bounds::least_buffer) | 1048576 |
//! | `steps=yes` or `no` | who has found no room hears of room when a third of the buffer is free, as from Linux | | `no` |
//! | `piece=NUMBER` | the largest piece that bytes are split into | | 65536 |
//! | `slack=TIME` | timers fire up to so late | up to 1 s | 0s |
//! | `lazy-per-million=NUMBER` | of a million wake-ups of applications, so many are late… | up to a million | 0 |
//! | `laziness=TIME` | … by up to so long | up to 10 s | 0s |
//! | `spurious-per-million=NUMBER` | of a million timers that fire, so many wake a task for nothing | up to a million | 0 |
//! | `busy-poll=TIME` | links' tasks stay awake for waits up to so long | up to 10 ms | 0s |
//! | `workers=yes` or `no` | handlers run on tasks that wait for the next call of their route | | `no` |
//! | `grain=TIME` | clocks move in steps of so much | up to 100 ms | 1ns |
//! | `drift=NUMBER` | clocks differ in rate by up to so many millionths | up to 500,000 | 0 |
//! | `origin=TIME` | monotonic clocks show up to so much at first | with all jumps, up to 100 days before 2^64 ns | 0s |
//! | `skew=TIME` | wall clocks differ by up to so much | up to 100 years | 0s |
//!
//! ## What happens, and when
//!
//! `at TIME DEED` happens at a simulated time: faults until the healing, calls and cancels until the
//! end of the run, which is the time that links may need to come up again, some 40 s, and 9.7 s more if the
//! core has nodes that call each other then.
//!
//! `every TIME TIME..TIME DEED` happens again and again, so far apart, from the second time to the
//! third, at most 10,000 times; no call and no cancel does.
//!
//! `when WAY OP NUMBER [byte=NUMBER] DEED` happens when the message of this op, the how-manieth on
//! this way from 1, is written. `OP` is a name of PROTOCOL.md such as `Request`, `Head` for the HTTP
//! upgrade, or `Any`. Damage, and nothing else, comes in front of this byte of its WebSocket message, from 0
//! (usually 0), and on the way of the point. Instead of `damage WAY DAMAGE`, `DAMAGE` alone does for the way of the point.
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
//! | `narrow WAY rate=NUMBER buffer=NUMBER lasts=TIME` | so many bytes a second, from 1,000, and so many that writer and reader of a connection hold, from 1,024 |
//! | `outage NODE NODE lasts=TIME` | everything is lost on their connection, both ways, and sent again later and later, as by TCP; up to 10 s |
//! | `crash NODE [closed, reset or silent] [back=TIME]` | the process ends (`closed`: its connections end in order), and starts again after a while (never) |
//! | `pause NODE lasts=TIME` | the process is stopped |
//! | `jump NODE ahead=TIME` | the monotonic clock jumps |
//! | `skew NODE by=TIME` | the wall clock is moved; back with a `-`: `by=-5s` |
//! | `rate NODE millionths=NUMBER lasts=TIME` | the monotonic clock runs at so many millionths |
//! | `shutdown NODE grace=TIME [back=TIME]` | a graceful shutdown, and a new process so long after its end (never) |
//! | `twin NODE lasts=TIME` | a second process of that name dials the node's peers |
//! | `panic NODE NODE [using]` | the first one's machine of their link panics once, in what drives it or in what an application does next |
//! | `remove NODE NODE lasts=TIME` | the first takes the second out of its grid, and adds it again |
//! | `do OPERATION NODE [KEY=VALUE]…` | a node of a user's own cluster is told to do something: see [`Simulation::operations`](crate::cluster::Simulation::operations) |
//!
//! Two nodes of one deed differ; no `lasts` is 0s, but for `remove`. A `grace` is 10 s at most,
//! `late` 60 s, `millionths` 100,000 to 10,000,000, and `by` 100 years.
//!
//! | damage | meaning |
//! |---|---|
//! | `reset` | the connection is reset |
//! | `end` | the stream ends; what follows is lost |
//! | `silence` | nothing arrives any more, and nobody is told |
//! | `flip=BYTE` | this byte is changed in these bits, such as `0x20`; not in none |
//! | `drop=NUMBER` | so many bytes are missing, 1 to 1048576 |
//! | `insert=NUMBER` | so many bytes of noise stand in front of it, 1 to 1048576 |
//! | `stall=TIME` | nothing arrives for a while |
//!
//! ## Calls
//!
//! `NAME` is made of letters, digits, `-`, `_` and `.`, does not begin with `probe-`, and no two calls have
//! the same. Payloads have up to 64 MiB, and streams up to 10,000 items each way. `ROUTE` is
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

pub mod bounds;
mod call;
mod check;
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
pub use self::line::{Conduct, Deed, Line, NodeKind, Operation, Script};
pub use self::parse::ScriptError;
pub(crate) use self::parse::read;
pub use self::trial::Trial;
pub use self::units::{parse_time, show_time};
