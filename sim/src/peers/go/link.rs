//! A Go node's link with one other node: what waits to be sent, and who gets what comes.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use gridmux_core::driver::runtime::{Clock as _, Timer};
use gridmux_core::error::CallError;
use gridmux_core::time::Instant;
use gridmux_core::wire::{
    DecodeError, Flags, Header, MessageRef, Op, Ping, Pong, SubrouteId, Timestamp, for_each_message,
};

use super::mux::{End, Mux};
use super::quirk::{Quirk, Quirks};
use crate::census::FaultId;
use crate::peers::here::Here;
use crate::peers::line::Line;
use crate::peers::say;

const PING_INTERVAL: Duration = Duration::from_secs(10);
const PONG_SILENCE: Duration = Duration::from_secs(20);
const STUCK: Duration = Duration::from_secs(3);
const LONGEST: usize = 64 << 20;
/// Messages of fewer bytes are gathered, up to so many.
const GATHERED: (usize, usize) = (31 << 10, 50);

pub(crate) struct Link {
    pub(super) here: Here,
    pub(super) peer: usize,
    pub(super) quirks: Quirks,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The how-manieth connection this is.
    connection: u64,
    up: bool,
    out: VecDeque<Waiting>,
    /// Ids that were given out.
    issued: u64,
    outgoing: BTreeMap<u64, Arc<Mux>>,
    incoming: BTreeMap<u64, Arc<Mux>>,
    waker: Option<Waker>,
}

/// A message that waits to be sent, and whether it is there because of a quirk.
struct Waiting {
    bytes: Vec<u8>,
    fault: Option<FaultId>,
}

/// When a connection did what.
struct Times {
    ping: Box<dyn Timer>,
    ping_at: Instant,
    pong_at: Instant,
    stuck: Box<dyn Timer>,
    /// Since when nothing could be written, and how much was by then.
    stuck_since: Option<(Instant, u64)>,
}

impl Link {
    pub(super) fn new(here: Here, peer: usize, quirks: Quirks) -> Self {
        Self { here, peer, quirks, state: Mutex::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.state().up
    }

    /// The connection that there is now; `None` without one.
    pub(super) fn connection(&self) -> Option<u64> {
        let state = self.state();
        state.up.then_some(state.connection)
    }

    /// The fault, if it says its Connect before the upgrade is answered.
    pub(super) fn eager_connect(&self) -> Option<FaultId> {
        self.quirks.fault(Quirk::EagerConnect)
    }

    // ---- the connection ----

    /// Talks on a connection until it is over, or another one takes its place.
    pub(super) async fn run(self: Arc<Self>, mut line: Line) {
        let connection = self.begin();
        let now = self.here.runtime.instant();
        let mut times = Times {
            ping: self.here.runtime.timer(),
            ping_at: now.after(PING_INTERVAL),
            pong_at: now,
            stuck: self.here.runtime.timer(),
            stuck_since: None,
        };
        poll_fn(|cx| self.turn(connection, &mut line, &mut times, cx)).await;
        self.end(connection);
    }

    fn begin(&self) -> u64 {
        let former = self.connection();
        former.into_iter().for_each(|former| self.end(former));
        let mut state = self.state();
        state.connection += 1;
        state.up = true;
        let connection = state.connection;
        drop(state);
        self.here.sees_link(self.peer, true);
        connection
    }

    fn end(&self, connection: u64) {
        let mut state = self.state();
        if state.connection != connection || !state.up {
            return;
        }
        state.up = false;
        state.out.clear();
        let outgoing = std::mem::take(&mut state.outgoing);
        let incoming = std::mem::take(&mut state.incoming);
        let waker = state.waker.take();
        drop(state);
        let lost = || End::Failed(CallError::Disconnected { may_have_run: true });
        outgoing.values().chain(incoming.values()).for_each(|mux| mux.end(lost()));
        waker.into_iter().for_each(Waker::wake);
        self.here.sees_link(self.peer, false);
    }

    /// Reads, pings and writes what can be; ready once the connection is over.
    fn turn(
        self: &Arc<Self>,
        connection: u64,
        line: &mut Line,
        times: &mut Times,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        {
            let mut state = self.state();
            if state.connection != connection || !state.up {
                return Poll::Ready(());
            }
            state.waker = Some(cx.waker().clone());
        }
        loop {
            match line.poll_receive(cx) {
                Poll::Ready(Some(frame)) if self.hear(&frame, times).is_ok() => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        if self.tick(times, cx).is_ready() {
            return Poll::Ready(());
        }
        self.write(line, times, cx)
    }

    /// Pings when it is time to; ready once the link was silent for too long.
    fn tick(&self, times: &mut Times, cx: &mut Context<'_>) -> Poll<()> {
        while times.ping.poll_until(times.ping_at, cx).is_ready() {
            if self.is_dead(times) {
                return Poll::Ready(());
            }
            self.ping();
            // A ticker that was missed, for a pause or a jump of the clock, ticks once for all.
            let now = self.here.runtime.instant();
            let next = times.ping_at.after(PING_INTERVAL);
            times.ping_at = if next > now { next } else { now.after(PING_INTERVAL) };
            if times.ping_at == now {
                // The clock is at its end.
                break;
            }
        }
        Poll::Pending
    }

    /// Whether the link was silent for too long.
    fn is_dead(&self, times: &Times) -> bool {
        let dead = self.here.runtime.instant().since(times.pong_at) > PONG_SILENCE;
        if dead && let Some(fault) = self.quirks.fault(Quirk::OnlyPongs) {
            self.here.runtime.shared.world().census.felt(fault);
        }
        dead
    }

    fn ping(&self) {
        let mut payload = Vec::new();
        Ping { time: self.here.wall() }.encode(&mut payload);
        let header = Header { deadline_ms: 10_000, ..Header::new(Op::Ping) };
        self.push(say::encode(header, None, &payload), None);
    }

    fn write(&self, line: &mut Line, times: &mut Times, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match line.poll_flush(cx) {
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => break,
                Poll::Ready(Ok(())) if self.push_frame(line) => {}
                Poll::Ready(Ok(())) => {
                    times.stuck_since = None;
                    return Poll::Pending;
                }
            }
        }
        let now = self.here.runtime.instant();
        let (since, _) = match times.stuck_since {
            Some((since, written)) if written == line.written => (since, written),
            _ => (now, line.written),
        };
        times.stuck_since = Some((since, line.written));
        times.stuck.poll_until(since.after(STUCK), cx)
    }

    /// Takes what waits to the connection; whether there was anything.
    fn push_frame(&self, line: &mut Line) -> bool {
        let merges = self.quirks.has(Quirk::LargeMerges);
        let mut gathered = Vec::new();
        let mut size = 0;
        let mut state = self.state();
        while let Some(waiting) = state.out.pop_front() {
            size += waiting.bytes.len();
            gathered.push(waiting);
            // The one that ends the gathering goes with it.
            if !merges || size >= GATHERED.0 || gathered.len() > GATHERED.1 {
                break;
            }
        }
        drop(state);
        match gathered.as_slice() {
            [] => return false,
            [one] if self.quirks.has(Quirk::Fragments) => {
                line.push_in_fragments(&one.bytes);
                self.quirks.fault(Quirk::Fragments).into_iter().for_each(|f| line.mark(f));
            }
            [one] => line.push(&one.bytes),
            many => {
                let count = u32::try_from(many.len()).unwrap_or(u32::MAX);
                line.push(&say::merged(count, many.iter().map(|one| one.bytes.as_slice())));
                self.quirks.fault(Quirk::LargeMerges).into_iter().for_each(|f| line.mark(f));
            }
        }
        gathered.iter().filter_map(|one| one.fault).for_each(|fault| line.mark(fault));
        true
    }

    // ---- sending ----

    fn push(&self, bytes: Vec<u8>, fault: Option<FaultId>) {
        self.push_at(bytes, fault, false);
    }

    fn push_at(&self, bytes: Vec<u8>, fault: Option<FaultId>, first: bool) {
        let mut state = self.state();
        if !state.up {
            return;
        }
        let waiting = Waiting { bytes, fault };
        if first {
            state.out.push_front(waiting);
        } else {
            state.out.push_back(waiting);
        }
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// A message with the link's own flags.
    pub(super) fn send(&self, header: Header, subroute: Option<SubrouteId>, payload: &[u8]) {
        self.send_because(None, header, subroute, payload);
    }

    /// One that is there because of a quirk.
    pub(super) fn send_because(
        &self,
        quirk: Option<Quirk>,
        mut header: Header,
        subroute: Option<SubrouteId>,
        payload: &[u8],
    ) {
        header.flags |= say::base(self.here.crc);
        header.flags.set(Flags::SUBROUTE, subroute.is_some());
        let fault = quirk.and_then(|quirk| self.quirks.fault(quirk));
        self.push(say::encode(header, subroute, payload), fault);
    }

    /// A counted message of a mux.
    pub(super) fn send_counted(&self, mux: &Mux, header: Header, payload: &[u8]) {
        let seq = mux.with(super::mux::State::next_seq);
        self.send(Header { mux: mux.id, seq, ..header }, None, payload);
    }

    /// The end of a mux, by an op that has nothing more to say.
    pub(super) fn send_end(&self, quirk: Option<Quirk>, op: Op, mux: u64, seq: u32) {
        self.send_because(quirk, Header { mux, seq, ..Header::new(op) }, None, &[]);
    }

    /// One that ends the call comes behind what the mux has queued: its own end, above all.
    pub(super) fn send_pong(&self, to: &Header, pong: &Pong) {
        let mut payload = Vec::new();
        pong.encode(&mut payload);
        let header = Header { op: Op::Pong, flags: say::base(self.here.crc), ..*to };
        let bytes = say::encode(header, None, &payload);
        let ends = pong.not_found || pong.error.is_some();
        self.push_at(bytes, None, !ends && !self.quirks.has(Quirk::LatePongs));
    }

    /// MuxConnectError: the opener's header with another op and payload.
    pub(super) fn refuse(&self, opener: &Header, reason: &str) {
        let mut payload = Vec::new();
        gridmux_core::wire::MuxConnectError { error: reason.into() }.encode(&mut payload);
        self.send(Header { op: Op::MuxConnectError, ..*opener }, None, &payload);
    }

    // ---- muxes ----

    /// A new mux of ours; `None` without a connection.
    pub(super) fn issue(&self) -> Option<Arc<Mux>> {
        let now = self.here.runtime.instant();
        let mut state = self.state();
        if !state.up {
            return None;
        }
        state.issued += 1;
        let id = match self.quirks.has(Quirk::SmallIds) {
            true => state.issued,
            false => state.issued + (1 << 62),
        };
        let mux = Arc::new(Mux::new(id, 0, now));
        state.outgoing.insert(id, mux.clone());
        Some(mux)
    }

    /// Forgets a mux of ours; whether it was live.
    pub(super) fn forget(&self, id: u64) -> bool {
        self.state().outgoing.remove(&id).is_some()
    }

    /// Takes up a mux of the other node; `false` if it is live already.
    pub(super) fn take_up(&self, mux: &Arc<Mux>) -> bool {
        let mut state = self.state();
        let fresh = !state.incoming.contains_key(&mux.id);
        if fresh {
            state.incoming.insert(mux.id, mux.clone());
        }
        fresh
    }

    /// Forgets a mux of the other node; whether it was this one that was live.
    pub(super) fn let_go(&self, mux: &Arc<Mux>) -> bool {
        let mut state = self.state();
        let live = state.incoming.get(&mux.id).is_some_and(|live| Arc::ptr_eq(live, mux));
        if live {
            state.incoming.remove(&mux.id);
        }
        live
    }

    pub(super) fn incoming(&self, id: u64) -> Option<Arc<Mux>> {
        self.state().incoming.get(&id).cloned()
    }

    pub(super) fn outgoing(&self, id: u64) -> Option<Arc<Mux>> {
        self.state().outgoing.get(&id).cloned()
    }

    // ---- receiving ----

    fn hear(self: &Arc<Self>, frame: &[u8], times: &mut Times) -> Result<(), DecodeError> {
        if !self.quirks.has(Quirk::OnlyPongs) {
            times.pong_at = self.here.runtime.instant();
        }
        for_each_message(frame, LONGEST, |message| self.hear_one(&message, times))
    }

    fn hear_one(self: &Arc<Self>, message: &MessageRef<'_>, times: &mut Times) {
        match message.header.op {
            Op::Ping if message.header.mux == 0 => {
                let time = Ping::decode(message.payload).map_or(Timestamp::ZERO, |ping| ping.time);
                self.send_pong(&message.header, &Pong { time, ..Pong::default() });
            }
            Op::Pong if message.header.mux == 0 => times.pong_at = self.here.runtime.instant(),
            Op::Request
            | Op::ConnectMux
            | Op::MuxClientMsg
            | Op::UnblockSrvMux
            | Op::Ping
            | Op::DisconnectServerMux => super::callee::hear(self, message),
            Op::AckMux
            | Op::MuxServerMsg
            | Op::UnblockClMux
            | Op::Response
            | Op::MuxConnectError
            | Op::Pong
            | Op::DisconnectClientMux => super::caller::hear(self, message),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gridmux_core::driver::runtime::Clock as _;
    use gridmux_core::wire::{Header, MessageRef, Op, Pong};

    use super::{Link, PONG_SILENCE, Quirk, Quirks, Times};
    use crate::peers::say;
    use crate::peers::stand::Stand;

    fn link(stand: &Stand, quirks: &[Quirk]) -> Arc<Link> {
        let here = stand.here();
        let quirks = Quirks::of(&here.runtime, quirks.iter().copied());
        let link = Arc::new(Link::new(here, 0, quirks));
        link.begin();
        link
    }

    #[test]
    fn pongs_wait_behind_data_unless_that_quirk_is_off() {
        for (quirks, place) in [(vec![Quirk::LatePongs], 2), (vec![], 0)] {
            let stand = Stand::new(Vec::new(), true);
            let link = link(&stand, &quirks);
            link.send(Header::new(Op::Response), None, b"data");
            link.send(Header::new(Op::Response), None, b"data");
            link.send_pong(&Header::new(Op::Ping), &Pong::default());
            let out = std::mem::take(&mut link.state().out);
            let op = |bytes: &[u8]| MessageRef::decode(bytes).map(|read| read.message.header.op);
            let found = out.iter().position(|waiting| op(&waiting.bytes) == Ok(Op::Pong));
            assert_eq!(found, Some(place), "{quirks:?}");
        }
    }

    #[test]
    fn a_link_without_pongs_is_dead_whatever_else_comes_unless_that_quirk_is_off() {
        for (quirks, dies) in [(vec![Quirk::OnlyPongs], true), (vec![], false)] {
            let mut stand = Stand::new(Vec::new(), true);
            let link = link(&stand, &quirks);
            let runtime = link.here.runtime.clone();
            let now = runtime.instant();
            let (ping, stuck) = (runtime.timer(), runtime.timer());
            let mut times = Times { ping, ping_at: now, pong_at: now, stuck, stuck_since: None };
            stand.pass(PONG_SILENCE.as_nanos() as u64 + 1);
            let data = say::encode(Header::new(Op::from_u8(40)), None, b"life");
            link.hear(&data, &mut times).expect("it is well-formed");
            assert_eq!(link.is_dead(&times), dies, "{quirks:?}");
            assert_eq!(stand.tally("N8").felt, u64::from(dies));
            let mut payload = Vec::new();
            Pong::default().encode(&mut payload);
            let pong = say::encode(Header::new(Op::Pong), None, &payload);
            link.hear(&pong, &mut times).expect("it is well-formed");
            assert!(!link.is_dead(&times));
        }
    }
}
