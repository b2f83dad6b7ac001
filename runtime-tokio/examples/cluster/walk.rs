//! A walk through a directory, streamed.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

/// A walk ends after so many entries.
const LIMIT: usize = 5000;

/// A file or directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Relative to the directory that is walked.
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) is_dir: bool,
}

/// What travels: the entries, then what they were together.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum WalkItem {
    Entry(Entry),
    Summary(Summary),
}

/// What was walked, to compare with what has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) entries: u64,
    pub(crate) digest: u64,
}

/// Counts and digests entries.
#[derive(Clone, Default)]
pub(crate) struct Digest {
    entries: u64,
    hash: Xxh3,
}

impl Digest {
    pub(crate) fn add(&mut self, entry: &Entry) {
        self.entries += 1;
        self.hash.update(entry.path.as_os_str().as_encoded_bytes());
        self.hash.update(&entry.bytes.to_le_bytes());
        self.hash.update(&[u8::from(entry.is_dir)]);
    }

    pub(crate) fn summary(&self) -> Summary {
        Summary { entries: self.entries, digest: self.hash.digest() }
    }
}

/// Everything below a directory, parents before children, siblings by name. What is hidden, what
/// is called `target` and what cannot be read is left out; links are not followed.
///
/// One directory is read at a time, within the task that asks for the next entry.
#[derive(Debug)]
pub(crate) struct Walk {
    root: PathBuf,
    /// What is to be visited, the next one last.
    ahead: Vec<Entry>,
    left: usize,
}

impl Walk {
    pub(crate) fn new(root: &Path) -> Self {
        let mut walk = Self { root: root.to_owned(), ahead: Vec::new(), left: LIMIT };
        walk.look_into(Path::new(""));
        walk
    }

    fn look_into(&mut self, path: &Path) {
        let Ok(entries) = fs::read_dir(self.root.join(path)) else { return };
        let before = self.ahead.len();
        self.ahead.extend(entries.filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name();
            if name == "target" || name.as_encoded_bytes().starts_with(b".") {
                return None;
            }
            let metadata = entry.metadata().ok()?;
            let is_dir = metadata.is_dir();
            let bytes = if is_dir { 0 } else { metadata.len() };
            // A name that is not UTF-8 cannot travel.
            name.to_str().map(|name| Entry { path: path.join(name), bytes, is_dir })
        }));
        self.ahead[before..].sort_by(|a, b| b.path.cmp(&a.path));
    }
}

impl Iterator for Walk {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        self.left = self.left.checked_sub(1)?;
        let entry = self.ahead.pop()?;
        if entry.is_dir {
            self.look_into(&entry.path);
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_is_in_order_and_digests_alike_each_time() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let entries: Vec<_> = Walk::new(root).collect();
        assert!(entries.is_sorted_by(|a, b| a.path < b.path));
        assert!(entries.iter().any(|entry| entry.path == Path::new("src/lib.rs")));
        let digest = |entries: &[Entry]| {
            let mut digest = Digest::default();
            entries.iter().for_each(|entry| digest.add(entry));
            digest.summary()
        };
        assert_eq!(digest(&entries), digest(&Walk::new(root).collect::<Vec<_>>()));
        assert_ne!(digest(&entries), digest(&entries[1..]));
    }
}
