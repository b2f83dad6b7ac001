//! What only the system can tell or do; where it cannot, nothing is measured or done.

/// Resident memory of a process, in KiB.
pub(crate) fn memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// This thread leaves the processor to others.
pub(crate) fn be_nice() {
    #[cfg(unix)]
    let _ = rustix::process::nice(10);
}

/// Leaves this process that many descriptors, or as many as the system allows: thousands of connections
/// are held.
pub(crate) fn limit_descriptors(count: Option<u64>) {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        let _ = setrlimit(Resource::Nofile, Rlimit { current: count.or(maximum), maximum });
    }
    #[cfg(not(unix))]
    let _ = count;
}
