//! Times as people write them.

/// A time in nanoseconds, such as `3s`, `1.25ms`, `40us`, `7ns`.
pub fn parse_time(text: &str) -> Option<u64> {
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(split);
    let digits: u32 = match unit {
        "ns" => 0,
        "us" => 3,
        "ms" => 6,
        "s" => 9,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let kept = fraction.len().min(digits as usize);
    if fraction[kept..].bytes().any(|byte| byte != b'0') {
        return None;
    }
    let scale = |power: u32| 10_u64.checked_pow(power);
    let whole = whole.parse::<u64>().ok()?.checked_mul(scale(digits)?)?;
    let part = match &fraction[..kept] {
        "" => 0,
        some => some.parse::<u64>().ok()?.checked_mul(scale(digits - kept as u32)?)?,
    };
    whole.checked_add(part)
}

/// A time as [`parse_time`] reads it, exactly.
pub fn show_time(nanos: u64) -> String {
    let (unit, digits) = match nanos {
        0 => return "0s".into(),
        1_000_000_000.. => ("s", 9),
        1_000_000.. => ("ms", 6),
        1_000.. => ("us", 3),
        _ => ("ns", 0),
    };
    let scale = 10_u64.pow(digits);
    let (whole, rest) = (nanos / scale, nanos % scale);
    if rest == 0 {
        return format!("{whole}{unit}");
    }
    let rest = format!("{rest:0width$}", width = digits as usize);
    format!("{whole}.{}{unit}", rest.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::{parse_time, show_time};

    #[test]
    fn times_are_read_as_they_are_shown() {
        for nanos in
            [0, 1, 999, 1_000, 1_500, 40_000_000, 1_250_000_000, 3_600_000_000_001, u64::MAX]
        {
            assert_eq!(parse_time(&show_time(nanos)), Some(nanos), "{}", show_time(nanos));
        }
        assert_eq!(parse_time("1.25ms"), Some(1_250_000));
        for bad in ["", "5", "s", "-1s", "1.2.3s", "1m", "99999999999s", "1.0000000001s", ".s"] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }
}
