//! What travels.

use std::collections::BTreeMap;
use std::convert::Infallible;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{pair, server};
use crate::builder::Builder;
use crate::driver::runtime::Runtime;
use crate::error::{CallError, LimitOwner};
use crate::handle::Context;
use crate::limits::Limits;
use crate::payload::{Array, Body, Json, MsgBytes, Mss, NoPayload, Payload, UrlValues};
use crate::route::Unary;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct DiskInfo {
    path: String,
    free: u64,
}

const RAW: Unary<Payload, Payload> = Unary::new(1, "raw");
const STRUCT: Unary<DiskInfo, DiskInfo> = Unary::new(1, "struct");

/// Answers with what came, whatever it is.
fn serve<R: Runtime>(builder: Builder<R>) -> Builder<R> {
    builder.serve(RAW, |request, _| async move { Ok::<_, Infallible>(request) })
}

async fn echoes<R: Runtime, B: Body + PartialEq + std::fmt::Debug>(rt: &R, values: Vec<B>) {
    let grid = pair(rt, serve).await;
    let route: Unary<B, B> = Unary::new(1, "typed");
    for value in values {
        let reply = server(&grid).call(route, &value).await.expect("answered");
        assert_eq!(reply, value);
    }
}

pub async fn a_struct_travels_as_a_map_of_its_fields<R: Runtime>(rt: R) {
    let grid = pair(&rt, serve).await;
    let info = DiskInfo { path: "/data/1".into(), free: 7 };
    let reply = server(&grid).call(STRUCT, &info).await;
    assert_eq!(reply, Ok(info.clone()));
    let half: Unary<DiskInfo, Payload> = Unary::new(1, "half");
    let bytes = server(&grid).call(half, &info).await.expect("answered");
    assert_eq!(bytes.as_slice(), b"\x82\xa4path\xa7/data/1\xa4free\x07");
}

pub async fn a_nil_payload_and_an_empty_one_are_two_things<R: Runtime>(rt: R) {
    echoes(&rt, vec![Payload::NIL, Payload::EMPTY, Payload::from(vec![0xc0])]).await;
}

pub async fn byte_strings_travel<R: Runtime>(rt: R) {
    let bytes = Bytes::from(vec![7; 100]);
    echoes(&rt, vec![MsgBytes(None), MsgBytes(Some(Bytes::new())), MsgBytes(Some(bytes))]).await;
}

pub async fn maps_of_texts_travel<R: Runtime>(rt: R) {
    let mut map = BTreeMap::new();
    map.insert("volume".to_owned(), "photos".to_owned());
    let values = [None, Some(BTreeMap::new()), Some(map)];
    echoes(&rt, values.into_iter().map(Mss).collect()).await;
}

pub async fn url_values_travel<R: Runtime>(rt: R) {
    let mut map = BTreeMap::new();
    map.insert("disk".to_owned(), vec!["1".to_owned(), "2".to_owned()]);
    echoes(&rt, vec![UrlValues(None), UrlValues(Some(map))]).await;
}

pub async fn arrays_travel<R: Runtime>(rt: R) {
    echoes(&rt, vec![Array(None), Array(Some(vec![])), Array(Some(vec![1_u32, 2, 3]))]).await;
}

pub async fn json_travels<R: Runtime>(rt: R) {
    let info = DiskInfo { path: "/data/1".into(), free: 7 };
    echoes(&rt, vec![Json(None), Json(Some(info))]).await;
}

pub async fn nothing_at_all_travels<R: Runtime>(rt: R) {
    echoes(&rt, vec![NoPayload]).await;
}

pub async fn a_mebibyte_arrives_whole_in_both_directions<R: Runtime>(rt: R) {
    let bytes: Vec<u8> = (0..1_u32 << 20).map(|n| (n % 251) as u8).collect();
    echoes(&rt, vec![Payload::from(bytes), Payload::from(vec![1; 16_300])]).await;
}

pub async fn a_message_at_the_limit_arrives_and_one_above_it_is_refused_here<R: Runtime>(rt: R) {
    const LEN: Unary<Payload, u64> = Unary::new(2, "len");
    let limits = || Limits { message: 100_000, ..Limits::default() };
    let grid = super::super::TestGrid::new(&rt, 2, move |_, builder| {
        builder
            .limits(limits())
            .serve(LEN, |request: Payload, _| async move {
                Ok::<_, Infallible>(request.as_slice().len() as u64)
            })
            .serve(Unary::<u64, Payload>::new(3, "make"), |len: u64, _| async move {
                Ok::<_, Infallible>(Payload::from(vec![7; len as usize]))
            })
    });
    grid.connected().await;
    let peer = server(&grid);
    let error = peer.call(LEN, &Payload::from(vec![0; 100_000])).await.expect_err("refused");
    let CallError::TooLarge { size, limit: 100_000, .. } = error else { panic!("{error:?}") };
    let most = 100_000 - (size - 100_000);
    assert_eq!(peer.call(LEN, &Payload::from(vec![0; most])).await, Ok(most as u64));
    let above = peer.call(LEN, &Payload::from(vec![0; most + 1])).await;
    assert_eq!(
        above,
        Err(CallError::TooLarge { size: 100_001, limit: 100_000, whose: LimitOwner::ThisNode })
    );
    let make: Unary<u64, Payload> = Unary::new(3, "make");
    let error = peer.call(make, &100_001).await.expect_err("refused");
    let (limit, whose) = (100_000, LimitOwner::Peer);
    let CallError::ResponseTooLarge { size, .. } = error else { panic!("{error:?}") };
    assert_eq!(error, CallError::ResponseTooLarge { size, limit, whose });
    assert!(size > 100_001 && error.may_have_run());
    assert_eq!(peer.call(make, &90_000).await.map(|made| made.len()), Ok(90_000));
}

pub async fn a_payload_that_is_not_the_route_s_type_is_an_error_of_its_own<R: Runtime>(rt: R) {
    let grid = pair(&rt, |builder| {
        serve(builder).serve(Unary::<DiskInfo, NoPayload>::new(4, "strict"), |_, _| async {
            Ok::<_, Infallible>(NoPayload)
        })
    })
    .await;
    let peer = server(&grid);
    let wrong: Unary<Payload, DiskInfo> = Unary::new(1, "wrong");
    let error = peer.call(wrong, &Payload::from(vec![1])).await.expect_err("refused");
    assert!(error.may_have_run());
    assert!(matches!(&error, CallError::Decode(text) if text.contains("wrong")), "{error:?}");
    let strict: Unary<Payload, NoPayload> = Unary::new(4, "strict");
    let error = peer.call(strict, &Payload::from(vec![1])).await.expect_err("refused");
    assert!(!error.may_have_run(), "its handler has not been called");
    let named =
        |text: &str| text.contains("\"strict\"") && text.contains("not of the expected type");
    assert!(matches!(&error, CallError::RequestUndecodable(text) if named(text)), "{error:?}");
}

#[derive(Debug, Deserialize)]
struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it cannot be written"))
    }
}

pub async fn a_value_that_cannot_be_encoded_is_not_sent<R: Runtime>(rt: R) {
    let grid = pair(&rt, |builder| {
        serve(builder).serve(Unary::<NoPayload, Unwritable>::new(5, "unwritable"), |_, _| async {
            Ok::<_, Infallible>(Unwritable)
        })
    })
    .await;
    let peer = server(&grid);
    let before = peer.stats().messages_out;
    let route: Unary<Unwritable, NoPayload> = Unary::new(1, "unwritable");
    let error = peer.call(route, &Unwritable).await.expect_err("refused");
    assert!(matches!(error, CallError::Encode(_)) && !error.may_have_run(), "{error:?}");
    assert_eq!(peer.stats().messages_out, before);
    let route: Unary<NoPayload, Payload> = Unary::new(5, "unwritable");
    let error = peer.call(route, &NoPayload).await.expect_err("refused");
    let text = "it cannot be written";
    assert!(matches!(&error, CallError::Remote(got) if got.contains(text)), "{error:?}");
}

pub async fn subroutes_tell_handlers_of_one_id_apart<R: Runtime>(rt: R) {
    const DISK: Unary<NoPayload, String> = Unary::new(7, "disk");
    let grid = pair(&rt, |builder| {
        ["disk-1", "disk-2"].into_iter().fold(builder, |builder, disk| {
            builder.serve(DISK.at(disk), move |_, ctx: Context| async move {
                assert_eq!(ctx.subroute(), DISK.at(disk).subroute());
                Ok::<_, Infallible>(disk.to_owned())
            })
        })
    })
    .await;
    for disk in ["disk-2", "disk-1"] {
        assert_eq!(server(&grid).call(DISK.at(disk), &NoPayload).await, Ok(disk.to_owned()));
    }
}
