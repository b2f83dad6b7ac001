//! Tokens are accepted once, from those who know the secret, by the node that they are for, for as long
//! as they are good, and from nobody else.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gridmux_core::auth::{
    Auth, AuthError, Check, DEFAULT_LIFETIME, Issue, MAX_CLOCK_SKEW, MAX_TOKEN_LEN, MIN_SECRET_LEN,
    SecretError, SharedSecret, StaticToken,
};
use gridmux_core::wire::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use sha2::Sha256;

const SECRET: &str = "correct horse battery staple";
const NAME: &str = "http://10.0.0.1:9000";
const TARGET: &str = "http://10.0.0.2:9000";
const ROUTE: &str = "/minio/grid/v1";
const NOW: Timestamp = Timestamp { seconds: 1_700_000_000, nanos: 999_999_999 };

/// Of nodes that have seen no token.
fn shared() -> SharedSecret {
    SharedSecret::new(SECRET).unwrap()
}

fn after(seconds: i64) -> Timestamp {
    Timestamp { seconds: NOW.seconds + seconds, nanos: 0 }
}

fn seconds(duration: Duration) -> i64 {
    duration.as_secs().try_into().unwrap()
}

fn issue(auth: &impl Auth, now: Timestamp) -> String {
    auth.issue(Issue::new(NAME, TARGET, ROUTE, [7; 16], now))
}

/// Shown in Connect, by the node that has issued it to the one that it is for.
fn check(auth: &impl Auth, token: &str, now: Timestamp) -> Result<(), AuthError> {
    auth.check(Check::new(token, TARGET, ROUTE, now).claimed(NAME))
}

/// A token with the right signature, whatever it says.
fn sign(signed: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap().chain_update(signed);
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

#[test]
fn a_token_is_the_documented_text() {
    let [name, target, route] = [NAME, TARGET, ROUTE].map(|text| URL_SAFE_NO_PAD.encode(text));
    let nonce = [&[7; 16][..], &999_999_999_u32.to_be_bytes()].concat();
    let nonce = URL_SAFE_NO_PAD.encode(nonce);
    let expected = sign(&format!("v2.{name}.{target}.{route}.1700000360.{nonce}"));
    assert_eq!(issue(&shared(), NOW), expected);
}

#[test]
fn a_good_token_is_accepted_until_it_expires() {
    let token = issue(&shared(), NOW);
    let lifetime = seconds(DEFAULT_LIFETIME);
    assert_eq!(check(&shared(), &token, NOW), Ok(()));
    assert_eq!(check(&shared(), &token, after(lifetime - 1)), Ok(()));
    let expired = |seconds| Err(AuthError::Expired { seconds });
    assert_eq!(check(&shared(), &token, after(lifetime)), expired(0));
    let a_day = lifetime + 86_400;
    assert_eq!(check(&shared(), &token, after(a_day)), expired(86_400));
}

#[test]
fn a_token_is_accepted_once() {
    let (auth, clone) = (shared(), shared());
    let token = issue(&auth, NOW);
    assert_eq!(check(&auth, &token, NOW), Ok(()));
    assert_eq!(check(&auth, &token, NOW), Err(AuthError::Replayed));
    assert_eq!(check(&auth.clone(), &token, after(359)), Err(AuthError::Replayed), "by any clone");
    let at_upgrade = auth.check(Check::new(&token, TARGET, ROUTE, NOW));
    assert_eq!(at_upgrade, Err(AuthError::Replayed), "whatever it is shown for");
    assert_eq!(
        check(&auth, &token, after(-300)),
        Err(AuthError::Replayed),
        "if the clock is set back"
    );
    assert_eq!(check(&clone, &token, NOW), Ok(()), "a process that restarts has forgotten it");

    let later = Timestamp { nanos: 1, ..NOW };
    assert_eq!(check(&auth, &issue(&auth, later), NOW), Ok(()), "the same nonce at another time");
    let another = auth.issue(Issue::new(NAME, TARGET, ROUTE, [8; 16], NOW));
    assert_eq!(check(&auth, &another, NOW), Ok(()), "another nonce at the same time");
}

#[test]
fn a_token_that_is_refused_is_not_used_up() {
    let auth = shared();
    let token = issue(&auth, NOW);
    check(&auth, &token, after(1 << 30)).unwrap_err();
    auth.check(Check::new(&token, "http://other:1", ROUTE, NOW)).unwrap_err();
    auth.check(Check::new(&token, TARGET, ROUTE, NOW).claimed("http://other:1")).unwrap_err();
    assert_eq!(check(&auth, &token, NOW), Ok(()));
}

#[test]
fn a_token_for_another_node_is_refused_with_both_names() {
    let token = issue(&shared(), NOW);
    let other = "http://10.0.0.3:9000";
    for shown in
        [Check::new(&token, other, ROUTE, NOW), Check::new(&token, other, ROUTE, NOW).claimed(NAME)]
    {
        let refused = shared().check(shown).unwrap_err();
        let expected = AuthError::WrongTarget { target: TARGET.into(), own: other.into() };
        assert_eq!(refused, expected);
        assert_eq!(
            refused.to_string(),
            "the token is for http://10.0.0.2:9000, this node is http://10.0.0.3:9000"
        );
    }
    // Names are compared byte for byte.
    for near in ["http://10.0.0.2:9000/", "HTTP://10.0.0.2:9000", "http://10.0.0.2:900", ""] {
        shared().check(Check::new(&token, near, ROUTE, NOW)).unwrap_err();
    }
}

#[test]
fn a_token_of_another_node_is_refused_where_the_bearer_says_its_name() {
    let token = issue(&shared(), NOW);
    let shown = Check::new(&token, TARGET, ROUTE, NOW).claimed("http://10.0.0.3:9000");
    let refused = shared().check(shown).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the token is that of http://10.0.0.1:9000, and http://10.0.0.3:9000 shows it"
    );
    assert_eq!(shared().check(Check::new(&token, TARGET, ROUTE, NOW)), Ok(()), "the upgrade");
}

#[test]
fn a_token_for_another_route_is_refused() {
    let token = issue(&shared(), NOW);
    let shown = Check::new(&token, TARGET, "/minio/grid/lock/v1", NOW).claimed(NAME);
    let refused = shared().check(shown).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the token is for the route /minio/grid/v1, this grid's is /minio/grid/lock/v1"
    );
}

#[test]
fn names_in_a_refusal_are_cut_and_escaped() {
    let name = format!("http://a\r\nforged: {}", "x".repeat(1000));
    let token = shared().issue(Issue::new(NAME, &name, ROUTE, [7; 16], NOW));
    let refused = check(&shared(), &token, NOW).unwrap_err().to_string();
    assert!(refused.contains("http://a\\r\\nforged: xxx"), "{refused}");
    assert!(refused.len() < 300, "{refused}");
}

#[test]
fn clocks_may_differ_by_the_skew() {
    let token = issue(&shared(), NOW);
    let skew = seconds(MAX_CLOCK_SKEW);
    assert_eq!(check(&shared(), &token, after(skew)), Ok(()));
    assert_eq!(check(&shared(), &token, after(-skew)), Ok(()));
    let too_late = Err(AuthError::ExpiresTooLate { seconds: 1 });
    assert_eq!(check(&shared(), &token, after(-skew - 1)), too_late);
}

#[test]
fn the_clock_of_a_node_may_be_five_minutes_ahead() {
    let of = |ahead| issue(&shared(), after(ahead));
    assert_eq!(check(&shared(), &of(299), NOW), Ok(()));
    let too_late = Err(AuthError::ExpiresTooLate { seconds: 1 });
    assert_eq!(check(&shared(), &of(301), NOW), too_late);
}

#[test]
fn a_lifetime_can_be_set() {
    let day = || shared().lifetime(Duration::from_secs(86_400)).unwrap();
    let token = issue(&day(), NOW);
    assert_eq!(check(&day(), &token, after(86_399)), Ok(()));
    assert!(matches!(check(&shared(), &token, NOW), Err(AuthError::ExpiresTooLate { .. })));
    assert_eq!(check(&day(), &issue(&shared(), NOW), NOW), Ok(()));

    for short in [Duration::ZERO, MAX_CLOCK_SKEW, MAX_CLOCK_SKEW + Duration::from_nanos(1)] {
        assert_eq!(shared().lifetime(short).unwrap_err(), SecretError::LifetimeTooShort);
    }
    let endless = shared().lifetime(Duration::MAX).unwrap();
    assert_eq!(check(&endless, &issue(&endless, NOW), NOW), Ok(()));
    assert_eq!(check(&endless, &issue(&endless, NOW), NOW), Err(AuthError::Replayed));
}

#[test]
fn no_byte_of_a_token_can_be_changed() {
    let token = issue(&shared(), NOW);
    let auth = shared();
    for at in 0..token.len() {
        for byte in 0..128 {
            let mut changed = token.clone().into_bytes();
            changed[at] = byte;
            let changed = String::from_utf8(changed).unwrap();
            if changed != token {
                check(&auth, &changed, NOW).unwrap_err();
            }
        }
        let mut shorter = token.clone();
        shorter.remove(at);
        check(&auth, &shorter, NOW).unwrap_err();
        check(&auth, &token[..at], NOW).unwrap_err();
    }
    check(&auth, &format!("{token}="), NOW).unwrap_err();
    check(&auth, &format!(" {token}"), NOW).unwrap_err();
    assert_eq!(check(&auth, &token, NOW), Ok(()));
}

#[test]
fn a_token_that_is_too_long_is_not_looked_at_though_its_signature_is_good() {
    let token = |len: usize| {
        let name = format!("http://{}", "x".repeat(len));
        shared().issue(Issue::new(&name, TARGET, ROUTE, [7; 16], NOW))
    };
    let shown = |token: &str| shared().check(Check::new(token, TARGET, ROUTE, NOW));
    assert_eq!(shown(&token(2800)), Ok(()));
    let long = token(4000);
    assert!(long.len() > 4096);
    assert_eq!(shown(&long), Err(AuthError::Malformed));
}

#[test]
fn another_secret_makes_other_tokens() {
    let other = SharedSecret::new(format!("{SECRET}!")).unwrap();
    assert_eq!(check(&shared(), &issue(&other, NOW), NOW), Err(AuthError::Mismatch));
}

#[test]
fn a_signature_alone_is_not_enough() {
    let [name, target, route] = [NAME, TARGET, ROUTE].map(|text| URL_SAFE_NO_PAD.encode(text));
    let names = format!("v2.{name}.{target}.{route}");
    let check = |signed: &str| check(&shared(), &sign(signed), NOW);
    assert_eq!(check(&format!("{names}.1700000001.x")), Ok(()));
    let of_expiry = |expiry: i64| check(&format!("{names}.{expiry}.x"));
    assert!(matches!(of_expiry(99_999_999_999), Err(AuthError::ExpiresTooLate { .. })));
    assert!(matches!(of_expiry(i64::MAX), Err(AuthError::ExpiresTooLate { .. })));
    assert!(matches!(of_expiry(i64::MIN), Err(AuthError::Expired { .. })));
    for malformed in [
        format!("v3.{name}.{target}.{route}.1700000001.x"),
        format!("{names}.1700000001"),
        format!("{names}.1700000001.x.x"),
        format!("{names}.1e9.x"),
        format!("{names}.9223372036854775808.x"),
        format!("v2.{name}.{target}.1700000001.x"),
        format!("v2.?.{target}.{route}.1700000001.x"),
        format!("v2.{name}.{}.{route}.1700000001.x", URL_SAFE_NO_PAD.encode(b"\xff")),
        "v2".into(),
        String::new(),
    ] {
        assert_eq!(check(&malformed), Err(AuthError::Malformed), "{malformed}");
    }
}

#[test]
fn a_token_of_the_first_version_is_refused_as_such() {
    let old = sign(&format!("v1.{}.1700000300", URL_SAFE_NO_PAD.encode(NAME)));
    assert_eq!(check(&shared(), &old, NOW), Err(AuthError::OldVersion));
}

#[test]
fn a_token_may_have_4096_bytes_and_no_byte_more() {
    let [name, target, route] = [NAME, TARGET, ROUTE].map(|text| URL_SAFE_NO_PAD.encode(text));
    let of_len = |len: usize| {
        let signed = format!("v2.{name}.{target}.{route}.1700000001.");
        // Behind it, a dot and the MAC.
        sign(&format!("{signed}{}", "x".repeat(len - signed.len() - 1 - 43)))
    };
    assert_eq!(of_len(MAX_TOKEN_LEN).len(), MAX_TOKEN_LEN);
    assert_eq!(check(&shared(), &of_len(MAX_TOKEN_LEN), NOW), Ok(()));
    assert_eq!(check(&shared(), &of_len(MAX_TOKEN_LEN + 1), NOW), Err(AuthError::Malformed));
}

#[test]
fn garbage_is_malformed() {
    let huge = "v2.".repeat(1 << 20);
    for garbage in ["", ".", "...", "v2...", "v2.a.1.ü", "größe.größe.größe", "\0\0.\0", &huge]
    {
        assert_eq!(check(&shared(), garbage, NOW), Err(AuthError::Malformed));
    }
}

#[test]
fn the_ends_of_time_do_not_overflow() {
    for seconds in [i64::MIN, -62_135_596_800, 0, i64::MAX] {
        let now = Timestamp { seconds, nanos: 0 };
        let _ = check(&shared(), &issue(&shared(), NOW), now);
        let _ = check(&shared(), &issue(&shared(), now), NOW);
        let _ = check(&shared(), &issue(&shared(), now), now);
    }
}

#[test]
fn nothing_shows_the_secret() {
    let token = issue(&shared(), NOW);
    assert!(!token.contains(SECRET));
    assert!(!token.contains(&URL_SAFE_NO_PAD.encode(SECRET)));
    assert_eq!(format!("{:?}", shared()), "SharedSecret { lifetime: 360, .. }");
    let fixed = StaticToken::new("s3cret-token").unwrap();
    assert_eq!(format!("{fixed:?}"), "StaticToken { .. }");
    for stranger in [&token[1..], "s3cret-tokem"] {
        let refused = check(&shared(), stranger, NOW).unwrap_err();
        assert!(
            !refused.to_string().contains(stranger) && !format!("{refused:?}").contains(stranger)
        );
        assert!(!format!("{:?}", Check::new(stranger, TARGET, ROUTE, NOW)).contains(stranger));
    }
}

#[test]
fn a_secret_is_long_enough() {
    for len in 0..MIN_SECRET_LEN {
        assert_eq!(SharedSecret::new(vec![7; len]).unwrap_err(), SecretError::TooShort { len });
    }
    for len in [MIN_SECRET_LEN, 64, 65, 10_000] {
        let auth = SharedSecret::new(vec![7; len]).unwrap();
        assert_eq!(check(&auth, &issue(&auth, NOW), NOW), Ok(()));
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
    assert_eq!(check(&same, &issue(&repeatable, NOW), NOW), Ok(()));
}

#[test]
fn a_static_token_is_the_same_both_ways_every_time() {
    let auth = StaticToken::new("s3cret-token").unwrap();
    assert_eq!(issue(&auth, NOW), "s3cret-token");
    assert_eq!(check(&auth, "s3cret-token", after(1 << 40)), Ok(()));
    assert_eq!(check(&auth, "s3cret-token", after(1 << 40)), Ok(()));
    for other in ["", "s3cret", "s3cret-tokem", "s3cret-token ", "größe"] {
        assert_eq!(check(&auth, other, NOW), Err(AuthError::Mismatch));
    }
    for unsafe_in_header in ["", "a b", "a\r\nX: y", "größe", "\0"] {
        let refused = StaticToken::new(unsafe_in_header).unwrap_err();
        assert_eq!(refused, SecretError::NotHeaderSafe);
    }
}

#[test]
fn an_auth_can_be_shared_and_boxed() {
    fn joins(auth: &impl Auth) -> bool {
        check(auth, &issue(auth, NOW), NOW).is_ok()
    }
    assert!(joins(&Arc::new(shared())));
    assert!(joins(&(Arc::new(shared()) as Arc<dyn Auth>)));
    assert!(joins(&(Box::new(shared()) as Box<dyn Auth>)));
}

proptest! {
    #[test]
    fn any_name_makes_a_header_safe_token(
        name in ".{0,200}",
        target in ".{0,200}",
        at in -(1_i64 << 40)..1 << 40,
    ) {
        let now = Timestamp { seconds: at, nanos: 0 };
        let token = shared().issue(Issue::new(&name, &target, ROUTE, [7; 16], now));
        prop_assert!(token.bytes().all(|byte| byte.is_ascii_graphic()));
        let shown = Check::new(&token, &target, ROUTE, now).claimed(&name);
        prop_assert_eq!(shared().check(shown), Ok(()));
    }

    #[test]
    fn any_text_is_refused(text in ".*") {
        prop_assert!(check(&shared(), &text, NOW).is_err());
        let dotted = format!("v2.{text}.{text}.{text}.1700000001.{text}.{text}");
        prop_assert!(check(&shared(), &dotted, NOW).is_err());
    }
}
