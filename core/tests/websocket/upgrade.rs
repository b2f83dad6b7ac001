//! The upgrade: against `tungstenite` in both roles, against recorded heads, and every refusal.

use crate::support::{LIMIT, feed, message, pipe, sealed};
use gridmux_core::websocket::{
    Channel, ClientUpgrade, Incoming, MAX_HEAD_LEN, MAX_REASON_LEN, Refusal, Role, Status,
    UpgradeError, UpgradeRequest, refuse,
};
use tungstenite::handshake::HandshakeError;
use tungstenite::handshake::server::{Request, Response};
use tungstenite::http::Request as HttpRequest;
use tungstenite::{Message, accept_hdr, client};

const KEY: [u8; 16] = [9; 16];
const NANOS: i128 = 1_795_230_603_836_961_010;

fn dial() -> (ClientUpgrade, Vec<u8>) {
    ClientUpgrade::new("127.0.0.1:9102", "/minio/grid/v1", "secret-token", NANOS, KEY)
        .expect("valid")
}

fn request(lines: &[&str]) -> Vec<u8> {
    format!("{}\r\n\r\n", lines.join("\r\n")).into_bytes()
}

const GOOD: [&str; 6] = [
    "GET /grid HTTP/1.1",
    "Host: node:9000",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

fn parse(lines: &[&str]) -> UpgradeRequest {
    let bytes = request(lines);
    let (parsed, len) = UpgradeRequest::parse(&bytes).expect("valid").expect("complete");
    assert_eq!(len, bytes.len());
    parsed
}

fn refused(bytes: &[u8]) -> Refusal {
    UpgradeRequest::parse(bytes).expect_err("a refusal")
}

/// [`GOOD`] with one line replaced.
fn with(at: usize, line: &str) -> Vec<u8> {
    let mut lines = GOOD;
    lines[at] = line;
    request(&lines)
}

#[test]
fn our_dialler_upgrades_at_a_tungstenite_server() {
    let (near, far) = pipe();
    let (upgrade, bytes) = dial();
    near.send(&bytes);
    #[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
    let check = |request: &Request, response: Response| {
        assert_eq!(request.uri().path(), "/minio/grid/v1");
        assert_eq!(request.headers()["authorization"], "Bearer secret-token");
        assert_eq!(request.headers()["x-minio-time"], "1795230603836961010");
        Ok(response)
    };
    let Ok(mut theirs) = accept_hdr(far, check) else { panic!("refused") };
    theirs.send(Message::binary(b"at once".to_vec())).unwrap();

    let answer = near.drain();
    let head = upgrade.handle(&answer).unwrap().unwrap();
    let mut ours = Channel::new(Role::Client, LIMIT, 1).with_leftover(&answer[head..]);
    assert_eq!(ours.poll_message(), Ok(Some(message(b"at once"))));
    near.send(&sealed(&mut ours, b"back"));
    assert_eq!(theirs.read().unwrap(), Message::binary(b"back".to_vec()));
}

#[test]
fn a_tungstenite_client_upgrades_at_our_acceptor() {
    let (near, far) = pipe();
    let request = HttpRequest::builder()
        .uri("ws://node:9000/minio/grid/v1")
        .header("Host", "node:9000")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("Sec-WebSocket-Extensions", "permessage-deflate")
        .header("Authorization", "bearer  abc.def")
        .header("X-Minio-Time", "17")
        .body(())
        .unwrap();
    let Err(HandshakeError::Interrupted(waiting)) = client(request, far) else {
        panic!("nothing was answered yet");
    };
    let bytes = near.drain();
    let (parsed, len) = UpgradeRequest::parse(&bytes).unwrap().unwrap();
    assert_eq!(len, bytes.len());
    assert_eq!(parsed.path, "/minio/grid/v1");
    assert_eq!(parsed.host.as_deref(), Some("node:9000"));
    assert_eq!(parsed.bearer.as_deref(), Some("abc.def"));
    assert_eq!(parsed.unix_nanos, Some(17));
    assert!(!format!("{parsed:?}").contains("abc"), "the token is a secret");

    let mut ours = Channel::new(Role::Server, LIMIT, 1);
    near.send(&parsed.accept());
    near.send(&sealed(&mut ours, b"at once"));
    let Ok((mut theirs, response)) = waiting.handshake() else { panic!("not accepted") };
    assert!(!response.headers().contains_key("sec-websocket-extensions"));
    assert_eq!(theirs.read().unwrap(), Message::binary(b"at once".to_vec()));
    theirs.send(Message::binary(b"back".to_vec())).unwrap();
    assert_eq!(feed(&mut ours, [&near.drain()[..]]).0, [message(b"back")]);
}

#[test]
fn our_refusals_are_http_to_a_tungstenite_client() {
    for status in ALL {
        let (near, far) = pipe();
        let Err(HandshakeError::Interrupted(waiting)) = client("ws://node/", far) else {
            panic!("nothing was answered yet");
        };
        near.send(&refuse(status, "not today"));
        match waiting.handshake() {
            Err(HandshakeError::Failure(tungstenite::Error::Http(response))) => {
                assert_eq!(response.status().as_u16(), status.code());
                assert_eq!(response.headers()["content-length"], "10");
                assert_eq!(response.body().as_deref(), Some(&b"not today\n"[..]));
            }
            other => panic!("{other:?}"),
        }
    }
}

const ALL: [Status; 6] = [
    Status::BadRequest,
    Status::Forbidden,
    Status::NotFound,
    Status::UpgradeRequired,
    Status::HeadTooLarge,
    Status::Unavailable,
];

#[test]
fn our_dialler_understands_our_refusals_at_every_split() {
    let (upgrade, _) = dial();
    for status in ALL {
        let response = refuse(status, "not today");
        for at in 0..response.len() {
            assert_eq!(upgrade.handle(&response[..at]), Ok(None));
        }
        let reason = "not today".to_owned();
        let error = UpgradeError::Refused { status: status.code(), reason };
        assert_eq!(upgrade.handle(&response), Err(error));
    }
}

#[test]
fn upgrade_required_says_which_upgrade() {
    let response = String::from_utf8(refuse(Status::UpgradeRequired, "no")).unwrap();
    for line in ["Connection: close, Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"] {
        assert!(response.contains(&format!("\r\n{line}\r\n")), "{response}");
    }
}

#[test]
fn a_refusal_is_readable_whatever_its_body() {
    let (upgrade, _) = dial();
    let reason = |response: &[u8]| match upgrade.handle(response) {
        Err(UpgradeError::Refused { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(b"HTTP/1.1 403 Forbidden\r\n\r\n"), "Forbidden");
    assert_eq!(reason(b"HTTP/1.1 403 Forbidden\r\n\r\nbad\ttoken\r\n"), "bad token");
    let long = [&b"HTTP/1.1 500 x\r\nContent-Length: 1000000\r\n\r\n"[..], &[0xff; 300]].concat();
    assert!(reason(&long).len() <= MAX_REASON_LEN);
    // The connection ends before the body has come.
    let cut = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nbad";
    assert_eq!(upgrade.handle(cut), Ok(None));
    let error = UpgradeError::Refused { status: 403, reason: "bad".to_owned() };
    assert_eq!(upgrade.handle_end(cut), error);
    assert_eq!(upgrade.handle_end(b"HTTP/1.1 40"), UpgradeError::Ended);
}

#[test]
fn the_request_has_the_recorded_form() {
    let (_, bytes) = dial();
    let expected = "GET /minio/grid/v1 HTTP/1.1\r\nHost: 127.0.0.1:9102\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: CQkJCQkJCQkJCQkJCQkJCQ==\r\nAuthorization: Bearer secret-token\r\n\
        X-Minio-Time: 1795230603836961010\r\n\r\n";
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

#[test]
fn recorded_heads_are_understood() {
    let mut seen = 0;
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    for entry in std::fs::read_dir(vectors).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let file: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let Some(messages) = file["messages"].as_array() else {
            continue;
        };
        // The recording can have the answer before the request.
        let (mut accepts, mut answers) = (Vec::new(), Vec::new());
        for line in messages {
            let Some(head) = line["http"].as_str() else {
                continue;
            };
            if line["from"] == "dialler" {
                let (request, len) = UpgradeRequest::parse(head.as_bytes()).unwrap().unwrap();
                assert_eq!(len, head.len());
                assert_eq!(request.path, "/minio/grid/v1");
                assert!(request.bearer.is_some() && request.host.is_some());
                assert!(request.unix_nanos.is_some_and(|nanos| nanos > 1_700_000_000_000_000_000));
                accepts.push(String::from_utf8(request.accept()).unwrap());
            } else {
                answers.push(head.to_owned());
            }
        }
        // The very bytes that the Go node answered.
        assert_eq!(accepts, answers, "{}", path.display());
        seen += answers.len();
    }
    assert!(seen >= 10, "only {seen} upgrades found");
}

#[test]
fn heads_are_complete_at_their_last_byte_and_no_sooner() {
    let (upgrade, request) = dial();
    for at in 0..request.len() {
        assert!(matches!(UpgradeRequest::parse(&request[..at]), Ok(None)), "{at}");
    }
    let (parsed, _) = UpgradeRequest::parse(&request).unwrap().unwrap();
    let mut response = parsed.accept();
    for at in 0..response.len() {
        assert_eq!(upgrade.handle(&response[..at]), Ok(None), "{at}");
    }
    let len = response.len();
    assert_eq!(upgrade.handle(&response), Ok(Some(len)));
    response.extend_from_slice(b"\x82\x00");
    assert_eq!(upgrade.handle(&response), Ok(Some(len)));
}

#[test]
fn inputs_that_would_break_the_head_are_refused() {
    let dial = |host: &str, route: &str, token: &str| {
        ClientUpgrade::new(host, route, token, 0, KEY).map(|_| ())
    };
    let invalid = |what| Err(UpgradeError::InvalidInput(what));
    assert_eq!(dial("h", "/", ""), Ok(()));
    for bad in ["", "a b", "a\r\nX: y", "a\n", "a\0", "é"] {
        assert_eq!(dial(bad, "/", "t"), invalid("host"));
        assert_eq!(dial("h", &format!("/{bad} "), "t"), invalid("route"));
    }
    assert_eq!(dial("h", "no-slash", "t"), invalid("route"));
    for bad in ["a\r\nX: y", "a\n", "\0", "a\u{7f}", " a", "a "] {
        assert_eq!(dial("h", "/", bad), invalid("token"));
    }
}

#[test]
fn header_names_lists_and_schemes_are_read_as_http_says() {
    let parsed = parse(&[
        "GET /grid?x=1 HTTP/1.1",
        "HOST: node",
        "uPGRADE: h2c, WebSocket",
        "connection: keep-alive",
        "Connection: close , UPGRADE",
        "sec-websocket-version:13",
        "SEC-WEBSOCKET-KEY:   dGhlIHNhbXBsZSBub25jZQ==  ",
        "authorization: BEARER the token",
        "x-minio-time: soon",
    ]);
    assert_eq!(parsed.path, "/grid?x=1");
    assert_eq!(parsed.bearer.as_deref(), Some("the token"));
    assert_eq!(parsed.unix_nanos, None);
    let accepted = String::from_utf8(parsed.accept()).unwrap();
    assert!(accepted.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));

    assert_eq!(parse(&GOOD).bearer, None);
    let basic = [&GOOD[..], &["Authorization: Basic abc"]].concat();
    assert_eq!(parse(&basic).bearer, None);
    let empty = [&GOOD[..], &["Authorization: Bearer "]].concat();
    assert_eq!(parse(&empty).bearer.as_deref(), Some(""));
}

#[test]
fn what_is_not_http_is_refused_at_its_first_wrong_byte() {
    let tls_hello = [0x16, 0x03, 0x01, 0x02, 0x00];
    let garbage: [(&[u8], usize); 7] = [
        (&tls_hello, 1),
        (b"\r\n", 1),
        (b"SSH-2.0-x\r\n", 1),
        (b"PRI * HTTP/2.0", 2),
        (b"get / HTTP/1.1", 1),
        (b"GET / SPDY/1", 7),
        (b"GET / HTTP/1.1\r\nbad header", 20),
    ];
    for (bytes, wrong) in garbage {
        for at in 0..wrong {
            assert!(matches!(UpgradeRequest::parse(&bytes[..at]), Ok(None)), "{bytes:?} {at}");
        }
        assert_eq!(refused(&bytes[..wrong]).status, Status::BadRequest);
        assert_eq!(refused(bytes).status, Status::BadRequest);
    }
}

#[test]
fn http_that_is_no_upgrade_is_told_what_is() {
    for bytes in [
        request(&["GET / HTTP/1.1", "Host: x"]),
        with(0, "POST /grid HTTP/1.1"),
        with(0, "GET /grid HTTP/1.0"),
        with(2, "Upgrade: h2c"),
        with(3, "Connection: keep-alive"),
        with(4, "Sec-WebSocket-Version: 8"),
        with(4, "X: y"),
        with(5, "X: y"),
        with(5, "Sec-WebSocket-Key: dGhlIHNhbXBsZQ=="),
        with(5, "Sec-WebSocket-Key: not base64 at all!!!"),
    ] {
        let refusal = refused(&bytes);
        assert_eq!(refusal.status, Status::UpgradeRequired);
        assert_eq!(refusal.response(), refuse(Status::UpgradeRequired, refusal.reason));
    }
}

#[test]
fn heads_that_contradict_themselves_or_have_a_body_are_refused() {
    for line in ["Host: another", "Content-Length: 5", "Transfer-Encoding: chunked"] {
        let lines = [&GOOD[..], &[line]].concat();
        assert_eq!(refused(&request(&lines)).status, Status::BadRequest, "{line}");
    }
    let twice = [&GOOD[..], &["Authorization: Bearer a", "Authorization: Bearer b"]].concat();
    assert_eq!(refused(&request(&twice)).status, Status::BadRequest);
    parse(&[&GOOD[..], &["Content-Length: 0"]].concat());
}

#[test]
fn long_heads_are_refused_at_the_limit() {
    let padded = |len: usize| {
        let rest = request(&[&GOOD[..], &["X: "]].concat());
        let padding = "x".repeat(len - rest.len());
        request(&[&GOOD[..], &[&format!("X: {padding}")[..]]].concat())
    };
    let fits = padded(MAX_HEAD_LEN);
    assert_eq!(fits.len(), MAX_HEAD_LEN);
    assert!(matches!(UpgradeRequest::parse(&fits), Ok(Some((_, MAX_HEAD_LEN)))));
    let too_long = padded(MAX_HEAD_LEN + 1);
    assert_eq!(refused(&too_long).status, Status::HeadTooLarge);
    assert!(matches!(UpgradeRequest::parse(&too_long[..MAX_HEAD_LEN]), Ok(None)));
    let endless = [&b"GET /"[..], &[b'x'; MAX_HEAD_LEN]].concat();
    assert_eq!(refused(&endless).status, Status::HeadTooLarge);
    let many = vec!["X: y"; 100];
    assert_eq!(refused(&request(&[&GOOD[..], &many].concat())).status, Status::HeadTooLarge);

    let (upgrade, _) = dial();
    let endless = [&b"HTTP/1.1 200 OK\r\nX: "[..], &[b'x'; MAX_HEAD_LEN]].concat();
    assert_eq!(upgrade.handle(&endless), Err(UpgradeError::HeadTooLarge));
}

#[test]
fn answers_that_are_no_valid_upgrade_are_told_apart() {
    let (upgrade, bytes) = dial();
    let (parsed, _) = UpgradeRequest::parse(&bytes).unwrap().unwrap();
    let good = String::from_utf8(parsed.accept()).unwrap();
    let handle = |text: &str| upgrade.handle(text.as_bytes());
    assert_eq!(handle(&good), Ok(Some(good.len())));
    let lists = good.replace(": websocket", ": WebSocket").replace(": Upgrade", ": x, upgrade");
    assert_eq!(handle(&lists), Ok(Some(lists.len())));

    for (from, to) in [
        ("HTTP/1.1", "HTTP/1.0"),
        ("Upgrade: websocket", "Upgrade: h2c"),
        ("Connection: Upgrade", "Connection: close"),
        ("Sec-WebSocket-Accept", "Sec-Other"),
        ("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
        ("\r\n\r\n", "\r\nSec-WebSocket-Protocol: chat\r\n\r\n"),
    ] {
        let error = handle(&good.replace(from, to));
        assert!(matches!(error, Err(UpgradeError::InvalidResponse(_))), "{to}: {error:?}");
    }
    for garbage in ["SSH-2.0", "\u{16}\u{3}", "HTTP/2", "HTTP/1.1 abc"] {
        let error = handle(garbage);
        assert!(matches!(error, Err(UpgradeError::InvalidResponse(_))), "{garbage}: {error:?}");
    }
    let (other, _) = ClientUpgrade::new("h", "/", "t", 0, [1; 16]).unwrap();
    assert_eq!(other.handle(good.as_bytes()), Err(UpgradeError::WrongAcceptKey));
}

#[test]
fn an_answer_in_which_another_node_names_itself_is_refused() {
    let (_, request) = dial();
    let (request, _) = UpgradeRequest::parse(&request).unwrap().unwrap();
    let head = |answer: &[u8], expected: Option<&str>| {
        let upgrade = match expected {
            Some(name) => dial().0.expect_node(name),
            None => dial().0,
        };
        upgrade.handle(answer)
    };
    let named = request.accept_as("http://b:1");
    assert_eq!(head(&named, Some("http://b:1")), Ok(Some(named.len())));
    assert_eq!(head(&named, None), Ok(Some(named.len())), "any node will do");
    let unnamed = request.accept();
    assert_eq!(head(&unnamed, Some("http://b:1")), Ok(Some(unnamed.len())), "it does not say");
    let refused = head(&named, Some("http://a:1")).unwrap_err();
    assert_eq!(refused.to_string(), "http://b:1 answers at the address of http://a:1");

    // Names are compared byte for byte, cut, and without control characters.
    let text = String::from_utf8(named).unwrap();
    let with = |name: &str| text.replace("http://b:1", name).into_bytes();
    for near in ["HTTP://B:1", "http://b:1/", ""] {
        let refused = head(&with(near), Some("http://b:1"));
        assert!(matches!(refused, Err(UpgradeError::WrongNode { .. })), "{near}: {refused:?}");
    }
    let long = head(&with(&format!("a\tb{}", "x".repeat(5000))), Some("http://b:1")).unwrap_err();
    let long = long.to_string();
    assert!(long.starts_with("a bxxx") && long.len() < 400, "{long}");
    for broken in ["http://b:1\r\nX-Gridmux-Node: http://b:1", "\u{e9}"] {
        let mut answer = with(broken);
        if let Some(at) = answer.iter().position(|byte| *byte == 0xc3) {
            answer.remove(at);
        }
        let refused = head(&answer, Some("http://b:1"));
        assert!(matches!(refused, Err(UpgradeError::InvalidResponse(_))), "{broken}: {refused:?}");
    }
    assert_eq!(request.accept_as("a\r\nX: y"), request.accept(), "no line of another's making");
}

#[test]
fn frames_behind_the_request_are_left_over() {
    let (_, mut bytes) = dial();
    let head = bytes.len();
    let mut dialler = Channel::new(Role::Client, LIMIT, 1);
    bytes.extend(sealed(&mut dialler, b"early"));
    let (_, len) = UpgradeRequest::parse(&bytes).unwrap().unwrap();
    assert_eq!(len, head);
    let mut acceptor = Channel::new(Role::Server, LIMIT, 1).with_leftover(&bytes[len..]);
    assert_eq!(acceptor.poll_message(), Ok(Some(Incoming::Message("early".into()))));
}
