//! Who may join the grid.
//!
//! A node shows a token when it dials, in the upgrade request and in Connect, and the node that it
//! dials checks it. To the protocol a token is a text that it carries and never logs.
//!
//! What this protects from, and what not:
//!
//! - A process without the secret cannot join, nor make a token from those it has seen.
//! - A token is proof to whoever holds it, until it expires. **Only TLS keeps it from those who can
//!   read the network**, and only TLS proves to the dialler whom it talks to: the acceptor shows no
//!   token. Without TLS, use the grid on networks where nobody can read along.
//! - Nodes trust each other fully. Whoever has the secret can join under any node's name.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::wire::Timestamp;

/// Issues this node's tokens and checks those of others.
///
/// `now` is the wall clock; nothing here reads a clock of its own.
///
/// ```
/// use gridmux_core::auth::{Auth, SharedSecret};
/// use gridmux_core::wire::Timestamp;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let auth = SharedSecret::new("0123456789abcdef")?;
/// let now = Timestamp { seconds: 1_700_000_000, nanos: 0 };
///
/// let token = auth.issue("http://10.0.0.1:9000", now);
/// assert!(auth.check(&token, now).is_ok());
///
/// let much_later = Timestamp { seconds: now.seconds + 3600, nanos: 0 };
/// let refused = auth.check(&token, much_later).unwrap_err();
/// assert_eq!(refused.to_string(), "the token expired 2700 s ago");
/// # Ok(())
/// # }
/// ```
pub trait Auth: Send + Sync + 'static {
    /// A token that says who we are, for one attempt to connect. It travels in an HTTP header, so
    /// it is visible ASCII without spaces.
    fn issue(&self, own_name: &str, now: Timestamp) -> String;

    /// Whether the bearer of `token` may join. `token` is a stranger's: any text at all. It is
    /// called on the tasks of connections and must not block.
    ///
    /// # Errors
    /// Why not; the text is sent to the stranger and logged.
    fn check(&self, token: &str, now: Timestamp) -> Result<(), AuthError>;
}

/// Why a token is refused.
///
/// The text is sent to the refused node and logged on both sides, so it never holds the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// Not a token that this node could have issued.
    #[error("the token is malformed")]
    Malformed,
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

/// How long a token of [`SharedSecret`] is good, unless set otherwise.
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// Far more than a token with the longest host name needs; what is longer is not looked at.
const MAX_TOKEN_LEN: usize = 4096;

/// What a token of [`SharedSecret`] begins with.
const VERSION: &str = "v1";

/// All nodes know one secret, and a token is a signed statement: "node X may join until T".
///
/// The secret itself never travels. The token is `v1.<name>.<expiry>.<mac>`, with the name and the
/// MAC in base64url, the expiry in Unix seconds, and HMAC-SHA256 over all before its own dot. It is
/// good until the expiry, from issue for [`lifetime`](Self::lifetime); one whose expiry is farther
/// ahead than that and [`MAX_CLOCK_SKEW`] is refused. The name is for people: it is not compared
/// with the name that the node connects under (see the [module](self)'s threat model).
///
/// The secret should be random: whoever sees a token can try guesses on it at leisure.
///
/// ```
/// use std::time::Duration;
///
/// use gridmux_core::auth::{SecretError, SharedSecret};
///
/// # fn main() -> Result<(), SecretError> {
/// let secret = SharedSecret::new("0123456789abcdef")?.lifetime(Duration::from_secs(3600))?;
/// # let _ = secret;
/// assert_eq!(SharedSecret::new("short").unwrap_err(), SecretError::TooShort { len: 5 });
/// assert!(SharedSecret::from_env("NO_SUCH_VARIABLE").is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SharedSecret {
    /// HMAC with the key taken in; the secret is not kept.
    keyed: Hmac<Sha256>,
    lifetime: i64,
}

impl SharedSecret {
    /// Tokens made from `secret`, at least [`MIN_SECRET_LEN`] bytes.
    ///
    /// # Errors
    /// [`SecretError::TooShort`].
    pub fn new(secret: impl AsRef<[u8]>) -> Result<Self, SecretError> {
        let secret = secret.as_ref();
        let too_short = SecretError::TooShort { len: secret.len() };
        if secret.len() < MIN_SECRET_LEN {
            return Err(too_short);
        }
        // HMAC takes a key of any length; only its trait has an error.
        let keyed = Hmac::new_from_slice(secret).map_err(|_| too_short)?;
        Ok(Self { keyed, lifetime: whole_seconds(DEFAULT_LIFETIME) })
    }

    /// The secret is what the environment variable `name` holds.
    ///
    /// # Errors
    /// [`SecretError::NotInEnvironment`] or [`SecretError::TooShort`].
    pub fn from_env(name: &str) -> Result<Self, SecretError> {
        match std::env::var(name) {
            Ok(secret) => Self::new(secret),
            Err(_) => Err(SecretError::NotInEnvironment { name: name.to_owned() }),
        }
    }

    /// How long a token is good, in whole seconds; default [`DEFAULT_LIFETIME`]. Clocks may differ
    /// by [`MAX_CLOCK_SKEW`], so it must be longer than that. All nodes should have the same: a
    /// token that is good for longer than the checking node's are is refused.
    ///
    /// # Errors
    /// [`SecretError::LifetimeTooShort`].
    pub fn lifetime(self, lifetime: Duration) -> Result<Self, SecretError> {
        if lifetime.as_secs() <= MAX_CLOCK_SKEW.as_secs() {
            return Err(SecretError::LifetimeTooShort);
        }
        Ok(Self { lifetime: whole_seconds(lifetime), ..self })
    }

    fn mac(&self, signed: &str) -> Hmac<Sha256> {
        self.keyed.clone().chain_update(signed)
    }
}

impl Auth for SharedSecret {
    fn issue(&self, own_name: &str, now: Timestamp) -> String {
        let name = URL_SAFE_NO_PAD.encode(own_name);
        let expiry = now.seconds.saturating_add(self.lifetime);
        let signed = format!("{VERSION}.{name}.{expiry}");
        let mac = URL_SAFE_NO_PAD.encode(self.mac(&signed).finalize().into_bytes());
        format!("{signed}.{mac}")
    }

    fn check(&self, token: &str, now: Timestamp) -> Result<(), AuthError> {
        if token.len() > MAX_TOKEN_LEN {
            return Err(AuthError::Malformed);
        }
        let (signed, mac) = token.rsplit_once('.').ok_or(AuthError::Malformed)?;
        let (head, expiry) = signed.rsplit_once('.').ok_or(AuthError::Malformed)?;
        let expiry: i64 = expiry.parse().map_err(|_| AuthError::Malformed)?;
        let (VERSION, _name) = head.split_once('.').ok_or(AuthError::Malformed)? else {
            return Err(AuthError::Malformed);
        };
        let mac = URL_SAFE_NO_PAD.decode(mac).map_err(|_| AuthError::Malformed)?;
        self.mac(signed).verify_slice(&mac).map_err(|_| AuthError::Mismatch)?;

        let latest = now.seconds.saturating_add(self.lifetime);
        let latest = latest.saturating_add(whole_seconds(MAX_CLOCK_SKEW));
        if expiry <= now.seconds {
            return Err(AuthError::Expired { seconds: now.seconds.abs_diff(expiry) });
        }
        if expiry > latest {
            return Err(AuthError::ExpiresTooLate { seconds: expiry.abs_diff(latest) });
        }
        Ok(())
    }
}

/// Shows no part of the secret.
impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSecret").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

/// One fixed token that every node shows and expects: for grids whose other nodes do that, and for
/// tests.
///
/// The token is itself the secret, and it never expires: whoever sees it once may join for ever.
/// Where all nodes are ours, use [`SharedSecret`].
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
    fn issue(&self, _own_name: &str, _now: Timestamp) -> String {
        self.0.clone()
    }

    fn check(&self, token: &str, _now: Timestamp) -> Result<(), AuthError> {
        // How long the comparison takes tells the token's length at most.
        let equal = token.as_bytes().ct_eq(self.0.as_bytes());
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
    fn issue(&self, own_name: &str, now: Timestamp) -> String {
        (**self).issue(own_name, now)
    }

    fn check(&self, token: &str, now: Timestamp) -> Result<(), AuthError> {
        (**self).check(token, now)
    }
}

impl<A: Auth + ?Sized> Auth for Box<A> {
    fn issue(&self, own_name: &str, now: Timestamp) -> String {
        (**self).issue(own_name, now)
    }

    fn check(&self, token: &str, now: Timestamp) -> Result<(), AuthError> {
        (**self).check(token, now)
    }
}

fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
