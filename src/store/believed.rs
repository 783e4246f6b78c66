//! What is believed of a reading that may be old.

use super::StoreError;
use crate::reading::Reading;

impl<T> Reading<T> {
    /// The value, if it is as it is now.
    ///
    /// # Errors
    /// [`StoreError::Standby`]: it may be old.
    pub fn current(self) -> Result<T, StoreError> {
        match self {
            Self::Current(value) => Ok(value),
            Self::PerhapsOld(_) => Err(StoreError::Standby),
        }
    }
}

impl<T> Reading<Option<T>> {
    /// What was found, which may be old. That there is nothing is believed only of a reading as it is now.
    ///
    /// # Errors
    /// [`StoreError::Standby`]: there may be something.
    pub fn found(self) -> Result<Option<Reading<T>>, StoreError> {
        match self {
            Self::Current(found) => Ok(found.map(Reading::Current)),
            Self::PerhapsOld(Some(found)) => Ok(Some(Reading::PerhapsOld(found))),
            Self::PerhapsOld(None) => Err(StoreError::Standby),
        }
    }

    /// What was found, even if it is old.
    ///
    /// # Errors
    /// [`StoreError::Standby`]: there may be something.
    pub fn found_even_if_old(self) -> Result<Option<T>, StoreError> {
        Ok(self.found()?.map(Reading::even_if_old))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_lacks_that_takes_no_writes_may_be_there() {
        assert!(matches!(Reading::PerhapsOld(None::<()>).found(), Err(StoreError::Standby)));
        assert!(matches!(Reading::Current(None::<()>).found(), Ok(None)));
        assert!(matches!(Reading::PerhapsOld(Some(())).found(), Ok(Some(Reading::PerhapsOld(())))));
        assert!(matches!(Reading::PerhapsOld(Some(())).found_even_if_old(), Ok(Some(()))));
        assert!(Reading::PerhapsOld(()).current().is_err() && Reading::Current(()).current().is_ok());
    }
}
