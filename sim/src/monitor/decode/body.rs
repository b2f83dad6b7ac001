//! The payloads that the protocol itself reads: PROTOCOL.md section 2.

use super::pack::Reader;
use super::{Damage, Op};

/// A moment on a wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds on top.
    pub nanos: u32,
}

impl Time {
    /// Go's zero time: "no time".
    pub const ZERO: Self = Self { seconds: -62_135_596_800, nanos: 0 };
}

/// A payload map, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Of a Connect.
    Connect {
        /// The sending process.
        id: [u8; 16],
        /// Its name.
        host: String,
        /// Its clock.
        time: Time,
    },
    /// Of a ConnectResponse.
    ConnectResponse {
        /// The answering process.
        id: [u8; 16],
        /// Whether the link is open.
        accepted: bool,
        /// Why not.
        reason: String,
    },
    /// Of a MuxConnectError.
    Refusal {
        /// Why the call may not begin.
        error: String,
    },
    /// Of a Ping of the link.
    Ping {
        /// To be echoed.
        time: Time,
    },
    /// Of a Pong.
    Pong {
        /// The mux is not known.
        not_found: bool,
        /// What is wrong with the mux.
        error: Option<String>,
        /// The ping's time.
        time: Time,
    },
    /// Not the map that belongs there.
    Unreadable(Damage),
}

impl Body {
    /// The body of a message of this op, if it has one.
    pub(super) fn of(op: Op, mux: u64, payload: &[u8]) -> Option<Box<Self>> {
        let body = match op {
            Op::Connect => connect(payload),
            Op::ConnectResponse => connect_response(payload),
            Op::MuxConnectError => refusal(payload),
            Op::Ping if mux == 0 => ping(payload),
            Op::Pong => pong(payload),
            _ => return None,
        };
        Some(Box::new(body.unwrap_or_else(Self::Unreadable)))
    }
}

fn connect(payload: &[u8]) -> Result<Body, Damage> {
    let (mut id, mut host, mut time) = ([0; 16], String::new(), Time::default());
    read_map(payload, |key, value| {
        match key {
            b"ID" => id = read_id(value)?,
            b"Host" => host = read_text(value)?,
            b"Time" => time = read_time(value)?,
            _ => value.skip()?,
        }
        Ok(())
    })?;
    Ok(Body::Connect { id, host, time })
}

fn connect_response(payload: &[u8]) -> Result<Body, Damage> {
    let (mut id, mut accepted, mut reason) = ([0; 16], false, String::new());
    read_map(payload, |key, value| {
        match key {
            b"ID" => id = read_id(value)?,
            b"Accepted" => accepted = value.boolean()?,
            b"RejectedReason" => reason = read_text(value)?,
            _ => value.skip()?,
        }
        Ok(())
    })?;
    Ok(Body::ConnectResponse { id, accepted, reason })
}

fn refusal(payload: &[u8]) -> Result<Body, Damage> {
    let mut error = String::new();
    read_map(payload, |key, value| {
        match key {
            b"Error" => error = read_text(value)?,
            _ => value.skip()?,
        }
        Ok(())
    })?;
    Ok(Body::Refusal { error })
}

fn ping(payload: &[u8]) -> Result<Body, Damage> {
    let mut time = Time::ZERO;
    if !payload.is_empty() {
        read_map(payload, |key, value| {
            match key {
                b"t" => time = read_time(value)?,
                _ => value.skip()?,
            }
            Ok(())
        })?;
    }
    Ok(Body::Ping { time })
}

fn pong(payload: &[u8]) -> Result<Body, Damage> {
    let (mut not_found, mut error, mut time) = (false, None, Time::ZERO);
    read_map(payload, |key, value| {
        match key {
            b"nf" => not_found = value.boolean()?,
            b"e" => error = value.str_or_nil()?.map(lossy),
            b"t" => time = read_time(value)?,
            _ => value.skip()?,
        }
        Ok(())
    })?;
    Ok(Body::Pong { not_found, error, time })
}

fn read_map<'a>(
    payload: &'a [u8],
    mut entry: impl FnMut(&[u8], &mut Reader<'a>) -> Result<(), Damage>,
) -> Result<(), Damage> {
    let mut reader = Reader::new(payload);
    for _ in 0..reader.map_len()? {
        let key = reader.str()?;
        entry(key, &mut reader)?;
    }
    Ok(())
}

fn read_id(reader: &mut Reader<'_>) -> Result<[u8; 16], Damage> {
    reader.bin()?.try_into().map_err(|_| Damage::Range)
}

fn read_text(reader: &mut Reader<'_>) -> Result<String, Damage> {
    reader.str().map(lossy)
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

/// Ext type 5 as Go writes it, or the standard timestamp, type -1.
fn read_time(reader: &mut Reader<'_>) -> Result<Time, Damage> {
    let (kind, bytes) = reader.ext()?;
    let number = |range: std::ops::Range<usize>| {
        let bytes = bytes.get(range).unwrap_or_default();
        bytes.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
    };
    match (kind, bytes.len()) {
        (5, 12) => Ok(Time { seconds: number(0..8) as i64, nanos: number(8..12) as u32 }),
        (0xff, 12) => Ok(Time { seconds: number(4..12) as i64, nanos: number(0..4) as u32 }),
        (0xff, 8) => {
            let both = number(0..8);
            Ok(Time { seconds: (both & 0x3_ffff_ffff) as i64, nanos: (both >> 34) as u32 })
        }
        (0xff, 4) => Ok(Time { seconds: number(0..4) as i64, nanos: 0 }),
        _ => Err(Damage::Type),
    }
}
