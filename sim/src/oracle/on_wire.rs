//! What the monitors of the wire have found, oracle by oracle.

use super::{Bench, Case};
use crate::verdict::Class;

/// Tells what the monitors have found against one oracle, which the bench names.
pub(super) fn tell(case: &Case<'_>, bench: &mut Bench<'_>) {
    let wire = &case.evidence.wire;
    let name = bench.oracle.to_string();
    if wire.messages > 0 {
        bench.judged_times(wire.messages);
    }
    for ([dialler, acceptor], violation) in &wire.violations {
        if violation.oracle == name {
            let detail = format!("n{dialler} with n{acceptor}: {violation}");
            bench.fail(Class::Safety, violation.rule, case.evidence.phases.heal, detail);
        }
    }
}

/// Conversations made by hand, for the tests of these oracles.
#[cfg(test)]
pub(super) mod tale {
    use gridmux_core::wire::{Flags, Header, MessageRef, Op, Timestamp};

    use crate::monitor::{Capacities, Monitor, Role, Settings};
    use crate::oracle::Wire;
    use crate::oracle::tale::Tale;

    /// The first mux of the dialler.
    pub(in crate::oracle) const MUX: u64 = 1 << 63;

    /// A connection of nodes 0 and 1 on which every message arrives at once. A stream by handler 2
    /// has one credit each way.
    pub(in crate::oracle) struct Talk {
        monitor: Monitor,
        connection: u64,
        written: [u64; 2],
        messages: u64,
    }

    impl Talk {
        pub(in crate::oracle) fn new() -> Self {
            let capacities = Capacities::new().with(2, None, (1, 1));
            let settings = Settings {
                base_crc: false,
                capacities: [capacities.clone(), capacities],
                ..Settings::new()
            };
            let monitor = Monitor::new(settings);
            let mut talk = Self { monitor, connection: 0, written: [0; 2], messages: 0 };
            talk.connect();
            talk
        }

        /// Another connection, which is up.
        pub(in crate::oracle) fn connect(&mut self) -> &mut Self {
            self.connection = self.monitor.connect();
            self.written = [0; 2];
            self.write(Role::Dialler, b"GET /minio/grid/v1 HTTP/1.1\r\n\r\n");
            self.write(Role::Acceptor, b"HTTP/1.1 101 Switching Protocols\r\n\r\n");
            let (mut connect, mut response) = (Vec::new(), Vec::new());
            let (host, token) = ("http://n0:9000".into(), "token".into());
            let time = Timestamp { seconds: 1, nanos: 0 };
            gridmux_core::wire::Connect { id: [1; 16], host, time, token }.encode(&mut connect);
            let (accepted, rejected_reason) = (true, String::new());
            gridmux_core::wire::ConnectResponse { id: [2; 16], accepted, rejected_reason }
                .encode(&mut response);
            self.say(Role::Dialler, Header::new(Op::Connect), &connect);
            self.say(Role::Acceptor, Header::new(Op::ConnectResponse), &response)
        }

        pub(in crate::oracle) fn say(
            &mut self,
            from: Role,
            header: Header,
            payload: &[u8],
        ) -> &mut Self {
            let mut message = Vec::new();
            MessageRef { header, subroute: None, payload }.encode(&mut message);
            let len = u8::try_from(message.len()).unwrap();
            assert!(len < 126);
            let mut frame = match from {
                Role::Dialler => vec![0x82, 0x80 | len, 0, 0, 0, 0],
                Role::Acceptor => vec![0x82, len],
            };
            frame.append(&mut message);
            self.messages += 1;
            self.write(from, &frame);
            self
        }

        fn write(&mut self, from: Role, bytes: &[u8]) {
            self.monitor.written(self.connection, from, bytes, |_| {});
            self.written[from.index()] += bytes.len() as u64;
            self.monitor.delivered(self.connection, from, self.written[from.index()]);
        }

        pub(in crate::oracle) fn tale(&self) -> Tale {
            let mut tale = Tale::new(2);
            let violations = self.monitor.violations().iter();
            tale.evidence.wire = Wire {
                violations: violations.map(|found| ([0, 1], found.clone())).collect(),
                messages: self.messages,
                ..Wire::default()
            };
            tale
        }
    }

    /// The header of a message of a mux.
    pub(in crate::oracle) fn header(op: Op, mux: u64, seq: u32, flags: Flags) -> Header {
        let handler = if matches!(op, Op::ConnectMux | Op::Request) { 2 } else { 0 };
        let deadline_ms = if op == Op::Request { 1_000 } else { 0 };
        Header { mux, seq, flags, handler, deadline_ms, ..Header::new(op) }
    }
}
