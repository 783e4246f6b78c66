//! The body of a response as it is read, whichever way its end is told.

use bytes::{Bytes, BytesMut};
use hyper::body::{Frame, SizeHint};

use super::{
    chunks::{ChunkDecoder, Decoded},
    error::Http1Error,
    response_head::BodyLength,
};

/// Decodes the body of a response.
#[derive(Debug)]
pub enum BodyDecoder {
    /// So many bytes are left.
    Exact(u64),
    /// The body comes in chunks.
    Chunked(ChunkDecoder),
    /// The connection ends with it.
    UntilClose,
}

/// What comes next in a body.
#[derive(Debug)]
pub enum BodyStep {
    /// A piece; more may follow.
    Frame(Frame<Bytes>),
    /// The end, with the last piece if there is one.
    Last(Option<Frame<Bytes>>),
    /// Nothing, until more bytes have come.
    NeedsInput,
}

impl BodyDecoder {
    /// A decoder of a whole body.
    pub fn new(length: BodyLength) -> Self {
        match length {
            BodyLength::Exact(bytes) => Self::Exact(bytes),
            BodyLength::Chunked => Self::Chunked(ChunkDecoder::default()),
            BodyLength::UntilClose => Self::UntilClose,
        }
    }

    /// Takes what comes next off the front of `buffer`.
    ///
    /// # Errors
    /// [`Http1Error`] if this is not a body as the head announced it.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<BodyStep, Http1Error> {
        Ok(match self {
            Self::Exact(0) => BodyStep::Last(None),
            Self::Exact(_) | Self::UntilClose if buffer.is_empty() => BodyStep::NeedsInput,
            Self::Exact(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                *left -= here as u64;
                let frame = Frame::data(buffer.split_to(here).freeze());
                if *left == 0 { BodyStep::Last(Some(frame)) } else { BodyStep::Frame(frame) }
            }
            Self::Chunked(chunks) => match chunks.decode(buffer)? {
                Some(Decoded::Data(data)) => BodyStep::Frame(Frame::data(data)),
                Some(Decoded::End(trailers)) => BodyStep::Last(trailers.map(Frame::trailers)),
                None => BodyStep::NeedsInput,
            },
            Self::UntilClose => BodyStep::Frame(Frame::data(buffer.split().freeze())),
        })
    }

    /// What comes last when the connection ends here.
    ///
    /// # Errors
    /// [`Http1Error::UnexpectedEnd`] if the body is not complete.
    pub fn end_of_connection(&self) -> Result<(), Http1Error> {
        match self {
            Self::UntilClose => Ok(()),
            Self::Exact(_) | Self::Chunked(_) => Err(Http1Error::UnexpectedEnd),
        }
    }

    /// How many bytes are still to come, where that is known.
    pub fn size_hint(&self) -> SizeHint {
        match self {
            Self::Exact(left) => SizeHint::with_exact(*left),
            Self::Chunked(_) | Self::UntilClose => SizeHint::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes a body that comes in pieces and ends with the connection: its data, and how many bytes behind it are left.
    fn decode<'a>(length: BodyLength, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(Vec<u8>, usize), Http1Error> {
        let (mut decoder, mut buffer, mut body) = (BodyDecoder::new(length), BytesMut::new(), Vec::new());
        let mut pieces = pieces.into_iter();
        let mut take = |frame: Frame<Bytes>| body.extend(frame.into_data().unwrap_or_default());
        loop {
            match decoder.decode(&mut buffer)? {
                BodyStep::Frame(frame) => take(frame),
                BodyStep::Last(frame) => {
                    frame.into_iter().for_each(take);
                    return Ok((body, buffer.len() + pieces.map(<[u8]>::len).sum::<usize>()));
                }
                BodyStep::NeedsInput => match pieces.next() {
                    Some(piece) => buffer.extend_from_slice(piece),
                    None => return decoder.end_of_connection().map(|()| (body, 0)),
                },
            }
        }
    }

    #[test]
    fn a_body_ends_where_its_head_said_however_it_is_split() {
        let text = b"5\r\nhello\r\n0\r\n\r\nmore";
        for (length, body, left) in [
            (BodyLength::Exact(0), &b""[..], text.len()),
            (BodyLength::Exact(10), &b"5\r\nhello\r\n"[..], text.len() - 10),
            (BodyLength::Chunked, b"hello", 4),
            (BodyLength::UntilClose, text, 0),
        ] {
            for at in 0..=text.len() {
                let (first, second) = text.split_at(at);
                assert_eq!(decode(length, [first, second]).unwrap(), (body.to_vec(), left), "{length:?} at {at}");
            }
        }
    }

    #[test]
    fn a_body_that_ends_too_early_is_not_taken_for_a_whole_one() {
        for length in [BodyLength::Exact(6), BodyLength::Chunked] {
            assert!(matches!(decode(length, [&b"5\r\nhe"[..4]]), Err(Http1Error::UnexpectedEnd)), "{length:?}");
        }
        assert!(decode(BodyLength::UntilClose, [&b"he"[..]]).is_ok());
    }
}
