//! What the systems under test are asked to do, and whether they did it.

use std::io;

use bytes::Bytes;

use crate::load::Caller;

/// Items of a stream, each way that it has.
pub const STREAM_ITEMS: u32 = 10;

/// The payload of a request, and an item that a caller sends, in bytes.
pub const SMALL: usize = 512;

/// An item that a handler sends, in bytes.
pub const SERVED_ITEM: usize = 513;

/// A large payload, in bytes.
pub const LARGE: usize = 1 << 20;

/// Answers up to this size are compared whole each time; larger ones on a caller's first call, and
/// then in samples, so that what is measured is not the comparison.
const COMPARED_WHOLE: usize = 16 << 10;

/// What one call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One request, which comes back.
    Unary,
    /// [`STREAM_ITEMS`] items from the handler.
    ServerStream,
    /// [`STREAM_ITEMS`] items from the caller, then one [`Tally`] of them.
    ClientStream,
    /// [`STREAM_ITEMS`] items from the caller, each of which comes back before the next is sent.
    TwoWay,
}

impl Shape {
    /// How many messages one call counts as.
    pub const fn messages(self) -> u32 {
        match self {
            Self::Unary => 1,
            Self::ServerStream | Self::ClientStream | Self::TwoWay => STREAM_ITEMS,
        }
    }
}

/// A number of callers that do the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its name, in tables and on the command line.
    pub name: &'static str,
    /// What each call is.
    pub shape: Shape,
    /// The size of the payload or of each item, in bytes.
    pub size: usize,
    /// How many call at a time.
    pub callers: usize,
}

impl Workload {
    const fn new(name: &'static str, shape: Shape, size: usize, callers: usize) -> Self {
        Self { name, shape, size, callers }
    }

    /// Whether it is one of streams.
    pub const fn is_stream(&self) -> bool {
        !matches!(self.shape, Shape::Unary)
    }
}

/// All workloads, the small ones first.
pub const WORKLOADS: [Workload; 10] = [
    Workload::new("unary-1", Shape::Unary, SMALL, 1),
    Workload::new("unary-16", Shape::Unary, SMALL, 16),
    Workload::new("unary-64", Shape::Unary, SMALL, 64),
    Workload::new("unary-256", Shape::Unary, SMALL, 256),
    Workload::new("server-stream-2", Shape::ServerStream, SERVED_ITEM, 2),
    Workload::new("server-stream-64", Shape::ServerStream, SERVED_ITEM, 64),
    Workload::new("client-stream-64", Shape::ClientStream, SMALL, 64),
    Workload::new("two-way-64", Shape::TwoWay, SMALL, 64),
    Workload::new("large-1", Shape::Unary, LARGE, 1),
    Workload::new("large-4", Shape::Unary, LARGE, 4),
];

/// Which items a handler is to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// How many.
    pub items: u32,
    /// Of how many bytes each.
    pub size: u32,
    /// What each byte is.
    pub fill: u8,
}

impl Ask {
    /// The length of what [`Self::encode`] gives.
    pub const LEN: usize = 9;

    /// One of the items.
    pub fn item(self) -> Bytes {
        Bytes::from(vec![self.fill; self.size as usize])
    }

    /// As bytes.
    pub fn encode(self) -> [u8; Self::LEN] {
        let mut bytes = [self.fill; Self::LEN];
        bytes[..4].copy_from_slice(&self.items.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.size.to_le_bytes());
        bytes
    }

    /// From bytes.
    ///
    /// # Errors
    ///
    /// If they are not [`Self::LEN`] bytes.
    pub fn decode(bytes: &[u8]) -> io::Result<Self> {
        let &[a, b, c, d, e, f, g, h, fill] = bytes else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let (items, size) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        Ok(Self { items, size, fill })
    }
}

/// What a handler says of the items it has got: their number, their bytes, and their last bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    items: u16,
    bytes: u32,
    last: u16,
}

impl Tally {
    /// One more item.
    pub fn add(&mut self, item: &[u8]) {
        self.items = self.items.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(item.len() as u32);
        self.last = self.last.wrapping_add(u16::from(item.last().copied().unwrap_or_default()));
    }

    /// As bytes.
    pub fn encode(self) -> [u8; 8] {
        let [a, b] = self.items.to_le_bytes();
        let [c, d, e, f] = self.bytes.to_le_bytes();
        let [g, h] = self.last.to_le_bytes();
        [a, b, c, d, e, f, g, h]
    }
}

/// Compares the items of a stream with what they should be.
#[derive(Debug)]
pub struct Checker {
    item: Bytes,
    left: u32,
}

impl Checker {
    /// Of `items` times this item.
    pub const fn new(items: u32, item: Bytes) -> Self {
        Self { item, left: items }
    }

    /// The next item has come.
    ///
    /// # Errors
    ///
    /// If it is one too many, or not the right one.
    pub fn item(&mut self, item: &[u8]) -> io::Result<()> {
        let Some(left) = self.left.checked_sub(1) else { return Err(wrong("an item too many")) };
        self.left = left;
        if self.item == item { Ok(()) } else { Err(wrong("not the item that was asked for")) }
    }

    /// The stream has ended.
    ///
    /// # Errors
    ///
    /// If items are missing.
    pub fn end(&self) -> io::Result<()> {
        if self.left == 0 { Ok(()) } else { Err(wrong("items are missing")) }
    }
}

/// The calling side of a system under test, over one connection. Clones share the connection.
///
/// A system without streams leaves them as they are here: unsupported.
pub trait Client: Clone + Send + Sync + 'static {
    /// Sends a payload, which comes back.
    fn echo(&mut self, payload: Bytes) -> impl Future<Output = io::Result<Bytes>> + Send;

    /// Has the handler send items.
    fn server_stream(
        &mut self,
        ask: Ask,
        check: &mut Checker,
    ) -> impl Future<Output = io::Result<()>> + Send {
        let _ = (ask, check);
        async { Err(io::ErrorKind::Unsupported.into()) }
    }

    /// Sends so many times this item, and returns the handler's [`Tally`].
    fn client_stream(
        &mut self,
        items: u32,
        item: Bytes,
    ) -> impl Future<Output = io::Result<Bytes>> + Send {
        let _ = (items, item);
        async { Err(io::ErrorKind::Unsupported.into()) }
    }

    /// Sends so many times this item, each as soon as the one before is back.
    fn two_way(
        &mut self,
        items: u32,
        item: Bytes,
        check: &mut Checker,
    ) -> impl Future<Output = io::Result<()>> + Send {
        let _ = (items, item, check);
        async { Err(io::ErrorKind::Unsupported.into()) }
    }
}

/// One caller of a workload: its payload is its own, so that answers which went astray are found.
#[derive(Debug)]
pub struct Worker<C> {
    client: C,
    shape: Shape,
    payload: Bytes,
    /// The first call is over.
    compared: bool,
}

impl<C: Client> Worker<C> {
    /// All callers of a workload, each over the connection of `client`.
    pub fn all(client: &C, workload: &Workload) -> Vec<Self> {
        (0..workload.callers).map(|number| Self::new(client.clone(), workload, number)).collect()
    }

    fn new(client: C, workload: &Workload, number: usize) -> Self {
        // Each byte depends on its place and on the caller; the items of a handler are plain.
        let byte = |place: usize| (place ^ (place >> 8) ^ number) as u8;
        let payload = match workload.shape {
            Shape::ServerStream => vec![number as u8; workload.size].into(),
            _ => (0..workload.size).map(byte).collect(),
        };
        Self { client, shape: workload.shape, payload, compared: false }
    }

    fn compare(&mut self, answer: &[u8]) -> io::Result<()> {
        let sent = &self.payload[..];
        let whole = sent.len() <= COMPARED_WHOLE || !std::mem::replace(&mut self.compared, true);
        let right = answer.len() == sent.len()
            && match whole {
                true => answer == sent,
                // One cache line of each page.
                false => answer.chunks(4096).zip(sent.chunks(4096)).all(|(answer, sent)| {
                    let line = sent.len().min(64);
                    answer[..line] == sent[..line]
                }),
            };
        if right { Ok(()) } else { Err(wrong("not the bytes that were sent")) }
    }
}

impl<C: Client> Caller for Worker<C> {
    async fn call(&mut self) -> io::Result<()> {
        let payload = self.payload.clone();
        let mut check = Checker::new(STREAM_ITEMS, payload.clone());
        match self.shape {
            Shape::Unary => {
                let answer = self.client.echo(payload).await?;
                self.compare(&answer)
            }
            Shape::ServerStream => {
                let fill = payload.first().copied().unwrap_or_default();
                let ask = Ask { items: STREAM_ITEMS, size: payload.len() as u32, fill };
                self.client.server_stream(ask, &mut check).await?;
                check.end()
            }
            Shape::ClientStream => {
                let mut tally = Tally::default();
                (0..STREAM_ITEMS).for_each(|_| tally.add(&payload));
                let answer = self.client.client_stream(STREAM_ITEMS, payload).await?;
                if answer == tally.encode()[..] { Ok(()) } else { Err(wrong("a wrong tally")) }
            }
            Shape::TwoWay => {
                self.client.two_way(STREAM_ITEMS, payload, &mut check).await?;
                check.end()
            }
        }
    }
}

/// The answer is not what it should be.
pub(crate) fn wrong(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers with what it is told to, whatever it is asked.
    #[derive(Clone)]
    struct Liar(Vec<Bytes>);

    impl Client for Liar {
        async fn echo(&mut self, _: Bytes) -> io::Result<Bytes> {
            Ok(self.0[0].clone())
        }

        async fn server_stream(&mut self, _: Ask, check: &mut Checker) -> io::Result<()> {
            self.0.iter().try_for_each(|item| check.item(item))
        }

        async fn client_stream(&mut self, _: u32, _: Bytes) -> io::Result<Bytes> {
            Ok(self.0[0].clone())
        }

        async fn two_way(&mut self, _: u32, _: Bytes, check: &mut Checker) -> io::Result<()> {
            self.0.iter().try_for_each(|item| check.item(item))
        }
    }

    async fn verdict(shape: Shape, size: usize, answers: Vec<Bytes>) -> Result<(), String> {
        let workload = Workload::new("test", shape, size, 1);
        let mut worker = Worker::new(Liar(answers), &workload, 3);
        worker.call().await.map_err(|error| error.to_string())
    }

    fn payload(shape: Shape, size: usize, number: usize) -> Bytes {
        let workload = Workload::new("test", shape, size, 1);
        Worker::new(Liar(Vec::new()), &workload, number).payload
    }

    #[tokio::test]
    async fn what_another_caller_sent_is_wrong() {
        let right = payload(Shape::Unary, SMALL, 3);
        assert_eq!(verdict(Shape::Unary, SMALL, vec![right]).await, Ok(()));
        let other = payload(Shape::Unary, SMALL, 4);
        verdict(Shape::Unary, SMALL, vec![other]).await.unwrap_err();
    }

    #[tokio::test]
    async fn a_byte_of_a_first_large_answer_is_missed_never() {
        let mut answer = payload(Shape::Unary, LARGE, 3).to_vec();
        assert_eq!(verdict(Shape::Unary, LARGE, vec![answer.clone().into()]).await, Ok(()));
        answer[LARGE - 1] ^= 1;
        verdict(Shape::Unary, LARGE, vec![answer.into()]).await.unwrap_err();
    }

    #[tokio::test]
    async fn a_later_large_answer_is_compared_in_samples() {
        let workload = Workload::new("test", Shape::Unary, LARGE, 1);
        let right = payload(Shape::Unary, LARGE, 3);
        let mut worker = Worker::new(Liar(vec![right.clone()]), &workload, 3);
        worker.call().await.unwrap();
        let mut wrong = right.to_vec();
        wrong[5 * 4096] ^= 1;
        worker.client = Liar(vec![wrong.into()]);
        worker.call().await.unwrap_err();
        worker.client = Liar(vec![right.slice(1..)]);
        worker.call().await.unwrap_err();
    }

    #[tokio::test]
    async fn items_that_are_wrong_missing_or_too_many_are_found() {
        for shape in [Shape::ServerStream, Shape::TwoWay] {
            let item = payload(shape, SMALL, 3);
            let mut items = vec![item; STREAM_ITEMS as usize];
            assert_eq!(verdict(shape, SMALL, items.clone()).await, Ok(()));
            verdict(shape, SMALL, items[1..].to_vec()).await.unwrap_err();
            items.push(items[0].clone());
            verdict(shape, SMALL, items.clone()).await.unwrap_err();
            items.pop();
            items[4] = payload(shape, SMALL, 5);
            verdict(shape, SMALL, items).await.unwrap_err();
        }
    }

    #[tokio::test]
    async fn a_wrong_tally_is_found() {
        let item = payload(Shape::ClientStream, SMALL, 3);
        let mut tally = Tally::default();
        (1..STREAM_ITEMS).for_each(|_| tally.add(&item));
        let short = Bytes::copy_from_slice(&tally.encode());
        verdict(Shape::ClientStream, SMALL, vec![short]).await.unwrap_err();
        tally.add(&item);
        let right = Bytes::copy_from_slice(&tally.encode());
        assert_eq!(verdict(Shape::ClientStream, SMALL, vec![right]).await, Ok(()));
    }

    #[test]
    fn an_ask_survives_the_wire() {
        let ask = Ask { items: 10, size: 70_000, fill: 9 };
        assert_eq!(Ask::decode(&ask.encode()).unwrap(), ask);
        Ask::decode(&ask.encode()[1..]).unwrap_err();
    }
}
