//! Tokens are accepted from those who know the secret, for as long as they are good, and from
//! nobody else.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gridmux_core::auth::{
    Auth, AuthError, DEFAULT_LIFETIME, MAX_CLOCK_SKEW, MIN_SECRET_LEN, SecretError, SharedSecret,
    StaticToken,
};
use gridmux_core::wire::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use sha2::Sha256;

const SECRET: &str = "correct horse battery staple";
const NAME: &str = "http://10.0.0.1:9000";
const NOW: Timestamp = Timestamp { seconds: 1_700_000_000, nanos: 999_999_999 };

fn shared() -> SharedSecret {
    SharedSecret::new(SECRET).unwrap()
}

fn after(seconds: i64) -> Timestamp {
    Timestamp { seconds: NOW.seconds + seconds, nanos: 0 }
}

fn seconds(duration: Duration) -> i64 {
    duration.as_secs().try_into().unwrap()
}

/// A token with the right signature, whatever it says.
fn sign(signed: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap().chain_update(signed);
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

#[test]
fn a_token_is_the_documented_text() {
    let expected = sign(&format!("v1.{}.{}", URL_SAFE_NO_PAD.encode(NAME), 1_700_000_900));
    assert_eq!(shared().issue(NAME, NOW), expected);
}

#[test]
fn a_good_token_is_accepted_until_it_expires() {
    let token = shared().issue(NAME, NOW);
    let lifetime = seconds(DEFAULT_LIFETIME);
    assert_eq!(shared().check(&token, NOW), Ok(()));
    assert_eq!(shared().check(&token, after(lifetime - 1)), Ok(()));
    assert_eq!(shared().check(&token, after(lifetime)), Err(AuthError::Expired { seconds: 0 }));
    let a_day = lifetime + 86_400;
    assert_eq!(shared().check(&token, after(a_day)), Err(AuthError::Expired { seconds: 86_400 }));
}

#[test]
fn clocks_may_differ_by_the_skew() {
    let token = shared().issue(NAME, NOW);
    let skew = seconds(MAX_CLOCK_SKEW);
    assert_eq!(shared().check(&token, after(skew)), Ok(()));
    assert_eq!(shared().check(&token, after(-skew)), Ok(()));
    let too_late = Err(AuthError::ExpiresTooLate { seconds: 1 });
    assert_eq!(shared().check(&token, after(-skew - 1)), too_late);
}

#[test]
fn a_lifetime_can_be_set() {
    let day = shared().lifetime(Duration::from_secs(86_400)).unwrap();
    let token = day.issue(NAME, NOW);
    assert_eq!(day.check(&token, after(86_399)), Ok(()));
    assert!(matches!(shared().check(&token, NOW), Err(AuthError::ExpiresTooLate { .. })));
    assert_eq!(day.check(&shared().issue(NAME, NOW), NOW), Ok(()));

    for short in [Duration::ZERO, MAX_CLOCK_SKEW, MAX_CLOCK_SKEW + Duration::from_nanos(1)] {
        assert_eq!(shared().lifetime(short).unwrap_err(), SecretError::LifetimeTooShort);
    }
    let endless = shared().lifetime(Duration::MAX).unwrap();
    assert_eq!(endless.check(&endless.issue(NAME, NOW), NOW), Ok(()));
}

#[test]
fn no_byte_of_a_token_can_be_changed() {
    let token = shared().issue(NAME, NOW);
    for at in 0..token.len() {
        for byte in 0..128 {
            let mut changed = token.clone().into_bytes();
            changed[at] = byte;
            let changed = String::from_utf8(changed).unwrap();
            if changed != token {
                shared().check(&changed, NOW).unwrap_err();
            }
        }
        let mut shorter = token.clone();
        shorter.remove(at);
        shared().check(&shorter, NOW).unwrap_err();
        shared().check(&token[..at], NOW).unwrap_err();
    }
    shared().check(&format!("{token}="), NOW).unwrap_err();
    shared().check(&format!(" {token}"), NOW).unwrap_err();
}

#[test]
fn a_token_that_is_too_long_is_not_looked_at_though_its_signature_is_good() {
    let name = |len: usize| format!("http://{}", "x".repeat(len));
    assert_eq!(shared().check(&shared().issue(&name(2900), NOW), NOW), Ok(()));
    let long = shared().issue(&name(4000), NOW);
    assert!(long.len() > 4096);
    assert_eq!(shared().check(&long, NOW), Err(AuthError::Malformed));
}

#[test]
fn another_secret_makes_other_tokens() {
    let other = SharedSecret::new(format!("{SECRET}!")).unwrap();
    assert_eq!(shared().check(&other.issue(NAME, NOW), NOW), Err(AuthError::Mismatch));
}

#[test]
fn a_signature_alone_is_not_enough() {
    let check = |signed: &str| shared().check(&sign(signed), NOW);
    assert_eq!(check("v1.bmFtZQ.1700000001"), Ok(()));
    assert!(matches!(check("v1.bmFtZQ.99999999999"), Err(AuthError::ExpiresTooLate { .. })));
    assert!(matches!(check(&format!("v1.x.{}", i64::MAX)), Err(AuthError::ExpiresTooLate { .. })));
    assert!(matches!(check(&format!("v1.x.{}", i64::MIN)), Err(AuthError::Expired { .. })));
    for malformed in ["v2.x.1700000001", "v1.1700000001", "1700000001", "", "v1.x.", "v1.x.1e9"] {
        assert_eq!(check(malformed), Err(AuthError::Malformed), "{malformed}");
    }
    assert_eq!(check("v1.x.9223372036854775808"), Err(AuthError::Malformed));
}

#[test]
fn garbage_is_malformed() {
    let huge = "v1.".repeat(1 << 20);
    for garbage in ["", ".", "...", "v1...", "v1.a.1.ü", "größe.größe.größe", "\0\0.\0", &huge]
    {
        assert_eq!(shared().check(garbage, NOW), Err(AuthError::Malformed));
    }
    assert_eq!(shared().check("v1.x.1700000001.", NOW), Err(AuthError::Mismatch));
}

#[test]
fn the_ends_of_time_do_not_overflow() {
    for seconds in [i64::MIN, -62_135_596_800, 0, i64::MAX] {
        let now = Timestamp { seconds, nanos: 0 };
        let _ = shared().check(&shared().issue(NAME, NOW), now);
        let _ = shared().check(&shared().issue(NAME, now), NOW);
        let _ = shared().check(&shared().issue(NAME, now), now);
    }
}

#[test]
fn nothing_shows_the_secret() {
    let token = shared().issue(NAME, NOW);
    assert!(!token.contains(SECRET));
    assert!(!token.contains(&URL_SAFE_NO_PAD.encode(SECRET)));
    assert_eq!(format!("{:?}", shared()), "SharedSecret { lifetime: 900, .. }");
    let fixed = StaticToken::new("s3cret-token").unwrap();
    assert_eq!(format!("{fixed:?}"), "StaticToken { .. }");
    for stranger in [&token[1..], "s3cret-tokem"] {
        let refused = shared().check(stranger, NOW).unwrap_err();
        assert!(
            !refused.to_string().contains(stranger) && !format!("{refused:?}").contains(stranger)
        );
    }
}

#[test]
fn a_secret_is_long_enough() {
    for len in 0..MIN_SECRET_LEN {
        assert_eq!(SharedSecret::new(vec![7; len]).unwrap_err(), SecretError::TooShort { len });
    }
    for len in [MIN_SECRET_LEN, 64, 65, 10_000] {
        let auth = SharedSecret::new(vec![7; len]).unwrap();
        assert_eq!(auth.check(&auth.issue(NAME, NOW), NOW), Ok(()));
    }
}

#[test]
fn a_secret_may_come_from_the_environment() {
    let name = "GRIDMUX_TEST_NO_SUCH_VARIABLE";
    let missing = SecretError::NotInEnvironment { name: name.to_owned() };
    assert_eq!(SharedSecret::from_env(name).unwrap_err(), missing);
    assert!(SharedSecret::from_env("a\0=").is_err());
    // Cargo sets this one for every test, and its value is long enough.
    let repeatable = SharedSecret::from_env("CARGO_PKG_DESCRIPTION").unwrap();
    let same = SharedSecret::new(env!("CARGO_PKG_DESCRIPTION")).unwrap();
    assert_eq!(same.check(&repeatable.issue(NAME, NOW), NOW), Ok(()));
}

#[test]
fn a_static_token_is_the_same_both_ways() {
    let auth = StaticToken::new("s3cret-token").unwrap();
    assert_eq!(auth.issue(NAME, NOW), "s3cret-token");
    assert_eq!(auth.check("s3cret-token", after(1 << 40)), Ok(()));
    for other in ["", "s3cret", "s3cret-tokem", "s3cret-token ", "größe"] {
        assert_eq!(auth.check(other, NOW), Err(AuthError::Mismatch));
    }
    for unsafe_in_header in ["", "a b", "a\r\nX: y", "größe", "\0"] {
        let refused = StaticToken::new(unsafe_in_header).unwrap_err();
        assert_eq!(refused, SecretError::NotHeaderSafe);
    }
}

#[test]
fn an_auth_can_be_shared_and_boxed() {
    fn joins(auth: &impl Auth) -> bool {
        auth.check(&auth.issue(NAME, NOW), NOW).is_ok()
    }
    assert!(joins(&Arc::new(shared())));
    assert!(joins(&(Arc::new(shared()) as Arc<dyn Auth>)));
    assert!(joins(&(Box::new(shared()) as Box<dyn Auth>)));
}

proptest! {
    #[test]
    fn any_name_makes_a_header_safe_token(name in ".{0,200}", at in -(1_i64 << 40)..1 << 40) {
        let now = Timestamp { seconds: at, nanos: 0 };
        let token = shared().issue(&name, now);
        prop_assert!(token.bytes().all(|byte| byte.is_ascii_graphic()));
        prop_assert_eq!(shared().check(&token, now), Ok(()));
    }

    #[test]
    fn any_text_is_refused(text in ".*") {
        prop_assert!(shared().check(&text, NOW).is_err());
        let dotted = format!("v1.{text}.1700000001.{text}");
        prop_assert!(shared().check(&dotted, NOW).is_err());
    }
}
