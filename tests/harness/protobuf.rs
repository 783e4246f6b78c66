//! Protocol Buffers on the wire, written and read without the code under test.

/// A field that holds bytes.
pub fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut written = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length > 127 {
        written.push(u8::try_from(length % 128).unwrap() | 128);
        length /= 128;
    }
    written.push(u8::try_from(length).unwrap());
    written.extend(bytes);
    written
}

/// The fields of a message; of a number its bytes.
pub fn fields(mut message: &[u8]) -> Vec<(u8, &[u8])> {
    let mut fields = Vec::new();
    while let Some((tag, rest)) = message.split_first() {
        let (held, rest) = if tag & 7 == 1 {
            rest.split_at(8)
        } else {
            let end = rest.iter().position(|byte| byte & 128 == 0).unwrap() + 1;
            let (number, rest) = rest.split_at(end);
            let length = number.iter().rev().fold(0, |sum, byte| sum << 7 | usize::from(byte & 127));
            if tag & 7 == 2 { rest.split_at(length) } else { (number, rest) }
        };
        fields.push((tag >> 3, held));
        message = rest;
    }
    fields
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
