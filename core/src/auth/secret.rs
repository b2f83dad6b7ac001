//! One secret that all nodes know.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::replay::{Replays, TokenId};
use super::token::{self, Claims};
use super::{
    Auth, AuthError, Check, DEFAULT_LIFETIME, Issue, MAX_CLOCK_SKEW, MIN_SECRET_LEN,
    REMEMBERED_TOKENS, SecretError,
};
use crate::log::excerpt;
use crate::wire::Timestamp;

/// The one lock below the handles: [`Auth`] is shared by the tasks of all connections, and which token
/// was shown before is a fact of the whole node. What comes of it depends on nothing but the order of
/// the checks.
#[allow(clippy::disallowed_types, reason = "a leaf: nothing is called while it is held")]
type Shown = std::sync::Mutex<Replays>;

/// All nodes know one secret, and a token is a signed statement: "node X asks node Y, on this route, to
/// let it join, until T". See the [module](super) for what it protects from.
///
/// The secret itself never travels. The token is
/// `v2.<issuer>.<target>.<route>.<expiry>.<nonce>.<mac>`, with names, nonce and MAC in base64url, the
/// expiry in Unix seconds, and HMAC-SHA256 over all before its own dot. It is accepted
///
/// - by the node that it is for, under the name that this node has at its issuer, on that route;
/// - from the node that has issued it, where the bearer says its name (in Connect);
/// - until the expiry, from issue for [`lifetime`](Self::lifetime); one whose expiry is farther ahead
///   than that and [`MAX_CLOCK_SKEW`] is refused;
/// - once. Clones share the memory of what was shown, [`REMEMBERED_TOKENS`] at most.
///
/// The secret should be random: an enemy who sees a token can try guesses on it at leisure.
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
    shown: Arc<Shown>,
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
        let shown = Arc::new(Shown::new(Replays::new(REMEMBERED_TOKENS)));
        Ok(Self { keyed, lifetime: whole_seconds(DEFAULT_LIFETIME), shown })
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

    fn check_time(&self, expiry: i64, now: Timestamp) -> Result<(), AuthError> {
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

    fn check_first_use(&self, mac: &[u8], expiry: i64, now: Timestamp) -> Result<(), AuthError> {
        let mut id = TokenId::default();
        id.iter_mut().zip(mac).for_each(|(to, from)| *to = *from);
        let kept_since = now.seconds.saturating_sub(whole_seconds(MAX_CLOCK_SKEW));
        let mut shown = self.shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        shown.show(id, expiry, kept_since)
    }
}

impl Auth for SharedSecret {
    fn issue(&self, issue: Issue<'_>) -> String {
        let signed = token::signed(&issue, issue.now.seconds.saturating_add(self.lifetime));
        token::with_mac(&signed, &self.mac(&signed).finalize().into_bytes())
    }

    fn check(&self, check: Check<'_>) -> Result<(), AuthError> {
        let parsed = token::parse(check.token)?;
        let verified = self.mac(parsed.signed).verify_slice(&parsed.mac);
        verified.map_err(|_| AuthError::Mismatch)?;
        self.check_time(parsed.claims.expiry, check.now)?;
        check_names(&parsed.claims, &check)?;
        // Last: what is refused for another reason has not been used.
        match self.check_first_use(&parsed.mac, parsed.claims.expiry, check.now) {
            Err(_) if planted!(TokenTakenTwice) => Ok(()),
            checked => checked,
        }
    }
}

/// The token is for this node, on this route, and of the node that shows it.
fn check_names(claims: &Claims, check: &Check<'_>) -> Result<(), AuthError> {
    let Claims { issuer, target, route, .. } = claims;
    if target != check.own_name && !planted!(TokenTargetIgnored) {
        return Err(AuthError::WrongTarget { target: shown(target), own: shown(check.own_name) });
    }
    if route != check.route {
        return Err(AuthError::WrongRoute { route: shown(route), own: shown(check.route) });
    }
    match check.claimed_name {
        Some(claimed) if claimed != issuer && !planted!(TokenIssuerIgnored) => {
            Err(AuthError::WrongIssuer { issuer: shown(issuer), claimed: shown(claimed) })
        }
        _ => Ok(()),
    }
}

/// A text from outside, fit for a log.
fn shown(text: &str) -> String {
    excerpt(text).to_string()
}

/// Shows no part of the secret.
impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSecret").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
