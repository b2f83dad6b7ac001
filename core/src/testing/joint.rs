//! One connection between two nodes, from the dial until both sides have let go of it.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

use super::{End, Which};
use crate::connection::Connection;
use crate::error::LinkError;
use crate::event::{CloseHow, LinkId};
use crate::link::{Accepting, Acceptor, check_connect};
use crate::outbox::Transmit;
use crate::peer::Peer;
use crate::time::{Instant, Now};

/// What is under way.
#[derive(Debug)]
enum Parcel {
    Data(Bytes),
    /// The sender has closed.
    End,
}

/// What one side of a connection is at.
#[derive(Debug)]
enum Station {
    /// Joined by frames, before the Connect.
    Waiting,
    /// Joined by frames; `writing` finds no room.
    Frames {
        link: LinkId,
        writing: Option<Bytes>,
    },
    /// Joined by bytes, before the Connect.
    Accepting {
        acceptor: Box<Acceptor>,
        finished: bool,
    },
    /// Joined by bytes.
    Bytes(Box<Connection>),
    Gone,
}

/// One connection. Each side is told of what happens on the other only by what arrives.
#[derive(Debug)]
pub(super) struct Joint {
    stations: [Station; 2],
    /// To the dialler, to the acceptor: what is under way, with its time of arrival.
    wires: [VecDeque<(Instant, Parcel)>; 2],
}

impl Joint {
    pub(super) fn by_frames(dialler: &mut End, link: LinkId, now: Now) -> Self {
        dialler.peer().handle_upgraded(now, link);
        Self {
            stations: [Station::Frames { link, writing: None }, Station::Waiting],
            wires: Default::default(),
        }
    }

    pub(super) fn by_bytes(ends: &mut [End; 2], link: LinkId, seed: u64, now: Now) -> Self {
        let [dialler, acceptor] = ends;
        let connection = Connection::dialled(dialler.grid.node(), dialler.other(), link, seed, now);
        let connection = Box::new(connection.expect("the settings can be sent"));
        let acceptor = Box::new(acceptor.grid.accept(now.instant));
        Self {
            stations: [
                Station::Bytes(connection),
                Station::Accepting { acceptor, finished: false },
            ],
            wires: Default::default(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.stations.iter().all(|station| matches!(station, Station::Gone))
    }

    /// The link that one side knows this as.
    pub(super) fn link(&self, which: Which) -> Option<LinkId> {
        match &self.stations[which.index()] {
            Station::Frames { link, .. } => Some(*link),
            Station::Bytes(connection) => Some(connection.link()),
            Station::Waiting | Station::Accepting { .. } | Station::Gone => None,
        }
    }

    pub(super) fn poll_timeout(&self, which: Which) -> Option<Instant> {
        match &self.stations[which.index()] {
            Station::Bytes(connection) => connection.poll_timeout(),
            Station::Accepting { acceptor, finished: false } => Some(acceptor.poll_timeout()),
            _ => None,
        }
    }

    /// When the next thing arrives at one side.
    pub(super) fn next_arrival(&self, which: Which) -> Option<Instant> {
        self.wires[which.index()].front().map(|(at, _)| *at)
    }

    pub(super) fn wake(&mut self, which: Which, end: &mut End, now: Now) {
        match &mut self.stations[which.index()] {
            Station::Bytes(connection) => {
                connection.handle_timeout(now.instant);
                connection.exchange(now, end.peer());
            }
            Station::Accepting { acceptor, finished: finished @ false } => {
                if let Accepting::Finished(error) = acceptor.handle_timeout(now.instant) {
                    *finished = true;
                    end.closed.push(error);
                }
            }
            _ => {}
        }
    }

    /// The transport fails at one side; the other sees nothing of it.
    pub(super) fn fail(&mut self, which: Which, end: &mut End, now: Now, error: LinkError) {
        match std::mem::replace(&mut self.stations[which.index()], Station::Gone) {
            Station::Frames { link, writing } => {
                end.peer().handle_link_down(now, link, error, writing.is_some().into());
            }
            Station::Bytes(mut connection) => {
                connection.handle_failure(error);
                connection.exchange(now, end.peer());
            }
            Station::Accepting { .. } | Station::Waiting | Station::Gone => {}
        }
        self.wires[which.index()].clear();
    }

    /// Carries out a close that one side's machine has asked for.
    pub(super) fn close(&mut self, which: Which, end: &mut End, now: Now, how: CloseHow) {
        match &mut self.stations[which.index()] {
            Station::Bytes(connection) => {
                connection.close(now.instant, how);
                connection.exchange(now, end.peer());
            }
            Station::Frames { link, .. } => {
                let link = *link;
                self.hang_up(which, now.instant);
                if how != CloseHow::Abort {
                    end.peer().handle_link_down(now, link, LinkError::ShutDown, 0);
                }
            }
            Station::Waiting | Station::Accepting { .. } | Station::Gone => {}
        }
    }

    /// One side is closed: the other sees that behind what is under way to it.
    fn hang_up(&mut self, which: Which, at: Instant) {
        self.stations[which.index()] = Station::Gone;
        let wire = &mut self.wires[which.other().index()];
        let at = wire.back().map_or(at, |(last, _)| at.max(*last));
        wire.push_back((at, Parcel::End));
    }

    /// Moves what a side has to send onto the wire: `piece` bytes at most when joined by bytes,
    /// and no more than `room` bytes may be under way.
    pub(super) fn transmit(
        &mut self,
        which: Which,
        end: &mut End,
        (now, arrival): (Now, Instant),
        (piece, room): (usize, usize),
    ) -> bool {
        let wire = &mut self.wires[which.other().index()];
        let under_way: usize = wire.iter().map(|(_, parcel)| parcel.len()).sum();
        let room = room.saturating_sub(under_way);
        match &mut self.stations[which.index()] {
            Station::Waiting | Station::Gone => false,
            Station::Frames { link, writing } => {
                let fetched = writing.is_none();
                if fetched {
                    let transmit = end.peer().poll_transmit(now, *link);
                    *writing = transmit.map(|transmit| whole_frame(transmit, end.peer()));
                }
                let Some(frame) = writing.take_if(|frame| frame.len() <= room) else {
                    return fetched && writing.is_some();
                };
                end.sent.push(frame.clone());
                wire.push_back((arrival, Parcel::Data(frame)));
                true
            }
            Station::Bytes(connection) => {
                connection.exchange(now, end.peer());
                let mut slices = [IoSlice::new(&[]); 3];
                let count = connection.write_bufs(&mut slices);
                let bytes = slices[..count].iter().flat_map(|slice| slice.iter()).copied();
                let bytes: Bytes = bytes.take(piece.min(room)).collect();
                let len = bytes.len();
                if len > 0 {
                    end.written.extend_from_slice(&bytes);
                    wire.push_back((arrival, Parcel::Data(bytes)));
                    connection.handle_written(now.instant, len);
                }
                let finished = connection.is_finished();
                if finished {
                    self.hang_up(which, arrival);
                }
                finished || len > 0
            }
            Station::Accepting { acceptor, finished } => {
                let bytes = acceptor.write_buf();
                let len = bytes.len().min(piece).min(room);
                if len > 0 {
                    end.written.extend_from_slice(&bytes[..len]);
                    let bytes = Bytes::copy_from_slice(&bytes[..len]);
                    wire.push_back((arrival, Parcel::Data(bytes)));
                    acceptor.handle_written(len);
                }
                let finished = *finished && acceptor.write_buf().is_empty();
                if finished {
                    self.hang_up(which, arrival);
                }
                finished || len > 0
            }
        }
    }

    /// Hands the next arrival to a side, if it is time.
    pub(super) fn arrive(&mut self, which: Which, end: &mut End, now: Now) -> bool {
        let index = which.index();
        let due = self.wires[index].pop_front_if(|(at, _)| *at <= now.instant);
        match due {
            None => return false,
            Some((_, Parcel::Data(data))) => self.arrive_data(which, end, now, &data),
            Some((_, Parcel::End)) => self.arrive_end(which, end, now),
        }
        true
    }

    fn arrive_data(&mut self, which: Which, end: &mut End, now: Now, data: &Bytes) {
        match &mut self.stations[which.index()] {
            Station::Gone => {}
            Station::Waiting => self.greet(which, end, now, data),
            Station::Frames { link, .. } => end.peer().handle_frame(now, *link, data),
            Station::Bytes(connection) => {
                let mut left = &data[..];
                while !left.is_empty() {
                    let read = fill(connection.read_buf(), &mut left);
                    connection.handle_read(now.instant, read);
                    loop {
                        connection.exchange(now, end.peer());
                        if !connection.decode_more() {
                            break;
                        }
                    }
                }
            }
            Station::Accepting { acceptor, .. } => {
                let mut left = &data[..];
                while !left.is_empty() {
                    let _ = fill(acceptor.read_buf(), &mut left);
                    let outcome = acceptor.handle_read(now, &end.grid);
                    if outcome != Accepting::Pending {
                        assert!(left.is_empty(), "the harness reads no further than one message");
                        return self.on_accepting(which, end, now, outcome);
                    }
                }
            }
        }
    }

    fn arrive_end(&mut self, which: Which, end: &mut End, now: Now) {
        let station = &mut self.stations[which.index()];
        match station {
            Station::Bytes(connection) => {
                connection.handle_eof();
                connection.exchange(now, end.peer());
            }
            Station::Accepting { acceptor, finished } => {
                if !std::mem::replace(finished, true)
                    && let Accepting::Finished(error) = acceptor.handle_eof()
                {
                    end.closed.push(error);
                }
            }
            Station::Frames { .. } => self.fail(which, end, now, LinkError::ClosedByPeer),
            Station::Waiting | Station::Gone => *station = Station::Gone,
        }
    }

    /// The first frame at an acceptor.
    fn greet(&mut self, which: Which, end: &mut End, now: Now, frame: &Bytes) {
        let node = end.grid.node().clone();
        let known = end.other().to_owned();
        let verdict = check_connect(&node, now, frame, |name| name == known)
            .and_then(|hello| end.peer().handle_hello(now, &hello, now.instant));
        match verdict {
            Ok(link) => {
                self.stations[which.index()] = Station::Frames { link, writing: None };
            }
            Err(reason) => {
                let refusal = Bytes::from(Peer::refusal(node.instance, &reason));
                end.closed.push(LinkError::Refused(reason));
                end.sent.push(refusal.clone());
                let wire = &mut self.wires[which.other().index()];
                wire.push_back((now.instant, Parcel::Data(refusal)));
                self.hang_up(which, now.instant);
            }
        }
    }

    fn on_accepting(&mut self, which: Which, end: &mut End, now: Now, outcome: Accepting) {
        let station = &mut self.stations[which.index()];
        let hello = match outcome {
            Accepting::Pending => return,
            Accepting::Hello(hello) => hello,
            Accepting::Finished(error) => {
                if let Station::Accepting { finished, .. } = station {
                    *finished = true;
                }
                return end.closed.push(error);
            }
        };
        let came = match station {
            Station::Accepting { acceptor, .. } => acceptor.came(),
            _ => now.instant,
        };
        match end.grid.handle_hello(now, &hello, came) {
            Ok(link) => {
                if let Station::Accepting { acceptor, .. } =
                    std::mem::replace(station, Station::Gone)
                {
                    let connection = acceptor.accept(now.instant, link).expect("greeted");
                    *station = Station::Bytes(Box::new(connection));
                }
            }
            Err(reason) => {
                if let Station::Accepting { acceptor, finished } = station
                    && let Accepting::Finished(error) = acceptor.refuse(reason)
                {
                    *finished = true;
                    end.closed.push(error);
                }
            }
        }
    }
}

impl Parcel {
    fn len(&self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            Self::End => 0,
        }
    }
}

/// A transmit as the frame that it becomes.
pub(super) fn whole_frame(transmit: Transmit, peer: &mut Peer) -> Bytes {
    match transmit {
        Transmit::Frame { buf, start, .. } => {
            let frame = Bytes::copy_from_slice(&buf[start..]);
            peer.recycle(buf);
            frame
        }
        Transmit::Large(large) => {
            let mut frame = Vec::new();
            large.encode(&mut frame);
            frame.into()
        }
    }
}

/// Appends as much of `left` as `buf` has spare capacity for, as a read would; says how much.
fn fill(buf: &mut bytes::BytesMut, left: &mut &[u8]) -> usize {
    let len = left.len().min(buf.capacity() - buf.len());
    assert!(len > 0, "a read buffer has room");
    buf.extend_from_slice(&left[..len]);
    *left = &left[len..];
    len
}
