//! What a user can rely on, on async-std: smol's reactor, and async-std's own executor.

use std::convert::Infallible;
use std::time::Duration;

use gridmux_smol::Smol;
use gridmux_smol::payload::NoPayload;
use gridmux_smol::route::Unary;
use gridmux_smol::testing::TestGrid;

const WHERE: Unary<NoPayload, String> = Unary::new(1, "where");

fn runtime() -> Smol {
    Smol::spawning_with(|task| drop(async_std::task::spawn(task)))
}

gridmux_core::behaviour_suite!(async_std::task::block_on, runtime());

/// The name of the thread that a handler runs on.
fn thread_of_a_handler(runtime: &Smol) -> String {
    let grid = TestGrid::new(runtime, 2, |_, builder| {
        builder.serve(WHERE, |_, _| async {
            Ok::<_, Infallible>(std::thread::current().name().unwrap_or_default().to_owned())
        })
    });
    async_std::task::block_on(async {
        grid.connected().await;
        grid.peer(0, 1).call(WHERE, &NoPayload).await.expect("an answer")
    })
}

#[test]
fn handlers_are_tasks_of_the_executor_that_the_runtime_is_given() {
    let of_async_std = async_std::task::block_on(async_std::task::spawn(async {
        std::thread::current().name().unwrap_or_default().to_owned()
    }));
    assert_eq!(thread_of_a_handler(&runtime()), of_async_std);
    assert_ne!(thread_of_a_handler(&Smol::default()), of_async_std);
}

#[cfg(target_os = "linux")]
#[test]
fn smol_and_async_std_share_one_reactor() {
    async_std::task::block_on(async {
        // Both are at work, whatever the other tests do.
        async_std::task::sleep(Duration::from_millis(1)).await;
        smol::Timer::after(Duration::from_millis(1)).await;
    });
    let names = std::fs::read_dir("/proc/self/task").expect("threads").map(|thread| {
        let name = thread.expect("a thread").path().join("comm");
        // A thread of another test may have ended meanwhile.
        std::fs::read_to_string(name).unwrap_or_default()
    });
    assert_eq!(names.filter(|name| name.trim_end() == "async-io").count(), 1);
}

#[test]
fn smol_and_async_std_depend_on_one_async_io() {
    let lock = include_str!("../../Cargo.lock");
    let packages: Vec<&str> = lock.split("[[package]]").collect();
    let named = |name: &str| {
        let line = format!("\nname = \"{name}\"\n");
        packages.iter().filter(|package| package.contains(&line)).copied().collect::<Vec<_>>()
    };
    assert_eq!(named("async-io").len(), 1);
    for user in ["smol", "async-std"] {
        let [package] = named(user)[..] else { panic!("one {user}") };
        assert!(package.contains("\n \"async-io\",\n"), "{user} depends on it");
    }
}
