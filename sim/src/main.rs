//! `gridmux-sim`: runs seeds and scripts, and says what has become of them.
#![forbid(unsafe_code)]

mod command;

fn main() -> std::process::ExitCode {
    command::main()
}
