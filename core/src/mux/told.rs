//! Errors of ours as texts on the wire, which our callers tell from the texts of handlers.
//!
//! An error travels as a text (PROTOCOL.md section 6). These end with a tag in brackets that no handler
//! would write, so that a caller of this crate gets a typed error; any other caller shows the text to a
//! person.
//!
//! | tag | meaning |
//! | --- | --- |
//! | `[gridmux undecodable]` | the request cannot be decoded; no handler ran |
//! | `[gridmux too-large SIZE LIMIT callee]` or `… caller]` | the response is over the message limit of that end |
//! | `[gridmux limit NAME]` | a limit of the callee was reached; no handler ran |
//! | `[gridmux limit NAME ran]` | the same, and the handler may have run |

use std::fmt;

use crate::error::{CallError, LimitOwner, PeerLimit};

const BEGIN: &str = " [gridmux ";
const END: &str = "]";

/// An error that this node, the callee, tells its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told<'a> {
    /// The request cannot be decoded.
    Undecodable(&'a str),
    /// The response is not sent: it is larger than a message may be.
    TooLarge { size: usize, limit: usize, whose: LimitOwner },
    /// The call, or its response, has reached a limit of this node.
    Limit { limit: PeerLimit, has_run: bool, text: &'a str },
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undecodable(text) => write!(f, "cannot decode {text}{BEGIN}undecodable{END}"),
            Self::TooLarge { size, limit, whose } => {
                let whose = match whose {
                    LimitOwner::ThisNode => "callee",
                    LimitOwner::Peer => "caller",
                };
                write!(
                    f,
                    "response of {size} bytes is larger than the limit of {limit} of the {whose}"
                )?;
                write!(f, "{BEGIN}too-large {size} {limit} {whose}{END}")
            }
            Self::Limit { limit, has_run, text } => {
                let ran = if *has_run { " ran" } else { "" };
                write!(f, "{text}{BEGIN}limit {limit}{ran}{END}")
            }
        }
    }
}

/// The error that a text of the peer stands for: `otherwise` if it is not one of ours.
pub(super) fn to_error(text: String, otherwise: fn(String) -> CallError) -> CallError {
    parse(&text).unwrap_or_else(|| otherwise(text))
}

fn parse(text: &str) -> Option<CallError> {
    let (text, tag) = text.strip_suffix(END)?.rsplit_once(BEGIN)?;
    let mut words = tag.split(' ');
    let error = match words.next()? {
        "undecodable" => CallError::RequestUndecodable(
            text.strip_prefix("cannot decode ").unwrap_or(text).into(),
        ),
        "too-large" => CallError::ResponseTooLarge {
            size: words.next()?.parse().ok()?,
            limit: words.next()?.parse().ok()?,
            whose: match words.next()? {
                "callee" => LimitOwner::Peer,
                "caller" => LimitOwner::ThisNode,
                _ => return None,
            },
        },
        "limit" => CallError::PeerLimit {
            limit: PeerLimit::from_name(words.next()?)?,
            may_have_run: match words.next() {
                None => false,
                Some("ran") => true,
                Some(_) => return None,
            },
            text: text.into(),
        },
        _ => return None,
    };
    words.next().is_none().then_some(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(told: &Told<'_>) -> CallError {
        to_error(told.to_string(), CallError::Remote)
    }

    #[test]
    fn each_error_that_is_told_is_heard_from_the_other_side() {
        let undecodable = heard(&Told::Undecodable("of route x"));
        assert_eq!(undecodable, CallError::RequestUndecodable("of route x".into()));
        for (whose, other) in
            [(LimitOwner::ThisNode, LimitOwner::Peer), (LimitOwner::Peer, LimitOwner::ThisNode)]
        {
            let error = heard(&Told::TooLarge { size: 9, limit: 8, whose });
            assert_eq!(error, CallError::ResponseTooLarge { size: 9, limit: 8, whose: other });
            assert!(error.may_have_run());
        }
        for limit in PeerLimit::ALL {
            for has_run in [false, true] {
                let error = heard(&Told::Limit { limit, has_run, text: "why" });
                assert_eq!(error.may_have_run(), has_run);
                let expected =
                    CallError::PeerLimit { limit, may_have_run: has_run, text: "why".into() };
                assert_eq!(error, expected);
            }
        }
    }

    #[test]
    fn any_other_text_stays_what_it_is() {
        for text in [
            "",
            "[gridmux undecodable]",
            "text [gridmux ",
            "text [gridmux ]",
            "text [gridmux unheard-of]",
            "text [gridmux too-large 9 8]",
            "text [gridmux too-large 9 x callee]",
            "text [gridmux too-large 9 8 callee 7]",
            "text [gridmux limit colour]",
            "text [gridmux limit node_bytes walked]",
            "text [gridmux limit node_bytes ran far]",
            "text [gridmux undecodable] ",
            "text [gridmux undecodable] and more",
        ] {
            let error = to_error(text.into(), CallError::Refused);
            assert_eq!(error, CallError::Refused(text.into()));
        }
    }
}
