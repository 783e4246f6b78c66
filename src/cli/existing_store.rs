//! What commands ask that do not serve: a store that is there.

use anyhow::bail;

use crate::store::Settings;

/// Fails where SQLite's file is not there. Whoever asks must not create it, or its keys: `serve` may run as another user, who could not
/// use them then.
pub(super) fn require_store(settings: &Settings) -> anyhow::Result<()> {
    match settings.file_to_come() {
        None => Ok(()),
        Some(path) => bail!("there is no store yet: {} is created by the first start, or by `evergate migrate`", path.display()),
    }
}
