//! The halves of a stream, used in the way that a call says.

use std::error::Error;
use std::io;

use bytes::Bytes;
use futures::io::{AsyncReadExt as _, AsyncWriteExt as _};
use futures::{SinkExt as _, Stream, StreamExt};
use gridmux_core::error::{CallError, LimitKind};
use gridmux_core::handle::{Input, InputError, ItemSink, Output, Receiver, SendHalf, Sender};

use super::forms::{Content, Reader, Writer};
use crate::script::Way;

/// A half that items are sent on, as both ends have it.
pub(crate) trait GivingHalf: SendHalf<Item: Content> + Sized + Send {
    fn send(&mut self, item: Self::Item) -> impl Future<Output = Result<(), CallError>> + Send;
    fn try_send(&mut self, item: &Self::Item) -> Result<(), CallError>;
    fn sink(self) -> ItemSink<Self>;
    fn writer(self) -> Option<Writer>;
    /// Ends it, as far as this end can.
    fn finish(self);
    /// Another one of the same stream, if there can be one.
    fn another(&self) -> Option<Self>;
}

impl<T: Content> GivingHalf for Sender<T> {
    fn send(&mut self, item: T) -> impl Future<Output = Result<(), CallError>> + Send {
        Self::send(self, item)
    }

    fn try_send(&mut self, item: &T) -> Result<(), CallError> {
        Self::try_send(self, item)
    }

    fn sink(self) -> ItemSink<Self> {
        self.into_sink()
    }

    fn writer(self) -> Option<Writer> {
        T::sender_as_writer(self)
    }

    fn finish(self) {
        self.close();
    }

    fn another(&self) -> Option<Self> {
        None
    }
}

impl<T: Content> GivingHalf for Output<T> {
    fn send(&mut self, item: T) -> impl Future<Output = Result<(), CallError>> + Send {
        Self::send(self, item)
    }

    fn try_send(&mut self, item: &T) -> Result<(), CallError> {
        Self::try_send(self, item)
    }

    fn sink(self) -> ItemSink<Self> {
        self.into_sink()
    }

    fn writer(self) -> Option<Writer> {
        T::output_as_writer(self)
    }

    fn finish(self) {}

    fn another(&self) -> Option<Self> {
        Some(self.clone())
    }
}

/// Whether an item was refused because it would have to wait.
pub(crate) const fn would_wait(error: &CallError) -> bool {
    matches!(error, CallError::Limit(LimitKind::Credits | LimitKind::QueuedBytes))
}

/// A half that items are sent on, in some way.
pub(crate) enum Giving<S: SendHalf> {
    Items(S),
    /// The half that is next, and others of the same stream.
    Try(S, Vec<S>),
    Sink(ItemSink<S>),
    Bytes(Writer),
}

impl<S: GivingHalf> Giving<S> {
    pub(crate) fn new(way: Way, half: S) -> Self {
        match way {
            Way::Items => Self::Items(half),
            Way::Try => {
                let others = half.another().into_iter().collect();
                Self::Try(half, others)
            }
            Way::Sink => Self::Sink(half.sink()),
            Way::Bytes => Self::Bytes(half.writer().expect("a script has it only for bytes")),
        }
    }

    pub(crate) async fn give(&mut self, item: S::Item) -> Result<(), CallError> {
        match self {
            Self::Items(half) => half.send(item).await,
            Self::Try(half, others) => {
                if let Some(other) = others.first_mut() {
                    std::mem::swap(half, other);
                }
                match half.try_send(&item) {
                    Err(error) if would_wait(&error) => half.send(item).await,
                    sent => sent,
                }
            }
            Self::Sink(sink) => sink.send(item).await,
            Self::Bytes(writer) => {
                let bytes = item.octets().unwrap_or_default();
                let written = async {
                    writer.write_all(&bytes).await?;
                    writer.flush().await
                };
                written.await.map_err(inside)
            }
        }
    }

    /// Ends it behind all that was given.
    pub(crate) async fn finish(self) -> Result<(), CallError> {
        match self {
            Self::Items(half) | Self::Try(half, _) => {
                half.finish();
                Ok(())
            }
            Self::Sink(mut sink) => sink.close().await,
            Self::Bytes(mut writer) => writer.close().await.map_err(inside),
        }
    }
}

/// The error that an error of bytes holds.
fn inside<E: Error + Send + Sync + 'static>(error: io::Error) -> E {
    error.downcast().expect("the errors of streams of bytes hold those of streams")
}

/// A half that items are taken from, as both ends have it.
pub(crate) trait TakingHalf:
    Stream<Item = Result<Self::Taken, Self::Failure>> + Unpin + Send
{
    type Taken: Content;
    type Failure: Error + Clone + PartialEq + Send + Sync + 'static;

    fn next_item(&mut self) -> impl Future<Output = Option<Self::Item>> + Send;
    fn try_next_item(
        &mut self,
    ) -> impl Future<Output = Result<Option<Self::Taken>, Self::Failure>> + Send;
    fn reader(self) -> Option<Reader>;
}

impl<T: Content> TakingHalf for Receiver<T> {
    type Taken = T;
    type Failure = CallError;

    fn next_item(&mut self) -> impl Future<Output = Option<Self::Item>> + Send {
        self.next()
    }

    fn try_next_item(&mut self) -> impl Future<Output = Result<Option<T>, CallError>> + Send {
        self.try_next()
    }

    fn reader(self) -> Option<Reader> {
        T::receiver_as_reader(self)
    }
}

impl<T: Content> TakingHalf for Input<T> {
    type Taken = T;
    type Failure = InputError;

    fn next_item(&mut self) -> impl Future<Output = Option<Self::Item>> + Send {
        self.next()
    }

    fn try_next_item(&mut self) -> impl Future<Output = Result<Option<T>, InputError>> + Send {
        self.try_next()
    }

    fn reader(self) -> Option<Reader> {
        T::input_as_reader(self)
    }
}

/// A half that items are taken from, in some way.
pub(crate) enum Taking<R> {
    Items(R),
    Try(R),
    Stream(R),
    Bytes(Reader),
}

impl<R: TakingHalf> Taking<R> {
    pub(crate) fn new(way: Way, half: R) -> Self {
        match way {
            Way::Items => Self::Items(half),
            Way::Try => Self::Try(half),
            Way::Sink => Self::Stream(half),
            Way::Bytes => Self::Bytes(half.reader().expect("a script has it only for bytes")),
        }
    }

    /// The next item, which has so many bytes if the bytes do not say themselves where it ends.
    pub(crate) async fn take(&mut self, size: u32) -> Option<Result<R::Taken, R::Failure>> {
        match self {
            Self::Items(half) => half.next_item().await,
            Self::Try(half) => half.try_next_item().await.transpose(),
            Self::Stream(half) => StreamExt::next(half).await,
            Self::Bytes(reader) => read(reader, size).await.map_err(inside).transpose(),
        }
    }

    /// Whether nothing comes after the end; after an error, readers of bytes give it again.
    pub(crate) async fn is_over(&mut self, error: Option<&R::Failure>) -> bool {
        match (self, error) {
            (Self::Bytes(reader), Some(error)) => match reader.read(&mut [0]).await {
                Err(again) => inside::<R::Failure>(again) == *error,
                Ok(_) => false,
            },
            (taking, _) => taking.take(1).await.is_none(),
        }
    }
}

/// So many bytes, or as many as there are before the end; `None` at the end.
async fn read<T: Content>(reader: &mut Reader, size: u32) -> io::Result<Option<T>> {
    let mut bytes = vec![0; size as usize];
    let mut len = 0;
    while len < bytes.len() {
        match reader.read(&mut bytes[len..]).await? {
            0 => break,
            more => len += more,
        }
    }
    bytes.truncate(len);
    Ok(if len == 0 { None } else { T::of_octets(Bytes::from(bytes)) })
}
