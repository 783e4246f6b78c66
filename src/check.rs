//! `evergate check`: finds misconfiguration before users do. Each check asks what is configured, without a user and without
//! changing anything, and says what it saw and what to do about it.

mod certificates;
mod database;
mod finding;
mod provider;
mod registration;
mod settings;
mod upstreams;

pub use finding::{Finding, Level, Report};

use crate::{clock::Clock, config::Checked};

/// Checks all that these settings name. `prepared` are what stands between the settings and the network.
pub async fn run(checked: &Checked, clock: &Clock) -> Report {
    let (provider, database, upstreams) =
        tokio::join!(provider::check(checked, clock), database::check(checked, clock), upstreams::check(checked),);
    let parts = [
        settings::check(checked),
        provider,
        database,
        certificates::check(checked, clock),
        upstreams,
        registration::check(checked),
    ];
    Report(parts.into_iter().flatten().collect())
}
