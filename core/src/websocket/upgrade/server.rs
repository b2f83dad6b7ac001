//! The acceptor's side.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tungstenite::handshake::derive_accept_key;

use super::super::error::Refusal;
use super::{Headers, MAX_HEAD_LEN, MAX_HEADERS, NODE_HEADER};

/// The methods of HTTP/1.1 (RFC 9110, and PATCH). What begins otherwise is not HTTP.
const METHODS: [&[u8]; 9] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"CONNECT ",
    b"OPTIONS ",
    b"TRACE ",
    b"PATCH ",
];

/// A valid WebSocket upgrade request. Whether its sender may have it is for the caller to check:
/// the path, the bearer token and the time (PROTOCOL.md section 1).
pub struct UpgradeRequest {
    /// The request target, as sent.
    pub path: String,
    /// The `Host` header.
    pub host: Option<String>,
    /// The token of `Authorization: Bearer`. A secret: `Debug` does not show it.
    pub bearer: Option<String>,
    /// `X-Minio-Time`: nanoseconds since 1970 by the dialler's clock. `None` also if it is not a
    /// number.
    pub unix_nanos: Option<i128>,
    accept_key: String,
}

impl UpgradeRequest {
    /// Looks at all bytes received so far: `None` if more are needed, or the request and how many
    /// of them were its head; what follows is WebSocket.
    ///
    /// Each call reads from the beginning; the head's size is bounded, and so is that cost.
    ///
    /// # Errors
    /// What to answer before closing: 400 for what is not HTTP/1 (noticed at the first byte that
    /// shows it) or has a body or contradicts itself, 431 for a head over [`MAX_HEAD_LEN`] or of
    /// more than 64 lines, 426 for any other request that is no valid upgrade.
    pub fn parse(received: &[u8]) -> Result<Option<(Self, usize)>, Refusal> {
        let is_http = METHODS.iter().any(|method| {
            let len = method.len().min(received.len());
            method[..len] == received[..len]
        });
        if !is_http {
            return refusal(Status::BadRequest, "not HTTP");
        }
        let mut lines = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut lines);
        match request.parse(received) {
            Ok(httparse::Status::Complete(len)) if len <= MAX_HEAD_LEN => {
                Self::from_head(&request).map(|request| Some((request, len)))
            }
            Ok(httparse::Status::Partial) if received.len() <= MAX_HEAD_LEN => Ok(None),
            Ok(_) => refusal(Status::HeadTooLarge, "the request head is too large"),
            Err(httparse::Error::TooManyHeaders) => {
                refusal(Status::HeadTooLarge, "the request has too many headers")
            }
            Err(_) => refusal(Status::BadRequest, "not a valid HTTP/1.1 request"),
        }
    }

    /// The response that accepts: from now on the connection is WebSocket. Extensions and
    /// subprotocols that the request offers are not taken up. It does not say which node accepts:
    /// [`Self::accept_as`] does, so that a dialler that meant another one notices.
    pub fn accept(&self) -> Vec<u8> {
        self.accept_with("")
    }

    /// [`Self::accept`], and names the node that accepts in the header [`NODE_HEADER`]. Without it, if
    /// the name has a control character, which that of a node has not.
    pub fn accept_as(&self, node: &str) -> Vec<u8> {
        match node.chars().any(char::is_control) {
            true => self.accept(),
            false => self.accept_with(&format!("{NODE_HEADER}: {node}\r\n")),
        }
    }

    fn accept_with(&self, lines: &str) -> Vec<u8> {
        let key = &self.accept_key;
        format!(
            "HTTP/1.1 101 Switching Protocols\r\n\
             Upgrade: websocket\r\n\
             Connection: Upgrade\r\n\
             Sec-WebSocket-Accept: {key}\r\n\
             {lines}\
             \r\n"
        )
        .into_bytes()
    }

    /// RFC 6455 section 4.2.1.
    fn from_head(request: &httparse::Request<'_, '_>) -> Result<Self, Refusal> {
        let headers = Headers(request.headers);
        let one = |name, reason| {
            headers.one(name).map_err(|()| Refusal { status: Status::BadRequest, reason })
        };
        let host = one("Host", "the Host header is not one text")?;
        let authorization = one("Authorization", "the Authorization header is not one text")?;
        let body_len = one("Content-Length", "the Content-Length header is not one text")?;
        if body_len.is_some_and(|len| len != "0") || headers.all("Transfer-Encoding").count() > 0 {
            return refusal(Status::BadRequest, "an upgrade request has no body");
        }

        let no_upgrade = |reason| refusal(Status::UpgradeRequired, reason);
        if request.method != Some("GET") {
            return no_upgrade("a WebSocket upgrade is a GET");
        }
        if request.version != Some(1) {
            return no_upgrade("a WebSocket upgrade needs HTTP/1.1");
        }
        if !headers.lists("Connection", "Upgrade") {
            return no_upgrade("the request has no Connection: Upgrade");
        }
        if !headers.lists("Upgrade", "websocket") {
            return no_upgrade("the request has no Upgrade: websocket");
        }
        if headers.one("Sec-WebSocket-Version") != Ok(Some("13")) {
            return no_upgrade("the WebSocket version is 13");
        }
        let key = headers.one("Sec-WebSocket-Key").ok().flatten().unwrap_or_default();
        if STANDARD.decode(key).map_or(0, |nonce| nonce.len()) != 16 {
            return no_upgrade("the Sec-WebSocket-Key is not 16 bytes");
        }
        Ok(Self {
            path: request.path.unwrap_or_default().to_owned(),
            host: host.map(str::to_owned),
            bearer: authorization.and_then(bearer).map(str::to_owned),
            unix_nanos: headers.one("X-Minio-Time").ok().flatten().and_then(|t| t.parse().ok()),
            accept_key: derive_accept_key(key.as_bytes()),
        })
    }
}

impl fmt::Debug for UpgradeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeRequest")
            .field("path", &self.path)
            .field("host", &self.host)
            .field("has_bearer", &self.bearer.is_some())
            .field("unix_nanos", &self.unix_nanos)
            .finish_non_exhaustive()
    }
}

/// The token, if the scheme is Bearer.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ').unwrap_or((authorization, ""));
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

fn refusal<T>(status: Status, reason: &'static str) -> Result<T, Refusal> {
    Err(Refusal { status, reason })
}

/// The statuses that an upgrade is refused with (PROTOCOL.md section 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// 400: not HTTP, or HTTP that contradicts itself.
    BadRequest,
    /// 403: the token or the time is not accepted.
    Forbidden,
    /// 404: no grid at this path.
    NotFound,
    /// 426: not a WebSocket upgrade.
    UpgradeRequired,
    /// 431: the head is longer than [`MAX_HEAD_LEN`].
    HeadTooLarge,
    /// 503: the node has not started (PROTOCOL.md section 7.12).
    Unavailable,
}

impl Status {
    /// The number in the status line.
    pub fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::UpgradeRequired => 426,
            Self::HeadTooLarge => 431,
            Self::Unavailable => 503,
        }
    }

    fn phrase(self) -> &'static str {
        match self {
            Self::BadRequest => "Bad Request",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "Not Found",
            Self::UpgradeRequired => "Upgrade Required",
            Self::HeadTooLarge => "Request Header Fields Too Large",
            Self::Unavailable => "Service Unavailable",
        }
    }
}

/// A complete response that refuses an upgrade, with `reason` as its body. The connection is to be
/// closed after it.
pub fn refuse(status: Status, reason: &str) -> Vec<u8> {
    let (code, phrase) = (status.code(), status.phrase());
    let length = reason.len() + 1;
    let connection = match status {
        // RFC 9110 section 15.5.22, RFC 6455 section 4.4.
        Status::UpgradeRequired => {
            "close, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"
        }
        _ => "close",
    };
    format!(
        "HTTP/1.1 {code} {phrase}\r\n\
         Connection: {connection}\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {length}\r\n\
         \r\n\
         {reason}\n"
    )
    .into_bytes()
}
