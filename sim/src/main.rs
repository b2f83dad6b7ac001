//! `gridmux-sim`: runs seeds and scripts, and says what has become of them.
#![forbid(unsafe_code)]
// They panic if nobody reads what they print; `command::out` does not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod command;

fn main() -> std::process::ExitCode {
    command::main()
}
