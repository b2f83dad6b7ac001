//! Ops and flags: PROTOCOL.md section 2.

/// The bits of the flags field.
pub mod flag {
    /// The message ends with a checksum.
    pub const CRC: u8 = 1;
    /// The sender's last message on the mux.
    pub const EOF: u8 = 2;
    /// A stream without state.
    pub const STATELESS: u8 = 4;
    /// The payload is the text of an error.
    pub const ERR: u8 = 8;
    /// The payload is empty and not nil.
    pub const ZERO: u8 = 16;
    /// The message carries a subroute.
    pub const SUBROUTE: u8 = 32;
}

macro_rules! ops {
    ($($op:ident = $number:literal),* $(,)?) => {
        /// What a message is for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "PROTOCOL.md section 2 names them")]
        pub enum Op {
            $($op,)*
            /// A number that the protocol does not name.
            Unknown(u8),
        }

        impl Op {
            /// The op of this number.
            pub const fn from_number(number: u8) -> Self {
                match number {
                    $($number => Self::$op,)*
                    other => Self::Unknown(other),
                }
            }

            /// Its number on the wire.
            pub const fn number(self) -> u8 {
                match self {
                    $(Self::$op => $number,)*
                    Self::Unknown(number) => number,
                }
            }

            /// Its name in PROTOCOL.md.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$op => stringify!($op),)*
                    Self::Unknown(_) => "unknown",
                }
            }
        }
    };
}

ops! {
    Connect = 1,
    ConnectResponse = 2,
    Ping = 3,
    Pong = 4,
    ConnectMux = 5,
    MuxConnectError = 6,
    DisconnectClientMux = 7,
    DisconnectServerMux = 8,
    MuxClientMsg = 9,
    MuxServerMsg = 10,
    UnblockSrvMux = 11,
    UnblockClMux = 12,
    AckMux = 13,
    Request = 14,
    Response = 15,
    Disconnect = 16,
    Merged = 17,
}
