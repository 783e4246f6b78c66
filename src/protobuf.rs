//! The wire format of Protocol Buffers (<https://protobuf.dev/programming-guides/encoding/>), as far as messages of proto3 have it: what
//! Envoy asks over gRPC, and what a collector of traces is sent.

/// Bytes that are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message is no valid Protocol Buffers")]
pub struct Malformed;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number or an enumeration's.
    Number(u64),
    /// A text, bytes, or a message.
    Bytes(&'a [u8]),
    /// Of a fixed width, as nothing that is read here.
    Fixed,
}

/// The fields of a message, each with its number, in the order in which they were written.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(pub &'a [u8]);

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;
const FIXED32: u64 = 5;

impl<'a> Fields<'a> {
    /// The field that comes next; `None` at the end.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn next_field(&mut self) -> Result<Option<(u64, Value<'a>)>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            VARINT => Value::Number(self.varint()?),
            FIXED64 => self.take(8).map(|_| Value::Fixed)?,
            FIXED32 => self.take(4).map(|_| Value::Fixed)?,
            LENGTH_DELIMITED => {
                let length = self.varint()?;
                Value::Bytes(self.take(usize::try_from(length).map_err(|_| Malformed)?)?)
            }
            // Groups, which proto3 has not, and what nobody has defined.
            _ => return Err(Malformed),
        };
        if tag >> 3 == 0 { Err(Malformed) } else { Ok(Some((tag >> 3, value))) }
    }

    /// Seven bits a byte, the lowest first.
    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = *self.take(1)? else { return Err(Malformed) };
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }
}

/// A pair of texts: an entry of a map, or a `HeaderValue` whose value may be bytes instead (field 3).
///
/// # Errors
/// [`Malformed`].
pub fn pair(bytes: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let (mut fields, mut key, mut value) = (Fields(bytes), &[][..], &[][..]);
    while let Some((number, held)) = fields.next_field()? {
        match (number, held) {
            (1, Value::Bytes(text)) => key = text,
            (2 | 3, Value::Bytes(text)) if !text.is_empty() => value = text,
            _ => {}
        }
    }
    Ok((key, value))
}

/// A message that is being written.
#[derive(Clone, Debug, Default)]
pub struct Message(Vec<u8>);

impl Message {
    /// Adds a field that holds a number.
    pub fn number(&mut self, field: u64, number: u64) {
        self.varint(field << 3 | VARINT);
        self.varint(number);
    }

    /// Adds a field that holds a text or bytes.
    pub fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | LENGTH_DELIMITED);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// Adds a field that holds a number of a fixed width.
    pub fn fixed64(&mut self, field: u64, number: u64) {
        self.varint(field << 3 | FIXED64);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    /// Adds a field that holds a message.
    pub fn message(&mut self, field: u64, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(field, &inner.0);
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut number: u64) {
        while number > 0x7f {
            self.0.push(0x80 | u8::try_from(number & 0x7f).unwrap_or_default());
            number >>= 7;
        }
        self.0.push(u8::try_from(number).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<(u64, Value<'_>)>, Malformed> {
        let (mut fields, mut all) = (Fields(bytes), Vec::new());
        while let Some(field) = fields.next_field()? {
            all.push(field);
        }
        Ok(all)
    }

    #[test]
    fn fields_are_read_as_the_encoding_guide_writes_them() {
        // The guide's own examples.
        assert_eq!(all(&[0x08, 0x96, 0x01]), Ok(vec![(1, Value::Number(150))]));
        assert_eq!(all(b"\x12\x07testing"), Ok(vec![(2, Value::Bytes(b"testing"))]));
        let minus_two = [0x08, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(all(&minus_two), Ok(vec![(1, Value::Number((-2_i64).cast_unsigned()))]));
        assert_eq!(all(&[0x09, 0, 0, 0, 0, 0, 0, 0, 0, 0x15, 0, 0, 0, 0]), Ok(vec![(1, Value::Fixed), (2, Value::Fixed)]));
    }

    #[test]
    fn what_breaks_off_or_is_of_no_type_is_malformed() {
        for bytes in [
            &b"\x08"[..],
            b"\x08\x80",
            b"\x12\x08testing",
            b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
            b"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00",
            b"\x09\x00",
            b"\x0b\x0c",
            b"\x0e",
            b"\x00\x00",
        ] {
            assert_eq!(all(bytes), Err(Malformed), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(numbers in proptest::collection::vec((1_u64..1 << 29, any::<u64>()), 0..8), text in any::<Vec<u8>>()) {
            let mut message = Message::default();
            for (field, number) in &numbers {
                message.number(*field, *number);
            }
            message.bytes(7, &text);
            let written = message.into_bytes();
            let read = all(&written).unwrap();
            prop_assert_eq!(read.last(), Some(&(7, Value::Bytes(&text))));
            let expected: Vec<_> = numbers.iter().map(|(field, number)| (*field, Value::Number(*number))).collect();
            prop_assert_eq!(&read[..numbers.len()], &expected[..]);
        }
    }
}
