//! A fixed budget of seeds, and the promise that a seed is a replay.

#[test]
fn a_fixed_budget_of_seeds_passes() {
    let (mut answered, mut cuts) = (0, 0);
    for seed in 0..150 {
        let report = gridmux_sim::run(seed);
        assert_eq!(report.verdict, Ok(()), "seed {seed}");
        answered += report.outcomes.get("answered").copied().unwrap_or(0);
        cuts += report.cuts;
    }
    assert!(answered > 500 && cuts > 500, "the runs do something: {answered} {cuts}");
}

#[test]
fn a_seed_is_a_replay() {
    for seed in 0..20 {
        assert_eq!(gridmux_sim::run(seed), gridmux_sim::run(seed));
    }
}
