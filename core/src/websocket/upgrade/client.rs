//! The dialler's side.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tungstenite::handshake::derive_accept_key;

use super::super::error::UpgradeError;
use super::{Headers, MAX_HEAD_LEN, MAX_HEADERS};
use crate::log;

/// How much of a refusal's body is kept for the log, in bytes.
pub const MAX_REASON_LEN: usize = log::KEPT_LEN;

/// An upgrade request that has been made, waiting for its answer.
#[derive(Debug)]
pub struct ClientUpgrade {
    accept_key: String,
}

impl ClientUpgrade {
    /// The request to be written, and what reads the answer.
    ///
    /// `host` is the acceptor's `host:port`, `route` the path that its grid is at, `token` what the
    /// acceptor checks first, `unix_nanos` the time now in nanoseconds since 1970, and `key` 16
    /// bytes from the caller's generator, new for each attempt.
    ///
    /// # Errors
    /// [`UpgradeError::InvalidInput`]: `host` and `route` must be visible ASCII, `route` must begin
    /// with `/`, and `token` must not have a control character, or white space at its ends.
    pub fn new(
        host: &str,
        route: &str,
        token: &str,
        unix_nanos: i128,
        key: [u8; 16],
    ) -> Result<(Self, Vec<u8>), UpgradeError> {
        let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if host.is_empty() || !visible(host) {
            return Err(UpgradeError::InvalidInput("host"));
        }
        if !route.starts_with('/') || !visible(route) {
            return Err(UpgradeError::InvalidInput("route"));
        }
        if token.chars().any(char::is_control) || token.trim() != token {
            return Err(UpgradeError::InvalidInput("token"));
        }
        let key = STANDARD.encode(key);
        let request = format!(
            "GET {route} HTTP/1.1\r\n\
             Host: {host}\r\n\
             Upgrade: websocket\r\n\
             Connection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: {key}\r\n\
             Authorization: Bearer {token}\r\n\
             X-Minio-Time: {unix_nanos}\r\n\
             \r\n"
        );
        let upgrade = Self { accept_key: derive_accept_key(key.as_bytes()) };
        Ok((upgrade, request.into_bytes()))
    }

    /// Looks at all bytes received so far: `None` if more are needed, or how many of them were the
    /// response head; what follows is WebSocket.
    ///
    /// Each call reads from the beginning; the head's size is bounded, and so is that cost. A
    /// refusal with a `Content-Length` is reported when the part of its body that is kept has come.
    ///
    /// # Errors
    /// All of [`UpgradeError`] but `InvalidInput` and `Ended`; nothing can come of this connection.
    pub fn handle(&self, received: &[u8]) -> Result<Option<usize>, UpgradeError> {
        self.read(received, false)
    }

    /// The connection has ended, with these bytes received in all, before [`handle`](Self::handle)
    /// came to a result: what that means.
    pub fn handle_end(&self, received: &[u8]) -> UpgradeError {
        self.read(received, true).err().unwrap_or(UpgradeError::Ended)
    }

    fn read(&self, received: &[u8], ended: bool) -> Result<Option<usize>, UpgradeError> {
        let mut lines = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut lines);
        let head_len = match response.parse(received) {
            Ok(httparse::Status::Complete(len)) if len <= MAX_HEAD_LEN => len,
            Ok(httparse::Status::Partial) if received.len() <= MAX_HEAD_LEN => return Ok(None),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(UpgradeError::HeadTooLarge),
            Err(error) => return Err(UpgradeError::InvalidResponse(what(error))),
        };
        let headers = Headers(response.headers);
        let status = response.code.unwrap_or_default();
        if status != 101 {
            let body = &received[head_len..];
            if !ended && body.len() < expected_body(headers) {
                return Ok(None);
            }
            let reason = readable(body)
                .or_else(|| readable(response.reason.unwrap_or_default().as_bytes()))
                .unwrap_or_default();
            return Err(UpgradeError::Refused { status, reason });
        }
        self.check(response.version, headers)?;
        Ok(Some(head_len))
    }

    /// RFC 6455 section 4.1, the checks of the answer.
    fn check(&self, version: Option<u8>, headers: Headers<'_, '_>) -> Result<(), UpgradeError> {
        let invalid = |what| Err(UpgradeError::InvalidResponse(what));
        if version != Some(1) {
            return invalid("not HTTP/1.1");
        }
        if !headers.lists("Upgrade", "websocket") {
            return invalid("no `Upgrade: websocket`");
        }
        if !headers.lists("Connection", "Upgrade") {
            return invalid("no `Connection: Upgrade`");
        }
        if headers.all("Sec-WebSocket-Extensions").any(|value| !value.is_empty()) {
            return invalid("an extension that was not asked for");
        }
        if headers.all("Sec-WebSocket-Protocol").next().is_some() {
            return invalid("a subprotocol that was not asked for");
        }
        match headers.one("Sec-WebSocket-Accept") {
            Ok(Some(key)) if key == self.accept_key => Ok(()),
            Ok(None) => invalid("no `Sec-WebSocket-Accept`"),
            Ok(Some(_)) | Err(()) => Err(UpgradeError::WrongAcceptKey),
        }
    }
}

/// How much of a refusal's body to wait for, in bytes.
fn expected_body(headers: Headers<'_, '_>) -> usize {
    let length = headers.one("Content-Length").ok().flatten();
    length.and_then(|length| length.parse().ok()).unwrap_or(0).min(MAX_REASON_LEN)
}

/// The beginning of a text from the peer; `None` if nothing is left of it.
fn readable(text: &[u8]) -> Option<String> {
    Some(log::kept(text)).filter(|text| !text.is_empty())
}

fn what(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::HeaderName => "a bad header name",
        httparse::Error::HeaderValue => "a bad header value",
        httparse::Error::NewLine => "a bad line end",
        httparse::Error::Status => "a bad status",
        httparse::Error::Token => "a bad token",
        httparse::Error::TooManyHeaders => "too many headers",
        httparse::Error::Version => "not HTTP/1",
    }
}
