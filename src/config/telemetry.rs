//! Settings of `telemetry`: logs, metrics, traces.

use super::{
    reader::Reader,
    setting::{Section, Setting, ValueType, setting},
    traces, values,
};
use crate::telemetry::{self, AccessLog, Fields, LogFilter, LogOutput, LoggedUser, SampleRatio};

/// The settings under their heading.
pub(super) const SECTION: Section = Section {
    title: "Operations",
    settings: &[
        &LOG_FILTER,
        &LOGGING_JSON,
        &ACCESS_LOG_USER,
        &ACCESS_LOG_FIELDS,
        &ACCESS_LOG_SAMPLE_RATIO,
        &PROMETHEUS_ENABLE,
        &PROMETHEUS_ADDRESS,
        &traces::TRACE_ENABLE,
    ],
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
    "Whether log lines are JSON. Not set: text on a terminal, JSON elsewhere. A path, as in Coder, writes JSON there: `/dev/stderr`, `/dev/stdout` or a file, to which Evergate appends, and which it opens again at SIGHUP.",
);
const ACCESS_LOG_USER: Setting = setting(
    "access_log_user",
    ValueType::Text,
    "hash",
    "How the access line names the user (`user.id`): `hash` tells users apart and does not name them, `subject` is the `sub` claim, `none` leaves it out.",
);
const ACCESS_LOG_FIELDS: Setting = setting(
    "access_log_fields",
    ValueType::List,
    "",
    "What an access line tells besides `request.id`, as in `http.request.method,url.path,http.response.status_code`; [data-plane.md](data-plane.md#the-access-log) lists the attributes. Not set: all.",
);
const ACCESS_LOG_SAMPLE_RATIO: Setting = setting(
    "access_log_sample_ratio",
    ValueType::Text,
    "1",
    "The share of access lines that Evergate writes, between 0 and 1. Lines of requests that failed (status 400 or above, or a gRPC status that is not OK), were refused or sent to a login, or broke off are always written.",
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
    let sample = reader.parsed(&ACCESS_LOG_SAMPLE_RATIO, |text| {
        SampleRatio::parse(text).ok_or_else(|| "must be a number between 0 and 1, as in 0.1".to_owned())
    });
    let fields = match reader.list(&ACCESS_LOG_FIELDS) {
        names if names.is_empty() => Some(Fields::ALL),
        names => Fields::named(&names)
            .map_err(|name| reader.problem(&ACCESS_LOG_FIELDS, format!("names {name}, which is no attribute of the access line")))
            .ok(),
    };
    let address = reader.parsed(&PROMETHEUS_ADDRESS, values::address);
    let enabled = reader.boolean(&PROMETHEUS_ENABLE);
    let metrics_address = Some(address?).filter(|_| enabled == Some(true));
    let access_log = AccessLog { user: logged_user?, fields: fields?, sample: sample? };
    let traces = traces::read(reader);
    Some(telemetry::Settings { json, output, filter: filter?, access_log, metrics_address, traces })
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
