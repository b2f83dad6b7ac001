use gridmux_sim::run::{Options, run};
use gridmux_sim::script::*;

#[test]
fn calm() {
    let mut script = Script::new(1, 3);
    for n in 0..20 {
        let mut call = Call::new(format!("c{n}"), n % 3, (n + 1) % 3, Route::ALL[n % 16]);
        call.plan.items = 5;
        call.plan.item_size = 50;
        call.input.items = 7;
        call.input.size = 30;
        script.lines.push(Line { moment: Moment::At(2_000_000_000 + n as u64 * 1000), deed: Deed::Call(call) });
    }
    let start = std::time::Instant::now();
    let run1 = run(&script, &Options { traced: true, invariants: true });
    eprintln!("{:?}", start.elapsed());
    for e in &run1.facts.history { eprintln!("{e:?}"); }
    eprintln!("{:#?}", run1.outcome);
    eprintln!("{:?}", run1.facts.phases);
    eprintln!("{:?}", run1.facts.gauges);
    eprintln!("{:?} {:?}", run1.facts.tasks_left, run1.facts.not_shut_down);
    eprintln!("{:?} {:?}", run1.facts.links, run1.facts.connections);
    let run2 = run(&script, &Options::default());
    assert_eq!(run1.outcome.digest, run2.outcome.digest);
}
