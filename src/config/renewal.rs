//! Settings of `renewal`: when access tokens are renewed, and what an outage of the provider means.

use super::{
    reader::Reader,
    setting::{Section, Setting, ValueType, setting},
};
use crate::renewal;

/// The settings under their heading.
pub(super) const SECTION: Section =
    Section { title: "Renewal", settings: &[&RENEW_BEFORE, &OUTAGE_GRACE, &MAX_CONCURRENT_RENEWALS] };

const RENEW_BEFORE: Setting = setting(
    "oidc_renew_before",
    ValueType::Duration,
    "1m",
    "How long before an access token expires it is renewed in the background; for short-lived tokens a third of their life.",
);
const OUTAGE_GRACE: Setting = setting(
    "oidc_outage_grace",
    ValueType::Duration,
    "1h",
    "How long after its access token expired a session is served with the last verified identity while the provider cannot renew it, and after a renewal whose ID token cannot be verified. `0` answers 503 instead. Nobody is logged out by an outage.",
);
const MAX_CONCURRENT_RENEWALS: Setting =
    setting("oidc_max_concurrent_renewals", ValueType::Number, "32", "How many renewals one replica makes at the same time.");

/// The renewal engine's settings.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<renewal::Settings> {
    let renew_before = reader.positive(&RENEW_BEFORE);
    let outage_grace = reader.duration(&OUTAGE_GRACE);
    let max_concurrent = reader.number(&MAX_CONCURRENT_RENEWALS);
    Some(renewal::Settings {
        renew_before: renew_before?,
        outage_grace: outage_grace?,
        max_concurrent: usize::try_from(max_concurrent?).unwrap_or(usize::MAX),
    })
}
