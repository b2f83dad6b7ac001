//! What gridmux is measured with and against.
//!
//! # Criterion
//!
//! ```sh
//! cargo bench --package gridmux-benches
//! cargo bench --package gridmux-benches --bench mux_loop -- among-live --measurement-time 5
//! ```
//!
//! The first takes under five minutes once it is built; the second runs one group of one file, for
//! figures to rely on.
//!
//! | bench | what |
//! | --- | --- |
//! | `codec` | one message to bytes and back, by operation and size |
//! | `merge` | several messages in one frame, and out of it |
//! | `mux_loop` | two nodes back to back without I/O ([`mux_loop`]): single requests, each shape of stream, 1 to 100,000 live streams of which 64 are active, always the same ones or random ones |
//! | `websocket_loop` | the same through the WebSocket layer of both nodes |
//! | `end_to_end` | two nodes over loopback, on tokio and on smol ([`systems`], [`work`]) |
//!
//! # Side by side
//!
//! ```sh
//! cargo run --release --package gridmux-benches --features peers --bin side-by-side -- --quick
//! ```
//!
//! Measures gridmux (handlers as tasks, handlers inline, on smol) against an upper limit, the raw
//! TCP multiplexer of [`raw_mux`], and against tonic, tarpc and yamux, in alternating rounds of one
//! run. `--quick` takes under three minutes, without it about ten; `--only WORKLOAD` and `--system
//! SYSTEM` choose, `--rounds` and `--seconds-per-round` say how long, `--workers` how many threads,
//! `--svg DIRECTORY` draws. Its last line is one JSON object: requests, or items of streams, per
//! second by workload and system; `p50-…` and `p99-…` are latencies and `cpu-…` is processor time a
//! message, in microseconds. The others are behind the feature `peers`, so that nothing else has to
//! wait for them to be built.
//!
//! All that is compared does the same work: callers in a closed loop ([`load`]) over one loopback
//! connection with both ends in one process, and every answer is checked ([`work`]). What is not the
//! same: the raw multiplexer has neither protocol nor checks nor flow control; gridmux and yamux have
//! flow control by stream, tonic that of HTTP/2, with windows so large that none of this waits; yamux
//! opens a stream for each call; the payloads of gridmux, the raw multiplexer and yamux are bytes,
//! those of tonic prost's messages, those of tarpc postcard's.
//!
//! # Allocations and memory
//!
//! ```sh
//! cargo run --release --package gridmux-benches --bin allocations
//! ```
//!
//! Allocations a round trip in a steady state, the memory of idle links, idle streams and kept
//! payloads, and what the pings of 100,000 idle streams take of a core.
//!
//! # Instructions
//!
//! `.ci/instructions` counts the instructions of the mux loop under callgrind (the binary `mux-loop`),
//! which no other load on the machine changes, and fails where there are more than
//! `benches/instructions.txt` allows.
//!
//! # Attacks
//!
//! ```sh
//! cargo run --release --package gridmux-benches --bin attack -- --seconds 50
//! cargo run --release --package gridmux-benches --bin attack -- --only credits --seconds 10
//! ```
//!
//! A node of its own is attacked as strangers and as a hostile peer would. For each attack (`--list`)
//! it prints the node's memory, the fresh nodes that joined, what was logged, and the latency of a
//! healthy pair, and it fails where one of its bounds does not hold.
#![forbid(unsafe_code)]

pub mod load;
pub mod mux_loop;
pub mod raw_mux;
#[cfg(feature = "peers")]
pub mod side_by_side;
pub mod systems;
pub mod work;
