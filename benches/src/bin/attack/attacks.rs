//! The attacks by name.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{hostile, strangers};

/// Whom to attack, and as whom.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) name: String,
    /// The name of a peer that dials it and is the attacker.
    pub(crate) hostile: String,
    /// Where a peer listens that the node dials, for an attack on those who dial.
    pub(crate) listener: Arc<TcpListener>,
    pub(crate) stopped: Arc<AtomicBool>,
    pub(crate) done: Arc<AtomicU64>,
}

impl Target {
    pub(crate) fn is_over(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self, done: u64) {
        self.done.fetch_add(done, Ordering::Relaxed);
    }
}

macro_rules! attacks {
    ($($variant:ident $name:literal $about:literal $run:path;)*) => {
        /// One attacker.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Attack {
            $(#[doc = $about] $variant,)*
        }

        impl Attack {
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)*];

            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            pub(crate) const fn about(self) -> &'static str {
                match self {
                    $(Self::$variant => $about,)*
                }
            }

            /// Runs until the target says that it is over.
            pub(crate) async fn run(self, target: Target) {
                match self {
                    $(Self::$variant => $run(target).await,)*
                }
            }
        }
    };
}

attacks! {
    Credits "credits" "a caller sends items without credits on one stream and reads nothing" hostile::credits;
    CalleeCredits "callee-credits" "a callee does the same on a stream that the node has opened" hostile::callee_credits;
    SlowHandlers "slow-handlers" "1,000 requests of 1 MiB, each kept by its handler" hostile::slow_handlers;
    UnreadAnswers "unread-answers" "1,000 requests that are answered with 1 MiB, of which nothing is read" hostile::unread_answers;
    Typed "typed" "four requests of 16 MB that become lists of empty lists" hostile::typed;
    Merged "merged" "frames of 16.5 MB with 1.5 million messages, one after another" hostile::merged;
    Fragments "fragments" "a WebSocket message of empty fragments without an end" hostile::fragments;
    Pings "pings" "pings of the link and of WebSocket, of which no answer is read" hostile::pings;
    UnknownMuxes "unknown-muxes" "items for streams that are not there, the answers unread" hostile::unknown_muxes;
    Panics "panics" "calls of a handler that panics" hostile::panics;
    RejectedReason "rejected-reason" "a dialled peer refuses with a reason of 16 MiB each time" hostile::rejected_reason;
    Idle "idle" "256 connections that say nothing" strangers::idle;
    NewOnes "new-ones" "64 new connections a second that say nothing" strangers::new_ones;
    HalfOpen "half-open" "2,000 connections with half a request, from 40 addresses" strangers::half_open;
    SlowHeads "slow-heads" "200 connections that send their request byte by byte" strangers::slow_heads;
    Times "times" "upgrades with a wrong time, another one each" strangers::times;
    UnknownHosts "unknown-hosts" "Connects with names of 40 KiB, another one each" strangers::unknown_hosts;
    BadTokens "bad-tokens" "upgrades with a wrong token, another one each" strangers::bad_tokens;
    Descriptors "descriptors" "so many connections that the process has no descriptor left" strangers::descriptors;
}
