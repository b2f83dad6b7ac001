//! The whole program, as a process of its own: this test binary, told to be the program.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::{Child, Output, Stdio};

use clap::Parser;
use rustix::process::{Pid, Signal, kill_process};

use crate::args::Args;
use crate::ports::loopback_names;
use crate::{SECRET_VARIABLE, program};

/// Has the arguments of the program, with this between them.
const ARGUMENTS: &str = "CLUSTER_ARGUMENTS";
const BETWEEN: u8 = 0x1f;

const SECRET: &str = "a secret of sixteen characters or more";

/// The program itself, for the other tests: it is not run where nothing asks for it.
#[test]
#[ignore = "the program that other tests run"]
fn is_the_program() {
    let Some(arguments) = std::env::var_os(ARGUMENTS) else { return };
    let arguments = arguments.as_bytes().split(|byte| *byte == BETWEEN);
    let arguments = arguments.map(|argument| OsStr::from_bytes(argument).to_owned());
    let args = Args::try_parse_from(std::iter::once(OsString::from("cluster")).chain(arguments));
    let args = args.unwrap_or_else(|error| error.exit());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    std::process::exit(runtime.block_on(program(args)).into());
}

/// A command that runs the program.
pub(crate) fn this_program(args: Vec<OsString>) -> std::io::Result<tokio::process::Command> {
    command(&args).map(Into::into)
}

fn command(args: &[OsString]) -> std::io::Result<std::process::Command> {
    let mut command = std::process::Command::new(std::env::current_exe()?);
    let args: Vec<_> = args.iter().map(|arg| arg.as_bytes()).collect();
    command.args(["--exact", "tests::is_the_program", "--ignored", "--nocapture"]);
    // With one thread the harness would write into the program's first line.
    command.env("RUST_TEST_THREADS", "2").env(SECRET_VARIABLE, SECRET);
    command.env(ARGUMENTS, OsString::from_vec(args.join(&BETWEEN)));
    Ok(command)
}

fn start(line: &str) -> Child {
    let args: Vec<_> = line.split_whitespace().map(OsString::from).collect();
    let mut command = command(&args).expect("this test is a program");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("it starts")
}

fn run(line: &str) -> (Option<i32>, serde_json::Value, String) {
    let output = start(line).wait_with_output().expect("it ends");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), last_line(&output), errors)
}

fn last_line(output: &Output) -> serde_json::Value {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default()
}

fn two_names() -> String {
    loopback_names(2, &mut fastrand::Rng::new()).expect("ports").join(",")
}

#[test]
fn a_healthy_run_has_answers_and_no_disconnect() {
    for how in ["--runtime mixed", "--processes"] {
        let (code, last, errors) = run(&format!("{how} --seconds 2 --dir examples"));
        assert_eq!(code, Some(0), "{how}: {last} {errors}");
        for none in ["disconnected", "wrong", "stuck", "other_errors", "reconnects"] {
            assert_eq!(last[none], 0, "{how}: {none} in {last} {errors}");
        }
        assert!(last["ok"].as_u64() > Some(0), "{how}: {last}");
    }
}

#[test]
fn a_node_that_reaches_none_of_its_peers_fails_and_names_them() {
    let names = two_names();
    let (own, other) = names.split_once(',').expect("two names");
    let (code, last, errors) = run(&format!("--node {own} --peers {names} --seconds 1"));
    assert_eq!(code, Some(1), "{last} {errors}");
    assert!(errors.contains(&format!("{own} has never had a link to {other}")), "{errors}");
    assert_eq!(last["calls"], 0, "none was made to a peer that is not there: {last}");
}

#[test]
fn a_name_that_cannot_be_and_a_short_secret_have_exit_code_2() {
    let args: Vec<_> = ["--seconds", "1"].map(OsString::from).into();
    let output = command(&args).expect("a program").env(SECRET_VARIABLE, "x").output();
    let output = output.expect("it ends");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let (code, _, errors) = run("--node http://a:1 --peers http://b:1,http://c:1");
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("http://a:1"), "{errors}");
}

/// Reads what the program says until a node of two has a link and answers; the rest of it is still
/// to be read.
fn wait_for_answers(output: &mut impl BufRead) {
    let mut line = String::new();
    while !line.contains("links 1/1") || line.contains(" 0 calls/s") {
        line.clear();
        let bytes = output.read_line(&mut line).expect("text");
        assert!(bytes > 0, "it has ended without a link");
    }
}

fn signal(child: u32, signal: Signal) {
    let pid = i32::try_from(child).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid, signal).expect("it runs");
}

#[test]
fn sigterm_and_sigint_drain() {
    for (how, by) in [
        ("--runtime mixed", Signal::TERM),
        ("--runtime mixed", Signal::INT),
        ("--processes", Signal::TERM),
    ] {
        let mut child = start(&format!("{how} --nodes 2 --dir examples"));
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        wait_for_answers(&mut output);
        signal(child.id(), by);
        let mut rest = String::new();
        output.read_to_string(&mut rest).expect("text");
        let ended = child.wait_with_output().expect("it ends");
        assert_eq!(ended.status.code(), Some(0), "{how} {by:?}: {rest} {ended:?}");
        assert!(rest.lines().last().is_some_and(|line| line.contains("\"wrong\":0")), "{rest}");
    }
}
