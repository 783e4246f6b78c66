//! Settings of `telemetry`: logs and metrics.

use super::{
    reader::Reader,
    setting::{Section, Setting, ValueType, setting},
    values,
};
use crate::telemetry::{self, LogFilter, LogOutput, LoggedUser};

/// The settings under their heading.
pub(super) const SECTION: Section = Section {
    title: "Operations",
    settings: &[&LOG_FILTER, &LOGGING_JSON, &ACCESS_LOG_USER, &PROMETHEUS_ENABLE, &PROMETHEUS_ADDRESS],
};

const LOG_FILTER: Setting = setting(
    "log_filter",
    ValueType::Text,
    "info",
    "The log level by module, as in `info,evergate::access=off` (no access log) or `evergate=debug`. Or, as in Coder, regular expressions separated by commas, as in `.*renew.*`: then Evergate writes everything from `info` on, and those of its own debug lines whose text or module matches one of them. A list without `=` that has one of `*+?^$(|\\` is a list of regular expressions.",
);
const LOGGING_JSON: Setting = setting(
    "logging_json",
    ValueType::Bool,
    "",
    "Whether log lines are JSON. Not set: text on a terminal, JSON elsewhere. A path, as in Coder, writes JSON there: `/dev/stderr`, `/dev/stdout` or a file, to which Evergate appends.",
);
const ACCESS_LOG_USER: Setting = setting(
    "access_log_user",
    ValueType::Text,
    "hash",
    "How the access line names the user (`user.id`): `hash` tells users apart and does not name them, `subject` is the `sub` claim, `none` leaves it out.",
);
pub(super) const PROMETHEUS_ENABLE: Setting = setting(
    "prometheus_enable",
    ValueType::Bool,
    "false",
    "Whether Evergate serves Prometheus metrics at `/metrics` on `prometheus_address`.",
);
pub(super) const PROMETHEUS_ADDRESS: Setting =
    setting("prometheus_address", ValueType::Address, "127.0.0.1:2112", "The address and port that Evergate serves metrics on.");

/// The settings of logs and metrics.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<telemetry::Settings> {
    let filter = reader.parsed(&LOG_FILTER, |text| LogFilter::parse(text).map_err(|error| error.to_string()));
    let (json, output) = reader.parsed(&LOGGING_JSON, log_output).unwrap_or((None, LogOutput::Stderr));
    let logged_user = reader.parsed(&ACCESS_LOG_USER, |text| match text {
        "none" => Ok(LoggedUser::None),
        "hash" => Ok(LoggedUser::Hash),
        "subject" => Ok(LoggedUser::Subject),
        _ => Err("must be hash, subject or none".to_owned()),
    });
    let address = reader.parsed(&PROMETHEUS_ADDRESS, values::address);
    let enabled = reader.boolean(&PROMETHEUS_ENABLE);
    let metrics_address = Some(address?).filter(|_| enabled == Some(true));
    Some(telemetry::Settings { json, output, filter: filter?, logged_user: logged_user?, metrics_address })
}

/// Whether lines are JSON, and where they go.
fn log_output(text: &str) -> Result<(Option<bool>, LogOutput), String> {
    let output = match text {
        "/dev/stderr" => LogOutput::Stderr,
        "/dev/stdout" => LogOutput::Stdout,
        path if path.contains('/') => LogOutput::File(path.into()),
        text => {
            let json = values::boolean(text).map_err(|_| "must be true, false, or a path like /dev/stderr".to_owned())?;
            return Ok((Some(json), LogOutput::Stderr));
        }
    };
    Ok((Some(true), output))
}
