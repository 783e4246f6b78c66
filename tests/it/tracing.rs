//! OpenTelemetry traces: what a collector is sent, and what other processes are told.

use std::{collections::BTreeMap, time::Duration};

use http::Method;
use serde_json::json;

use crate::harness::{
    Builder, World,
    eventually::{eventually, looking_each},
    otlp::{Behaviour, Collector, Span},
    process::Process,
    python::{self, Served},
    visitor::Visitor,
};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SERVER: u64 = 2;
const CLIENT: u64 = 3;

/// A world whose processes send their spans soon.
fn traced(collector: &Collector) -> Builder {
    World::build()
        .in_real_time()
        .set("trace_enable", "true")
        .set("proxy_trusted_origins", "127.0.0.1")
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())
        .variable("OTEL_BSP_SCHEDULE_DELAY", "50")
}

async fn signed_in(world: &World, process: &Process) -> Visitor {
    let visitor = Visitor::new(process.address);
    visitor.log_in(&world.idp, "/").await;
    visitor
}

/// The header that the app got.
fn told(world: &World, name: &str) -> String {
    world.upstream.last().header(name).unwrap_or_default().to_owned()
}

/// Asks within the trace of a trusted proxy, and waits for its spans.
async fn trace_of(collector: &Collector, visitor: &Visitor, path: &str) -> Vec<Span> {
    visitor
        .send(Method::GET, path, &[("traceparent", PARENT), ("tracestate", "their=1"), ("accept", "application/json")], "")
        .await;
    eventually("its own span is sent", async || collector.trace(TRACE).iter().any(|span| span.kind == SERVER)).await;
    collector.trace(TRACE)
}

#[tokio::test]
async fn a_request_is_a_span_in_the_trace_of_a_trusted_proxy_and_its_app_is_told_of_it() {
    let collector = Collector::start().await;
    let routes = "[[route]]\npath = \"/\"\n[[route]]\npath = \"/admin\"\ngroups = [\"admins\"]\n";
    let world = traced(&collector)
        .variable("OTEL_SERVICE_NAME", "login")
        .variable("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        .variable("OTEL_EXPORTER_OTLP_HEADERS", "api-key=key%201")
        .routes(|upstream| routes.replace("[[route]]\n", &format!("[[route]]\nupstream = \"{upstream}\"\n")))
        .start()
        .await;
    let process = world.process(None).await;
    let visitor = signed_in(&world, &process).await;
    let spans = trace_of(&collector, &visitor, "/doc?secret=hunter2").await;
    let named: BTreeMap<&str, &Span> = spans.iter().map(|span| (span.name.as_str(), span)).collect();
    let server = spans.iter().find(|span| span.kind == SERVER).unwrap();
    assert_eq!(
        (server.name.as_str(), server.parent_id.as_str(), server.state.as_str()),
        ("GET /", "b7ad6b7169203331", "their=1")
    );
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("http.route", "/"),
        ("url.path", "/doc"),
        ("url.scheme", "https"),
        ("server.address", "app.test"),
        ("client.address", "127.0.0.1"),
    ] {
        assert_eq!(server.attributes.get(name).map(String::as_str), Some(value), "{name} {server:?}");
    }
    assert!(!server.is_failed && server.ended_at > server.started_at);
    assert_eq!(server.resource["service.instance.id"].len(), 36, "{:?}", server.resource);
    assert!(!server.attributes.contains_key("server.port"), "its host names none");
    for (name, value) in [("service.name", "login"), ("deployment.environment.name", "test")] {
        assert_eq!(server.resource[name], value);
    }
    assert_eq!(named["authorize"].parent_id, server.span_id);
    let forward = spans.iter().find(|span| span.kind == CLIENT && span.name == "GET").unwrap();
    assert_eq!((&forward.parent_id, forward.attributes["server.address"].as_str()), (&server.span_id, "127.0.0.1"));
    assert_eq!(told(&world, "traceparent"), format!("00-{TRACE}-{}-01", forward.span_id));
    assert_eq!(told(&world, "tracestate"), "their=1");
    assert_eq!(collector.exports()[0]["api-key"], "key 1");
    let everything = format!("{:?}", collector.spans());
    for secret in ["hunter2", &visitor.session().unwrap(), "ann@example.com", "key 1", "code="] {
        assert!(!everything.contains(secret), "{secret} is in a span");
    }
    // A login is traced too, with its calls to the provider and the store.
    let calls: Vec<_> = collector.spans().into_iter().filter(|span| span.kind == CLIENT).collect();
    for name in ["/token", "save_login"] {
        assert!(calls.iter().any(|span| span.name.ends_with(name) && !span.parent_id.is_empty()), "{name} {calls:?}");
    }
}

#[tokio::test]
async fn the_span_of_a_request_that_found_no_app_names_the_app_and_an_unknown_method_is_told_beside_it() {
    let collector = Collector::start().await;
    let routes = "[[route]]\npath = \"/\"\n[[route]]\npath = \"/gone\"\nupstream = \"http://127.0.0.1:1\"\n";
    let world = traced(&collector).routes(|_| routes.to_owned()).start().await;
    let process = world.process(None).await;
    let visitor = signed_in(&world, &process).await;
    let headers = [("traceparent", PARENT), ("sec-fetch-site", "same-origin")];
    let path = format!("/gone/{}", "x".repeat(3000));
    let failed = visitor.send(Method::from_bytes(b"PROPFIND").unwrap(), &path, &headers, "").await;
    assert_eq!(failed.header("evergate-response"), "upstream_unreachable");
    eventually("its own span is sent", async || collector.trace(TRACE).iter().any(|span| span.kind == SERVER)).await;
    let spans = collector.trace(TRACE);
    let server = spans.iter().find(|span| span.kind == SERVER).unwrap();
    assert_eq!(server.name, "HTTP /gone");
    assert_eq!(server.attributes["url.path"].len(), 1024, "a client does not choose how large a span is");
    let forward = spans.iter().find(|span| span.kind == CLIENT && span.name == "HTTP").unwrap();
    for span in [server, forward] {
        let told = ["http.request.method", "http.request.method_original"].map(|name| span.attributes[name].as_str());
        assert_eq!(told, ["_OTHER", "PROPFIND"]);
    }
    let told = ["server.address", "server.port", "error.type"].map(|name| forward.attributes[name].as_str());
    assert_eq!(told, ["127.0.0.1", "1", "upstream_failed"]);
}

#[tokio::test]
async fn the_wait_for_a_token_refresh_and_its_token_call_are_spans_of_the_request_that_began_it() {
    let collector = Collector::start().await;
    let world = traced(&collector).start().await;
    world.idp.access_tokens_live(Some(json!(1)));
    let process = world.process(None).await;
    let visitor = signed_in(&world, &process).await;
    // The path of the token endpoint is the provider's.
    let is = |span: &Span, part: &str| if part == "/token" { span.name.ends_with(part) } else { span.name == part };
    // One that a request began and waited for, with all that it consists of.
    let has_one = |spans: &[Span]| {
        spans.iter().filter(|span| is(span, "token refresh")).any(|refresh| {
            let is_waited_for = spans.iter().any(|wait| is(wait, "wait for token refresh") && wait.span_id == refresh.parent_id);
            let has = |part: &str| spans.iter().any(|span| is(span, part) && span.parent_id == refresh.span_id);
            is_waited_for && ["/token", "begin_renewal", "save_renewal"].into_iter().all(has)
        })
    };
    // With a pause in which the token expires, or it would be refreshed in the background.
    looking_each(Duration::from_millis(1200), Duration::from_secs(60), "all of it is sent", async || {
        visitor.send(Method::GET, "/doc", &[("traceparent", PARENT), ("accept", "application/json")], "").await;
        has_one(&collector.trace(TRACE))
    })
    .await;
}

#[tokio::test]
async fn a_grpc_call_that_fails_by_the_app_s_fault_is_a_failed_span_though_its_status_is_200() {
    let (collector, app) = (Collector::start().await, Served::start("grpc_peer.py", &["serve"]));
    let world = traced(&collector)
        .set("upstream_url", &format!("http://127.0.0.1:{}", app.port))
        .set("upstream_protocol", "http2")
        .start()
        .await;
    let process = world.process(None).await;
    let cookie = signed_in(&world, &process).await.cookie_header();
    let output = python::run("grpc_peer.py", &["broken", &process.address.port().to_string(), &cookie]).await;
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "\"INTERNAL\"");
    let of_call =
        |span: &Span| span.kind == SERVER && span.attributes.get("url.path").is_some_and(|path| path == "/test.Echo/Broken");
    eventually("its span is sent", async || collector.spans().iter().any(of_call)).await;
    let span = collector.spans().into_iter().find(of_call).unwrap();
    let told = |name: &str| span.attributes.get(name).map(String::as_str);
    assert_eq!((told("http.response.status_code"), told("rpc.system")), (Some("200"), Some("grpc")));
    assert_eq!((told("rpc.grpc.status_code"), told("error.type"), span.is_failed), (Some("13"), Some("INTERNAL"), true));
}

#[tokio::test]
async fn spans_that_a_collector_rejects_with_status_200_are_told_of() {
    let collector = Collector::start().await;
    collector.behave(Behaviour::Rejects);
    let files = tempfile::tempdir().unwrap();
    let log = files.path().join("log");
    let world = traced(&collector).set("logging_json", log.to_str().unwrap()).start().await;
    let process = world.process(None).await;
    let visitor = signed_in(&world, &process).await;
    let complaints = || {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        log.lines().filter(|line| line.contains("does not take all spans") && line.contains("\"reason\":\"no room\"")).count()
    };
    eventually("it is told", async || complaints() == 1).await;
    let before = collector.exports().len();
    eventually("others were rejected", async || {
        visitor.fetch("/doc").await;
        collector.exports().len() > before + 2
    })
    .await;
    assert_eq!(complaints(), 1, "once");
}

#[tokio::test]
async fn a_client_that_is_not_trusted_says_nothing_of_traces() {
    let collector = Collector::start().await;
    let world = traced(&collector).without("proxy_trusted_origins").set("proxy_trusted_origins", "10.0.0.0/8").start().await;
    let process = world.process(None).await;
    let visitor = signed_in(&world, &process).await;
    visitor.send(Method::GET, "/doc", &[("traceparent", PARENT), ("tracestate", "their=1")], "").await;
    let parent = told(&world, "traceparent");
    assert!(parent.ends_with("-01") && !parent.contains(TRACE), "{parent}");
    assert_eq!(told(&world, "tracestate"), "");
    let own = parent.split('-').nth(1).unwrap().to_owned();
    eventually("its span is sent", async || {
        collector.trace(&own).iter().any(|span| span.kind == SERVER && span.parent_id.is_empty())
    })
    .await;
    assert!(collector.trace(TRACE).is_empty());
}

#[tokio::test]
async fn what_is_not_sampled_is_not_sent_and_whoever_is_asked_next_is_told_so() {
    let collector = Collector::start().await;
    let world = traced(&collector).variable("OTEL_TRACES_SAMPLER", "parentbased_always_off").start().await;
    let process = world.process(None).await;
    let visitor = signed_in(&world, &process).await;
    visitor.fetch("/doc").await;
    assert!(told(&world, "traceparent").ends_with("-00"), "{}", told(&world, "traceparent"));
    // The parent decides, and its spans come after all that would have come before.
    trace_of(&collector, &visitor, "/doc").await;
    assert!(collector.spans().iter().all(|span| span.trace_id == TRACE), "{:?}", collector.spans());
}

#[tokio::test]
async fn without_traces_headers_pass_as_they_are_and_nobody_is_called() {
    let collector = Collector::start().await;
    for off in [("trace_enable", "false", "OTEL_SDK_DISABLED", "false"), ("trace_enable", "true", "OTEL_SDK_DISABLED", "true")] {
        let world = traced(&collector).set(off.0, off.1).variable(off.2, off.3).start().await;
        let process = world.process(None).await;
        let visitor = signed_in(&world, &process).await;
        visitor.send(Method::GET, "/doc", &[("traceparent", PARENT)], "").await;
        assert_eq!(told(&world, "traceparent"), PARENT, "{off:?}");
        drop(process);
    }
    assert!(collector.exports().is_empty());
}

#[tokio::test]
async fn a_collector_that_is_slow_or_away_costs_a_request_nothing_and_what_it_misses_is_counted() {
    let collector = Collector::start().await;
    collector.behave(Behaviour::Holds);
    let world =
        traced(&collector).variable("OTEL_BSP_MAX_QUEUE_SIZE", "4").variable("OTEL_EXPORTER_OTLP_TIMEOUT", "100").start().await;
    let mut process = world.process(None).await;
    let visitor = signed_in(&world, &process).await;
    for _ in 0..30 {
        assert!(visitor.fetch("/doc").await.is_upstreams());
    }
    eventually("it is tried", async || !collector.exports().is_empty()).await;
    collector.behave(Behaviour::Takes);
    eventually("spans reach it again", async || {
        visitor.send(Method::GET, "/doc", &[("traceparent", PARENT)], "").await;
        !collector.trace(TRACE).is_empty()
    })
    .await;
    let kept = collector.spans().iter().filter(|span| span.kind == SERVER && span.trace_id != TRACE).count();
    assert!(kept < 30, "what found the queue full was dropped");
    // Nor does it hold up the end.
    collector.behave(Behaviour::Holds);
    visitor.fetch("/doc").await;
    assert!(process.stop().await, "it ends with 0");
}

#[tokio::test]
async fn spans_that_no_attempt_brings_away_in_time_make_room_for_others() {
    let collector = Collector::start().await;
    collector.behave(Behaviour::Holds);
    let world =
        traced(&collector).variable("OTEL_EXPORTER_OTLP_TIMEOUT", "0").variable("OTEL_BSP_EXPORT_TIMEOUT", "100").start().await;
    let process = world.process(None).await;
    let visitor = signed_in(&world, &process).await;
    eventually("it is tried", async || !collector.exports().is_empty()).await;
    collector.behave(Behaviour::Takes);
    assert!(!trace_of(&collector, &visitor, "/doc").await.is_empty());
}

#[tokio::test]
async fn variables_of_a_whole_cluster_that_it_does_not_understand_stop_neither_it_nor_its_traces() {
    let collector = Collector::start().await;
    let world = traced(&collector)
        .variable("OTEL_PROPAGATORS", "tracecontext,b3")
        .variable("OTEL_TRACES_SAMPLER", "jaeger_remote")
        .variable("OTEL_TRACES_EXPORTER", "otlp,none")
        .variable("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
        .variable("OTEL_BSP_SCHEDULE_DELAY", "0")
        .variable("OTEL_EXPORTER_OTLP_TIMEOUT", "0")
        .start()
        .await;
    let mut process = world.process(None).await;
    let visitor = signed_in(&world, &process).await;
    assert!(!trace_of(&collector, &visitor, "/doc").await.is_empty());
    assert!(process.stop().await, "it ends with 0");
}

#[tokio::test]
async fn the_last_spans_are_sent_before_the_end_and_log_lines_name_their_trace() {
    let collector = Collector::start().await;
    let files = tempfile::tempdir().unwrap();
    let log = files.path().join("log");
    let world = traced(&collector)
        .set("logging_json", log.to_str().unwrap())
        .variable("OTEL_BSP_SCHEDULE_DELAY", "3600000")
        .variable("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        .start()
        .await;
    let mut process = world.process(None).await;
    let visitor = signed_in(&world, &process).await;
    visitor.send(Method::GET, "/doc", &[("traceparent", PARENT)], "").await;
    assert!(collector.trace(TRACE).is_empty(), "they wait for others");
    assert!(process.stop().await);
    let spans = collector.trace(TRACE);
    let server = spans.iter().find(|span| span.kind == SERVER).expect("it is sent at the end");
    let log = std::fs::read_to_string(log).unwrap();
    let ids = format!("\"trace_id\":\"{TRACE}\",\"span_id\":\"{}\"", server.span_id);
    let line = log.lines().find(|line| line.contains("evergate::access") && line.contains(&ids));
    let line = line.unwrap_or_else(|| panic!("no access line has {ids}: {log}"));
    assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
}
