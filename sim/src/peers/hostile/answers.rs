//! What a victim's own connection meets: answers that are late, cut or wrong (PROTOCOL.md
//! section 4).

use std::time::Duration;

use gridmux_core::websocket::{Status, refuse};
use gridmux_core::wire::{Header, Op};

use super::deed::{Deed, Task};
use crate::peers::here::{Here, response};
use crate::peers::line::Line;
use crate::peers::say;

/// Longer than any dialler waits.
const LONG: Duration = Duration::from_secs(30);

/// How a dialler is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Answer {
    /// The connection was accepted, and nothing more happens (L24).
    Silent,
    /// The connection is closed at once.
    Closed,
    /// `403`.
    Forbidden,
    /// `426`.
    UpgradeRequired,
    /// `503`.
    Unavailable,
    /// Bytes that are no HTTP.
    Garbage,
    /// A `101` that proves nothing.
    WrongKey,
    /// A head that is cut.
    CutHead,
    /// A head without an end.
    EndlessHead,
    /// Nothing behind the `101`.
    SilentAfterUpgrade,
    /// ConnectResponse says no, with a reason.
    NotAccepted,
    /// Another message than ConnectResponse.
    WrongFirst,
    /// No message.
    BrokenFirst,
    /// A ConnectResponse that is cut.
    CutResponse,
    /// A ConnectResponse that comes later than anybody waits.
    LateResponse,
}

impl Answer {
    pub(super) const ALL: [Self; 15] = [
        Self::Silent,
        Self::Closed,
        Self::Forbidden,
        Self::UpgradeRequired,
        Self::Unavailable,
        Self::Garbage,
        Self::WrongKey,
        Self::CutHead,
        Self::EndlessHead,
        Self::SilentAfterUpgrade,
        Self::NotAccepted,
        Self::WrongFirst,
        Self::BrokenFirst,
        Self::CutResponse,
        Self::LateResponse,
    ];

    /// What is written instead of a `101`; `None` if the upgrade succeeds.
    fn instead_of_upgrade(self) -> Option<Vec<u8>> {
        Some(match self {
            Self::Silent | Self::Closed => Vec::new(),
            Self::Forbidden => refuse(Status::Forbidden, "not you"),
            Self::UpgradeRequired => refuse(Status::UpgradeRequired, "upgrade"),
            Self::Unavailable => refuse(Status::Unavailable, "not started"),
            Self::Garbage => b"220 mail.example ESMTP\r\n".to_vec(),
            Self::WrongKey => b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                Connection: Upgrade\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"
                .to_vec(),
            Self::CutHead => b"HTTP/1.1 101 Switching Pro".to_vec(),
            Self::EndlessHead => {
                let mut head = b"HTTP/1.1 101 Switching Protocols\r\n".to_vec();
                (0..3_000).for_each(|n| head.extend_from_slice(format!("X{n}: y\r\n").as_bytes()));
                head
            }
            _ => return None,
        })
    }
}

/// Answers a connection as the task says.
pub(super) async fn answer(here: &Here, mut line: Line, task: &Task) {
    let Deed::Answer(how) = task.deed else { return };
    task.fires(here);
    let Some(ends) = say_it(here, &mut line, task, how).await else { return };
    let over = match ends {
        true => here.within(LONG, line.finish()).await,
        false => here.within(LONG, line.wait_for_end()).await,
    };
    if over.is_some() {
        task.is_felt(here);
    }
}

/// Whether the connection is to end at once; `None` if the dialler has ended it.
async fn say_it(here: &Here, line: &mut Line, task: &Task, how: Answer) -> Option<bool> {
    let first = match how.instead_of_upgrade() {
        Some(bytes) => {
            line.push_bytes(&bytes);
            line.mark(task.fault);
            line.flush().await.ok()?;
            return Some(how == Answer::Closed || bytes.starts_with(b"HTTP/1.1 4"));
        }
        None => {
            here.upgraded(line).await?;
            line.receive().await?;
            match how {
                Answer::WrongFirst => say::encode(Header::new(Op::Ping), None, &[]),
                Answer::BrokenFirst => b"\xc1 hello".to_vec(),
                Answer::NotAccepted => response(here.instance(), false, "you may not"),
                _ => response(here.instance(), true, ""),
            }
        }
    };
    match how {
        Answer::SilentAfterUpgrade => return Some(false),
        Answer::LateResponse => here.sleep(Duration::from_millis(2_500)).await,
        Answer::CutResponse => {
            let at = usize::try_from(task.pick(1, 40)).unwrap_or(0);
            line.push_part(&first, at);
            line.mark(task.fault);
            line.flush().await.ok()?;
            return Some(true);
        }
        _ => {}
    }
    line.push(&first);
    line.mark(task.fault);
    line.flush().await.ok()?;
    Some(false)
}
