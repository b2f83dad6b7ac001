//! What is run: a seed or a script file, with some knobs turned.

use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use gridmux_sim::script::Script;
use gridmux_sim::swarm::{self, Favourites, Profile};

use super::exit::{Done, Trouble};
use super::files;

/// How much a seed does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Size {
    /// Two to four nodes, some dozens of calls, some ten faults
    #[default]
    Quick,
    /// Two to eight nodes, and several times as much of everything
    Full,
}

impl Size {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
        }
    }
}

impl From<Size> for Profile {
    fn from(size: Size) -> Self {
        match size {
            Size::Quick => Self::Quick,
            Size::Full => Self::Full,
        }
    }
}

/// How scripts come from seeds.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Swarm {
    /// How much each seed does
    #[arg(long, value_enum, default_value_t)]
    pub(super) profile: Size,

    /// Turn a knob of the scripts, such as whole=no, latency=1ms..5ms, rate=100000, buffer=4096,
    /// piece=7, slack=1ms, lazy-per-million=20000, laziness=50ms, spurious-per-million=100000,
    /// grain=1ms, drift=200, origin=3600s, skew=1s; may be given several times
    #[arg(long = "set", value_name = "KNOB=VALUE")]
    pub(super) knobs: Vec<String>,
}

impl Swarm {
    /// The script of a seed.
    pub(super) fn script(&self, seed: u64) -> Done<Script> {
        turn(swarm::script(seed, self.profile.into()), &self.knobs)
    }

    /// Says whether the knobs can be turned at all.
    pub(super) fn check(&self) -> Done<()> {
        self.script(0).map(drop)
    }

    /// The options that give the same scripts.
    pub(super) fn options(&self) -> Vec<String> {
        let mut options = Vec::new();
        if self.profile != Size::default() {
            options.extend(["--profile".to_owned(), self.profile.word().to_owned()]);
        }
        options.extend(set_options(&self.knobs));
        options
    }
}

fn set_options(knobs: &[String]) -> Vec<String> {
    knobs.iter().flat_map(|knob| ["--set".to_owned(), knob.clone()]).collect()
}

/// The script with these words in its `set` line, in place of those of the same keys.
pub(super) fn turn(script: Script, knobs: &[String]) -> Done<Script> {
    if knobs.is_empty() {
        return Ok(script);
    }
    let key = |word: &str| word.split('=').next().unwrap_or_default().to_owned();
    let mut lines: Vec<String> = script.to_string().lines().map(str::to_owned).collect();
    let at = lines.iter().position(|line| line.starts_with("set "));
    let old = at.map(|at| lines.remove(at)).unwrap_or_default();
    let mut words: Vec<&str> = old.split_ascii_whitespace().skip(1).collect();
    for knob in knobs {
        if knob.split_ascii_whitespace().count() != 1 || !knob.contains('=') {
            return Err(Trouble::usage(format!("`{knob}` is not of the form knob=value")));
        }
        words.retain(|word| key(word) != key(knob));
        words.push(knob);
    }
    lines.push(format!("set {}", words.join(" ")));
    let turned: Result<Script, _> = lines.join("\n").parse();
    turned.map_err(|error| Trouble::usage(error.problem))
}

/// What a command is about.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// For a person.
    pub(super) label: String,
    /// For the names of files.
    pub(super) slug: String,
    pub(super) script: Script,
    /// Where that is from.
    pub(super) source: Source,
    /// What its seed favours, if it is of one.
    pub(super) favours: Option<Favourites>,
}

/// Where a script is from: with the options that turn its knobs.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Seed { seed: u64, options: Vec<String> },
    File { path: PathBuf, options: Vec<String> },
}

impl Source {
    /// As the commands that take either are given it.
    pub(super) fn what(&self) -> String {
        let (what, options) = match self {
            Self::Seed { seed, options } => (seed.to_string(), options),
            Self::File { path, options } => (path.display().to_string(), options),
        };
        [what].iter().chain(options).map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    /// The command that runs it.
    pub(super) fn replay(&self) -> String {
        match self {
            Self::Seed { .. } => format!("run --seed {}", self.what()),
            Self::File { .. } => format!("replay {}", self.what()),
        }
    }
}

impl Subject {
    pub(super) fn of_seed(seed: u64, swarm: &Swarm) -> Done<Self> {
        let mut label = format!("seed {seed}, profile {}", swarm.profile.word());
        for knob in &swarm.knobs {
            label.push_str(&format!(", {knob}"));
        }
        let slug = match swarm.profile {
            Size::Quick => format!("seed-{seed}"),
            Size::Full => format!("seed-{seed}-full"),
        };
        let source = Source::Seed { seed, options: swarm.options() };
        let favours = Some(swarm::favourites(seed));
        Ok(Self { label, slug, script: swarm.script(seed)?, source, favours })
    }

    pub(super) fn of_file(path: &Path, knobs: &[String]) -> Done<Self> {
        let script: Result<Script, _> = files::read(path)?.parse();
        let script =
            script.map_err(|error| Trouble::usage(format!("{}: {error}", path.display())))?;
        let slug = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let label = path.display().to_string();
        let options = set_options(knobs);
        let source = Source::File { path: path.to_owned(), options };
        Ok(Self { label, slug, script: turn(script, knobs)?, source, favours: None })
    }

    /// A number is a seed; anything else is a file.
    pub(super) fn of(word: &str, swarm: &Swarm) -> Done<Self> {
        match word.parse() {
            Ok(seed) => Self::of_seed(seed, swarm),
            Err(_) => Self::of_file(&PathBuf::from(word), &swarm.knobs),
        }
    }
}

/// So many seeds from the first one on.
pub(super) fn seeds(from: u64, count: u64) -> Done<Range<u64>> {
    let end = from.checked_add(count);
    let end = end.ok_or_else(|| {
        Trouble::usage(format!(
            "there are no {count} seeds from {from} on: {} is the last",
            u64::MAX
        ))
    })?;
    Ok(from..end)
}

/// A duration in real time: `90s`, `10m`, `2h`.
pub(super) fn real_time(text: &str) -> Result<std::time::Duration, String> {
    let wrong = || format!("`{text}` is not a time such as 90s, 10m or 2h");
    let split = text.len().saturating_sub(1);
    let (number, unit) = text.split_at_checked(split).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(wrong()),
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(seconds));
    seconds.map(std::time::Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Swarm, real_time, turn};
    use gridmux_sim::script::Script;

    #[test]
    fn a_knob_that_is_set_replaces_that_of_the_script() {
        let mut script = Script::new(1, 2);
        script.knobs.piece = 5;
        script.knobs.rate = 700_000;
        let turned = turn(script.clone(), &["piece=9".into(), "slack=1ms".into()]).unwrap();
        script.knobs.piece = 9;
        script.knobs.slack = 1_000_000;
        assert_eq!(turned, script);
    }

    #[test]
    fn a_knob_that_is_none_is_named_in_the_error() {
        for bad in ["pieces=9", "piece", "piece=x", "piece=9 rate=7"] {
            let swarm = Swarm { knobs: vec![bad.into()], ..Swarm::default() };
            let text = swarm.check().unwrap_err().text;
            assert!(text.contains(bad.split('=').next().unwrap()), "{bad}: {text}");
        }
    }

    #[test]
    fn real_times_have_a_unit() {
        assert_eq!(real_time("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(real_time("2h"), Ok(Duration::from_secs(7_200)));
        for bad in ["", "5", "m", "5d", "-1s", "1.5h", "é"] {
            assert!(real_time(bad).is_err(), "{bad}");
        }
    }
}
