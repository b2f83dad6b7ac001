//! The words of one line, taken one after the other, and what they may be.

use super::parse::ScriptError;
use super::units::parse_time;

/// Words and what they stand for.
pub(super) type Table<T> = [(&'static str, T)];

/// The word for a value, which is in the table.
pub(super) fn word_of<T: PartialEq>(table: &Table<T>, value: &T) -> &'static str {
    let found = table.iter().find(|(_, other)| other == value);
    found.expect("every value has a word").0
}

/// What a word may be.
pub(super) struct Kind<T> {
    /// For a person: `a time such as 3s`.
    pub(super) what: &'static str,
    pub(super) read: fn(&str) -> Option<T>,
}

pub(super) const TIME: Kind<u64> =
    Kind { what: "a time such as 3s, 1.5ms, 40us or 7ns", read: parse_time };
pub(super) const SHIFT: Kind<i64> =
    Kind { what: "a time ahead or back such as 5s or -5s", read: shift };
pub(super) const SPAN: Kind<(u64, u64)> =
    Kind { what: "a time or two, the shorter first, such as 5ms or 200us..5ms", read: span };
pub(super) const U64: Kind<u64> =
    Kind { what: "a whole number below 2^64", read: |text| text.parse().ok() };
pub(super) const U32: Kind<u32> =
    Kind { what: "a whole number below 2^32", read: |text| text.parse().ok() };
pub(super) const BYTE: Kind<u8> = Kind { what: "a byte such as 0x20", read: byte };
pub(super) const SIZE: Kind<Option<u32>> =
    Kind { what: "bytes below 2^32, or nil", read: |text| optional(text, "nil") };
pub(super) const YES: Kind<bool> = Kind { what: "yes or no", read: yes };
pub(super) const NAME: Kind<String> =
    Kind { what: "a name of letters, digits, `-`, `_` and `.`", read: name };
pub(super) const NODES: Kind<Vec<usize>> =
    Kind { what: "different nodes such as n0,n2, or none", read: nodes };
const NODE: Kind<usize> = Kind { what: "a node such as n0", read: node };
const WAY: Kind<(usize, usize)> = Kind { what: "a way such as n0>n1", read: way };

fn shift(text: &str) -> Option<i64> {
    let (sign, size) = match text.strip_prefix('-') {
        Some(size) => (-1, size),
        None => (1, text),
    };
    i64::try_from(sign * i128::from(parse_time(size)?)).ok()
}

fn span(text: &str) -> Option<(u64, u64)> {
    let (low, high) = text.split_once("..").unwrap_or((text, text));
    let span = (parse_time(low)?, parse_time(high)?);
    (span.0 <= span.1).then_some(span)
}

fn byte(text: &str) -> Option<u8> {
    match text.strip_prefix("0x") {
        Some(hex) => u8::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn optional(text: &str, without: &str) -> Option<Option<u32>> {
    if text == without { Some(None) } else { text.parse().ok().map(Some) }
}

fn yes(text: &str) -> Option<bool> {
    match text {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

fn name(text: &str) -> Option<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (!text.is_empty() && text.bytes().all(fits)).then(|| text.to_owned())
}

fn node(text: &str) -> Option<usize> {
    text.strip_prefix('n')?.parse().ok()
}

fn way(text: &str) -> Option<(usize, usize)> {
    let (from, to) = text.split_once('>')?;
    Some((node(from)?, node(to)?))
}

fn nodes(text: &str) -> Option<Vec<usize>> {
    if text == "none" {
        return Some(Vec::new());
    }
    let nodes = text.split(',').map(node).collect::<Option<Vec<_>>>()?;
    let mut sorted = nodes.clone();
    sorted.sort_unstable();
    sorted.dedup();
    (sorted.len() == nodes.len()).then_some(nodes)
}

/// What is left of a line.
pub(super) struct Words<'a> {
    line: usize,
    /// How many nodes the script has.
    nodes: usize,
    /// What nodes can be told to do.
    operations: &'a [&'static str],
    words: Vec<&'a str>,
    /// The optional words that were asked for, for the message about one that was not.
    known: Vec<&'static str>,
}

impl<'a> Words<'a> {
    pub(super) fn new(
        line: usize,
        text: &'a str,
        nodes: usize,
        operations: &'a [&'static str],
    ) -> Self {
        let text = text.split('#').next().unwrap_or_default();
        let words = text.split_ascii_whitespace().collect();
        Self { line, nodes, operations, words, known: Vec::new() }
    }

    /// The error of this line.
    pub(super) fn wrong(&self, problem: impl Into<String>) -> ScriptError {
        ScriptError { line: self.line, problem: problem.into() }
    }

    pub(super) fn line(&self) -> usize {
        self.line
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether only one word is left.
    pub(super) fn is_last(&self) -> bool {
        self.words.len() == 1
    }

    /// The next word, which stays.
    pub(super) fn peek(&self) -> Option<&'a str> {
        self.words.first().copied()
    }

    /// The next word; an error that says what should be there if there is none.
    pub(super) fn word(&mut self, what: &str) -> Result<&'a str, ScriptError> {
        if self.words.is_empty() {
            return Err(self.wrong(format!("the line ends where {what} should be")));
        }
        Ok(self.words.remove(0))
    }

    /// The next word, of some kind.
    pub(super) fn next<T>(&mut self, kind: &Kind<T>) -> Result<T, ScriptError> {
        let word = self.word(kind.what)?;
        (kind.read)(word).ok_or_else(|| self.wrong(format!("`{word}` is not {}", kind.what)))
    }

    /// What stands behind the `=` of a word that was taken.
    pub(super) fn value<T>(&self, word: &str, kind: &Kind<T>) -> Result<T, ScriptError> {
        let text = word.split_once('=').unwrap_or_default().1;
        let wrong = || self.wrong(format!("`{word}`: `{text}` is not {}", kind.what));
        (kind.read)(text).ok_or_else(wrong)
    }

    /// The next word, one of a table.
    pub(super) fn choose<T: Clone>(
        &mut self,
        what: &str,
        table: &Table<T>,
    ) -> Result<T, ScriptError> {
        let word = self.word(what)?;
        let found = table.iter().find(|(other, _)| *other == word);
        found.map(|(_, value)| value.clone()).ok_or_else(|| {
            let all: Vec<_> = table.iter().map(|(word, _)| *word).collect();
            self.wrong(format!("`{word}` is not {what}: {}", all.join(", ")))
        })
    }

    /// The next word, an operation that nodes know.
    pub(super) fn operation(&mut self) -> Result<&'static str, ScriptError> {
        let word = self.word("an operation")?;
        let found = self.operations.iter().find(|name| **name == word);
        found.copied().ok_or_else(|| match self.operations {
            [] => self.wrong(format!("`{word}`: operations are of simulated clusters only")),
            all => self.wrong(format!("`{word}` is no operation: {}", all.join(", "))),
        })
    }

    /// All that is left, words such as `key=value`, each key once.
    pub(super) fn pairs(&mut self) -> Result<Vec<(String, String)>, ScriptError> {
        let mut pairs = Vec::<(String, String)>::new();
        while !self.is_empty() {
            let word = self.word("an argument")?;
            let Some((key, value)) = word.split_once('=').filter(|(key, _)| !key.is_empty()) else {
                return Err(self.wrong(format!("`{word}` is not an argument such as key=value")));
            };
            if pairs.iter().any(|(other, _)| other == key) {
                return Err(self.wrong(format!("`{key}=` stands here twice")));
            }
            pairs.push((key.into(), value.into()));
        }
        Ok(pairs)
    }

    /// The next word, a node of this script.
    pub(super) fn node(&mut self) -> Result<usize, ScriptError> {
        let node = self.next(&NODE)?;
        self.checked(node)
    }

    /// The next word, a way from node to node.
    pub(super) fn way(&mut self) -> Result<(usize, usize), ScriptError> {
        let (from, to) = self.next(&WAY)?;
        Ok((self.checked(from)?, self.checked(to)?))
    }

    /// A node, if the script has it.
    pub(super) fn checked(&self, node: usize) -> Result<usize, ScriptError> {
        match self.nodes {
            0 => Err(self.wrong("`nodes` must come before the first line that names a node")),
            count if node < count => Ok(node),
            count => {
                Err(self.wrong(format!("there is no n{node}: nodes are n0 to n{}", count - 1)))
            }
        }
    }

    /// Whether this word stands anywhere in the rest of the line; takes it.
    pub(super) fn flag(&mut self, word: &'static str) -> bool {
        self.known.push(word);
        let at = self.words.iter().position(|other| *other == word);
        at.map(|at| self.words.remove(at)).is_some()
    }

    /// The value of `key=` anywhere in the rest of the line; takes it.
    pub(super) fn field<T>(
        &mut self,
        key: &'static str,
        kind: &Kind<T>,
    ) -> Result<Option<T>, ScriptError> {
        self.known.push(key);
        let is_it = |word: &&str| word.split_once('=').is_some_and(|(other, _)| other == key);
        let Some(at) = self.words.iter().position(is_it) else { return Ok(None) };
        let word = self.words.remove(at);
        self.value(word, kind).map(Some)
    }

    /// The same of a field that must be there.
    pub(super) fn need<T>(&mut self, key: &'static str, kind: &Kind<T>) -> Result<T, ScriptError> {
        let value = self.field(key, kind)?;
        value.ok_or_else(|| self.wrong(format!("`{key}=` is missing: {}", kind.what)))
    }

    /// The same with one of a table.
    pub(super) fn field_of<T: Clone>(
        &mut self,
        key: &'static str,
        table: &Table<T>,
    ) -> Result<Option<T>, ScriptError> {
        let text = Kind { what: "a word", read: |text| Some(text.to_owned()) };
        let Some(text) = self.field(key, &text)? else { return Ok(None) };
        let Self { line, nodes, operations, .. } = *self;
        let mut choice = Words { line, nodes, operations, words: vec![&text], known: Vec::new() };
        choice.choose(&format!("a value of `{key}=`"), table).map(Some)
    }

    /// Fails if anything is left.
    pub(super) fn end(&self) -> Result<(), ScriptError> {
        let Some(word) = self.peek() else { return Ok(()) };
        let key = word.split('=').next().unwrap_or_default();
        Err(self.wrong(if self.known.contains(&key) {
            format!("`{word}` stands here twice, or without a value")
        } else if self.known.is_empty() {
            format!("`{word}` is one word too many")
        } else {
            format!("unknown word `{word}`; allowed here: {}", self.known.join(", "))
        }))
    }
}
