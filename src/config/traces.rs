//! Settings of traces: whether there are any, and OpenTelemetry's own variables
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>), which are read where there are.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::{
    raw::OtelVariables,
    reader::Reader,
    setting::{Setting, ValueType, setting},
};
use crate::telemetry::traces::{Propagation, Sampler, SamplerError, TraceSettings};

pub(super) const TRACE_ENABLE: Setting = setting(
    "trace_enable",
    ValueType::Bool,
    "false",
    "Whether Evergate sends OpenTelemetry traces to a collector, by OTLP over HTTP. OpenTelemetry's own variables say where and which: `OTEL_EXPORTER_OTLP_ENDPOINT` (`http://localhost:4318`), `OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER` and others ([tracing.md](tracing.md)).",
);

const DEFAULT_ENDPOINT: &str = "http://localhost:4318";

/// The settings of traces; `None` where there are none.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<TraceSettings> {
    let is_enabled = reader.boolean(&TRACE_ENABLE)?;
    let mut variables = Variables { given: reader.otel(), problems: Vec::new(), warnings: Vec::new() };
    let is_off = variables.text(&["OTEL_SDK_DISABLED"]).is_some_and(|text| text.eq_ignore_ascii_case("true"))
        || variables.choice(&["OTEL_TRACES_EXPORTER"]).is_some_and(|text| text == "none");
    if !is_enabled || is_off {
        return None;
    }
    let settings = variables.settings();
    for (name, message) in variables.warnings {
        reader.variable_warning(name, message);
    }
    for (name, message) in variables.problems {
        reader.variable_problem(name, message);
    }
    settings
}

/// OpenTelemetry's variables while they are read. They are often given to all of a cluster at once, and the specification has a name or a
/// number that is not understood warned of and ignored. Where spans would go elsewhere, or without their key, it is a problem.
struct Variables<'a> {
    given: &'a OtelVariables,
    problems: Vec<(&'static str, String)>,
    warnings: Vec<(&'static str, String)>,
}

impl<'a> Variables<'a> {
    fn settings(&mut self) -> Option<TraceSettings> {
        if self.choice(&["OTEL_TRACES_EXPORTER"]).is_some_and(|exporter| exporter != "otlp") {
            self.ignored("OTEL_TRACES_EXPORTER", "otlp", "otlp or none");
        }
        let protocol = self.choice(&["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]);
        if protocol.is_some_and(|protocol| protocol != "http/protobuf") {
            let known = "http/protobuf alone, over HTTP (a collector's port 4318)";
            self.ignored("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", known);
        }
        let compression = self.choice(&["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"]);
        let is_compressed = match compression.as_deref() {
            Some("gzip") => true,
            Some("none") | None => false,
            Some(_) => {
                self.ignored("OTEL_EXPORTER_OTLP_COMPRESSION", "none", "gzip or none");
                false
            }
        };
        let sampler = self.sampler();
        let file = |name| self.text(&[name]).map(PathBuf::from);
        let ca_file = file("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE").or_else(|| file("OTEL_EXPORTER_OTLP_CERTIFICATE"));
        let chain =
            file("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE").or_else(|| file("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"));
        let key = file("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY").or_else(|| file("OTEL_EXPORTER_OTLP_CLIENT_KEY"));
        if chain.is_some() != key.is_some() {
            self.problem("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "must be set together with OTEL_EXPORTER_OTLP_CLIENT_KEY");
        }
        let (endpoint, headers) = (self.endpoint(), self.headers());
        let timeout = self.millis(&["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"], 10_000);
        let batch_timeout = self.millis(&["OTEL_BSP_EXPORT_TIMEOUT"], 30_000);
        // As in other implementations, which limit nothing then.
        let unless_zero = |limit: Duration| if limit.is_zero() { Duration::MAX } else { limit };
        let delay = self.millis(&["OTEL_BSP_SCHEDULE_DELAY"], 5_000);
        let max_queue = self.count("OTEL_BSP_MAX_QUEUE_SIZE", 2048);
        let max_batch = self.count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512).min(max_queue);
        let own_limit = self.text(&["OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT"]).map(|_| "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT");
        let max_attribute = self.count(own_limit.unwrap_or("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"), 1024);
        let (resource, propagation) = (self.resource(), self.propagation());
        Some(TraceSettings {
            endpoint: endpoint?,
            headers,
            timeout: unless_zero(timeout),
            batch_timeout: unless_zero(batch_timeout),
            is_compressed,
            ca_file,
            client_certificate: chain.zip(key),
            resource,
            sampler,
            propagation,
            max_queue,
            max_batch,
            max_attribute,
            delay,
        })
    }

    /// The first of these variables that is set. An empty one is not.
    fn text(&self, names: &[&str]) -> Option<&'a str> {
        let texts = names.iter().filter_map(|name| self.given.0.get(*name)).map(|value| value.expose().trim());
        texts.into_iter().find(|text| !text.is_empty())
    }

    /// The same where a name is chosen, in any case.
    fn choice(&self, names: &[&str]) -> Option<String> {
        self.text(names).map(str::to_ascii_lowercase)
    }

    /// Notes that a variable is ignored, and what counts instead. `known` is what would not be.
    fn ignored(&mut self, name: &'static str, instead: &str, known: &str) {
        self.warnings.push((name, format!("is ignored, and {instead} counts: Evergate knows {known}")));
    }

    fn sampler(&mut self) -> Sampler {
        let name = self.choice(&["OTEL_TRACES_SAMPLER"]).unwrap_or_else(|| "parentbased_always_on".to_owned());
        match Sampler::parse(&name, self.text(&["OTEL_TRACES_SAMPLER_ARG"])) {
            Ok(sampler) => sampler,
            Err(SamplerError::Name) => {
                let known = "always_on, always_off, traceidratio, and each of them after parentbased_";
                self.ignored("OTEL_TRACES_SAMPLER", "parentbased_always_on", known);
                Sampler { follows_parent: true, ratio: 1.0 }
            }
            Err(SamplerError::Ratio { follows_parent }) => {
                self.ignored("OTEL_TRACES_SAMPLER_ARG", "1", "ratios from 0 to 1");
                Sampler { follows_parent, ratio: 1.0 }
            }
        }
    }

    fn problem(&mut self, name: &'static str, message: impl Into<String>) {
        self.problems.push((name, message.into()));
    }

    /// The address of traces: as it stands, or else below the address of all that is exported.
    fn endpoint(&mut self) -> Option<Uri> {
        let own = self.text(&["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]).map(str::to_owned);
        let of_all = || self.text(&["OTEL_EXPORTER_OTLP_ENDPOINT"]).unwrap_or(DEFAULT_ENDPOINT);
        let text = own.unwrap_or_else(|| {
            let (base, query) = of_all().split_at(of_all().find('?').unwrap_or(of_all().len()));
            format!("{}/v1/traces{query}", base.trim_end_matches('/'))
        });
        let is_http =
            |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty());
        let parsed = text.parse::<Uri>().ok().filter(is_http);
        if parsed.is_none() {
            self.problem("OTEL_EXPORTER_OTLP_ENDPOINT", "must be an address like http://localhost:4318");
        }
        parsed
    }

    fn headers(&mut self) -> HeaderMap {
        let text = self.text(&["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"]).unwrap_or_default();
        let parsed = pairs(text).and_then(|pairs| {
            let line =
                |(name, value): (String, String)| Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?));
            pairs.into_iter().map(line).collect::<Option<Vec<_>>>()
        });
        let Some(lines) = parsed else {
            self.problem("OTEL_EXPORTER_OTLP_HEADERS", "must be headers as in api-key=secret,x-tenant=1");
            return HeaderMap::new();
        };
        let mut headers = HeaderMap::new();
        for (name, mut value) in lines {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        headers
    }

    /// What every span is of. The service's name has a variable of its own, which counts more.
    fn resource(&mut self) -> Vec<(String, String)> {
        let mut resource = BTreeMap::from([
            ("service.name".to_owned(), env!("CARGO_PKG_NAME").to_owned()),
            ("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("telemetry.sdk.language".to_owned(), "rust".to_owned()),
            ("telemetry.sdk.name".to_owned(), env!("CARGO_PKG_NAME").to_owned()),
            ("telemetry.sdk.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ]);
        match pairs(self.text(&["OTEL_RESOURCE_ATTRIBUTES"]).unwrap_or_default()) {
            Some(attributes) => resource.extend(attributes),
            None => {
                self.ignored("OTEL_RESOURCE_ATTRIBUTES", "nothing", "attributes as in deployment.environment.name=production")
            }
        }
        let name = self.text(&["OTEL_SERVICE_NAME"]).map(str::to_owned);
        resource.extend(name.map(|name| ("service.name".to_owned(), name)));
        resource.into_iter().collect()
    }

    fn propagation(&mut self) -> Propagation {
        let given = self.choice(&["OTEL_PROPAGATORS"]).unwrap_or_default();
        let names = given.split(',').map(str::trim).filter(|name| !name.is_empty());
        // Baggage is the client's to send and the app's to read: it passes as it is.
        let (known, unknown): (Vec<_>, Vec<_>) = names.partition(|name| matches!(*name, "tracecontext" | "baggage" | "none"));
        let instead = if known.is_empty() { "tracecontext,baggage".to_owned() } else { known.join(",") };
        if !unknown.is_empty() {
            self.ignored("OTEL_PROPAGATORS", &instead, "tracecontext, baggage and none");
        }
        if instead.split(',').any(|name| name == "tracecontext") { Propagation::TraceContext } else { Propagation::None }
    }

    /// A time in milliseconds, of the first of these variables that is set.
    fn millis(&mut self, names: &[&'static str], default: u64) -> Duration {
        let Some(name) = names.iter().copied().find(|name| self.text(&[name]).is_some()) else {
            return Duration::from_millis(default);
        };
        let parsed = self.text(&[name]).and_then(|text| text.parse().ok());
        Duration::from_millis(parsed.unwrap_or_else(|| {
            self.ignored(name, &default.to_string(), "numbers of milliseconds");
            default
        }))
    }

    fn count(&mut self, name: &'static str, default: usize) -> usize {
        let parsed =
            self.text(&[name]).map_or(Some(default), |text| text.parse().ok().filter(|count| (1..=1_000_000).contains(count)));
        parsed.unwrap_or_else(|| {
            self.ignored(name, &default.to_string(), "numbers from 1 to 1000000");
            default
        })
    }
}

/// Pairs as the specification has them: `name=value`, separated by commas, percent-encoded. `None`: something is no pair.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    text.split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let (name, value) = (percent_decoded(name.trim())?, percent_decoded(value.trim())?);
            (!name.is_empty()).then_some((name, value))
        })
        .collect()
}

/// A text whose `%xx` are bytes of UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        if first != b'%' {
            bytes.push(first);
            rest = after;
            continue;
        }
        let (digits, after) = after.split_at_checked(2)?;
        let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok().filter(|_| is_hex)?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    type Warnings = Vec<(&'static str, String)>;

    fn read(variables: &[(&str, &str)]) -> Result<TraceSettings, Vec<&'static str>> {
        read_with_warnings(variables).map(|(settings, _)| settings)
    }

    fn read_with_warnings(variables: &[(&str, &str)]) -> Result<(TraceSettings, Warnings), Vec<&'static str>> {
        let given = variables.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value))).collect();
        let given = OtelVariables(given);
        let mut variables = Variables { given: &given, problems: Vec::new(), warnings: Vec::new() };
        let settings = variables.settings();
        if variables.problems.is_empty() {
            Ok((settings.unwrap(), variables.warnings))
        } else {
            Err(variables.problems.into_iter().map(|(name, _)| name).collect())
        }
    }

    #[test]
    fn what_is_not_set_is_as_the_specification_has_it() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.endpoint, "http://localhost:4318/v1/traces");
        assert_eq!((settings.timeout, settings.delay), (Duration::from_secs(10), Duration::from_secs(5)));
        assert_eq!((settings.max_queue, settings.max_batch, settings.max_attribute), (2048, 512, 1024));
        assert_eq!(settings.sampler, Sampler { follows_parent: true, ratio: 1.0 });
        assert_eq!((settings.propagation, settings.is_compressed), (Propagation::TraceContext, false));
        assert!(settings.resource.contains(&("service.name".to_owned(), "evergate".to_owned())));
    }

    #[test]
    fn a_process_names_itself_in_its_spans_unless_it_is_named() {
        let id = |settings: TraceSettings| {
            let named = settings.of_instance([0xff; 16]).resource.into_iter().filter(|(name, _)| name == "service.instance.id");
            named.map(|(_, id)| id).collect::<Vec<_>>()
        };
        assert_eq!(id(read(&[]).unwrap()), ["ffffffff-ffff-4fff-bfff-ffffffffffff"]);
        assert_eq!(id(read(&[("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=pod-7")]).unwrap()), ["pod-7"]);
    }

    #[test]
    fn variables_of_traces_come_before_those_of_all_that_is_exported() {
        let settings = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example/otlp/"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b,x-tenant=1"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_SERVICE_NAME", "login"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,deployment.environment.name=prod%2C1"),
            ("OTEL_PROPAGATORS", "none"),
        ])
        .unwrap();
        assert_eq!(settings.endpoint, "https://collector.example/otlp/v1/traces");
        assert_eq!(
            (&settings.headers["api-key"], &settings.headers["x-tenant"]),
            (&"a b".parse().unwrap(), &"1".parse().unwrap())
        );
        assert!(!format!("{:?}", settings.headers).contains("a b"), "a header may be a key");
        assert_eq!((settings.timeout, settings.is_compressed), (Duration::from_millis(250), true));
        for pair in [("service.name", "login"), ("deployment.environment.name", "prod,1")] {
            assert!(settings.resource.contains(&(pair.0.to_owned(), pair.1.to_owned())), "{pair:?}");
        }
        assert_eq!(settings.propagation, Propagation::None);
        let own = read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a"), ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://b:1/x")]);
        assert_eq!(own.unwrap().endpoint, "http://b:1/x", "as it stands");
        let query = read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c/pre/?tenant=a/b")]).unwrap();
        assert_eq!(query.endpoint, "http://c/pre/v1/traces?tenant=a/b");
    }

    #[test]
    fn a_name_or_a_number_that_is_not_understood_is_warned_of_and_ignored() {
        let unset = format!("{:?}", read(&[]).unwrap());
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a=%zz"),
            ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_TRACES_EXPORTER", "otlp,none"),
            ("OTEL_PROPAGATORS", "b3"),
            ("OTEL_PROPAGATORS", "tracecontext,b3"),
            ("OTEL_BSP_SCHEDULE_DELAY", "-1"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
            ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "long"),
        ] {
            let (settings, warnings) = read_with_warnings(&[(name, value)]).unwrap();
            assert_eq!(format!("{settings:?}"), unset, "{name}={value}");
            let [(named, message)] = &warnings[..] else { panic!("{name}={value}: {warnings:?}") };
            assert!(*named == name && message.starts_with("is ignored, and "), "{warnings:?}");
        }
        let (settings, warnings) =
            read_with_warnings(&[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "some")]).unwrap();
        assert_eq!((settings.sampler, warnings[0].0), (Sampler { follows_parent: false, ratio: 1.0 }, "OTEL_TRACES_SAMPLER_ARG"));
    }

    #[test]
    fn zero_is_no_delay_and_no_limit_and_an_empty_variable_is_not_set() {
        let (settings, warnings) = read_with_warnings(&[
            ("OTEL_BSP_SCHEDULE_DELAY", "0"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ""),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"),
            ("OTEL_TRACES_SAMPLER", "Always_Off"),
            ("OTEL_PROPAGATORS", "NONE"),
        ])
        .unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!((settings.delay, settings.timeout), (Duration::ZERO, Duration::MAX));
        assert_eq!((settings.sampler.ratio, settings.propagation), (0.0, Propagation::None));
        assert_eq!(settings.endpoint, "http://c/v1/traces");
    }

    #[test]
    fn what_cannot_be_meant_is_a_problem() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api key=1"),
            ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/a.pem"),
        ] {
            assert_eq!(read(&[(name, value)]).unwrap_err(), [name], "{value}");
        }
    }
}
