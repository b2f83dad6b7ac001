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

/// The place of a file that is to be written, for the command line: it is refused before the work
/// is done for it. Its directory has to be there: one that is misspelt would be made elsewhere.
pub(super) fn to_write(path: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(path);
    if path.is_dir() {
        return Err("it is a directory".into());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        check_dir(parent)?;
    }
    Ok(path)
}

/// The directory of files that are to be written, for the command line. It has to be there.
pub(super) fn dir_to_write_to(path: &str) -> Result<PathBuf, String> {
    check_dir(path.as_ref())?;
    Ok(path.into())
}

fn check_dir(dir: &Path) -> Result<(), String> {
    match fs::metadata(dir) {
        // It is made.
        _ if dir == Path::new(USUAL_DIR) => Ok(()),
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(format!("{} is no directory", dir.display())),
        Err(error) => Err(format!("{}: {error}", dir.display())),
    }
}

/// Writes a file. Of all directories, only [`USUAL_DIR`] is made if it is not there: it is the only
/// one that nothing on the command line has named.
pub(super) fn write(path: &Path, text: &str) -> Done<()> {
    let is_usual = path.parent() == Some(Path::new(USUAL_DIR));
    let made = if is_usual { fs::create_dir_all(USUAL_DIR) } else { Ok(()) };
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
