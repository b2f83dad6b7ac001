//! Random frames in random pieces, and random bytes.

use crate::support::{
    BINARY, CLOSE, CONTINUE, FIN, PING, PONG, TEXT, frame, message, outcome, pattern,
};
use gridmux_core::websocket::{Channel, ClientUpgrade, Incoming, Role, UpgradeRequest};
use proptest::collection::vec;
use proptest::prelude::*;

const LIMIT: usize = 300_000;

/// One message or control frame, in as many frames as `cuts` say.
#[derive(Debug, Clone)]
enum Sent {
    Message { opcode: u8, len: usize, cuts: Vec<usize>, ping_between: bool },
    Control { opcode: u8, len: usize },
    Close,
    Anything { first: u8, payload: Vec<u8> },
}

fn sent() -> impl Strategy<Value = Sent> {
    let len = prop_oneof![
        8 => 0..700usize,
        2 => 65_530..65_545usize,
        1 => 0..200_000usize,
    ];
    let message = (prop_oneof![5 => Just(BINARY), 1 => Just(TEXT)], len, vec(any::<usize>(), 0..3))
        .prop_flat_map(|(opcode, len, cuts)| {
            any::<bool>().prop_map(move |ping_between| Sent::Message {
                opcode,
                len,
                cuts: cuts.clone(),
                ping_between,
            })
        });
    let control = (prop_oneof![Just(PING), Just(PONG)], 0..126usize)
        .prop_map(|(opcode, len)| Sent::Control { opcode, len });
    prop_oneof![20 => message, 5 => control, 1 => Just(Sent::Close)]
}

fn sent_or_wrong() -> impl Strategy<Value = Sent> {
    let anything = (any::<u8>(), vec(any::<u8>(), 0..130))
        .prop_map(|(first, payload)| Sent::Anything { first, payload });
    prop_oneof![5 => sent(), 1 => anything]
}

/// The bytes, and the events that a correct channel gives if nothing is wrong.
fn write(all: &[Sent]) -> (Vec<u8>, Vec<Incoming>) {
    let mut bytes = Vec::new();
    let mut expected = Vec::new();
    for one in all {
        match one {
            Sent::Message { opcode, len, cuts, ping_between } => {
                let payload = pattern(*len);
                let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (len + 1)).collect();
                cuts.sort_unstable();
                let ends = cuts.iter().copied().chain([*len]);
                let starts = std::iter::once(0).chain(cuts.iter().copied());
                for (at, (start, end)) in starts.zip(ends).enumerate() {
                    let opcode = if at == 0 { *opcode } else { CONTINUE };
                    let fin = if at == cuts.len() { FIN } else { 0 };
                    bytes.extend(frame(fin | opcode, &payload[start..end]));
                    if *ping_between {
                        bytes.extend(frame(FIN | PING, &[at as u8]));
                    }
                }
                if *opcode == BINARY {
                    expected.push(message(&payload));
                }
            }
            Sent::Control { opcode, len } => bytes.extend(frame(FIN | opcode, &pattern(*len))),
            Sent::Close => {
                bytes.extend(frame(FIN | CLOSE, &1000u16.to_be_bytes()));
                expected.push(Incoming::Close(Some(1000)));
            }
            Sent::Anything { first, payload } => bytes.extend(frame(*first, payload)),
        }
    }
    if let Some(close) = expected.iter().position(|event| matches!(event, Incoming::Close(_))) {
        expected.truncate(close + 1);
    }
    (bytes, expected)
}

/// Cuts `bytes` at random places; `steps` are used in turn.
fn pieces<'a>(bytes: &'a [u8], steps: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = bytes;
    let mut steps = steps.iter().cycle();
    std::iter::from_fn(move || {
        let step = steps.next().map_or(rest.len(), |step| (*step).clamp(1, rest.len().max(1)));
        let (piece, tail) = rest.split_at_checked(step)?;
        rest = tail;
        Some(piece)
    })
}

fn steps() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![1..20usize, 1..2_000usize, 1..100_000usize], 1..20)
}

fn channel() -> Channel {
    Channel::new(Role::Server, LIMIT, 1)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn frames_in_any_pieces_give_their_messages(all in vec(sent(), 0..20), steps in steps()) {
        let (bytes, expected) = write(&all);
        let whole = outcome(&mut channel(), [&bytes[..]]);
        prop_assert_eq!(whole.error, None);
        prop_assert!(whole.incoming == expected);
        let split = outcome(&mut channel(), pieces(&bytes, &steps));
        prop_assert!(whole == split);
    }

    #[test]
    fn wrong_frames_in_any_pieces_give_the_same_error(
        all in vec(sent_or_wrong(), 0..20),
        steps in steps(),
    ) {
        let (bytes, _) = write(&all);
        let whole = outcome(&mut channel(), [&bytes[..]]);
        let split = outcome(&mut channel(), pieces(&bytes, &steps));
        prop_assert!(whole == split);
    }

    #[test]
    fn idling_between_reads_changes_nothing(all in vec(sent(), 0..20), steps in steps()) {
        let (bytes, expected) = write(&all);
        let mut channel = channel();
        let mut incoming = Vec::new();
        for piece in pieces(&bytes, &steps) {
            incoming.extend(outcome(&mut channel, [piece]).incoming);
            channel.idle();
        }
        prop_assert!(incoming == expected);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..3_000), steps in steps()) {
        for role in [Role::Client, Role::Server] {
            let whole = outcome(&mut Channel::new(role, LIMIT, 1), [&bytes[..]]);
            let split = outcome(&mut Channel::new(role, LIMIT, 1), pieces(&bytes, &steps));
            prop_assert!(whole == split);
        }
        let _ = UpgradeRequest::parse(&bytes);
        let (upgrade, _) = ClientUpgrade::new("host", "/", "", 0, [0; 16]).unwrap();
        let _ = upgrade.handle(&bytes);
        let _ = upgrade.handle_end(&bytes);
    }

    #[test]
    fn damaged_heads_never_panic(at in 0..200usize, byte in any::<u8>(), cut in 0..400usize) {
        let (upgrade, mut request) =
            ClientUpgrade::new("host:9000", "/grid", "token", 1, [7; 16]).unwrap();
        let Ok(Some((valid, _))) = UpgradeRequest::parse(&request) else { panic!("not valid") };
        let mut response = valid.accept();
        for bytes in [&mut request, &mut response] {
            let len = bytes.len();
            bytes[at % len] = byte;
            bytes.truncate(cut);
        }
        let _ = UpgradeRequest::parse(&request);
        let _ = upgrade.handle(&response);
    }
}
