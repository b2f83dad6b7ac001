//! Several frames that are full, in one write.

use crate::websocket::Channel;

/// Frames are gathered until they have so many bytes: with the last one, about what a link's task
/// writes before others have their turn.
pub(super) const GATHER_LIMIT: usize = 48 * 1024;

/// Where each frame begins in what is written, so that one knows which have not been begun.
#[derive(Debug)]
pub(super) struct Gathered {
    starts: Vec<usize>,
}

impl Gathered {
    /// Puts the frames into `out`, one behind the other, and their buffers into `spent`.
    pub(super) fn gather(
        frames: impl Iterator<Item = (Vec<u8>, usize)>,
        channel: &mut Channel,
        out: &mut Vec<u8>,
        spent: &mut Vec<Vec<u8>>,
    ) -> Self {
        out.clear();
        let mut starts = Vec::new();
        for (mut buf, start) in frames {
            let begin = channel.seal(&mut buf, start);
            starts.push(out.len());
            out.extend_from_slice(&buf[begin..]);
            spent.push(buf);
        }
        Self { starts }
    }

    /// Puts a frame in front of the first one of which no byte is among the first `written`. It is
    /// none of those that were gathered.
    pub(super) fn insert(&mut self, frame: &[u8], written: usize, out: &mut Vec<u8>) {
        let Some((start, count)) = self.untouched(written) else { return };
        out.splice(start..start, frame.iter().copied());
        let first = self.starts.len() - count;
        self.starts[first..].iter_mut().for_each(|start| *start += frame.len());
    }

    /// Where the first frame begins of which no byte is among the first `written`, and how many
    /// there are from there on.
    pub(super) fn untouched(&self, written: usize) -> Option<(usize, usize)> {
        let first = self.starts.partition_point(|start| *start < written);
        let start = self.starts.get(first)?;
        Some((*start, self.starts.len() - first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::Role;

    #[test]
    fn which_frames_have_not_been_begun_is_known_to_the_byte() {
        let mut channel = Channel::new(Role::Server, 1 << 20, 1);
        let frames = [1000, 2000, 3000].map(|len| (vec![7; 14 + len], 14));
        let (mut out, mut spent) = (vec![1], Vec::new());
        let gathered = Gathered::gather(frames.into_iter(), &mut channel, &mut out, &mut spent);
        assert_eq!((out.len(), spent.len()), (3 * 4 + 6000, 3));
        assert_eq!(gathered.untouched(0), Some((0, 3)));
        assert_eq!(gathered.untouched(1), Some((1004, 2)));
        assert_eq!(gathered.untouched(1004), Some((1004, 2)));
        assert_eq!(gathered.untouched(1005), Some((3008, 1)));
        assert_eq!(gathered.untouched(3009), None);
    }

    #[test]
    fn what_overtakes_goes_in_front_of_the_first_frame_that_is_not_begun() {
        let mut channel = Channel::new(Role::Server, 1 << 20, 1);
        let frames = [1000, 2000, 3000].map(|len| (vec![7; 14 + len], 14));
        let (mut out, mut spent) = (Vec::new(), Vec::new());
        let mut gathered = Gathered::gather(frames.into_iter(), &mut channel, &mut out, &mut spent);
        gathered.insert(&[1; 10], 1, &mut out);
        gathered.insert(&[2; 10], 1, &mut out);
        assert_eq!(out[1004..1024], [[1; 10], [2; 10]].concat());
        assert_eq!(out.len(), 3 * 4 + 6000 + 20);
        assert_eq!(gathered.untouched(1), Some((1024, 2)));
        assert_eq!(gathered.untouched(1010), Some((1024, 2)), "within what was put in");
        assert_eq!(gathered.untouched(1025), Some((3028, 1)));
        gathered.insert(&[3; 10], 0, &mut out);
        assert_eq!(out[..11], [3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 0x82]);
    }
}
