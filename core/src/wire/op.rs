//! What a message asks for or says.

use std::fmt;

/// The operation of a message (PROTOCOL.md section 2).
///
/// A number that the protocol does not define is kept as [`Op::Unknown`]; such messages are
/// legal and are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// 1: the dialler introduces itself.
    Connect,
    /// 2: the acceptor's answer to [`Op::Connect`].
    ConnectResponse,
    /// 3: asks the other side, or the callee of a mux, for a sign of life.
    Ping,
    /// 4: the answer to [`Op::Ping`].
    Pong,
    /// 5: opens a stream.
    ConnectMux,
    /// 6: refuses a call.
    MuxConnectError,
    /// 7: ends a mux at its caller.
    DisconnectClientMux,
    /// 8: ends a mux at its callee.
    DisconnectServerMux,
    /// 9: a stream's item, or end, from caller to callee.
    MuxClientMsg,
    /// 10: a stream's item, or end, from callee to caller.
    MuxServerMsg,
    /// 11: one credit for the callee.
    UnblockSrvMux,
    /// 12: one credit for the caller.
    UnblockClMux,
    /// 13: the stream is open.
    AckMux,
    /// 14: a single request.
    Request,
    /// 15: the answer to [`Op::Request`].
    Response,
    /// 16: the sender is shutting down.
    Disconnect,
    /// 17: several messages in one (section 3).
    Merged,
    /// Any other number, as [`Op::from_u8`] found it: never one of 1 to 17.
    Unknown(u8),
}

impl Op {
    /// The operation with this number.
    #[inline]
    pub const fn from_u8(number: u8) -> Self {
        match number {
            1 => Self::Connect,
            2 => Self::ConnectResponse,
            3 => Self::Ping,
            4 => Self::Pong,
            5 => Self::ConnectMux,
            6 => Self::MuxConnectError,
            7 => Self::DisconnectClientMux,
            8 => Self::DisconnectServerMux,
            9 => Self::MuxClientMsg,
            10 => Self::MuxServerMsg,
            11 => Self::UnblockSrvMux,
            12 => Self::UnblockClMux,
            13 => Self::AckMux,
            14 => Self::Request,
            15 => Self::Response,
            16 => Self::Disconnect,
            17 => Self::Merged,
            other => Self::Unknown(other),
        }
    }

    /// The number of this operation on the wire.
    #[inline]
    pub const fn as_u8(self) -> u8 {
        match self {
            Self::Connect => 1,
            Self::ConnectResponse => 2,
            Self::Ping => 3,
            Self::Pong => 4,
            Self::ConnectMux => 5,
            Self::MuxConnectError => 6,
            Self::DisconnectClientMux => 7,
            Self::DisconnectServerMux => 8,
            Self::MuxClientMsg => 9,
            Self::MuxServerMsg => 10,
            Self::UnblockSrvMux => 11,
            Self::UnblockClMux => 12,
            Self::AckMux => 13,
            Self::Request => 14,
            Self::Response => 15,
            Self::Disconnect => 16,
            Self::Merged => 17,
            Self::Unknown(other) => other,
        }
    }

    /// Whether only a node that has read what we sent it has a reason to send this.
    #[inline]
    pub(crate) const fn is_answer(self) -> bool {
        matches!(
            self,
            Self::Pong
                | Self::MuxConnectError
                | Self::UnblockSrvMux
                | Self::UnblockClMux
                | Self::AckMux
                | Self::Response
        )
    }

    /// The name that the protocol gives this operation; `Unknown` for the others.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "Connect",
            Self::ConnectResponse => "ConnectResponse",
            Self::Ping => "Ping",
            Self::Pong => "Pong",
            Self::ConnectMux => "ConnectMux",
            Self::MuxConnectError => "MuxConnectError",
            Self::DisconnectClientMux => "DisconnectClientMux",
            Self::DisconnectServerMux => "DisconnectServerMux",
            Self::MuxClientMsg => "MuxClientMsg",
            Self::MuxServerMsg => "MuxServerMsg",
            Self::UnblockSrvMux => "UnblockSrvMux",
            Self::UnblockClMux => "UnblockClMux",
            Self::AckMux => "AckMux",
            Self::Request => "Request",
            Self::Response => "Response",
            Self::Disconnect => "Disconnect",
            Self::Merged => "Merged",
            Self::Unknown(_) => "Unknown",
        }
    }
}

/// The name; an unknown operation with its number, as in `Unknown(40)`.
impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(number) => write!(f, "Unknown({number})"),
            known => f.write_str(known.name()),
        }
    }
}
