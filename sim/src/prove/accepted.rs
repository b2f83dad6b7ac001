//! Oracles that are as good for a bug as the one that it names.

/// Bug, oracle, and why.
const ACCEPTED: &[(&str, &str, &str)] = &[
    ("connect-error-dropped", "O3", "the end that comes at last is not that of a refusal"),
    ("wrong-direction-disconnect", "O3", "nothing explains the end of the peer's own call"),
    ("loss-not-told", "O7", "those who wait for room are calls, which outlive their link"),
    ("taken-back-is-sent", "O3", "the error that says that no handler has run is wrong"),
    (
        "ping-postponed-by-writes",
        "O7",
        "who sends no ping misses the pong: it gives up a link that is well",
    ),
    (
        "decode-more-forgotten",
        "O16",
        "what was read counts as known: a node speaks of what is over",
    ),
    ("credit-on-receipt", "O3", "the sender overruns the receiver: a violation without a cause"),
];

/// Why this oracle is as good for this bug as the one that it names, if it is.
pub fn accepted(bug: &str, oracle: &str) -> Option<&'static str> {
    let found = ACCEPTED.iter().find(|(one, other, _)| (*one, *other) == (bug, oracle));
    found.map(|(_, _, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use gridmux_core::planted::ALL;

    use super::ACCEPTED;

    #[test]
    fn only_bugs_that_there_are_have_other_oracles() {
        for (bug, oracle, reason) in ACCEPTED {
            let planted = ALL.iter().find(|planted| planted.name == *bug);
            let planted = planted.unwrap_or_else(|| panic!("{bug}"));
            assert_ne!(planted.caught_by, *oracle, "{bug}");
            assert!(!reason.is_empty());
        }
    }
}
