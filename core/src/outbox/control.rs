//! Messages that overtake: link Ping and Pong, the pongs of muxes, Disconnect.
//!
//! They are uncounted in every mux, so their order among other messages is free. A newer link
//! Ping or Pong takes the place of one that still waits.

use std::collections::VecDeque;

use super::FRAME_ROOM;
use crate::wire::MessageRef;

#[derive(Debug, Default)]
pub(crate) struct Control {
    handshake: Option<Vec<u8>>,
    disconnect: Option<Vec<u8>>,
    pong: Option<Vec<u8>>,
    ping: Option<Vec<u8>>,
    mux_pongs: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Control {
    pub(super) fn is_empty(&self) -> bool {
        self.mux_pongs.is_empty()
            && self.handshake.is_none()
            && self.disconnect.is_none()
            && self.pong.is_none()
            && self.ping.is_none()
    }

    /// Bytes of mux pongs that wait: the only part that a peer can make grow.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Connect or ConnectResponse: always the first message of its side.
    pub(crate) fn set_handshake(&mut self, message: &MessageRef<'_>) {
        self.handshake = Some(encode(message));
    }

    pub(crate) fn set_disconnect(&mut self, message: &MessageRef<'_>) {
        self.disconnect = Some(encode(message));
    }

    /// The link Pong; only the newest unanswered Ping is answered.
    pub(crate) fn set_pong(&mut self, message: &MessageRef<'_>) {
        self.pong = Some(encode(message));
    }

    pub(crate) fn set_ping(&mut self, message: &MessageRef<'_>) {
        self.ping = Some(encode(message));
    }

    pub(super) fn has_ping(&self) -> bool {
        self.ping.is_some()
    }

    pub(crate) fn push_mux_pong(&mut self, message: &MessageRef<'_>) {
        let buf = encode(message);
        self.bytes += buf.len() - FRAME_ROOM;
        self.mux_pongs.push_back(buf);
    }

    pub(super) fn take(&mut self) -> Option<(Vec<u8>, usize)> {
        let single = [&mut self.handshake, &mut self.pong, &mut self.ping, &mut self.disconnect]
            .into_iter()
            .find_map(Option::take);
        let buf = match single {
            Some(buf) => buf,
            None => {
                let buf = self.mux_pongs.pop_front()?;
                self.bytes -= buf.len() - FRAME_ROOM;
                buf
            }
        };
        Some((buf, FRAME_ROOM))
    }
}

fn encode(message: &MessageRef<'_>) -> Vec<u8> {
    let mut buf = Vec::with_capacity(FRAME_ROOM + message.encoded_len());
    buf.resize(FRAME_ROOM, 0);
    message.encode(&mut buf);
    buf
}
