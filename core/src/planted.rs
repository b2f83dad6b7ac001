//! Bugs planted on purpose, to prove that simulation and tests can fail.
//!
//! This module exists in builds with the feature `planted` alone; in others no site of a bug is
//! compiled. At most one bug is planted at a time, for the thread that plants it:
//!
//! ```
//! use gridmux_core::planted::{ALL, Bug, plant, strikes_so_far};
//!
//! plant(Some(Bug::CreditOnReceipt));
//! // … run something, and see whether its oracles notice …
//! assert_eq!(strikes_so_far(), 0, "nothing was run");
//! plant(None);
//! assert!(ALL.iter().any(|planted| planted.name == "credit-on-receipt"));
//! ```

use std::cell::Cell;

thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    static STRIKES: Cell<u64> = const { Cell::new(0) };
}

/// What is known of a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planted {
    /// The bug.
    pub bug: Bug,
    /// Its name, which does not change.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// The line of the ledger that it repeats (PROTOCOL.md section 8).
    pub ledger: Option<u8>,
    /// The kind of fault that provokes it, by its row in the simulation's table of faults.
    pub provoked_by: &'static str,
    /// The oracle of the simulation that is to catch it.
    pub caught_by: &'static str,
}

/// Declares the bugs: name, line of the ledger, fault, oracle, what it does.
macro_rules! bugs {
    ($($bug:ident = $name:literal, $ledger:expr, $fault:literal, $oracle:literal, $about:literal;)+) => {
        /// A planted bug; [`ALL`] tells of each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Bug {
            $(#[doc = $about] $bug,)+
        }

        /// Every bug.
        pub const ALL: &[Planted] = &[
            $(Planted {
                bug: Bug::$bug,
                name: $name,
                about: $about,
                ledger: $ledger,
                provoked_by: $fault,
                caught_by: $oracle,
            },)+
        ];
    };
}

#[rustfmt::skip]
bugs! {
    // Calls and streams.
    CloseOfInputlessStream = "close-of-inputless-stream", Some(7), "A4", "O16",
        "closing the input of a stream that has none sends EOF, which the callee refuses";
    LateCreditIsViolation = "late-credit-is-violation", Some(1), "A1", "O7",
        "a credit for a call that is over counts as a violation and drops the link";
    SubrouteLeftOnReply = "subroute-left-on-reply", Some(2), "A6", "O16",
        "the refusal of a call under a subroute keeps the subroute's flag";
    ConnectErrorDropped = "connect-error-dropped", Some(3), "A6", "O3",
        "a refusal is not told to the caller, who waits until the call ends otherwise";
    UntakenReplyLeaksSlot = "untaken-reply-leaks-slot", Some(8), "A1", "O14",
        "a request let go after its reply came keeps its slot for ever";
    LateAnswerLeaksSlot = "late-answer-leaks-slot", Some(8), "A1", "O14",
        "the answer to a request that was cancelled does not free its slot";
    UnreadInputBlocksCancel = "unread-input-blocks-cancel", Some(10), "N5", "O6",
        "a cancel waits behind input that the handler does not read";
    LossSkipsUnsentCalls = "loss-skips-unsent-calls", Some(11), "B4", "O7",
        "a call whose large opening message was not handed out is forgotten when the link is lost";
    AckNeedsRoom = "ack-needs-room", Some(13), "B8", "O16",
        "the ack of a stream is not sent while the send queue is full";
    ErrorBeforeItems = "error-before-items", Some(14), "A3", "O4",
        "an error is given before the items that came ahead of it";
    NoPingWhileUnread = "no-ping-while-unread", Some(16), "N5", "O3",
        "a caller does not ping while it has items to take";
    PongIgnoredWhileUnread = "pong-ignored-while-unread", Some(17), "N5", "O3",
        "a pong that comes while items wait to be taken does not count as life";
    LastItemsDropped = "last-items-dropped", Some(19), "A3", "O2",
        "items not yet taken when the orderly end arrives are lost";
    WrongDirectionDisconnect = "wrong-direction-disconnect", Some(22), "A10", "O3",
        "a disconnect by the callee also ends the peer's own call of the same number";
    NilItemKeepsCredit = "nil-item-keeps-credit", Some(25), "N8", "O21",
        "a nil item costs its sender a credit for ever";
    ErrorRetractsItems = "error-retracts-items", Some(26), "A3", "O4",
        "the handler's error discards the items not yet taken";
    RefusedIdForgotten = "refused-id-forgotten", Some(27), "B9", "O16",
        "every input message after a refusal is answered, not the first one alone";
    InputBeforeAck = "input-before-ack", None, "A4", "O16",
        "input is sent before the stream is acknowledged";
    CreditOnReceipt = "credit-on-receipt", None, "N5", "O9",
        "a credit goes back when an item arrives, not when it is taken";
    EndWithoutCredit = "end-without-credit", None, "N5", "O9",
        "the final message is sent without a credit";
    EndPerCredit = "end-per-credit", None, "N5", "O16",
        "a final message that had to wait is sent again with each further credit";
    GrantReopensInput = "grant-reopens-input", None, "A4", "O16",
        "a credit that comes after the end of the input opens it again, and it ends a second time";
    CreditBeyondCapacity = "credit-beyond-capacity", None, "B9", "O9",
        "surplus credits are taken, so more is sent than the receiver may hold";
    CreditWakeLost = "credit-wake-lost", None, "N5", "O21",
        "the sender is not woken by the first credit after it ran out";
    DroppedInputKeepsCredits = "dropped-input-keeps-credits", None, "A4", "O21",
        "input that comes after the handler dropped it gives no credit back";
    DroppedItemsStayCounted = "dropped-items-stay-counted", None, "A1", "O14",
        "items dropped by a cancel stay counted as received bytes";
    RefusedBytesCounted = "refused-bytes-counted", None, "S2", "O21",
        "what is refused at the limit of received bytes uses the limit up for good";
    HalfCloseEndsStream = "half-close-ends-stream", None, "A4", "O2",
        "the end of the input is taken for the end of the stream";
    LossReplacesEnd = "loss-replaces-end", None, "B4", "O4",
        "the loss of the link takes the place of an orderly end not yet read";
    ItemsAreNoLife = "items-are-no-life", None, "B12", "O26",
        "a caller takes pongs alone for life, whether its pings have left or not";
    ItemsAreNoLifeAtCallee = "items-are-no-life-at-callee", None, "B12", "O26",
        "a callee takes pings alone for life, wherever they wait";
    NoPongWhileEnding = "no-pong-while-ending", None, "N5", "O3",
        "a ping is not answered while the final message waits for a credit";
    CancelledItemsSent = "cancelled-items-sent", None, "A1", "O14",
        "large items that wait are sent though the caller has cancelled their stream";
    CancelIgnoredWhileEnding = "cancel-ignored-while-ending", None, "A1", "O14",
        "a cancel is ignored while the final message waits for a credit";
    AnswerAfterCancel = "answer-after-cancel", None, "A1", "O16",
        "a handler's answer is sent though the call was cancelled";
    AnswerAfterDeadline = "answer-after-deadline", None, "C3", "O5",
        "a handler's answer is sent after the deadline if the timer is late";
    CalleeExpiryIsLoss = "callee-expiry-is-loss", None, "C2", "O3",
        "the callee's expiry of a deadline, a little ahead of ours, is told as a lost link";
    ShortDeadlineAsNone = "short-deadline-as-none", None, "C4", "O5",
        "a deadline under a millisecond travels as 0, which is none";
    LongDeadlineWraps = "long-deadline-wraps", None, "C4", "O5",
        "a deadline over 2^32 ms travels cut to its low bits";
    TimerLeftBehind = "timer-left-behind", None, "A2", "O14",
        "the timer of a call that was answered stays armed";
    WheelSlotOffByOne = "wheel-slot-off-by-one", None, "A2", "O5",
        "a timer of 64 ms or more fires one slot of its wheel late";
    IdUsedAgain = "id-used-again", None, "A10", "O8",
        "a slot's next call has the id of the one before";
    WrapNotMasked = "wrap-not-masked", None, "A10", "O1",
        "the generation of mux ids runs over its 31 bits";
    OversizedReplyDropped = "oversized-reply-dropped", None, "A9", "O1",
        "an answer over the message limit is dropped, and nothing takes its place";
    EmptyBecomesNil = "empty-becomes-nil", None, "A9", "O6",
        "an empty payload arrives as nil";
    CancelledCallRuns = "cancelled-call-runs", None, "B4", "O6",
        "a handler starts for a call that was cancelled while it waited to be taken";
    UntakenCallLeaksSlot = "untaken-call-leaks-slot", None, "D6", "O14",
        "a call cancelled while it waited to be taken keeps its slot";
    FreeSlotsForgotten = "free-slots-forgotten", None, "S2", "O24",
        "a slot that is freed while others are free takes the place of all of them";
    UnexpectedInputPanics = "unexpected-input-panics", Some(7), "B9", "O18",
        "input for a stream that has none, or whose input has ended, is a panic";
    // Links.
    RefusalWithoutReason = "refusal-without-reason", Some(5), "B10", "O3",
        "a refused Connect is not told why";
    OldCallsSurviveReplacement = "old-calls-survive-replacement", Some(6), "D3", "O8",
        "a new connection is taken before the calls of the old one have failed";
    FullQueueStopsRedial = "full-queue-stops-redial", Some(12), "B8", "O11",
        "a link lost with a full send queue is not dialled again";
    FullQueueRefusesConnect = "full-queue-refuses-connect", Some(18), "B8", "O11",
        "a peer that connects anew is refused while the send queue is full";
    AgeInWrongUnit = "age-in-wrong-unit", Some(15), "B2", "O11",
        "the age of the last sign of life is counted in the wrong unit, so a dead link looks alive";
    AnyFirstMessage = "any-first-message", Some(21), "B10", "O12",
        "any first message that holds a Connect's payload is taken for one";
    SilentHandshakeNeverEnds = "silent-handshake-never-ends", Some(24), "B10", "O11",
        "an acceptor that never answers Connect is waited for without end";
    QueueKeptOverReconnect = "queue-kept-over-reconnect", None, "B4", "O8",
        "what was queued for a lost connection leaves on the next one";
    OldConnectionStillHeard = "old-connection-still-heard", None, "B6", "O8",
        "frames of an older connection are taken for the current one's";
    StaleLossKillsLink = "stale-loss-kills-link", None, "B6", "O11",
        "the end of a connection that is given up counts for what has come since: the next attempt, or link";
    OldConnectionLeftOpen = "old-connection-left-open", None, "D3", "O12",
        "the connection that a newer one replaces is not closed";
    InstanceIgnored = "instance-ignored", None, "D3", "O15",
        "a process that was replaced takes its name back at once";
    InstancesNeverForgotten = "instances-never-forgotten", None, "D6", "O13",
        "every instance of a name that was ever seen is remembered";
    TokenNotChecked = "token-not-checked", None, "B10", "O12",
        "the token in Connect is not checked";
    FutureConnectAccepted = "future-connect-accepted", None, "C5", "O12",
        "a Connect from any time in the future is accepted";
    SkewRefusalRetriedAtOnce = "skew-refusal-retried-at-once", None, "C5", "O15",
        "a refusal for the clocks is followed by the next attempt without a pause";
    RetryFromFailure = "retry-from-failure", None, "D4", "O15",
        "the retry spacing counts from the failure of an attempt, not from its start";
    FlapStorm = "flap-storm", None, "D6", "O15",
        "a link is dialled again at once however short it lived";
    BothDial = "both-dial", None, "D5", "O12",
        "both sides dial when the top bits of the two hashes are equal";
    StartGateOpen = "start-gate-open", None, "A7", "O12",
        "connections are taken before the node is started";
    AddPeerReplaces = "add-peer-replaces", None, "A8", "O3",
        "adding a peer whose name is taken replaces the peer and its calls";
    PongBehindData = "pong-behind-data", None, "B8", "O10",
        "the pong of the link waits behind queued data";
    PongAgeByWallClock = "pong-age-by-wall-clock", None, "C1", "O10",
        "the age of a pong is taken from the wall clock";
    StallByReadiness = "stall-by-readiness", None, "B14", "O26",
        "a write has stalled when the socket takes nothing, though bytes leave it";
    PingPostponedByWrites = "ping-postponed-by-writes", None, "B3", "O11",
        "each write puts off the ping, so a peer that is gone is not missed";
    PauseIsSilence = "pause-is-silence", None, "N3", "O10",
        "the time that this process stood still counts as the peer's silence";
    IdleTickPostponesPing = "idle-tick-postpones-ping", None, "C3", "O17",
        "a tick with nothing due puts off the ping";
    LossNotTold = "loss-not-told", None, "B8", "O7",
        "senders that wait for room in the queue are not woken when the link is lost";
    DrainForgetsHandlers = "drain-forgets-handlers", None, "D7", "O2",
        "the grace of a shutdown ends though handlers still serve the peer";
    CallTakenWhileDraining = "call-taken-while-draining", None, "D7", "O16",
        "calls are taken in while shutting down";
    RedialAfterShutdown = "redial-after-shutdown", None, "D7", "O14",
        "a link that breaks during the grace is dialled again after it";
    LeavingMarkSurvives = "leaving-mark-survives", None, "N1", "O21",
        "a peer that was shut down and is back still counts as leaving";
    HashOrderOnTheWire = "hash-order-on-the-wire", None, "D7", "O22",
        "the calls cancelled at the end of a grace are told in the order of a hash map";
    // Bytes and queues.
    HugeMessageKept = "huge-message-kept", Some(4), "A9", "O13",
        "the memory of one huge message is kept for the life of the connection";
    ClaimedLengthReserved = "claimed-length-reserved", None, "B9", "O19",
        "a frame that says that it is long gets all of its memory before its bytes have come";
    LargeOvertakesSmall = "large-overtakes-small", None, "A9", "O16",
        "a large message overtakes smaller ones of its own call";
    TailLostAfterClose = "tail-lost-after-close", None, "B11", "O16",
        "what follows a disconnect in a merged message is lost";
    MaskOffsetForgotten = "mask-offset-forgotten", None, "B1", "O2",
        "the mask of a large message begins anew with each piece";
    PingEndsFragments = "ping-ends-fragments", None, "B1", "O20",
        "a WebSocket ping between fragments ends the message";
    LeftoverLost = "leftover-lost", None, "B1", "O11",
        "bytes that come right behind the head of the upgrade are lost";
    ReadBufferUnbounded = "read-buffer-unbounded", None, "B1", "O13",
        "the read buffer doubles without end while reads fill it";
    DecodeMoreForgotten = "decode-more-forgotten", None, "B1", "O1",
        "frames beyond the first batch of a read wait for the next read";
    PartialWriteSkipsByte = "partial-write-skips-byte", None, "B8", "O2",
        "a partial write is resumed one byte too far";
    // That nothing has run is said by an error, which is what is wrong.
    TakenBackIsSent = "taken-back-is-sent", None, "B5", "O3",
        "what was reported as never sent is sent in front of the close frame";
    // Handles and driver.
    WakeOneOfMany = "wake-one-of-many", None, "B8", "O23",
        "of several who wait for one thing only the first is woken";
    DroppedCallGoesOn = "dropped-call-goes-on", None, "A1", "O6",
        "dropping the future of a request cancels nothing";
    AcceptSlotLeaked = "accept-slot-leaked", None, "B10", "O11",
        "a connection that was refused or timed out counts as unauthenticated for ever";
}

impl Bug {
    /// The bug of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        ALL.iter().find(|planted| planted.name == name).map(|planted| planted.bug)
    }
}

/// Plants this bug, or none, for this thread, and counts its strikes from 0.
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
    STRIKES.set(0);
}

/// How often the planted bug could act: 0 says that nothing has provoked it.
pub fn strikes_so_far() -> u64 {
    STRIKES.get()
}

/// Whether `bug` is the one that is planted. `site` is found in the binary by whoever proves that
/// another one has no such site.
pub(crate) fn strikes(bug: Bug, site: &'static str) -> bool {
    let planted = PLANTED.get() == Some(bug);
    if planted {
        std::hint::black_box(site);
        STRIKES.set(STRIKES.get() + 1);
    }
    planted
}

/// In an order that differs from one use to the next, as that of a map with random keys.
#[expect(clippy::disallowed_types, reason = "this is the bug")]
pub(crate) fn in_hash_order<T: std::hash::Hash>(mut items: Vec<T>) -> Vec<T> {
    use std::hash::BuildHasher;
    let state = std::hash::RandomState::new();
    items.sort_by_cached_key(|item| state.hash_one(item));
    items
}
