//! Tokens: for one node, of one node, for one use.

use gridmux_core::auth::{Auth, Check, Issue, SharedSecret};
use gridmux_core::planted::Bug;
use gridmux_core::wire::Timestamp;

use super::shows;

const ROUTE: &str = "/minio/grid/v1";
const NOW: Timestamp = Timestamp { seconds: 1_700_000_000, nanos: 0 };

/// A token that A has issued for B, shown to `target` as that of `claimed`, the last of some times.
fn is_accepted(target: &str, claimed: &str, times: usize) -> bool {
    let secret = SharedSecret::new("a secret of at least 16 bytes").expect("long enough");
    let token = secret.issue(Issue::new("http://a:1", "http://b:1", ROUTE, [7; 16], NOW));
    let shown = Check::new(&token, target, ROUTE, NOW).claimed(claimed);
    (1..times).for_each(|_| secret.check(shown).expect("it is good"));
    secret.check(shown).is_ok()
}

#[test]
fn a_token_is_for_one_node() {
    let scene = || is_accepted("http://c:1", "http://a:1", 1);
    shows(Bug::TokenTargetIgnored, scene, false, true);
}

#[test]
fn a_token_is_of_one_node() {
    let scene = || is_accepted("http://b:1", "http://c:1", 1);
    shows(Bug::TokenIssuerIgnored, scene, false, true);
}

#[test]
fn a_token_is_good_for_one_use() {
    let scene = || is_accepted("http://b:1", "http://a:1", 2);
    shows(Bug::TokenTakenTwice, scene, false, true);
}
