//! Who may join the grid.
//!
//! A node shows a token when it dials, one in the upgrade request and one in Connect, and the node that
//! it dials checks both. To the protocol a token is a text that it carries and never logs.
//!
//! # What the tokens of [`SharedSecret`] protect from, and what not
//!
//! - A process without the secret cannot join, nor make a token from those it has seen.
//! - A token is a statement of one node for one other node, on one HTTP route, at one time, and good for
//!   one use. A stranger that sits at a node's address, or reads the network, and gets to see tokens for
//!   that node cannot show them to any other node, nor under another name, nor once that node has seen
//!   them, nor after a few minutes.
//! - **What is left:** a token that its target has *not* seen is proof to its bearer. The dialler shows
//!   tokens before the other side has proved anything. So a stranger that sits at the address of node B
//!   can take the tokens that node A shows to it, and show them to the true B within their lifetime: it
//!   is then A to B, and takes the place of A's link if A has one. A stranger that can change what is
//!   between A and B needs no token at all: it waits until they are connected. Only TLS protects from
//!   either, with certificates that prove to the dialler to whom it talks. Without TLS, use the grid on
//!   networks where no stranger can take a node's address or read along.
//! - The memory of the tokens that were shown is the process's: one that restarts has forgotten them,
//!   and takes each of them once more, as long as it has not expired.
//! - Nodes trust each other fully. A process with the secret can join under any node's name.
//!
//! [`StaticToken`] protects from those who do not know the token, and from nothing else.

mod replay;
mod secret;
mod token;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use subtle::ConstantTimeEq;

use crate::wire::Timestamp;

pub use self::secret::SharedSecret;

/// The parts of a token, for [`Auth::issue`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Issue<'a> {
    /// This node's name.
    pub own_name: &'a str,
    /// The name of the node that this one dials, to which the token is shown.
    pub peer_name: &'a str,
    /// The HTTP route of the grid, [`Node::http_route`](crate::node::Node::http_route).
    pub route: &'a str,
    /// Random bytes, others for each token.
    pub nonce: [u8; 16],
    /// The wall clock.
    pub now: Timestamp,
}

impl<'a> Issue<'a> {
    /// A token of `own_name` that is to be shown to `peer_name`.
    pub const fn new(
        own_name: &'a str,
        peer_name: &'a str,
        route: &'a str,
        nonce: [u8; 16],
        now: Timestamp,
    ) -> Self {
        Self { own_name, peer_name, route, nonce, now }
    }
}

/// A token that a stranger shows, and what is known of it, for [`Auth::check`].
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Check<'a> {
    /// A stranger's: any text at all. `Debug` does not show it.
    pub token: &'a str,
    /// The name that the stranger says is its own. `None` at the upgrade: an HTTP request has none.
    pub claimed_name: Option<&'a str>,
    /// This node's name.
    pub own_name: &'a str,
    /// The HTTP route of the grid, [`Node::http_route`](crate::node::Node::http_route).
    pub route: &'a str,
    /// Where the stranger is, if the transport knows.
    pub remote: Option<SocketAddr>,
    /// The wall clock.
    pub now: Timestamp,
}

impl<'a> Check<'a> {
    /// A token that is shown to `own_name`, by a stranger of whom nothing else is known.
    pub const fn new(token: &'a str, own_name: &'a str, route: &'a str, now: Timestamp) -> Self {
        Self { token, claimed_name: None, own_name, route, remote: None, now }
    }

    /// The stranger says that this is its name.
    #[must_use]
    pub const fn claimed(mut self, name: &'a str) -> Self {
        self.claimed_name = Some(name);
        self
    }

    /// The stranger is at this address.
    #[must_use]
    pub const fn from(mut self, remote: Option<SocketAddr>) -> Self {
        self.remote = remote;
        self
    }
}

impl fmt::Debug for Check<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("claimed_name", &self.claimed_name)
            .field("own_name", &self.own_name)
            .field("route", &self.route)
            .field("remote", &self.remote)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

/// Issues this node's tokens and checks those of others.
///
/// Time and randomness come in by argument; nothing here has a clock of its own.
///
/// ```
/// use gridmux_core::auth::{Auth, Check, Issue, SharedSecret};
/// use gridmux_core::wire::Timestamp;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// const ROUTE: &str = "/minio/grid/v1";
/// let auth = SharedSecret::new("0123456789abcdef")?;
/// let now = Timestamp { seconds: 1_700_000_000, nanos: 0 };
///
/// let issue = Issue::new("http://10.0.0.1:9000", "http://10.0.0.2:9000", ROUTE, [7; 16], now);
/// let token = auth.issue(issue);
///
/// let other = Check::new(&token, "http://10.0.0.3:9000", ROUTE, now);
/// let refused = auth.check(other).unwrap_err();
/// assert_eq!(
///     refused.to_string(),
///     "the token is for http://10.0.0.2:9000, this node is http://10.0.0.3:9000"
/// );
///
/// let shown = Check::new(&token, "http://10.0.0.2:9000", ROUTE, now).claimed("http://10.0.0.1:9000");
/// assert!(auth.check(shown).is_ok());
/// assert_eq!(auth.check(shown).unwrap_err().to_string(), "the token was shown before");
/// # Ok(())
/// # }
/// ```
pub trait Auth: Send + Sync + 'static {
    /// A token that says who we are, to be shown once. It travels in an HTTP header, so it is visible
    /// ASCII without spaces. One attempt to connect takes two: for the upgrade and for Connect.
    fn issue(&self, issue: Issue<'_>) -> String;

    /// Checks that the bearer of a token may join. It is called on the tasks of connections and must
    /// not block.
    ///
    /// # Errors
    /// Why not; the text is sent to the stranger and logged.
    fn check(&self, check: Check<'_>) -> Result<(), AuthError>;
}

/// Why a token is refused.
///
/// The text is sent to the refused node and logged on both sides, so it never holds the token. Names in
/// it are cut to 200 characters and escaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// Not a token that this node could have issued.
    #[error("the token is malformed")]
    Malformed,
    /// A token as nodes of an older release make them, which is good at every node.
    #[error("the token is of version 1, which is accepted no more: update that node")]
    OldVersion,
    /// Not the token of this grid: made with another secret, or changed.
    #[error("the token is not this grid's; do all nodes have the same secret?")]
    Mismatch,
    /// It was good once.
    #[error("the token expired {seconds} s ago")]
    Expired {
        /// For how long it has not been good any more.
        seconds: u64,
    },
    /// It claims to be good for longer than a token lasts, even if the clocks differ.
    #[error("the token expires {seconds} s too late; do the clocks differ, or the lifetimes?")]
    ExpiresTooLate {
        /// By how much it exceeds what is allowed.
        seconds: u64,
    },
    /// It was issued for another node: the address that was dialled is not that node's, or the token
    /// was taken from one who was to see it.
    #[error("the token is for {target}, this node is {own}")]
    WrongTarget {
        /// The node that it is for.
        target: String,
        /// This node.
        own: String,
    },
    /// It was issued by another node than the one that shows it.
    #[error("the token is that of {issuer}, and {claimed} shows it")]
    WrongIssuer {
        /// The node that has issued it.
        issuer: String,
        /// The node that shows it.
        claimed: String,
    },
    /// It is for a grid on another HTTP route.
    #[error("the token is for the route {route}, this grid's is {own}")]
    WrongRoute {
        /// The route that it is for.
        route: String,
        /// This grid's.
        own: String,
    },
    /// Someone has shown it before.
    #[error("the token was shown before")]
    Replayed,
    /// So many tokens were shown lately that this one cannot be told from one that was: those that
    /// expire first are affected first, so that the clock of the node that shows it is late.
    #[error("too many tokens were shown lately to tell that this one was not; is the clock late?")]
    TooManyShown,
    /// The reason of an [`Auth`] of your own. Do not quote the token.
    #[error("{0}")]
    Refused(String),
}

/// A secret or a token that cannot be used. The text does not hold it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// A secret this short can be guessed from a token.
    #[error("the secret has {len} bytes, less than {MIN_SECRET_LEN}")]
    TooShort {
        /// How long it is.
        len: usize,
    },
    /// The environment variable is not set, or is not UTF-8.
    #[error("the environment variable {name} is not set to a text")]
    NotInEnvironment {
        /// The variable's name.
        name: String,
    },
    /// A fixed token is visible ASCII without spaces, and not empty.
    #[error("the token is empty or has characters that an HTTP header cannot carry")]
    NotHeaderSafe,
    /// A lifetime within which clocks may differ could end before the token is checked.
    #[error("a token's lifetime is more than {} s", MAX_CLOCK_SKEW.as_secs())]
    LifetimeTooShort,
}

/// The shortest secret, in bytes.
pub const MIN_SECRET_LEN: usize = 16;

/// How far the clocks of two nodes may differ (PROTOCOL.md, section 4).
pub const MAX_CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// How long a token of [`SharedSecret`] is good, unless set otherwise: one handshake, and the difference
/// of the clocks.
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(6 * 60);

/// The longest token of [`SharedSecret`] that is looked at, in bytes: far more than the longest host
/// names make.
pub const MAX_TOKEN_LEN: usize = 4096;

/// The tokens that a [`SharedSecret`] remembers to have seen; 4 MiB hold them. Where more are shown
/// within their lifetime, those that expire first are refused ([`AuthError::TooManyShown`]), unseen.
pub const REMEMBERED_TOKENS: usize = 1 << 17;

/// One fixed token that every node shows and expects: for grids whose other nodes do that, such as
/// those of MinIO, and for tests.
///
/// The token is itself the secret: it is the same for every node and every attempt, and never expires. A
/// stranger who sees it once, on the network or because it sits at the address of one node, may join for
/// ever, at every node and under every name. Where all nodes are ours, use [`SharedSecret`].
#[derive(Clone)]
pub struct StaticToken(String);

impl StaticToken {
    /// The token: visible ASCII without spaces.
    ///
    /// # Errors
    /// [`SecretError::NotHeaderSafe`].
    pub fn new(token: impl Into<String>) -> Result<Self, SecretError> {
        let token = token.into();
        let header_safe = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        if header_safe { Ok(Self(token)) } else { Err(SecretError::NotHeaderSafe) }
    }
}

impl Auth for StaticToken {
    fn issue(&self, _: Issue<'_>) -> String {
        self.0.clone()
    }

    fn check(&self, check: Check<'_>) -> Result<(), AuthError> {
        // How long the comparison takes tells the token's length at most.
        let equal = check.token.as_bytes().ct_eq(self.0.as_bytes());
        if equal.into() { Ok(()) } else { Err(AuthError::Mismatch) }
    }
}

/// Does not show the token.
impl fmt::Debug for StaticToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticToken").finish_non_exhaustive()
    }
}

impl<A: Auth + ?Sized> Auth for Arc<A> {
    fn issue(&self, issue: Issue<'_>) -> String {
        (**self).issue(issue)
    }

    fn check(&self, check: Check<'_>) -> Result<(), AuthError> {
        (**self).check(check)
    }
}

impl<A: Auth + ?Sized> Auth for Box<A> {
    fn issue(&self, issue: Issue<'_>) -> String {
        (**self).issue(issue)
    }

    fn check(&self, check: Check<'_>) -> Result<(), AuthError> {
        (**self).check(check)
    }
}
