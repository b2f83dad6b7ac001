use gridmux_sim::run::{Options, run};
use gridmux_sim::swarm::{Profile, script};

#[test]
fn calm() {
    let n: u64 = std::env::var("SEEDS").map_or(30, |s| s.parse().unwrap());
    let from: u64 = std::env::var("FROM").map_or(0, |s| s.parse().unwrap());
    std::panic::set_hook(Box::new(|_| {}));
    let start = std::time::Instant::now();
    let mut events = 0;
    let mut sim = 0;
    let mut felt = 0;
    let mut census = std::collections::BTreeMap::<&str, gridmux_sim::census::Tally>::new();
    let mut rules = std::collections::BTreeMap::<String, (u64, u64, String)>::new();
    let mut excuses = std::collections::BTreeMap::<&str, u64>::new();
    for seed in from..from + n {
        let script = script(seed, Profile::Quick);
        let one = run(
            &script,
            &Options { traced: false, invariants: seed % 16 == 0, ..Options::default() },
        );
        events += one.outcome.figures.events;
        sim += one.outcome.figures.simulated;
        felt += u64::from(one.outcome.felt_a_fault());
        for (row, t) in &one.outcome.census {
            census.entry(row).or_default().add(*t);
        }
        for (e, c) in &one.outcome.figures.excuses {
            *excuses.entry(e).or_default() += c;
        }
        for f in &one.outcome.failures {
            let e = rules.entry(format!("{} {}", f.oracle, f.rule)).or_insert((
                0,
                seed,
                f.detail.clone(),
            ));
            e.0 += 1;
        }
        if seed % 8 == 0 {
            let two =
                run(&script, &Options { traced: true, invariants: false, ..Options::default() });
            assert_eq!(one.outcome.digest, two.outcome.digest, "{seed}");
        }
    }
    let t = start.elapsed();
    eprintln!(
        "{n} seeds {t:?} {events} events {felt} felt, {} events/s, ratio {}",
        events as f64 / t.as_secs_f64(),
        sim as f64 / 1e9 / t.as_secs_f64()
    );
    if let Ok(call) = std::env::var("CALL") {
        let sc = script(from, Profile::Quick);
        let one = run(&sc, &Options { traced: true, invariants: false, ..Options::default() });
        let ev = &one.facts.evidence;
        for l in &sc.lines {
            let t = format!("{l}");
            if !t.contains(" call ") && !t.contains(" cancel ")
                || t.contains(&format!("call {call} "))
            {
                eprintln!("{t}");
            }
        }
        eprintln!("{:?}", sc.knobs);
        let id = ev.script.calls().position(|c| c.name == call);
        for e in &ev.entries {
            if Some(e.call) == id {
                eprintln!("{e:?}");
            }
        }
        for v in &ev.views {
            eprintln!("{v:?}");
        }
        for (n, c) in ev.connections.iter().enumerate() {
            eprintln!("{n} {c:?}");
        }
        for c in &ev.dials {
            eprintln!("{c:?}");
        }
        eprintln!("{:?} {:?}", ev.lives, ev.phases);
        for f in &one.outcome.failures {
            eprintln!("{f:?}");
        }
        let conn = std::env::var("CONN").ok().map(|c| c.parse::<u32>().unwrap());
        if let Some(conn) = conn {
            for e in &one.trace.unwrap().events {
                let t = format!("{e:?}");
                if t.contains(&format!("ConnId({conn})")) {
                    eprintln!("{t}");
                }
            }
        }
    }
    eprintln!("{census:?}");
    eprintln!("{excuses:?}");
    for (r, (c, s, d)) in &rules {
        eprintln!("FAIL {c} {r} seed {s}: {d}");
    }
}

#[test]
fn print() {
    let from: u64 = std::env::var("FROM").map_or(0, |s| s.parse().unwrap());
    eprintln!("{}", script(from, Profile::Quick));
}
