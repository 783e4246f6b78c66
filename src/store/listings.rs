//! Sessions as an administrator sees them: all of them, a page at a time, or those that a name finds.

use super::{ListPosition, ListedSession, Store, StoreError, operation::Operation};

/// The bounds of what begins with a number of hexadecimal digits, both included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PrefixRange {
    pub(super) first: Vec<u8>,
    pub(super) last: Vec<u8>,
}

impl PrefixRange {
    /// `None`: not lower-case hexadecimal digits, or more than any identifier has.
    fn of(prefix: &str) -> Option<Self> {
        let digits =
            prefix.chars().map(|digit| digit.to_digit(16).filter(|_| !digit.is_ascii_uppercase())).collect::<Option<Vec<_>>>()?;
        if digits.len() > 64 {
            return None;
        }
        let bytes = |filler: u32| {
            let padded: Vec<u32> = digits.iter().copied().chain(std::iter::repeat_n(filler, 64 - digits.len())).collect();
            padded.chunks(2).filter_map(|pair| u8::try_from(pair.iter().fold(0, |byte, digit| byte * 16 + digit)).ok()).collect()
        };
        Some(Self { first: bytes(0), last: bytes(15) })
    }
}

impl Store {
    /// Lists a page of all sessions with their grants, the last login first, and says where the next page begins.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`], [`StoreError::Malformed`].
    pub async fn list_sessions(&self, after: ListPosition) -> Result<(Vec<ListedSession>, Option<ListPosition>), StoreError> {
        self.call(Operation::ListSessions, |connection| Box::pin(connection.list_sessions(after))).await
    }

    /// Finds the sessions of grants whose subject, user name or e-mail address may be `name`, the last login first. Whoever calls
    /// compares the names: one that is escaped in JSON is compared up to the first quotation mark.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`], [`StoreError::Malformed`].
    pub async fn sessions_named(&self, name: &str) -> Result<Vec<ListedSession>, StoreError> {
        self.call(Operation::SessionsNamed, |connection| Box::pin(connection.sessions_named(name))).await
    }

    /// Finds the sessions whose hash, or whose grant's id, begins with these lower-case hexadecimal digits.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`], [`StoreError::Malformed`].
    pub async fn sessions_by_prefix(&self, prefix: &str) -> Result<Vec<ListedSession>, StoreError> {
        let Some(range) = PrefixRange::of(prefix) else { return Ok(Vec::new()) };
        self.call(Operation::SessionsByPrefix, |connection| Box::pin(connection.sessions_by_prefix(&range))).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_range_of_what_begins_with_it() {
        let range = PrefixRange::of("0a1").unwrap();
        assert_eq!((&range.first[..3], &range.last[..3]), (&[0x0a, 0x10, 0][..], &[0x0a, 0x1f, 0xff][..]));
        assert_eq!((range.first.len(), range.last.len()), (32, 32));
        for odd in ["0A1", "ann@example.com", "xyz", &"0".repeat(65)] {
            assert_eq!(PrefixRange::of(odd), None, "{odd}");
        }
    }
}
