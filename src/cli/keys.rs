//! `evergate keys`.

use super::say;
use crate::seal::KeyRing;

/// Prints a new key for `CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS`.
pub(super) fn generate() -> anyhow::Result<()> {
    say(&format!("{}\n", KeyRing::generate()));
    Ok(())
}
