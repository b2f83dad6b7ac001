//! The types in which requests, results and items travel, each made of the same bytes.

use bytes::Bytes;
use futures::io::{AsyncRead, AsyncWrite};
use gridmux_core::handle::{Input, Output, Receiver, Sender};
use gridmux_core::payload::{Array, Body, Json, MsgBytes, Mss, NoPayload, Payload, UrlValues};
use serde::{Deserialize, Serialize};

use super::content::CallMark;
use crate::script::Form;

/// A half of a stream as a writer of bytes.
pub(crate) type Writer = Box<dyn AsyncWrite + Send + Unpin>;
/// A half of a stream as a reader of bytes.
pub(crate) type Reader = Box<dyn AsyncRead + Send + Unpin>;

/// A type that payloads travel in.
pub(crate) trait Content: Body + Clone + PartialEq + Send + Sync + 'static {
    const FORM: Form;

    /// Made of bytes that are the ones of this call; `None` is nil, where the type has it.
    fn of(call: CallMark, bytes: Option<Vec<u8>>) -> Self;

    /// The call that a request belongs to.
    fn call(&self) -> Option<CallMark>;

    /// It as bytes, if that is all it is.
    fn octets(self) -> Option<Bytes> {
        None
    }

    /// It from bytes, if that is all it is.
    fn of_octets(_bytes: Bytes) -> Option<Self> {
        None
    }

    /// Halves of streams as writers and readers, if it is bytes.
    fn sender_as_writer(_half: Sender<Self>) -> Option<Writer> {
        None
    }
    fn output_as_writer(_half: Output<Self>) -> Option<Writer> {
        None
    }
    fn receiver_as_reader(_half: Receiver<Self>) -> Option<Reader> {
        None
    }
    fn input_as_reader(_half: Input<Self>) -> Option<Reader> {
        None
    }
}

/// Does something with the type that stands for a form.
macro_rules! with_form {
    ($form:expr, $type:ident => $act:expr) => {{
        use $crate::app::forms::{List, Record, Text};
        use $crate::script::Form;
        match $form {
            Form::Raw => {
                type $type = gridmux_core::payload::Payload;
                $act
            }
            Form::Bytes => {
                type $type = gridmux_core::payload::MsgBytes;
                $act
            }
            Form::Json => {
                type $type = gridmux_core::payload::Json<Text>;
                $act
            }
            Form::Mss => {
                type $type = gridmux_core::payload::Mss;
                $act
            }
            Form::Url => {
                type $type = gridmux_core::payload::UrlValues;
                $act
            }
            Form::Array => {
                type $type = List;
                $act
            }
            Form::Record => {
                type $type = Record;
                $act
            }
            Form::Nothing => {
                type $type = gridmux_core::payload::NoPayload;
                $act
            }
        }
    }};
}
pub(crate) use with_form;

/// Streams of bytes can be written and read as such.
macro_rules! is_bytes {
    () => {
        fn octets(self) -> Option<Bytes> {
            Some(self.into())
        }
        fn of_octets(bytes: Bytes) -> Option<Self> {
            Some(bytes.into())
        }
        fn sender_as_writer(half: Sender<Self>) -> Option<Writer> {
            Some(Box::new(half.into_async_write().with_item_size(ITEM_SIZE)))
        }
        fn output_as_writer(half: Output<Self>) -> Option<Writer> {
            Some(Box::new(half.into_async_write()))
        }
        fn receiver_as_reader(half: Receiver<Self>) -> Option<Reader> {
            Some(Box::new(half.into_async_read()))
        }
        fn input_as_reader(half: Input<Self>) -> Option<Reader> {
            Some(Box::new(half.into_async_read()))
        }
    };
}

/// So small that what a script sends at once is often several items.
const ITEM_SIZE: usize = 1_000;

/// Where there is no type around them, bytes begin with the mark.
fn mark_in(bytes: &[u8]) -> Option<CallMark> {
    let word = bytes.get(..8)?.try_into().ok()?;
    Some(CallMark(u64::from_le_bytes(word)))
}

impl Content for Payload {
    const FORM: Form = Form::Raw;

    fn of(_call: CallMark, bytes: Option<Vec<u8>>) -> Self {
        bytes.map_or(Self::NIL, Self::from)
    }

    fn call(&self) -> Option<CallMark> {
        mark_in(self)
    }

    is_bytes!();
}

impl Content for MsgBytes {
    const FORM: Form = Form::Bytes;

    fn of(_call: CallMark, bytes: Option<Vec<u8>>) -> Self {
        Self(bytes.map(Bytes::from))
    }

    fn call(&self) -> Option<CallMark> {
        mark_in(self.as_slice())
    }

    is_bytes!();
}

/// A text of as many letters as there are bytes; less a quarter, for what a type has around it.
fn letters(bytes: &[u8]) -> String {
    let kept = &bytes[..bytes.len() - bytes.len() / 4];
    kept.iter().map(|byte| char::from(b'a' + byte % 26)).collect()
}

/// What JSON holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Text {
    call: CallMark,
    text: String,
}

impl Content for Json<Text> {
    const FORM: Form = Form::Json;

    fn of(call: CallMark, bytes: Option<Vec<u8>>) -> Self {
        Self(bytes.map(|bytes| Text { call, text: letters(&bytes) }))
    }

    fn call(&self) -> Option<CallMark> {
        self.0.as_ref().map(|text| text.call)
    }
}

impl Content for Mss {
    const FORM: Form = Form::Mss;

    fn of(call: CallMark, bytes: Option<Vec<u8>>) -> Self {
        let Some(bytes) = bytes else { return Self(None) };
        let mut map = Self::from_iter([("call", call.0.to_string())]);
        map.insert("text", letters(&bytes));
        map
    }

    fn call(&self) -> Option<CallMark> {
        self.get("call")?.parse().ok().map(CallMark)
    }
}

impl Content for UrlValues {
    const FORM: Form = Form::Url;

    fn of(call: CallMark, bytes: Option<Vec<u8>>) -> Self {
        let Some(bytes) = bytes else { return Self(None) };
        let mut values = Self::default();
        values.append("call", call.0.to_string());
        for part in bytes.chunks(500) {
            values.append("text", letters(part));
        }
        values
    }

    fn call(&self) -> Option<CallMark> {
        self.get("call").first()?.parse().ok().map(CallMark)
    }
}

/// Strings of bytes, the first of which holds the mark.
pub(crate) type List = Array<MsgBytes>;

impl Content for List {
    const FORM: Form = Form::Array;

    fn of(call: CallMark, bytes: Option<Vec<u8>>) -> Self {
        let Some(bytes) = bytes else { return Self(None) };
        let mark = MsgBytes::from(call.0.to_le_bytes().to_vec());
        let parts = bytes.chunks(300).map(|part| MsgBytes::from(part[part.len() / 4..].to_vec()));
        [mark].into_iter().chain(parts).collect()
    }

    fn call(&self) -> Option<CallMark> {
        mark_in(self.0.as_ref()?.first()?.as_slice())
    }
}

/// A struct of the application's own, of most kinds of values that there are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    call: CallMark,
    urgent: bool,
    level: i8,
    balance: i64,
    share: f64,
    mean: f32,
    letter: char,
    size: Size,
    place: (i16, i32),
    note: Option<String>,
    shapes: Vec<Shape>,
    before: Option<Box<Self>>,
    done: (),
    rest: MsgBytes,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Size(u32);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Point,
    Circle(u16),
    Segment(u8, u8),
    Box { width: u8, height: u16 },
}

impl Content for Record {
    const FORM: Form = Form::Record;

    fn of(call: CallMark, bytes: Option<Vec<u8>>) -> Self {
        let bytes = bytes.unwrap_or_default();
        let at = |index: usize| bytes.get(index).copied().unwrap_or(0);
        let shape = |index: usize| match at(index) % 4 {
            0 => Shape::Point,
            1 => Shape::Circle(u16::from(at(index)) << 4),
            2 => Shape::Segment(at(index), at(index + 1)),
            _ => Shape::Box { width: at(index), height: at(index + 1).into() },
        };
        Self {
            call,
            urgent: at(8) > 127,
            level: at(9) as i8,
            balance: -(i64::from(at(10)) << 40),
            share: f64::from(at(11)) / 256.0,
            mean: f32::from(at(12)) / 2.0,
            letter: char::from(b'a' + at(13) % 26),
            size: Size(u32::try_from(bytes.len()).unwrap_or(u32::MAX)),
            place: (i16::from(at(14)) - 300, -70_000),
            note: (at(15) > 127).then(|| letters(&bytes[..16])),
            shapes: (16..19).map(shape).collect(),
            before: (at(19) > 200).then(|| Box::new(Self::of(call, None))),
            done: (),
            rest: bytes[bytes.len() / 4..].to_vec().into(),
        }
    }

    fn call(&self) -> Option<CallMark> {
        Some(self.call)
    }
}

impl Content for NoPayload {
    const FORM: Form = Form::Nothing;

    fn of(_call: CallMark, _bytes: Option<Vec<u8>>) -> Self {
        Self
    }

    fn call(&self) -> Option<CallMark> {
        None
    }
}

#[cfg(test)]
mod tests {
    use gridmux_core::payload::Payload;

    use super::Content;
    use crate::app::content::{CallMark, Kind, content};
    use crate::keyed::Keyed;
    use crate::script::Form;

    fn check<T: Content>(form: Form) {
        assert_eq!(T::FORM, form);
        for size in [0, 8, 20, 100, 5_000, 70_000] {
            let made: T = content(Keyed::new(3), CallMark(70), Kind::Request, Some(size));
            let payload = made.to_payload().expect("it can be encoded");
            assert!(payload.len() <= size as usize + 250, "{form:?} {size}: {}", payload.len());
            let back = T::decode(payload).expect("it can be decoded");
            assert!(back == made, "{form:?} {size}");
            if form != Form::Nothing && size >= 8 {
                assert_eq!(back.call(), Some(CallMark(70)), "{form:?} {size}");
                let other: T = content(Keyed::new(3), CallMark(71), Kind::Request, Some(size));
                assert!(back != other, "{form:?} {size}");
                let item = |number| -> T {
                    content(Keyed::new(3), CallMark(70), Kind::Input(number), Some(size.max(20)))
                };
                assert!(item(1) != item(2), "{form:?} {size}");
            }
        }
        let nil: T = content(Keyed::new(3), CallMark(70), Kind::Output(1), None);
        assert!(T::decode(nil.to_payload().unwrap()).unwrap() == nil);
    }

    #[test]
    fn every_form_is_read_as_it_was_written_names_its_call_and_is_hardly_longer_than_its_bytes() {
        for form in Form::ALL {
            with_form!(form, T => check::<T>(form));
        }
        assert_eq!(Payload::FORM, Form::Raw);
    }
}
