//! How large a response's head and trailers may be.

/// The largest head of a response, and the largest trailer section, in bytes.
pub const MAX_HEAD_BYTES: u32 = 128 * 1024;
/// The most fields of either. Bytes are the limit; this one bounds what is made of them.
pub const MAX_FIELDS: u32 = 256;
