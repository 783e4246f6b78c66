//! Settings of `renewal`: when access tokens are renewed, and what an outage of the provider means.

use super::{
    reader::Reader,
    setting::{Section, Setting, ValueType, setting},
};
use crate::renewal;

/// The settings under their heading.
pub(super) const SECTION: Section =
    Section { title: "Token refresh (renewal)", settings: &[&RENEW_BEFORE, &OUTAGE_GRACE, &MAX_CONCURRENT_RENEWALS] };

const RENEW_BEFORE: Setting = setting(
    "oidc_renew_before",
    ValueType::Duration,
    "1m",
    "The background refresh window: how long before an access token expires Evergate refreshes (renews) it in the background. For short-lived tokens it is a third of their lifetime.",
);
const OUTAGE_GRACE: Setting = setting(
    "oidc_outage_grace",
    ValueType::Duration,
    "1h",
    "The grace period of an outage (serve stale): how long after its access token expired Evergate serves a session with the last verified identity, while the provider cannot renew it or after a renewal whose ID token cannot be verified. `0` answers 503 instead. An outage logs nobody out.",
);
const MAX_CONCURRENT_RENEWALS: Setting = setting(
    "oidc_max_concurrent_renewals",
    ValueType::Number,
    "32",
    "Concurrency limit: how many token refreshes (renewals) one replica makes at the same time.",
);

/// The renewal engine's settings.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<renewal::Settings> {
    let renew_before = reader.positive(&RENEW_BEFORE);
    let outage_grace = reader.duration(&OUTAGE_GRACE);
    let max_concurrent = reader.number(&MAX_CONCURRENT_RENEWALS);
    Some(renewal::Settings {
        renew_before: renew_before?,
        outage_grace: outage_grace?,
        max_concurrent: usize::try_from(max_concurrent?).unwrap_or(usize::MAX),
        // `check` fills this in, from the routes.
        claims: Vec::new(),
        reading: None,
    })
}
