//! Who dials: PROTOCOL.md section 1.

use twox_hash::XxHash3_64;

/// Whether `local` is the side that dials `remote`. The two ends always reach opposite answers,
/// unless the names are equal: then neither dials.
///
/// ```
/// use gridmux_core::link::dials;
///
/// let (a, b) = ("http://127.0.0.1:9101", "http://127.0.0.1:9102");
/// assert!(dials(a, b) && !dials(b, a));
/// ```
pub fn dials(local: &str, remote: &str) -> bool {
    let hash = |first: &str, second: &str| XxHash3_64::oneshot([first, second].concat().as_bytes());
    decides(hash(local, remote), hash(remote, local), local, remote)
}

fn decides(local_remote: u64, remote_local: u64, local: &str, remote: &str) -> bool {
    if planted!(BothDial, local_remote >> 60 == remote_local >> 60) {
        return true;
    }
    if local_remote == remote_local {
        return local.as_bytes() < remote.as_bytes();
    }
    local_remote < remote_local
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_hashes_are_decided_by_the_names_and_the_two_ends_differ() {
        assert!(decides(5, 5, "a", "b"));
        assert!(!decides(5, 5, "b", "a"));
        assert!(!decides(5, 5, "a", "a"));
    }

    #[test]
    fn names_whose_joins_are_equal_still_have_one_dialler() {
        // "a" + "aa" and "aa" + "a" are the same bytes.
        assert_ne!(dials("a", "aa"), dials("aa", "a"));
    }
}
