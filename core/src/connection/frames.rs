//! Frames that are written one behind the other, several of them at once where the transport can.

use std::collections::VecDeque;
use std::io::IoSlice;

use crate::websocket::Channel;

/// Full frames are fetched together until they have so many bytes: with the last one, about what a
/// link's task writes before others have their turn.
pub(super) const TOGETHER: usize = 48 * 1024;

/// Frames that may have overtaken others, at a time: what waits behind them is still counted by the
/// queue that it waits in.
const OVERTAKING: usize = 8;

/// Frames that are fetched, in their order.
#[derive(Debug, Default)]
pub(super) struct Frames {
    queue: VecDeque<Frame>,
    /// Bytes of the first one have been written.
    begun: bool,
}

#[derive(Debug)]
struct Frame {
    /// `buf[at..]` is to be written; until it is sealed, its header is missing in front.
    buf: Vec<u8>,
    at: usize,
    /// It was pushed, and did not overtake.
    pushed: bool,
}

impl Frames {
    /// Whether all are written.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether there is more than one.
    pub(super) fn has_several(&self) -> bool {
        self.queue.len() > 1
    }

    /// Puts a frame that is not sealed behind the others.
    pub(super) fn push(&mut self, buf: Vec<u8>, start: usize) {
        self.queue.push_back(Frame { buf, at: start, pushed: true });
    }

    /// Makes frames of all that was pushed.
    pub(super) fn seal(&mut self, channel: &mut Channel) {
        for frame in &mut self.queue {
            frame.at = channel.seal(&mut frame.buf, frame.at);
        }
    }

    /// Puts a sealed frame in front of those that were pushed and are not begun, behind those that have
    /// overtaken them already.
    pub(super) fn overtake(&mut self, buf: Vec<u8>, at: usize) {
        self.queue.insert(self.first_untouched(), Frame { buf, at, pushed: false });
    }

    /// Whether what waits for them would wait for more than one, and may overtake.
    pub(super) fn can_be_overtaken(&self) -> bool {
        let overtaking = self.first_untouched() - usize::from(self.begun);
        self.untouched() > 0 && self.has_several() && overtaking < OVERTAKING
    }

    /// How many of those that were pushed are not begun.
    pub(super) fn untouched(&self) -> usize {
        self.queue.len() - self.first_untouched()
    }

    /// Drops those that were pushed and are not begun.
    pub(super) fn take_back(&mut self) {
        self.queue.truncate(self.first_untouched());
    }

    fn first_untouched(&self) -> usize {
        let begun = usize::from(self.begun);
        begun + self.queue.iter().skip(begun).take_while(|frame| !frame.pushed).count()
    }

    /// The first bytes to be written.
    pub(super) fn front(&self) -> &[u8] {
        self.queue.front().map_or(&[], |frame| &frame.buf[frame.at..])
    }

    /// What is to be written, as far as there are slices for it; gives how many are used.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let frames = self.queue.iter().zip(slices);
        frames.map(|(frame, slice)| *slice = IoSlice::new(&frame.buf[frame.at..])).count()
    }

    /// So many bytes of them were written; the buffers of whole frames that were pushed are put into
    /// `spent`.
    pub(super) fn advance(&mut self, mut bytes: usize, spent: &mut Vec<Vec<u8>>) {
        while bytes > 0
            && let Some(frame) = self.queue.front_mut()
        {
            let left = frame.buf.len() - frame.at;
            bytes += usize::from(planted!(PartialWriteSkipsByte, bytes < left));
            self.begun = bytes < left;
            if self.begun {
                frame.at += bytes;
                return;
            }
            bytes -= left;
            let frame = self.queue.pop_front();
            spent.extend(frame.filter(|frame| frame.pushed).map(|frame| frame.buf));
        }
    }

    /// Gives back the memory that is not holding anything.
    pub(super) fn shrink(&mut self) {
        self.queue.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::Role;

    /// Room in front of a payload.
    const ROOM: usize = 14;

    /// Frames with payloads of these lengths, each of four bytes more.
    fn frames(lens: &[usize]) -> Frames {
        let mut frames = Frames::default();
        lens.iter().for_each(|len| frames.push(vec![7; ROOM + len], ROOM));
        frames.seal(&mut Channel::new(Role::Server, 1 << 20, 1));
        frames
    }

    /// The lengths of what is to be written.
    fn lens(frames: &Frames) -> Vec<usize> {
        let mut slices = [IoSlice::new(&[]); 4];
        let count = frames.slices(&mut slices);
        slices[..count].iter().map(|slice| slice.len()).collect()
    }

    #[test]
    fn what_would_wait_for_one_frame_waits_and_what_would_wait_for_more_overtakes() {
        let (mut frames, mut spent) = (frames(&[1000, 2000, 3000]), Vec::new());
        for (written, can) in [(0, true), (1, true), (1003, true), (1, true), (2003, false)] {
            frames.advance(written, &mut spent);
            assert_eq!(frames.can_be_overtaken(), can, "{:?}", lens(&frames));
        }
        frames.advance(1, &mut spent);
        assert!(!frames.can_be_overtaken(), "it is begun, and the last one");
    }

    #[test]
    fn so_many_overtake_at_a_time() {
        let (mut frames, mut spent) = (frames(&[1000, 2000]), Vec::new());
        let overtake = |frames: &mut Frames| {
            let mut count = 0;
            while frames.can_be_overtaken() {
                frames.overtake(vec![1; 10], 0);
                count += 1;
            }
            count
        };
        assert_eq!(overtake(&mut frames), OVERTAKING);
        frames.advance(25, &mut spent);
        assert_eq!(overtake(&mut frames), 3, "for those that are written or begun");
        assert_eq!(spent.len(), 0, "they are none of the pushed ones");
    }

    #[test]
    fn which_frames_have_not_been_begun_is_known_to_the_byte() {
        let (mut frames, mut spent) = (frames(&[1000, 2000, 3000]), Vec::new());
        assert_eq!((frames.untouched(), lens(&frames)), (3, vec![1004, 2004, 3004]));
        frames.advance(1, &mut spent);
        assert_eq!((frames.untouched(), lens(&frames)), (2, vec![1003, 2004, 3004]));
        frames.advance(1003, &mut spent);
        assert_eq!((frames.untouched(), lens(&frames), spent.len()), (2, vec![2004, 3004], 1));
        frames.advance(2005, &mut spent);
        assert_eq!((frames.untouched(), lens(&frames), spent.len()), (0, vec![3003], 2));
        assert_eq!(frames.front().len(), 3003);
        frames.advance(3003, &mut spent);
        assert_eq!((frames.untouched(), spent.len(), frames.is_empty()), (0, 3, true));
    }

    #[test]
    fn one_write_takes_parts_of_several_frames() {
        let (mut frames, mut spent) = (frames(&[1000, 2000, 3000]), Vec::new());
        frames.advance(1, &mut spent);
        frames.advance(1003 + 2004 + 4, &mut spent);
        assert_eq!((frames.untouched(), lens(&frames), spent.len()), (0, vec![3000], 2));
    }

    #[test]
    fn there_may_be_more_frames_than_slices() {
        let frames = frames(&[1; 9]);
        assert_eq!(lens(&frames), [3; 4]);
    }

    #[test]
    fn what_overtakes_goes_in_front_of_the_first_frame_that_is_not_begun() {
        let (mut frames, mut spent) = (frames(&[1000, 2000]), Vec::new());
        frames.overtake(vec![1; 12], 2);
        assert_eq!((frames.untouched(), lens(&frames)), (2, vec![10, 1004, 2004]));
        frames.advance(1, &mut spent);
        frames.overtake(vec![2; 20], 0);
        frames.overtake(vec![3; 30], 0);
        assert_eq!(lens(&frames), [9, 20, 30, 1004]);
        frames.advance(9 + 20 + 1, &mut spent);
        frames.overtake(vec![4; 40], 0);
        assert_eq!((frames.untouched(), lens(&frames)), (2, vec![29, 40, 1004, 2004]));
        frames.advance(29 + 40 + 1, &mut spent);
        frames.overtake(vec![5; 50], 0);
        assert_eq!((frames.untouched(), lens(&frames)), (1, vec![1003, 50, 2004]));
        frames.advance(1003 + 50 + 2004, &mut spent);
        assert!(frames.is_empty());
        frames.push(vec![0; ROOM + 1], ROOM);
        assert_eq!(frames.untouched(), 1);
    }

    #[test]
    fn what_has_overtaken_is_not_taken_back() {
        for (written, left) in [(0, vec![10]), (9, vec![1]), (10, vec![]), (11, vec![1003])] {
            let mut frames = frames(&[1000, 2000]);
            frames.overtake(vec![1; 10], 0);
            frames.advance(written, &mut Vec::new());
            frames.take_back();
            assert_eq!(lens(&frames), left, "{written}");
            assert_eq!(frames.untouched(), 0);
        }
    }

    #[test]
    fn what_is_taken_back_is_not_written_but_what_was_begun_is() {
        let mut spent = Vec::new();
        for (written, left) in [(0, vec![]), (1, vec![1003]), (1004, vec![]), (1005, vec![2003])] {
            let mut frames = frames(&[1000, 2000, 3000]);
            frames.advance(written, &mut spent);
            frames.take_back();
            assert_eq!(lens(&frames), left, "{written}");
        }
    }
}
