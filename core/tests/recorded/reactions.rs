//! `vectors/reactions.json` as a test: what a Go node answered to each probe, we answer too, but
//! for the differences that PROTOCOL.md asks for. They are listed here, each with its reason.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::BufMut;
use gridmux_core::connection::Connection;
use gridmux_core::event::LinkCommand;
use gridmux_core::grid::GridState;
use gridmux_core::link::{Accepting, Acceptor, dials};
use gridmux_core::time::{Instant, Now};
use gridmux_core::wire::{Op, Timestamp};

use crate::support::app::App;
use crate::support::messages::{self, Edit, line, opening, unpack};
use crate::support::solo::{TOKEN, connect, node};
use crate::support::vectors::{Event, Probe, Sent, hex, probes};

/// The one that the recorded probes come from.
const PROBER: &str = "http://127.0.0.1:9301";

/// A name that the probed node should dial.
const DIALLED: &str = "http://127.0.0.1:9300";

/// The moment of the recording, to the minute.
const WALL: Timestamp = Timestamp { seconds: 1_795_230_940, nanos: 0 };

/// Where we answer otherwise than the Go node did: the probe, our answer, and why.
const DIFFERENCES: &[(&str, &[&str], &str)] = &[
    ("first message is not MessagePack", REFUSED, CLOSES),
    ("first message is a Ping", REFUSED, CLOSES),
    ("Connect with a broken payload", REFUSED, CLOSES),
    ("Connect with unknown host", REFUSED, CLOSES),
    ("Connect with wrong token", REFUSED, CLOSES),
    ("Connect from the side that should be dialled", REFUSED, CLOSES),
    ("Connect without a Token key", REFUSED, CLOSES),
    (
        "DisconnectServerMux for a single request",
        &[],
        "7.3: our callee cancels the handler of a request whose caller cancels",
    ),
    (
        "merged, count too high",
        &["closed"],
        "3: the parts before the broken one count as received, their answers may be lost",
    ),
    (
        "more input than capacity",
        &[
            "AckMux mux=1 seq=0 CRC nil",
            "MuxServerMsg mux=1 seq=1 CRC EOF PAYLOAD_IS_ERR text",
            "DisconnectClientMux mux=1 seq=0 CRC nil",
        ],
        "5.2, L27: a violation is answered once; no credit for an item that nobody took",
    ),
    (
        "MuxServerMsg for an unknown mux",
        &["DisconnectServerMux mux=77 seq=0 CRC nil", STILL_HERE],
        "5, 7.1: what the callee sends is answered in the direction of the callee",
    ),
    (
        "AckMux for an unknown mux",
        &["DisconnectServerMux mux=77 seq=0 CRC nil", STILL_HERE],
        "5, 7.1: what the callee sends is answered in the direction of the callee",
    ),
    (
        "Pong for an unknown mux",
        &["DisconnectServerMux mux=77 seq=0 CRC nil", STILL_HERE],
        "5, 7.1: what the callee sends is answered in the direction of the callee",
    ),
];

/// The answer to a bad Connect.
const REFUSED: &[&str] =
    &["ConnectResponse mux=0 seq=0 rejected, text", "websocket opcode 8 03e8", "closed"];

const CLOSES: &str = "4: it closes, and for us that begins with the close frame of RFC 6455";

/// The answer to the request that shows that the link lives.
const STILL_HERE: &str = "Response mux=9 seq=0 CRC EOF [7374696c6c2068657265]";

#[test]
fn every_probe_is_answered_as_recorded_or_as_the_protocol_asks() {
    let mut wrong = Vec::new();
    let mut differ = Vec::new();
    let all = probes();
    assert_eq!(all.len(), 71);
    for probe in &all {
        let ours = react(probe);
        let recorded = recorded(probe);
        let difference = DIFFERENCES.iter().find(|(name, ..)| *name == probe.name);
        if difference.is_some() {
            differ.push(probe.name.as_str());
        }
        let (expected, why) = match difference {
            None => (recorded, "as recorded"),
            Some((_, lines, why)) => {
                let lines: Vec<_> = lines.iter().map(ToString::to_string).collect();
                if by_mux(lines.clone()) == recorded {
                    wrong.push(format!("{}: the difference is not needed", probe.name));
                }
                (by_mux(lines), *why)
            }
        };
        if ours != expected {
            wrong.push(format!("{}: {ours:#?}\nexpected ({why}): {expected:#?}", probe.name));
        }
    }
    let listed: Vec<_> = DIFFERENCES.iter().map(|(name, ..)| *name).collect();
    differ.sort_unstable();
    let mut sorted = listed.clone();
    sorted.sort_unstable();
    assert_eq!(differ, sorted, "differences for probes that there are");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// What the file says, merged messages one by one.
fn recorded(probe: &Probe) -> Vec<String> {
    let mut lines = Vec::new();
    for event in &probe.received {
        match event {
            Event::Http(head) => lines.push(head.clone()),
            Event::Frame { opcode, bytes } => lines.push(frame_line(*opcode, bytes)),
            Event::Message(message) => lines.extend(unpack(&message.bytes).iter().map(line)),
        }
    }
    lines.extend(probe.link_closed.then(|| "closed".to_owned()));
    by_mux(lines)
}

/// Order counts within a mux only.
fn by_mux(lines: Vec<String>) -> Vec<String> {
    let mut sorted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines {
        let mux = line.split(' ').find(|word| word.starts_with("mux=")).unwrap_or_default();
        sorted.entry(mux.into()).or_default().push(line);
    }
    sorted.into_values().flatten().collect()
}

fn frame_line(opcode: u8, bytes: &[u8]) -> String {
    format!("websocket opcode {opcode} {}", hex(bytes))
}

// ---- our side ----

/// A started node, the clock and the application of its handlers.
struct Probed {
    grid: GridState,
    now: Now,
    app: App,
}

/// One connection to it.
struct Line {
    end: LineEnd,
    out: Vec<u8>,
}

enum LineEnd {
    Knocking(Acceptor),
    Open(Box<Connection>),
    Closed,
}

impl Probed {
    fn new() -> Self {
        let own = (9302..9400)
            .map(|port| format!("http://127.0.0.1:{port}"))
            .find(|own| dials(PROBER, own) && dials(own, DIALLED))
            .expect("a name that one dials and that dials the other");
        let names = [own.clone(), PROBER.into(), DIALLED.into()];
        let now = Now { instant: Instant::from_millis(1000), wall: WALL };
        let node = Arc::new(node(&own, [2; 16]));
        let mut grid = GridState::new(node, &names, 1, 0, now.instant).expect("settings that work");
        grid.start(now);
        Self { grid, now, app: App::default() }
    }

    fn knock(&mut self) -> Line {
        let acceptor = self.grid.accept_upgraded(self.now.instant, &[]);
        Line { end: LineEnd::Knocking(acceptor), out: Vec::new() }
    }

    fn feed(&mut self, line: &mut Line, bytes: &[u8]) {
        match &mut line.end {
            LineEnd::Knocking(acceptor) => {
                acceptor.read_buf().put_slice(bytes);
                let outcome = acceptor.handle_read(self.now, &self.grid);
                self.greet(line, outcome);
            }
            LineEnd::Open(connection) => {
                connection.read_buf().put_slice(bytes);
                connection.handle_read(self.now.instant, bytes.len());
            }
            LineEnd::Closed => {}
        }
        self.exchange(line);
    }

    fn greet(&mut self, line: &mut Line, outcome: Accepting) {
        let hello = match outcome {
            Accepting::Pending => return,
            Accepting::Finished(_) => return close(line),
            Accepting::Hello(hello) => hello,
        };
        let verdict = self.grid.handle_hello(self.now, &hello, self.now.instant);
        let LineEnd::Knocking(mut acceptor) = std::mem::replace(&mut line.end, LineEnd::Closed)
        else {
            return;
        };
        match verdict {
            Ok(link) => {
                let connection = acceptor.accept(self.now.instant, link).expect("greeted");
                line.end = LineEnd::Open(Box::new(connection));
            }
            Err(reason) => {
                acceptor.refuse(reason);
                line.end = LineEnd::Knocking(acceptor);
                close(line);
            }
        }
    }

    /// Between a connection and its peer, and what the peer wants done about connections.
    fn exchange(&mut self, line: &mut Line) {
        let LineEnd::Open(connection) = &mut line.end else { return };
        let peer = self.grid.peer_mut(PROBER).expect("configured");
        loop {
            connection.exchange(self.now, peer);
            while let Some(LinkCommand::Close { link, how, .. }) = peer.poll_command() {
                if link == connection.link() {
                    connection.close(self.now.instant, how);
                }
            }
            let bytes = connection.write_buf().to_vec();
            connection.handle_written(self.now.instant, bytes.len());
            line.out.extend_from_slice(&bytes);
            if bytes.is_empty() && !connection.decode_more() {
                break;
            }
        }
        if connection.is_finished() {
            line.end = LineEnd::Closed;
        }
    }

    /// Lets the handlers work for two seconds.
    fn work(&mut self, line: &mut Line) {
        let until = self.now.instant.after(Duration::from_secs(2));
        loop {
            let peer = self.grid.peer_mut(PROBER).expect("configured");
            while let Some(call) = peer.poll_call() {
                self.app.serve(peer, self.now, &call);
            }
            while peer.poll_event().is_some() {}
            self.app.run(peer, self.now);
            peer.check_invariants();
            self.exchange(line);
            let machine =
                self.grid.peer(PROBER).and_then(|peer| peer.poll_timeout(self.now.instant));
            let wakes = [self.app.next_wake(), machine.map(|(at, _)| at)];
            let Some(next) = wakes.into_iter().flatten().min().filter(|at| *at <= until) else {
                return;
            };
            self.now.instant = next.max(self.now.instant);
            self.grid.peer_mut(PROBER).expect("configured").handle_timeout(self.now);
        }
    }
}

fn close(line: &mut Line) {
    if let LineEnd::Knocking(acceptor) = &mut line.end {
        line.out.extend_from_slice(acceptor.write_buf());
    }
    line.end = LineEnd::Closed;
}

/// What we answer to a probe.
fn react(probe: &Probe) -> Vec<String> {
    let mut probed = Probed::new();
    match probe.name.as_str() {
        "upgrade with a wrong bearer token" => return react_to_upgrade(&mut probed),
        "second Connect for the same pair: what the first link sees" => {
            return react_to_second_connect(&mut probed).0;
        }
        "... and the second link" => return react_to_second_connect(&mut probed).1,
        _ => {}
    }
    let mut line = probed.knock();
    let about_connect = probe.name.starts_with("Connect ")
        && !probe.name.starts_with("Connect again")
        || probe.name.starts_with("first message");
    if !about_connect {
        greet(&mut probed, &mut line, [1; 16]);
    }
    for sent in &probe.sent {
        match sent {
            Sent::Message(bytes) => probed.feed(&mut line, &masked(0x82, bytes)),
            Sent::Frame { opcode, bytes, fin } => {
                let first = opcode | if *fin { 0x80 } else { 0 };
                probed.feed(&mut line, &masked(first, bytes));
            }
            Sent::Http(text) => panic!("HTTP in the probe {}: {text}", probe.name),
        }
    }
    probed.work(&mut line);
    outcome(&line)
}

/// A good Connect and its answer.
fn greet(probed: &mut Probed, line: &mut Line, id: [u8; 16]) {
    probed.feed(line, &masked(0x82, &connect(PROBER, id, WALL)));
    assert_eq!(outcome(line), ["ConnectResponse mux=0 seq=0 accepted, no text"]);
    line.out.clear();
}

/// The recorded `sent` is the status line that came back.
fn react_to_upgrade(probed: &mut Probed) -> Vec<String> {
    let acceptor = probed.grid.accept(probed.now.instant);
    let mut line = Line { end: LineEnd::Knocking(acceptor), out: Vec::new() };
    let head = format!(
        "GET /minio/grid/v1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         Authorization: Bearer not-{TOKEN}\r\nX-Minio-Time: {}\r\n\r\n",
        WALL.to_unix_nanos()
    );
    probed.feed(&mut line, head.as_bytes());
    assert!(line.out.starts_with(b"HTTP/1.1 403 Forbidden\r\n"));
    line.out.clear();
    outcome(&line)
}

/// What the first and the second link see of a second Connect for the same pair.
fn react_to_second_connect(probed: &mut Probed) -> (Vec<String>, Vec<String>) {
    let mut first = probed.knock();
    greet(probed, &mut first, [1; 16]);
    let mut second = probed.knock();
    probed.feed(&mut second, &masked(0x82, &connect(PROBER, [1; 16], WALL)));
    second.out.clear();
    // The command to close the first came with the second.
    if let LineEnd::Open(connection) = &mut first.end {
        let how = gridmux_core::event::CloseHow::Abort;
        assert_ne!(
            Some(connection.link()),
            probed.grid.peer(PROBER).and_then(gridmux_core::peer::Peer::link)
        );
        connection.close(probed.now.instant, how);
    }
    probed.exchange(&mut first);
    probed.feed(&mut second, &masked(0x82, &opening(Op::Request, 1, 1, b"x").bytes()));
    probed.work(&mut second);
    (outcome(&first), outcome(&second))
}

/// All that a connection wrote, as lines, and whether it is closed.
fn outcome(line: &Line) -> Vec<String> {
    let mut lines = Vec::new();
    let mut bytes = line.out.as_slice();
    while let [first, len, rest @ ..] = bytes {
        let (len, rest) = match len {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => panic!("no answer is this long"),
            len => (usize::from(*len), rest),
        };
        match first {
            0x82 => lines.extend(unpack(&rest[..len]).iter().map(messages::line)),
            first => lines.push(frame_line(first & 0x0f, &rest[..len])),
        }
        bytes = &rest[len..];
    }
    if matches!(line.end, LineEnd::Closed) {
        lines.push("closed".into());
    }
    by_mux(lines)
}

/// A frame of the dialler, masked with zeros.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}
