//! Why a run has failed, for a person.

use gridmux_sim::run::Run;
use gridmux_sim::script::{Call, Script, show_time};
use gridmux_sim::show::{Filter, Shown, connection, text};
use gridmux_sim::verdict::{Failure, Outcome};
use gridmux_sim::world::ConnId;

use super::report::{shown, verdict_line};

/// How much of the log of a run is told.
const LAST_EVENTS: usize = 15;

/// The failures beyond the first that are told.
const MORE_FAILURES: usize = 4;

/// Why a run has failed, and what happened before.
pub(super) fn cause(script: &Script, outcome: &Outcome, run: Option<&Run>) -> String {
    let Some(failure) = outcome.failures.first() else { return String::new() };
    let mut told = format!("FAILED    {}\n", verdict_line(failure));
    told.push_str(&format!("oracle    {} ({})\n", failure.oracle, word(failure)));
    told.push_str(&format!("time      {} simulated\n", show_time(failure.at)));
    let shown = run.and_then(|run| shown(script, run));
    let about = shown.as_ref().map(|shown| about(failure, shown)).unwrap_or_default();
    if let Some(pair) = about.pair {
        told.push_str(&format!("pair      n{} n{}\n", pair[0], pair[1]));
    }
    if let Some(ConnId(number)) = about.conn {
        told.push_str(&format!("epoch     connection c{number}\n"));
    }
    if let Some(call) = about.call {
        told.push_str(&format!("call      {} on {}\n", call.name, call.route.word()));
    }
    for other in outcome.failures.iter().skip(1).take(MORE_FAILURES) {
        told.push_str(&format!("also      {}\n", verdict_line(other)));
    }
    if let Some(shown) = &shown {
        let filter = Filter {
            call: failure.call,
            pair: about.pair,
            until: Some(failure.at),
            last: Some(LAST_EVENTS),
        };
        told.push_str(&format!("its last events:\n{}", text(shown, &filter)));
    }
    told
}

const fn word(failure: &Failure) -> &'static str {
    use gridmux_sim::verdict::Class;
    match failure.class {
        Class::Safety => "safety",
        Class::Liveness => "liveness",
        Class::Nondeterminism => "two runs differ",
        Class::Panic => "panic",
    }
}

/// What a failure is about.
#[derive(Default)]
struct About<'a> {
    call: Option<&'a Call>,
    pair: Option<[usize; 2]>,
    conn: Option<ConnId>,
}

fn about<'a>(failure: &Failure, shown: &Shown<'a>) -> About<'a> {
    let call = failure.call.and_then(|number| shown.played.calls().nth(number));
    let pair = call.map(|call| [call.from, call.to]).or_else(|| pair_in(&failure.detail));
    About { call, pair, conn: connection(shown, failure, pair) }
}

/// The two nodes that a text names, if it names exactly two.
fn pair_in(text: &str) -> Option<[usize; 2]> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let mut nodes: Vec<usize> =
        words.filter_map(|word| word.strip_prefix('n')?.parse().ok()).collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::pair_in;

    #[test]
    fn a_pair_is_read_from_a_text_that_names_two_nodes() {
        assert_eq!(pair_in("n2 with n0: 5 calls, n2 again"), Some([0, 2]));
        assert_eq!(pair_in("n1>n0 Request"), Some([0, 1]));
        for other in ["n1", "n0 n1 n2", "nobody", ""] {
            assert_eq!(pair_in(other), None, "{other}");
        }
    }
}
