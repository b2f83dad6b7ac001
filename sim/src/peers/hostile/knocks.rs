//! Connections that are no links: handshakes that are slow, cut or wrong (PROTOCOL.md section 4).

use std::time::Duration;

use gridmux_core::auth::SharedSecret;
use gridmux_core::node::{DEFAULT_ROUTE, authority};
use gridmux_core::websocket::ClientUpgrade;
use gridmux_core::wire::{Header, MessageRef, Op, Timestamp};

use super::deed::{Deed, Plan, Task};
use crate::peers::complaints::broken_by_answer;
use crate::peers::here::{Here, hello};
use crate::peers::line::Line;
use crate::peers::say;

/// Longer than any acceptor waits.
const LONG: Duration = Duration::from_secs(30);
/// Seconds that clocks may differ by.
const MINUTES_5: i64 = 300;
/// Seconds that a wrong clock is ahead.
const WRONG_BY: [i64; 6] =
    [-MINUTES_5 - 1, 1 - MINUTES_5, MINUTES_5 - 1, MINUTES_5 + 1, 20 * MINUTES_5, 365 * 86_400];

/// How a handshake goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Knock {
    /// Nothing at all is said.
    Silent,
    /// Bytes that are no HTTP.
    Garbage,
    /// The upgrade is cut at some byte, and the connection ends.
    CutHead,
    /// The upgrade comes byte by byte.
    SlowHead,
    /// A request that asks for no upgrade: `426`.
    NoUpgrade,
    /// Another path: `404`.
    WrongPath,
    /// A head without an end.
    EndlessHead,
    /// A bearer token of another grid: `403`.
    BadBearer,
    /// The upgrade, and nothing more.
    SilentAfterUpgrade,
    /// Connect is cut at some byte, and the connection ends.
    CutHello,
    /// Connect stops at some byte.
    HalfHello,
    /// The first message is another one, which may hold what a Connect holds (L21).
    WrongFirst,
    /// The first message is huge.
    HugeFirst,
    /// The first message is none.
    BrokenFirst,
    /// A Connect with a token of another grid, or with a good one that is not for the victim, or that
    /// another node has issued, or that the victim has seen in the upgrade.
    BadToken,
    /// The name of another node, with a token of another grid.
    OthersName,
    /// The victim's own name.
    VictimsName,
    /// A name that nobody has.
    Stranger,
    /// A clock that is wrong by 5 minutes, a little more or a little less, or by far more.
    WrongTime,
    /// Connect twice, one behind the other.
    HelloTwice,
    /// A Connect in all order from the side that should be dialled; from the other side it is a
    /// link for a moment.
    WrongSide,
    /// Two connections at once, both in order.
    AtOnce,
}

impl Knock {
    pub(super) const ALL: [Self; 22] = [
        Self::Silent,
        Self::Garbage,
        Self::CutHead,
        Self::SlowHead,
        Self::NoUpgrade,
        Self::WrongPath,
        Self::EndlessHead,
        Self::BadBearer,
        Self::SilentAfterUpgrade,
        Self::CutHello,
        Self::HalfHello,
        Self::WrongFirst,
        Self::HugeFirst,
        Self::BrokenFirst,
        Self::BadToken,
        Self::OthersName,
        Self::VictimsName,
        Self::Stranger,
        Self::WrongTime,
        Self::HelloTwice,
        Self::WrongSide,
        Self::AtOnce,
    ];
}

/// Knocks, one time after the other.
pub(super) async fn knock(here: Here, victim: usize, plan: Plan) {
    while let Some(task) = plan.next_knock() {
        here.sleep(task.wait).await;
        let Deed::Knock(how) = task.deed else { continue };
        let Some(line) = here.open(victim).await else { continue };
        let knocking = Knocking { here: &here, victim, task: &task };
        knocking.knock(line, how).await;
    }
}

struct Knocking<'a> {
    here: &'a Here,
    victim: usize,
    task: &'a Task,
}

impl Knocking<'_> {
    async fn knock(&self, mut line: Line, how: Knock) -> Option<()> {
        match how {
            Knock::Silent => self.task.fires(self.here),
            Knock::Garbage => self.write(&mut line, b"\x16\x03\x01 hello hello hello").await?,
            Knock::CutHead => {
                let request = self.request(DEFAULT_ROUTE, true)?;
                let at = usize::try_from(self.task.pick(1, request.len() as u64)).unwrap_or(0);
                self.write(&mut line, &request[..at]).await?;
            }
            Knock::SlowHead => {
                for byte in self.request(DEFAULT_ROUTE, true)? {
                    self.write(&mut line, &[byte]).await?;
                    self.here.sleep(Duration::from_millis(40)).await;
                }
            }
            Knock::NoUpgrade => {
                self.write(&mut line, b"GET /minio/grid/v1 HTTP/1.1\r\nHost: n0:9000\r\n\r\n")
                    .await?;
            }
            Knock::WrongPath => self.write(&mut line, &self.request("/elsewhere", true)?).await?,
            Knock::EndlessHead => {
                let mut head = b"GET /minio/grid/v1 HTTP/1.1\r\n".to_vec();
                (0..3_000).for_each(|n| head.extend_from_slice(format!("X{n}: y\r\n").as_bytes()));
                self.write(&mut line, &head).await?;
            }
            Knock::BadBearer => self.write(&mut line, &self.request(DEFAULT_ROUTE, false)?).await?,
            Knock::SilentAfterUpgrade => {
                self.here.upgrade(&mut line, self.victim).await?;
                self.task.fires(self.here);
            }
            Knock::AtOnce => {
                let mut second = self.here.open(self.victim).await?;
                let hellos = [self.here.hello(self.victim), self.here.hello(self.victim)];
                let refused = !self.here.dials(self.victim);
                let refused = || refused;
                let first = self.greet(&mut line, &hellos[0], &refused);
                futures::future::join(first, self.greet(&mut second, &hellos[1], &refused)).await;
                self.here.within(LONG / 10, second.wait_for_end()).await;
                return Some(());
            }
            _ => self.after_upgrade(&mut line, how).await?,
        }
        let over = match how {
            Knock::CutHead | Knock::CutHello => self.here.within(LONG, line.finish()).await,
            _ => self.here.within(LONG, line.wait_for_end()).await,
        };
        if over.is_some() {
            self.task.is_felt(self.here);
        }
        Some(())
    }

    /// Writes what is hostile.
    async fn write(&self, line: &mut Line, bytes: &[u8]) -> Option<()> {
        line.push_bytes(bytes);
        line.mark(self.task.fault);
        line.flush().await.ok()
    }

    fn request(&self, path: &str, good: bool) -> Option<Vec<u8>> {
        let host = authority(&self.here.names[self.victim])?;
        let token =
            if good { self.here.token(self.victim) } else { self.foreign_token(self.here.name()) };
        let nanos = self.here.wall().to_unix_nanos();
        let upgrade = ClientUpgrade::new(host, path, &token, nanos, self.here.instance());
        upgrade.ok().map(|(_, request)| request)
    }

    fn foreign_token(&self, name: &str) -> String {
        let secret = SharedSecret::new("the secret of another grid");
        let victim = &self.here.names[self.victim];
        secret.map(|secret| self.here.token_of(&secret, name, victim)).unwrap_or_default()
    }

    /// Says something first, and looks at the answer. `refused`: whether nobody may become a link
    /// so; asked again when the answer is there, as clocks may have been moved before the victim
    /// has looked at its own.
    async fn greet(
        &self,
        line: &mut Line,
        first: &[u8],
        refused: &(dyn Fn() -> bool + Sync),
    ) -> Option<()> {
        self.here.upgrade(line, self.victim).await?;
        self.say_first(line, first, refused).await
    }

    /// The same, after the upgrade.
    async fn say_first(
        &self,
        line: &mut Line,
        first: &[u8],
        refused: &(dyn Fn() -> bool + Sync),
    ) -> Option<()> {
        let refused_before = refused();
        line.push(first);
        line.mark(self.task.fault);
        line.flush().await.ok()?;
        let answer = line.receive().await?;
        if let Some(rule) = broken_by_answer(&answer, refused_before && refused()) {
            self.here.complain(rule, self.victim, &format!("{:?}", self.task.deed));
        }
        Some(())
    }

    fn good_token(&self, issuer: &str, target: &str) -> String {
        self.here.token_of(&*self.here.secret, issuer, target)
    }

    /// The name of a node that is neither this one nor the victim; a name that no node has if there are
    /// but two.
    fn third(&self) -> &str {
        let others = self.here.others().filter(|node| *node != self.victim);
        others.last().map_or("http://stranger:9000", |node| &self.here.names[node])
    }

    /// A Connect by this name and this clock.
    fn hello_of(&self, name: &str, time: Timestamp, good: bool) -> Vec<u8> {
        let token = match good {
            true => self.good_token(name, &self.here.names[self.victim]),
            false => self.foreign_token(name),
        };
        hello(self.here.instance(), name, time, token)
    }

    /// What a Connect holds, or nothing, under another op.
    fn other_first(&self) -> Vec<u8> {
        let op = [Op::Ping, Op::Request, Op::ConnectResponse, Op::Disconnect];
        let header = Header::new(op[self.choice(4)]);
        let hello = self.here.hello(self.victim);
        let payload = MessageRef::decode(&hello).map(|decoded| decoded.message.payload);
        match self.task.pick(2, 2) {
            0 => say::encode(header, None, &[]),
            _ => say::encode(header, None, payload.unwrap_or_default()),
        }
    }

    fn choice(&self, bound: u64) -> usize {
        usize::try_from(self.task.pick(1, bound)).unwrap_or(0)
    }

    /// Whether a time is too far from that of the victim's clock.
    fn is_too_far(&self, time: Timestamp) -> bool {
        let own = self.here.wall();
        let world = self.here.runtime.shared.world();
        let skew = world.wall_skew(self.victim) - world.wall_skew_of(self.here.runtime.life);
        // The victim looks at its clock a little later.
        let least = MINUTES_5 + 5;
        (time.seconds - own.seconds - skew / 1_000_000_000).abs() > least
    }

    async fn after_upgrade(&self, line: &mut Line, how: Knock) -> Option<()> {
        let here = self.here;
        let (own, now) = (here.name(), here.wall());
        let mut refused = true;
        let first = match how {
            Knock::CutHello | Knock::HalfHello => return self.half_hello(line).await,
            Knock::WrongFirst => self.other_first(),
            Knock::HugeFirst => vec![0x97; 70_000],
            Knock::BrokenFirst => b"\xc1 hello".to_vec(),
            Knock::BadToken => match self.task.pick(2, 4) {
                0 => self.hello_of(own, now, false),
                1 => self.hello_with(self.good_token(own, self.third())),
                2 => self.hello_with(self.good_token(self.third(), &here.names[self.victim])),
                _ => return self.show_twice(line).await,
            },
            Knock::OthersName => {
                let is_third =
                    |name: &&String| ![own, &here.names[self.victim]].contains(&name.as_str());
                let other = here.names.iter().rfind(is_third);
                self.hello_of(other.map_or(own, String::as_str), now, false)
            }
            Knock::VictimsName => self.hello_of(&here.names[self.victim], now, true),
            Knock::Stranger => self.hello_of("http://stranger:9000", now, true),
            Knock::WrongTime => {
                let ahead = WRONG_BY[self.choice(WRONG_BY.len() as u64)];
                let time = Timestamp { seconds: now.seconds + ahead, ..now };
                let hello = self.hello_of(own, time, true);
                let refused = || self.is_too_far(time) || !here.dials(self.victim);
                return self.greet(line, &hello, &refused).await;
            }
            _ => {
                refused = !here.dials(self.victim);
                self.here.hello(self.victim)
            }
        };
        if how == Knock::HelloTwice {
            here.upgrade(line, self.victim).await?;
            line.push(&first);
            line.push(&first);
            line.mark(self.task.fault);
            return line.flush().await.ok();
        }
        self.greet(line, &first, &|| refused).await
    }

    /// A Connect of this node with any token.
    fn hello_with(&self, token: String) -> Vec<u8> {
        hello(self.here.instance(), self.here.name(), self.here.wall(), token)
    }

    /// Shows one token in the upgrade and in Connect.
    async fn show_twice(&self, line: &mut Line) -> Option<()> {
        let token = self.here.token(self.victim);
        self.here.upgrade_with(line, self.victim, &token).await?;
        self.say_first(line, &self.hello_with(token), &|| true).await
    }

    /// A Connect whose frame stops somewhere.
    async fn half_hello(&self, line: &mut Line) -> Option<()> {
        self.here.upgrade(line, self.victim).await?;
        let at = self.task.pick(1, 150);
        line.push_part(&self.here.hello(self.victim), usize::try_from(at).unwrap_or(0));
        line.mark(self.task.fault);
        line.flush().await.ok()
    }
}
