//! Settings of `telemetry`: logs and metrics.

use super::{
    reader::Reader,
    setting::{Section, Setting, ValueType, setting},
    values,
};
use crate::telemetry::{self, LoggedUser};

/// The settings under their heading.
pub(super) const SECTION: Section = Section {
    title: "Operations",
    settings: &[&LOG_FILTER, &LOGGING_JSON, &ACCESS_LOG_USER, &PROMETHEUS_ENABLE, &PROMETHEUS_ADDRESS],
};

const LOG_FILTER: Setting = setting(
    "log_filter",
    ValueType::Text,
    "info",
    "The log level by module, as in `info,evergate::access=off` (no access log) or `evergate=debug`.",
);
const LOGGING_JSON: Setting =
    setting("logging_json", ValueType::Bool, "", "Whether log lines are JSON. Not set: text on a terminal, JSON elsewhere.");
const ACCESS_LOG_USER: Setting = setting(
    "access_log_user",
    ValueType::Text,
    "hash",
    "How the access line names the user (`user.id`): `hash` tells users apart and does not name them, `subject` is the `sub` claim, `none` leaves it out.",
);
const PROMETHEUS_ENABLE: Setting = setting(
    "prometheus_enable",
    ValueType::Bool,
    "false",
    "Whether Evergate serves Prometheus metrics at `/metrics` on `prometheus_address`.",
);
const PROMETHEUS_ADDRESS: Setting =
    setting("prometheus_address", ValueType::Address, "127.0.0.1:2112", "The address and port that Evergate serves metrics on.");

/// The settings of logs and metrics.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<telemetry::Settings> {
    let filter = reader.parsed(&LOG_FILTER, |text| {
        tracing_subscriber::EnvFilter::try_new(text)
            .map(|_| text.to_owned())
            .map_err(|_| "must be a filter like info,evergate=debug".to_owned())
    });
    let json = reader.boolean(&LOGGING_JSON);
    let logged_user = reader.parsed(&ACCESS_LOG_USER, |text| match text {
        "none" => Ok(LoggedUser::None),
        "hash" => Ok(LoggedUser::Hash),
        "subject" => Ok(LoggedUser::Subject),
        _ => Err("must be hash, subject or none".to_owned()),
    });
    let address = reader.parsed(&PROMETHEUS_ADDRESS, values::address);
    let enabled = reader.boolean(&PROMETHEUS_ENABLE);
    let metrics_address = Some(address?).filter(|_| enabled == Some(true));
    Some(telemetry::Settings { json, filter: filter?, logged_user: logged_user?, metrics_address })
}
