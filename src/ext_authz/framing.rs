//! How gRPC frames messages (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>): a flag, the length, the message.

/// Why a body is not one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// The message is compressed, which nobody was told to do (no `grpc-accept-encoding`).
    #[error("compressed messages are not read")]
    Compressed,
    /// The body breaks off, or holds more than a message.
    #[error("the body is not one message")]
    NotOneMessage,
}

const PREFIX: usize = 5;

/// The message of a call that has one.
///
/// # Errors
/// [`FramingError`].
pub fn unframed(body: &[u8]) -> Result<&[u8], FramingError> {
    let (&[flag, a, b, c, d], message) = body.split_first_chunk::<PREFIX>().ok_or(FramingError::NotOneMessage)?;
    if flag == 1 {
        return Err(FramingError::Compressed);
    }
    let is_whole = flag == 0 && usize::try_from(u32::from_be_bytes([a, b, c, d])) == Ok(message.len());
    if is_whole { Ok(message) } else { Err(FramingError::NotOneMessage) }
}

/// The body of a response that has one message.
pub fn frame(message: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(PREFIX + message.len());
    body.push(0);
    body.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    body.extend_from_slice(message);
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_one_message_that_is_not_compressed() {
        for message in [&b""[..], b"a", &[7; 70_000]] {
            assert_eq!(unframed(&frame(message)), Ok(message));
        }
        for (body, why) in [
            (&b""[..], FramingError::NotOneMessage),
            (b"\0\0\0\0", FramingError::NotOneMessage),
            (b"\0\0\0\0\x02a", FramingError::NotOneMessage),
            (b"\0\0\0\0\x01ab", FramingError::NotOneMessage),
            (b"\0\0\0\0\0\0\0\0\0\0", FramingError::NotOneMessage),
            (b"\x02\0\0\0\0", FramingError::NotOneMessage),
            (b"\0\xff\xff\xff\xffa", FramingError::NotOneMessage),
            (b"\x01\0\0\0\x01a", FramingError::Compressed),
        ] {
            assert_eq!(unframed(body), Err(why), "{body:?}");
        }
    }
}
