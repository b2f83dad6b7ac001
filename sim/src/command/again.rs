//! How a run that has failed is run again, shortened and shown.

use std::fmt::{self, Display};
use std::path::Path;

use gridmux_sim::verdict::Failure;
use xxhash_rust::xxh3::xxh3_64;

use super::files;
use super::report::verdict_line;
use super::subject::{Source, Subject};

/// How the program is called from the project's directory.
pub(super) const PROGRAM: &str = "cargo run --release -p gridmux-sim --";

/// The commands for a run that has failed.
pub(super) struct Again<'a> {
    subject: &'a Subject,
    /// Where its script is, or why it is nowhere.
    script: String,
    source: Source,
}

impl<'a> Again<'a> {
    /// Of what can be run again as it was.
    pub(super) fn of(subject: &'a Subject) -> Self {
        let source = subject.source.clone();
        Self { subject, script: source.what(), source }
    }

    /// Writes the script into a directory. If that cannot be done, it is told, and the commands do
    /// without.
    pub(super) fn written(subject: &'a Subject, failure: &Failure, dir: &Path) -> Self {
        let path = files::script_path(dir, &subject.slug);
        let comments = [subject.label.clone(), verdict_line(failure)];
        match files::write_script(&path, &comments, &subject.script) {
            Ok(()) => {
                let script = path.display().to_string();
                let source = Source::File { path, options: Vec::new() };
                Self { subject, script, source }
            }
            Err(trouble) => {
                trouble.tell();
                let script = format!("not written: {}", trouble.text);
                Self { script, ..Self::of(subject) }
            }
        }
    }

    /// The command that runs it again.
    pub(super) fn replay(&self) -> String {
        format!("{PROGRAM} {}", self.source.replay())
    }
}

impl Display for Again<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Subject { script, slug, .. } = self.subject;
        let what = self.source.what();
        let picture = match &self.source {
            Source::Seed { .. } => files::script_path(files::USUAL_DIR.as_ref(), slug),
            Source::File { path, .. } => path.clone(),
        };
        writeln!(f, "seed      {}", script.seed)?;
        // A build does not know of which commit it is.
        writeln!(f, "version   {} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))?;
        writeln!(f, "hash      {:016x} of the script", xxh3_64(script.to_string().as_bytes()))?;
        writeln!(f, "script    {}", self.script)?;
        writeln!(f, "replay    {}", self.replay())?;
        writeln!(f, "minimise  {PROGRAM} min {what}")?;
        let picture = picture.with_extension("html");
        writeln!(f, "picture   {PROGRAM} show {what} --html {}", picture.display())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use gridmux_sim::verdict::{Class, Failure, OracleId};

    use super::Again;
    use crate::command::subject::{Size, Subject, Swarm};

    #[test]
    fn a_script_that_cannot_be_written_leaves_the_commands_for_its_seed() {
        let swarm = Swarm { profile: Size::Full, knobs: vec!["piece=9".into()] };
        let subject = Subject::of_seed(3, &swarm).unwrap();
        let (oracle, class) = (OracleId(3), Class::Safety);
        let failure =
            Failure { oracle, class, rule: "a rule", detail: String::new(), at: 0, call: None };
        let again = Again::written(&subject, &failure, Path::new("/dev/null/nowhere"));
        let text = again.to_string();
        for part in [
            "not written: /dev/null/nowhere/seed-3-full.sim: ",
            "-- run --seed 3 --profile full --set piece=9\n",
            "-- min 3 --profile full --set piece=9\n",
            "-- show 3 --profile full --set piece=9 --html target/sim/seed-3-full.html\n",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
