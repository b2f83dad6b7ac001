//! The payloads that the protocol itself reads.
//!
//! Each is a MessagePack map with text keys (PROTOCOL.md section 2), written whole and in a fixed
//! order. A reader takes the keys in any order, passes over those it does not know, gives a
//! missing one its zero value, takes the last of two equal ones, and ignores what follows the
//! map. Names and tokens must be UTF-8; in texts for people, other bytes become replacement
//! characters, so that a cut text does not cost the link.

use std::fmt;

use super::reader::Reader;
use super::subroute::Hex;
use super::{DecodeError, Timestamp};

/// The payload of [`Op::Connect`](super::Op::Connect).
///
/// The token is not shown by `Debug`.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Connect {
    /// `ID`: the sending process, a new one after each restart.
    pub id: [u8; 16],
    /// `Host`: the sender's name.
    pub host: String,
    /// `Time`: the sender's clock.
    pub time: Timestamp,
    /// `Token`: proves that the sender may connect.
    pub token: String,
}

/// The payload of [`Op::ConnectResponse`](super::Op::ConnectResponse).
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct ConnectResponse {
    /// `ID`: the answering process, a new one after each restart.
    pub id: [u8; 16],
    /// `Accepted`: whether the link is open now.
    pub accepted: bool,
    /// `RejectedReason`: why it is not, for a person.
    pub rejected_reason: String,
}

/// The payload of [`Op::MuxConnectError`](super::Op::MuxConnectError).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MuxConnectError {
    /// `Error`: why the call was refused, for a person.
    pub error: String,
}

/// The payload of an [`Op::Ping`](super::Op::Ping) of the link. A mux's ping has a nil payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ping {
    /// `t`: the sender's clock, to be echoed.
    pub time: Timestamp,
}

/// The payload of [`Op::Pong`](super::Op::Pong).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pong {
    /// `nf`: the mux that the ping asked for is not there.
    pub not_found: bool,
    /// `e`: what went wrong with the mux, for a person.
    pub error: Option<String>,
    /// `t`: the ping's time, or [`Timestamp::ZERO`] for a mux.
    pub time: Timestamp,
}

impl Connect {
    /// Appends the map.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_map_len(4, out);
        put_str("ID", out);
        put_id(&self.id, out);
        put_str("Host", out);
        put_str(&self.host, out);
        put_str("Time", out);
        self.time.encode(out);
        put_str("Token", out);
        put_str(&self.token, out);
    }

    /// Reads the map.
    ///
    /// # Errors
    /// If the payload is not such a map.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut body = Self::default();
        read_map(payload, |key, value| {
            match key {
                b"ID" => body.id = read_id(value)?,
                b"Host" => body.host = read_name(value, "Host")?,
                b"Time" => body.time = Timestamp::read(value, "Time")?,
                b"Token" => body.token = read_name(value, "Token")?,
                _ => value.skip("value of an unknown key")?,
            }
            Ok(())
        })?;
        Ok(body)
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("id", &Hex(&self.id))
            .field("host", &self.host)
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}

impl ConnectResponse {
    /// Appends the map.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_map_len(3, out);
        put_str("ID", out);
        put_id(&self.id, out);
        put_str("Accepted", out);
        put_bool(self.accepted, out);
        put_str("RejectedReason", out);
        put_str(&self.rejected_reason, out);
    }

    /// Reads the map.
    ///
    /// # Errors
    /// If the payload is not such a map.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut body = Self::default();
        read_map(payload, |key, value| {
            match key {
                b"ID" => body.id = read_id(value)?,
                b"Accepted" => body.accepted = value.boolean("Accepted")?,
                b"RejectedReason" => body.rejected_reason = read_text(value, "RejectedReason")?,
                _ => value.skip("value of an unknown key")?,
            }
            Ok(())
        })?;
        Ok(body)
    }
}

impl fmt::Debug for ConnectResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectResponse")
            .field("id", &Hex(&self.id))
            .field("accepted", &self.accepted)
            .field("rejected_reason", &self.rejected_reason)
            .finish()
    }
}

impl MuxConnectError {
    /// Appends the map.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_map_len(1, out);
        put_str("Error", out);
        put_str(&self.error, out);
    }

    /// Reads the map.
    ///
    /// # Errors
    /// If the payload is not such a map.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut body = Self::default();
        read_map(payload, |key, value| {
            match key {
                b"Error" => body.error = read_text(value, "Error")?,
                _ => value.skip("value of an unknown key")?,
            }
            Ok(())
        })?;
        Ok(body)
    }
}

impl Ping {
    /// Appends the map.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_map_len(1, out);
        put_str("t", out);
        self.time.encode(out);
    }

    /// Reads the map, or a payload of length 0, which is a ping without a time.
    ///
    /// # Errors
    /// If the payload is neither.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut body = Self::default();
        if payload.is_empty() {
            return Ok(body);
        }
        read_map(payload, |key, value| {
            match key {
                b"t" => body.time = Timestamp::read(value, "t")?,
                _ => value.skip("value of an unknown key")?,
            }
            Ok(())
        })?;
        Ok(body)
    }
}

impl Pong {
    /// Appends the map.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_map_len(3, out);
        put_str("nf", out);
        put_bool(self.not_found, out);
        put_str("e", out);
        match &self.error {
            Some(error) => put_str(error, out),
            None => out.push(rmp::Marker::Null.to_u8()),
        }
        put_str("t", out);
        self.time.encode(out);
    }

    /// Reads the map.
    ///
    /// # Errors
    /// If the payload is not such a map.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut body = Self::default();
        read_map(payload, |key, value| {
            match key {
                b"nf" => body.not_found = value.boolean("nf")?,
                b"e" => body.error = value.str_or_nil("e")?.map(lossy),
                b"t" => body.time = Timestamp::read(value, "t")?,
                _ => value.skip("value of an unknown key")?,
            }
            Ok(())
        })?;
        Ok(body)
    }
}

/// Gives each key to `entry`, which reads the value behind it.
fn read_map<'a>(
    payload: &'a [u8],
    mut entry: impl FnMut(&[u8], &mut Reader<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut reader = Reader::new(payload);
    for _ in 0..reader.map_len("payload")? {
        let key = reader.str_bytes("key")?;
        entry(key, &mut reader)?;
    }
    Ok(())
}

fn read_id(reader: &mut Reader<'_>) -> Result<[u8; 16], DecodeError> {
    let bytes = reader.bin("ID")?;
    bytes.try_into().map_err(|_| DecodeError::Length {
        field: "ID",
        expected: 16,
        found: bytes.len(),
    })
}

/// A text that means something to a program.
fn read_name(reader: &mut Reader<'_>, field: &'static str) -> Result<String, DecodeError> {
    match str::from_utf8(reader.str_bytes(field)?) {
        Ok(name) => Ok(name.to_owned()),
        Err(error) => Err(DecodeError::Utf8 { field, valid_up_to: error.valid_up_to() }),
    }
}

/// A text for a person.
fn read_text(reader: &mut Reader<'_>, field: &'static str) -> Result<String, DecodeError> {
    Ok(reader.str_bytes(field).map(lossy)?)
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

fn put_map_len(len: u32, out: &mut Vec<u8>) {
    rmp::encode::write_map_len(out, len).expect("a Vec takes every byte");
}

fn put_str(text: &str, out: &mut Vec<u8>) {
    rmp::encode::write_str(out, text).expect("a Vec takes every byte");
}

fn put_id(id: &[u8; 16], out: &mut Vec<u8>) {
    rmp::encode::write_bin(out, id).expect("a Vec takes every byte");
}

fn put_bool(value: bool, out: &mut Vec<u8>) {
    rmp::encode::write_bool(out, value).expect("a Vec takes every byte");
}
