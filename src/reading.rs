//! What was read of a database of which there may be copies: everything that was committed, or perhaps less.

/// What a read found. The value comes out of it by methods that say what an old one would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Reading<T> {
    /// As it is now.
    Current(T),
    /// As a server has it that takes no writes. It may be a standby that has not replayed everything: what it has may have changed or
    /// ended since, and what it lacks may be there.
    PerhapsOld(T),
}

impl<T> Reading<T> {
    /// Whether it is as it is now.
    pub fn is_current(&self) -> bool {
        match self {
            Self::Current(_) => true,
            Self::PerhapsOld(_) => false,
        }
    }

    /// The value, where an old one does no harm: it is told to people, or whatever is done by it fails if it is not true any more.
    pub fn even_if_old(self) -> T {
        match self {
            Self::Current(value) | Self::PerhapsOld(value) => value,
        }
    }

    /// The same reading of something that the value is made into.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Reading<U> {
        match self {
            Self::Current(value) => Reading::Current(make(value)),
            Self::PerhapsOld(value) => Reading::PerhapsOld(make(value)),
        }
    }

    /// This reading with another added to it, which is as it is now if both are.
    pub fn and<U>(self, other: Reading<U>, add: impl FnOnce(&mut T, U)) -> Self {
        let are_current = self.is_current() && other.is_current();
        let mut value = self.even_if_old();
        add(&mut value, other.even_if_old());
        if are_current { Self::Current(value) } else { Self::PerhapsOld(value) }
    }
}
