//! The bits that say how a message is to be read.

use bitflags::bitflags;

bitflags! {
    /// The flags of a message (PROTOCOL.md section 2).
    ///
    /// Bits without a name are legal, mean nothing, and are kept as they are.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Flags: u8 {
        /// The message ends with a checksum.
        const CRC = 1;
        /// The sender's last message on this mux, or the only one.
        const EOF = 2;
        /// A stream without state: not supported by anyone.
        const STATELESS = 4;
        /// The payload is the text of an error.
        const PAYLOAD_IS_ERR = 8;
        /// A payload of length 0 is an empty one; without this flag it is nil.
        const PAYLOAD_IS_ZERO = 16;
        /// The message carries a subroute before the checksum.
        const SUBROUTE = 32;

        // Every bit may arrive, so that no operation of this type drops one.
        const _ = !0;
    }
}
