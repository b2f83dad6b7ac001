//! How two of our nodes tell each other the longest message that they take.
//!
//! A message over the peer's limit ends the link. So both heads of the upgrade have a header with the
//! limit; a Go node ignores it, has none of its own, and gets what this node may send.

/// Bytes of the longest message, in decimal.
const NAME: &str = "X-Gridmux-Max-Message";

/// Adds the header to a complete head.
pub(crate) fn tell_max_message(head: &mut Vec<u8>, limit: usize) {
    if head.ends_with(b"\r\n\r\n") {
        head.truncate(head.len() - 2);
        head.extend_from_slice(format!("{NAME}: {limit}\r\n\r\n").as_bytes());
    }
}

/// What the header of a head that was read says; `None` without one, or if it is not a number.
pub(crate) fn max_message(head: &[u8]) -> Option<usize> {
    let value = head.split(|byte| *byte == b'\n').find_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        line[..colon].eq_ignore_ascii_case(NAME.as_bytes()).then(|| line[colon + 1..].trim_ascii())
    });
    std::str::from_utf8(value?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read_and_nothing_else() {
        let mut head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n".to_vec();
        assert_eq!(max_message(&head), None);
        tell_max_message(&mut head, 12_345);
        assert!(head.ends_with(b"websocket\r\nX-Gridmux-Max-Message: 12345\r\n\r\n"));
        assert_eq!(max_message(&head), Some(12_345));
        assert_eq!(max_message(b"x-gridmux-max-message:7\r\n"), Some(7));
        for bad in ["", "-1", "1e9", "99999999999999999999999", "seven"] {
            let head = format!("GET / HTTP/1.1\r\nX-Gridmux-Max-Message: {bad}\r\n\r\n");
            assert_eq!(max_message(head.as_bytes()), None, "{bad}");
        }
    }
}
