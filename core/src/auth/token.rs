//! The text of a token, and what it says. Nothing here knows a secret.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{AuthError, Issue, MAX_TOKEN_LEN};

/// What a token begins with.
const VERSION: &str = "v2";

/// What those of older releases begin with.
const OLD_VERSION: &str = "v1";

/// Bytes of a MAC.
pub(super) const MAC_LEN: usize = 32;

/// What a token says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claims {
    pub(super) issuer: String,
    pub(super) target: String,
    pub(super) route: String,
    /// Unix seconds.
    pub(super) expiry: i64,
}

/// A token that is well formed: its MAC is not checked.
#[derive(Debug)]
pub(super) struct Parsed<'a> {
    /// The part that the MAC is over.
    pub(super) signed: &'a str,
    pub(super) mac: [u8; MAC_LEN],
    pub(super) claims: Claims,
}

/// The part of a token that the MAC is over. The time in nanoseconds is a part of the nonce: two tokens
/// differ even if a restarted generator gives the same nonce within one second.
pub(super) fn signed(issue: &Issue<'_>, expiry: i64) -> String {
    let [issuer, target, route] =
        [issue.own_name, issue.peer_name, issue.route].map(|text| URL_SAFE_NO_PAD.encode(text));
    let mut nonce = [0; 20];
    nonce[..16].copy_from_slice(&issue.nonce);
    nonce[16..].copy_from_slice(&issue.now.nanos.to_be_bytes());
    let nonce = URL_SAFE_NO_PAD.encode(nonce);
    format!("{VERSION}.{issuer}.{target}.{route}.{expiry}.{nonce}")
}

/// The whole token.
pub(super) fn with_mac(signed: &str, mac: &[u8]) -> String {
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac))
}

/// Takes any text apart.
pub(super) fn parse(token: &str) -> Result<Parsed<'_>, AuthError> {
    if token.len() > MAX_TOKEN_LEN {
        return Err(AuthError::Malformed);
    }
    let (signed, mac) = token.rsplit_once('.').ok_or(AuthError::Malformed)?;
    let mut parts = signed.split('.');
    match parts.next() {
        Some(VERSION) => {}
        Some(OLD_VERSION) => return Err(AuthError::OldVersion),
        _ => return Err(AuthError::Malformed),
    }
    let mut text = || {
        let bytes = URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
        String::from_utf8(bytes).ok()
    };
    let (issuer, target, route) = (text(), text(), text());
    let expiry = parts.next().and_then(|expiry| expiry.parse().ok());
    let (Some(issuer), Some(target), Some(route), Some(expiry), Some(_nonce), None) =
        (issuer, target, route, expiry, parts.next(), parts.next())
    else {
        return Err(AuthError::Malformed);
    };
    let mac = URL_SAFE_NO_PAD.decode(mac).ok().and_then(|mac| mac.try_into().ok());
    let mac = mac.ok_or(AuthError::Malformed)?;
    Ok(Parsed { signed, mac, claims: Claims { issuer, target, route, expiry } })
}
