//! How long each bench takes.

use std::time::Duration;

use criterion::Criterion;

/// A second and a half for each bench: all of them are to take less than five minutes. For figures
/// to rely on, there are criterion's own options, such as `--measurement-time 5`.
pub(crate) fn config() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(700))
        .sample_size(20)
        .without_plots()
}
