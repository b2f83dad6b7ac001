//! What an acceptor asks of a connection, and how the dialler sees a refusal: PROTOCOL.md
//! sections 1, 4.2, 7.5 and 7.12.

use crate::support::{self, MS, SECOND, in_bytes};
use gridmux_core::error::LinkError;
use gridmux_core::link::{Accepting, Acceptor, LinkState, check_connect};
use gridmux_core::testing::{Lone, Pair, Which};
use gridmux_core::time::Now;
use gridmux_core::websocket::{Channel, Incoming, MAX_HEADER_LEN, Role};
use gridmux_core::wire::{Connect, ConnectResponse, Header, MessageRef, Op, Timestamp};

const HOST: &str = "http://127.0.0.1:9101";

fn started() -> Lone {
    let mut node = Lone::new(Which::Acceptor, |_| {});
    node.grid.start(node.clocks());
    node
}

/// A frame with this op and payload.
fn message(op: Op, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    MessageRef { header: Header::new(op), subroute: None, payload }.encode(&mut frame);
    frame
}

fn connect(hello: &Connect) -> Vec<u8> {
    let mut payload = Vec::new();
    hello.encode(&mut payload);
    message(Op::Connect, &payload)
}

/// An upgrade request with these header lines in place of the good ones.
fn upgrade(node: &Lone, path: &str, changes: &[(&str, &str)]) -> String {
    let nanos = node.clocks().wall.to_unix_nanos().to_string();
    let mut lines = vec![
        ("Host", "127.0.0.1:9102"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Authorization", "Bearer secret-token"),
        ("X-Minio-Time", &nanos),
    ];
    for (name, value) in changes {
        lines.retain(|(other, _)| other != name);
        if !value.is_empty() {
            lines.push((name, value));
        }
    }
    let lines: String = lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("GET {path} HTTP/1.1\r\n{lines}\r\n")
}

fn read(node: &mut Lone, acceptor: &mut Acceptor, bytes: &[u8]) -> Accepting {
    let mut outcome = Accepting::Pending;
    for piece in bytes.chunks(1000) {
        acceptor.read_buf().extend_from_slice(piece);
        outcome = acceptor.handle_read(node.clocks(), &node.grid);
        if outcome != Accepting::Pending {
            break;
        }
    }
    outcome
}

/// The status that these bytes are answered with; 101 if they are taken.
fn status(node: &mut Lone, bytes: &[u8]) -> u16 {
    let mut acceptor = node.grid.accept(node.now);
    let outcome = read(node, &mut acceptor, bytes);
    let answer = String::from_utf8(acceptor.write_buf().to_vec()).expect("HTTP");
    let code = answer.split(' ').nth(1).unwrap_or_else(|| panic!("an answer: {answer:?}"));
    let code: u16 = code.parse().expect("a number");
    match outcome {
        Accepting::Pending => assert_eq!(code, 101),
        Accepting::Finished(LinkError::Refused(denial)) => {
            let text = denial.reason;
            assert!(text.starts_with(&code.to_string()), "{text}");
            assert!(!text.contains("secret-token"), "a token is never logged");
        }
        other => panic!("{other:?}"),
    }
    code
}

const ROUTE: &str = "/minio/grid/v1";

#[test]
fn an_upgrade_request_gets_the_status_that_names_its_fault() {
    let mut node = started();
    let wall = node.clocks().wall.to_unix_nanos();
    let at = |seconds: i128| (wall + seconds * 1_000_000_000).to_string();
    type Case = (u16, &'static str, Vec<(&'static str, String)>);
    let cases: Vec<Case> = vec![
        (101, ROUTE, vec![]),
        (101, "/minio/grid/v1?x=1", vec![]),
        (404, "/minio/grid/lock/v1", vec![]),
        (404, "/", vec![("Authorization", "Bearer wrong".into())]),
        (403, ROUTE, vec![("Authorization", "Bearer wrong".into())]),
        (403, ROUTE, vec![("Authorization", "Basic secret-token".into())]),
        (403, ROUTE, vec![("Authorization", String::new())]),
        (101, ROUTE, vec![("X-Minio-Time", String::new())]),
        (101, ROUTE, vec![("X-Minio-Time", at(-900))]),
        (101, ROUTE, vec![("X-Minio-Time", at(900))]),
        (403, ROUTE, vec![("X-Minio-Time", at(-901))]),
        (403, ROUTE, vec![("X-Minio-Time", at(901))]),
        (426, ROUTE, vec![("Upgrade", String::new())]),
        (426, ROUTE, vec![("Connection", "close".into())]),
        (426, ROUTE, vec![("Sec-WebSocket-Version", "8".into())]),
        (426, ROUTE, vec![("Sec-WebSocket-Key", "short".into())]),
        (400, ROUTE, vec![("Content-Length", "5".into())]),
    ];
    for (code, path, changes) in cases {
        let changes: Vec<_> = changes.iter().map(|(name, v)| (*name, v.as_str())).collect();
        let request = upgrade(&node, path, &changes);
        assert_eq!(status(&mut node, request.as_bytes()), code, "{request}");
    }
}

#[test]
fn what_is_not_http_is_refused_at_once_and_an_endless_head_at_16_kib() {
    let mut node = started();
    assert_eq!(status(&mut node, b"\x16\x03\x01\x02\x00"), 400);
    assert_eq!(status(&mut node, b"hello"), 400);
    let long = upgrade(&node, ROUTE, &[("X-Filler", &"x".repeat(17_000))]);
    assert_eq!(status(&mut node, long.as_bytes()), 431);
    let near = upgrade(&node, ROUTE, &[("X-Filler", &"x".repeat(15_000))]);
    assert_eq!(status(&mut node, near.as_bytes()), 101);
}

#[test]
fn before_start_every_good_upgrade_gets_503() {
    let mut node = Lone::new(Which::Acceptor, |_| {});
    let request = upgrade(&node, ROUTE, &[]);
    assert_eq!(status(&mut node, request.as_bytes()), 503);
    node.grid.start(node.clocks());
    assert_eq!(status(&mut node, request.as_bytes()), 101);
}

/// Upgrades, sends `frame`, and gives the outcome and the answer.
fn greet(node: &mut Lone, frame: &[u8]) -> (Accepting, Option<ConnectResponse>, Acceptor) {
    let mut acceptor = node.grid.accept(node.now);
    let request = upgrade(node, ROUTE, &[]);
    assert_eq!(read(node, &mut acceptor, request.as_bytes()), Accepting::Pending);
    let head = acceptor.write_buf().len();
    acceptor.handle_written(head);
    let mut client = Channel::new(Role::Client, 1 << 20, 5);
    let mut buf = vec![0; MAX_HEADER_LEN];
    buf.extend_from_slice(frame);
    let start = client.seal(&mut buf, MAX_HEADER_LEN);
    let mut outcome = read(node, &mut acceptor, &buf[start..]);
    if let Accepting::Hello(hello) = &outcome {
        let now = node.clocks();
        if let Err(reason) = node.grid.handle_hello(now, hello, acceptor.came()) {
            outcome = acceptor.refuse(reason);
        }
    }
    client.read_buf().extend_from_slice(acceptor.write_buf());
    let answer = match client.poll_message().expect("WebSocket") {
        Some(Incoming::Message(answer)) => {
            let decoded = MessageRef::decode(&answer).expect("a message").message;
            assert_eq!(decoded.header, Header::new(Op::ConnectResponse), "flags 0");
            assert!(matches!(client.poll_message(), Ok(Some(Incoming::Close(Some(1000))))));
            Some(ConnectResponse::decode(decoded.payload).expect("a body"))
        }
        _ => None,
    };
    (outcome, answer, acceptor)
}

#[test]
fn each_fault_of_a_first_message_is_answered_with_its_reason_and_a_close() {
    let mut node = started();
    let good = node.hello([9; 16]);
    let with = |change: fn(&mut Connect)| {
        let mut hello = good.clone();
        change(&mut hello);
        connect(&hello)
    };
    let later = |seconds: i64| {
        let mut hello = good.clone();
        hello.time.seconds += seconds;
        connect(&hello)
    };
    let mut flagged = connect(&good);
    flagged[6] = 1;
    let cases = [
        ("malformed first message", b"".to_vec()),
        ("malformed first message", vec![0x96, 0, 0, 0, 0, 1, 0]),
        ("malformed first message", flagged),
        ("expected Connect, got Ping", message(Op::Ping, &[])),
        ("expected Connect, got Request", message(Op::Request, &[])),
        ("expected Connect, got Merged", message(Op::Merged, &[])),
        ("malformed Connect", message(Op::Connect, &[])),
        ("malformed Connect", message(Op::Connect, b"\x81\xa2ID\xc4\x01x")),
        ("unknown incoming host: http://stranger:1", with(|c| c.host = "http://stranger:1".into())),
        (
            "unknown incoming host: http://127.0.0.1:9102",
            with(|c| c.host = "http://127.0.0.1:9102".into()),
        ),
        ("the clocks differ by 301 s, more than 300 s", later(301)),
        ("the clocks differ by 301 s, more than 300 s", later(-301)),
        ("auth token: the token is not this grid's", with(|c| c.token = "wrong".into())),
        ("auth token: the token is not this grid's", with(|c| c.token = String::new())),
    ];
    for (reason, frame) in cases {
        let (outcome, answer, _) = greet(&mut node, &frame);
        let answer = answer.unwrap_or_else(|| panic!("an answer: {reason}"));
        assert_eq!((answer.id, answer.accepted), ([7; 16], false));
        assert!(answer.rejected_reason.starts_with(reason), "{}", answer.rejected_reason);
        let Accepting::Finished(LinkError::Refused(denial)) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(denial.reason, answer.rejected_reason);
        assert_eq!(node.peer().state(), LinkState::Unconnected);
    }
    let (outcome, ..) = greet(&mut node, &connect(&good));
    assert!(matches!(outcome, Accepting::Hello(hello) if hello == good));
    assert_eq!(node.peer().state(), LinkState::Connected);
}

#[test]
fn the_checks_go_in_the_order_of_the_protocol() {
    let node = started();
    let now = node.clocks();
    let mut hello = node.hello([9; 16]);
    hello.host = "http://stranger:1".into();
    hello.time.seconds += 1000;
    hello.token = "wrong".into();
    let reason = |hello: &Connect| {
        check_connect(node.grid.node(), now, &connect(hello), |name| name == HOST)
            .unwrap_err()
            .reason
    };
    assert!(reason(&hello).starts_with("unknown incoming host"));
    hello.host = HOST.into();
    assert!(reason(&hello).starts_with("the clocks differ"));
    hello.time = now.wall;
    assert!(reason(&hello).starts_with("auth token"));
}

#[test]
fn clocks_may_differ_by_5_minutes_to_the_nanosecond() {
    let node = started();
    let hello = node.hello([9; 16]);
    let accepts = |nanos: i128| {
        let wall = Timestamp::from_unix_nanos(hello.time.to_unix_nanos() + nanos);
        let now = Now { instant: node.now, wall };
        check_connect(node.grid.node(), now, &connect(&hello), |_| true).is_ok()
    };
    const LIMIT: i128 = 300_000_000_000;
    for sign in [-1, 1] {
        assert!(accepts(sign * (LIMIT - 1_000_000_000)), "4:59");
        assert!(accepts(sign * LIMIT), "5:00");
        assert!(!accepts(sign * (LIMIT + 1)), "5:00 and a nanosecond");
        assert!(!accepts(sign * (LIMIT + 1_000_000_000)), "5:01");
    }
}

#[test]
fn the_peers_own_checks_come_last_wrong_link_wrong_side_shutting_down_not_started() {
    let mut dialler = Lone::new(Which::Dialler, |_| {});
    let (now, hello) = (dialler.clocks(), dialler.hello([9; 16]));
    let reason = dialler.grid.handle_hello(now, &hello, now.instant).unwrap_err().reason;
    assert_eq!(reason, "http://127.0.0.1:9102 is to be dialled, it does not dial");

    let mut node = Lone::new(Which::Acceptor, |_| {});
    let now = node.clocks();
    assert_eq!(node.connect([9; 16]), Err("not started".into()));
    node.grid.start(now);
    let mut other = node.hello([9; 16]);
    other.host = "http://another:1".into();
    let reason = node.peer().handle_hello(now, &other, now.instant).unwrap_err().reason;
    assert_eq!(reason, "http://another:1 is not the name of this link");
    node.grid.shutdown(now, SECOND);
    assert_eq!(node.connect([9; 16]), Err("shutting down".into()));
}

#[test]
fn a_connection_has_1_s_for_its_first_byte_1_s_more_for_its_request_and_4_s_for_its_connect() {
    let mut node = started();
    let request = upgrade(&node, ROUTE, &[]);
    let half = MS * 500;
    for (sent, read_first, seconds) in [
        ("nothing", "", SECOND),
        ("a byte", "G", half + SECOND),
        ("the upgrade", &*request, 4 * SECOND),
    ] {
        let begun = node.now;
        let mut acceptor = node.grid.accept(begun);
        assert_eq!(acceptor.poll_timeout(), begun.after(SECOND));
        node.now = begun.after(half);
        assert_eq!(read(&mut node, &mut acceptor, read_first.as_bytes()), Accepting::Pending);
        let until = begun.after(seconds);
        assert_eq!(acceptor.poll_timeout(), until, "{sent}");
        let early = until.before(MS);
        assert_eq!(acceptor.handle_timeout(early), Accepting::Pending, "{sent}");
        let late = acceptor.handle_timeout(until);
        assert!(matches!(late, Accepting::Finished(LinkError::TimedOut(_))), "{sent}");
    }
}

#[test]
fn a_request_that_comes_a_byte_a_time_has_no_more_time_than_another() {
    let mut node = started();
    let request = upgrade(&node, ROUTE, &[]);
    let begun = node.now;
    let mut acceptor = node.grid.accept(begun);
    for byte in request.as_bytes() {
        node.advance(100 * MS);
        if node.now >= acceptor.poll_timeout() {
            assert_eq!(node.now, begun.after(1100 * MS));
            let late = acceptor.handle_timeout(node.now);
            assert!(matches!(late, Accepting::Finished(LinkError::TimedOut(_))));
            return;
        }
        assert_eq!(read(&mut node, &mut acceptor, &[*byte]), Accepting::Pending);
    }
    panic!("it has had all the time that it wanted");
}

#[test]
fn a_good_token_is_known_once_the_request_has_come_whole_and_no_sooner() {
    let mut node = started();
    let request = upgrade(&node, ROUTE, &[]);
    let (last, rest) = request.as_bytes().split_last().expect("not empty");
    let mut acceptor = node.grid.accept(node.now);
    assert_eq!(read(&mut node, &mut acceptor, rest), Accepting::Pending);
    assert!(!acceptor.has_shown_token());
    assert_eq!(read(&mut node, &mut acceptor, &[*last]), Accepting::Pending);
    assert!(acceptor.has_shown_token());

    let wrong = upgrade(&node, ROUTE, &[("Authorization", "Bearer wrong")]);
    let mut acceptor = node.grid.accept(node.now);
    assert!(matches!(read(&mut node, &mut acceptor, wrong.as_bytes()), Accepting::Finished(_)));
    assert!(!acceptor.has_shown_token());
    assert!(!node.grid.accept_upgraded(node.now, b"").has_shown_token(), "others have seen it");
}

/// The header of a frame from a dialler that claims this many bytes.
fn claims(len: u64) -> Vec<u8> {
    let mut header = vec![0x82, 0xff];
    header.extend_from_slice(&len.to_be_bytes());
    header.extend_from_slice(&[1, 2, 3, 4]);
    header
}

#[test]
fn a_first_message_over_its_limit_is_refused_at_either_door_by_its_header() {
    let mut node = started();
    let limit = node.grid.node().limits.first_message as u64;
    let request = upgrade(&node, ROUTE, &[]);
    for (len, fits) in [(limit, true), (limit + 1, false)] {
        let mut raw = node.grid.accept(node.now);
        assert_eq!(read(&mut node, &mut raw, request.as_bytes()), Accepting::Pending);
        let outcomes = [
            read(&mut node, &mut raw, &claims(len)),
            {
                let mut upgraded = node.grid.accept_upgraded(node.now, b"");
                read(&mut node, &mut upgraded, &claims(len))
            },
            {
                let mut upgraded = node.grid.accept_upgraded(node.now, &claims(len));
                upgraded.handle_read(node.clocks(), &node.grid)
            },
        ];
        for outcome in outcomes {
            let refused = matches!(outcome, Accepting::Finished(LinkError::WebSocket(_)));
            assert_eq!((outcome == Accepting::Pending, refused), (fits, !fits), "{len}");
        }
    }
}

#[test]
fn a_good_first_message_may_come_in_any_pieces_with_the_upgrade_or_after_it() {
    let mut node = started();
    let mut bytes = upgrade(&node, ROUTE, &[]).into_bytes();
    let mut client = Channel::new(Role::Client, 1 << 20, 5);
    let mut buf = vec![0; MAX_HEADER_LEN];
    buf.extend_from_slice(&connect(&node.hello([9; 16])));
    let start = client.seal(&mut buf, MAX_HEADER_LEN);
    bytes.extend_from_slice(&buf[start..]);
    for size in [1, 2, 3, 7, bytes.len()] {
        let mut acceptor = node.grid.accept(node.now);
        let mut last = Accepting::Pending;
        for piece in bytes.chunks(size) {
            assert_eq!(last, Accepting::Pending);
            acceptor.read_buf().extend_from_slice(piece);
            last = acceptor.handle_read(node.clocks(), &node.grid);
        }
        assert!(matches!(last, Accepting::Hello(_)), "{size}");
    }
}

#[test]
fn an_http_server_hands_over_what_it_has_upgraded_with_the_bytes_left_over() {
    let mut node = started();
    let mut client = Channel::new(Role::Client, 1 << 20, 5);
    let mut buf = vec![0; MAX_HEADER_LEN];
    buf.extend_from_slice(&connect(&node.hello([9; 16])));
    let start = client.seal(&mut buf, MAX_HEADER_LEN);
    let mut acceptor = node.grid.accept_upgraded(node.now, &buf[start..]);
    let outcome = acceptor.handle_read(node.clocks(), &node.grid);
    assert!(matches!(outcome, Accepting::Hello(_)));
    assert_eq!(acceptor.write_buf(), b"", "the server has answered 101 itself");
}

#[test]
fn a_connection_that_ends_early_is_over() {
    let mut node = started();
    let mut acceptor = node.grid.accept(node.now);
    assert_eq!(acceptor.handle_eof(), Accepting::Finished(LinkError::ClosedByPeer));
    let (outcome, answer, _) = greet(&mut node, &vec![0x97; 70_000]);
    assert!(matches!(outcome, Accepting::Finished(LinkError::WebSocket(_))), "{outcome:?}");
    assert_eq!(answer, None);
}

#[test]
fn a_first_message_may_have_64_kib_and_no_byte_more() {
    let mut node = started();
    for (len, fits) in [(65_535, true), (65_536, true), (65_537, false)] {
        let mut frame = connect(&node.hello([9; 16]));
        // Bytes behind the array are ignored.
        frame.resize(len, 0);
        let (outcome, ..) = greet(&mut node, &frame);
        assert_eq!(matches!(outcome, Accepting::Hello(_)), fits, "{len}: {outcome:?}");
    }
}

// ---- the dialler's side of each refusal ----

/// Why the dialler's first attempt failed.
fn first_failure(mut pair: Pair) -> String {
    pair.start();
    pair.drive();
    assert!(!pair.is_connected());
    assert_eq!(pair.dialler().peer().state(), LinkState::ConnectionError);
    let reason = pair.dialler().peer().last_failure().expect("a reason").to_string();
    pair.advance(MS);
    assert!(!pair.acceptor().closed.is_empty(), "both sides know it");
    reason
}

#[test]
fn the_dialler_is_told_why_http_refused_it() {
    let wrong = in_bytes().token(Which::Dialler, "other-token").build();
    let reason = first_failure(wrong);
    assert!(reason.contains("403") && reason.contains("the token is not this grid's"), "{reason}");

    let mut pair = in_bytes().build();
    pair.shift_wall(Which::Dialler, 901);
    let reason = first_failure(pair);
    let expected = "the clocks differ by 901 s, more than 900 s";
    assert!(reason.contains("403") && reason.contains(expected), "{reason}");

    let lock = in_bytes().http_route(Which::Dialler, "/minio/grid/lock/v1").build();
    assert!(first_failure(lock).contains("404"));
}

#[test]
fn the_dialler_is_told_why_its_connect_was_refused() {
    let wrong = support::builder().token(Which::Dialler, "other-token").build();
    let reason = first_failure(wrong);
    assert!(reason.starts_with("rejected by the peer: auth token"), "{reason}");

    // From 5 to 15 minutes it is Connect that says so, with or without HTTP before it.
    for (skew, builder) in [
        (301, support::builder()),
        (-301, support::builder()),
        (301, in_bytes()),
        (-900, in_bytes()),
    ] {
        let mut pair = builder.build();
        pair.shift_wall(Which::Acceptor, skew);
        let reason = first_failure(pair);
        let (skew, expected) = (skew.abs(), "rejected by the peer: the clocks differ by");
        assert_eq!(reason, format!("{expected} {skew} s, more than 300 s"));
    }
    for skew in [-300, -299, 299, 300] {
        let mut pair = in_bytes().build();
        pair.shift_wall(Which::Acceptor, skew);
        pair.start();
        pair.drive();
        assert!(pair.is_connected(), "{skew}");
    }
}

#[test]
fn the_dialler_closes_a_connection_whose_answer_is_no_upgrade() {
    let cases: [(&[u8], &str); 4] = [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "no valid upgrade response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "status 200"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: AAAA\r\n\r\n",
            "accept key is wrong",
        ),
        (b"HTTP/1.1 426 Upgrade Required\r\n\r\n", "status 426"),
    ];
    for (answer, reason) in cases {
        let mut node = Lone::new(Which::Dialler, |_| {});
        node.grid.start(node.clocks());
        let link = node.dialled();
        let (now, shared) = (node.clocks(), node.grid.node().clone());
        let mut connection = gridmux_core::connection::Connection::dialled(
            &shared,
            "http://127.0.0.1:9102",
            link,
            1,
            now,
        )
        .expect("the settings can be sent");
        let request = String::from_utf8(connection.write_buf().to_vec()).expect("HTTP");
        assert!(request.starts_with("GET /minio/grid/v1 HTTP/1.1\r\nHost: 127.0.0.1:9102\r\n"));
        assert!(request.contains("\r\nAuthorization: Bearer secret-token\r\n"));
        assert!(request.contains(&format!("\r\nX-Minio-Time: {}\r\n", now.wall.to_unix_nanos())));
        connection.read_buf().extend_from_slice(answer);
        connection.handle_read(now.instant, answer.len());
        connection.exchange(now, node.peer());
        let failure = node.peer().last_failure().expect("failed").to_string();
        assert!(failure.contains(reason), "{failure}");
        assert_eq!(node.peer().state(), LinkState::ConnectionError);
    }
}
