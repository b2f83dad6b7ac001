//! Files that are read and written.

use std::fs;
use std::path::{Path, PathBuf};

use gridmux_sim::script::Script;

use super::exit::{Done, Exit, Trouble};

/// Where scripts and pictures go unless another place is named.
pub(super) const USUAL_DIR: &str = "target/sim";

pub(super) fn read(path: &Path) -> Done<String> {
    fs::read_to_string(path).map_err(|error| trouble(path, &error, Exit::Usage))
}

/// Writes a file, and makes the directory that it is in.
pub(super) fn write(path: &Path, text: &str) -> Done<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let made = dir.map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| fs::write(path, text))
        .map_err(|error| trouble(path, &error, Exit::Unwritten))
}

/// Writes a script under comments.
pub(super) fn write_script(path: &Path, comments: &[String], script: &Script) -> Done<()> {
    let mut text = String::new();
    for comment in comments {
        for line in comment.lines() {
            text.push_str(&format!("# {line}\n"));
        }
    }
    write(path, &(text + &script.to_string()))
}

/// Where the script of a subject goes.
pub(super) fn script_path(dir: &Path, slug: &str) -> PathBuf {
    dir.join(format!("{slug}.sim"))
}

fn trouble(path: &Path, error: &std::io::Error, exit: Exit) -> Trouble {
    Trouble { text: format!("{}: {error}", path.display()), exit }
}
