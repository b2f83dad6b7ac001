//! Counters of a peer and of a whole node.

use std::time::Duration;

/// What one link, or all of them, have done. Counters run from the start of the process and go on over reconnects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Protocol messages received, parts of merged ones counted singly.
    pub messages_in: u64,
    /// Protocol messages queued to send.
    pub messages_out: u64,
    /// Bytes received in WebSocket frames and their headers.
    pub bytes_in: u64,
    /// Bytes handed to the transport.
    pub bytes_out: u64,
    /// Our calls that are open now, single and streams.
    pub outgoing_requests: usize,
    /// Our streams that are open now.
    pub outgoing_streams: usize,
    /// The peer's single requests that are being served now.
    pub incoming_requests: usize,
    /// The peer's streams that are being served now.
    pub incoming_streams: usize,
    /// Bytes queued to send now.
    pub queued_bytes: usize,
    /// Bytes received and not yet taken now, but for short outcomes of requests.
    pub received_bytes: usize,
    /// Bytes of the peer's requests that wait for their handlers or whose handlers run, as
    /// [`Limits::handler_bytes`](crate::limits::Limits::handler_bytes) counts them.
    pub handler_bytes: usize,
    /// Connections made after the first.
    pub reconnects: u64,
    /// Calls of the peer that were refused before any handler ran: no such route, the wrong shape, too
    /// many, or because this node shuts down. Each kind is logged at most once a minute.
    pub refused_calls: u64,
    /// Inputs for a connection that is not the current one; ignored.
    pub stale_inputs: u64,
    /// How long ago the last Pong came; `None` without one on this link. Merged: the oldest.
    pub last_pong: Option<Duration>,
    /// Round-trip time from the newest link ping; `None` before the first. Merged: the longest.
    pub round_trip: Option<Duration>,
    /// Links that are up: 0 or 1 for a peer.
    pub links_up: usize,
}

impl Stats {
    /// Adds another peer's figures to these.
    pub fn merge(&mut self, other: &Self) {
        self.messages_in += other.messages_in;
        self.messages_out += other.messages_out;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.outgoing_requests += other.outgoing_requests;
        self.outgoing_streams += other.outgoing_streams;
        self.incoming_requests += other.incoming_requests;
        self.incoming_streams += other.incoming_streams;
        self.queued_bytes += other.queued_bytes;
        self.received_bytes += other.received_bytes;
        self.handler_bytes += other.handler_bytes;
        self.reconnects += other.reconnects;
        self.refused_calls += other.refused_calls;
        self.stale_inputs += other.stale_inputs;
        self.last_pong = self.last_pong.max(other.last_pong);
        self.round_trip = self.round_trip.max(other.round_trip);
        self.links_up += other.links_up;
    }
}
