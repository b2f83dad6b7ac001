//! What a script is like, for a person.

use std::collections::BTreeMap;

use gridmux_sim::script::{Deed, Script, show_time};

use super::subject::Subject;

/// What a script is like, and what its seed favours, in a few lines.
pub(super) fn configuration(subject: &Subject) -> String {
    let script = &subject.script;
    let mut calls = BTreeMap::<&str, u64>::new();
    let (mut faults, mut cancels) = (BTreeMap::<&str, u64>::new(), 0);
    for line in &script.lines {
        match &line.deed {
            Deed::Call(call) => *calls.entry(call.route.word()).or_default() += 1,
            Deed::Cancel(_) => cancels += 1,
            // Of users' own clusters only.
            Deed::Do(_) => {}
            Deed::Fault(fault) => *faults.entry(fault.row()).or_default() += 1,
        }
    }
    let favours = subject.favours.as_ref();
    let favours = favours.map_or_else(String::new, |favours| format!("favours  {favours}\n"));
    format!(
        "{}\nnodes    {}\nnetwork  {}\nsettings {}\n{favours}calls    {}, {cancels} cancels: {}\n\
         faults   {}: {}\n",
        subject.label,
        nodes(script),
        statements(script, &["set"]).pop().unwrap_or_else(|| "calm".into()),
        settings(script),
        calls.values().sum::<u64>(),
        counts(&calls),
        faults.values().sum::<u64>(),
        counts(&faults),
    )
}

/// How many nodes there are, which of them are of another kind, and which must be well at the end.
fn nodes(script: &Script) -> String {
    let count = script.nodes.len();
    let ours = script.nodes.iter().filter(|kind| kind.is_ours()).count();
    let mut kinds = statements(script, &["node"]).join(", ");
    if !kinds.is_empty() {
        kinds.insert_str(0, ": ");
    }
    let core: Vec<_> = script.core.iter().map(|node| format!("n{node}")).collect();
    let heal = show_time(script.heal);
    format!("{count}, {ours} of them ours{kinds}; core {}; heal at {heal}", core.join(","))
}

/// What else is not as usual.
fn settings(script: &Script) -> String {
    let all = ["generation", "secure", "token", "nested", "limits", "gate", "try"];
    let words: Vec<String> = all
        .into_iter()
        .flat_map(|word| {
            let rest = statements(script, &[word]).into_iter();
            rest.map(move |rest| format!("{word} {rest}").trim_end().to_owned())
        })
        .collect();
    if words.is_empty() { "the usual ones".into() } else { words.join("; ") }
}

/// The statements of a script that begin with one of these words, without it.
fn statements(script: &Script, words: &[&str]) -> Vec<String> {
    let text = script.to_string();
    let split = text.lines().map(|line| line.split_once(' ').unwrap_or((line, "")));
    let wanted = split.filter(|(word, _)| words.contains(word));
    wanted.map(|(_, rest)| rest.to_owned()).collect()
}

fn counts(counts: &BTreeMap<&str, u64>) -> String {
    let words: Vec<_> = counts.iter().map(|(what, count)| format!("{what} {count}")).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::configuration;
    use crate::command::subject::{Subject, Swarm};

    #[test]
    fn everything_that_is_not_as_usual_is_told() {
        let text = "gridmux-sim 1\nnodes 4\nnode n1 loop\nnode n2 go\nnode n3 hostile rules\n\
                    set piece=7\ngeneration 5\nsecure\ntoken\nnested\nlimits queued=70000\n\
                    gate n0 1s\ntry n1 slash\nheal 5s core=n0,n1\n";
        let mut subject = Subject::of_seed(1, &Swarm::default()).unwrap();
        (subject.script, subject.favours) = (text.parse().unwrap(), None);
        let told = configuration(&subject);
        let expected = "\
nodes    4, 2 of them ours: n1 loop, n2 go, n3 hostile rules; core n0,n1; heal at 5s
network  piece=7
settings generation 5; secure; token; nested; limits queued=70000; gate n0 1s; try n1 slash
calls    0, 0 cancels: 
faults   0: 
";
        assert_eq!(told.split_once('\n').unwrap().1, expected);
    }

    #[test]
    fn what_a_seed_favours_is_told() {
        let subject = Subject::of_seed(1, &Swarm::default()).unwrap();
        let told = configuration(&subject);
        let favours = told.lines().find(|line| line.starts_with("favours ")).unwrap();
        for word in ["calls ", "echo ", "; forms ", "; ways ", "; faults "] {
            assert!(favours.contains(word), "{word}: {favours}");
        }
    }
}
