//! An MCP server behind Evergate, and a client that is told its address alone: both are the protocol's own (PyPI `mcp`), and the
//! provider is one that clients register at.

use evergate::{
    app,
    clock::Clock,
    config::{Environment, Problems, check},
    timings::Timings,
};
use http::StatusCode;

use super::peers::Certified;
use crate::harness::{
    eventually::eventually,
    process::free_port,
    python::{self, Served},
    visitor::Visitor,
};

#[tokio::test]
async fn an_mcp_client_finds_the_provider_by_itself_and_goes_on_through_expired_tokens() {
    let (idp, server) = (Certified::start_with(&["--resources"]), Served::start("mcp_server.py", &[]));
    let (files, port) = (tempfile::tempdir().unwrap(), free_port());
    let (address, config) = (format!("127.0.0.1:{port}"), files.path().join("evergate.toml"));
    let access = format!("http://{address}");
    let issuer = idp.issuer.as_str().trim_end_matches('/').to_owned();
    let upstream = format!("http://127.0.0.1:{}", server.port);
    std::fs::write(
        &config,
        format!(
            "access_url = \"{access}\"\nhttp_address = \"{address}\"\noidc_issuer_url = \"{issuer}\"\noidc_client_id = \"evergate\"\n\
             oidc_client_secret = \"not-much-of-a-secret\"\ndata_dir = \"{}\"\nupstream_url = \"{upstream}\"\n\
             [[route]]\npath = \"/mcp\"\nbearer_tokens = [\"provider\"]\nbearer_scopes = [\"tools\"]\n",
            files.path().display()
        ),
    )
    .unwrap();
    let environment = Environment { config_path: Some(config.display().to_string()), ..Environment::default() };
    let mut problems = Problems::default();
    let raw = environment.read(&mut problems);
    let running = app::start(check(&raw, problems).unwrap(), Clock::System, Timings::default()).await.unwrap();
    let visitor = Visitor::new(running.address).on_host(&address);
    eventually("the provider is found", async || visitor.get("/oauth2/readyz").await.json()["provider"] == "ok").await;
    let metadata = visitor.fetch("/.well-known/oauth-protected-resource/mcp").await;
    assert_eq!(metadata.json()["resource"], format!("{access}/mcp"));
    // Access tokens live two seconds, so that the client refreshes them between its calls.
    let output = python::run("mcp_client.py", &[&format!("{access}/mcp"), "maya", "4"]).await;
    let said = String::from_utf8(output.stdout).unwrap();
    let expected = ["maya None", "maya None", "maya None", "maya None", &issuer];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected, "{}", String::from_utf8_lossy(&output.stderr));
    assert!(idp.renewals() >= 1, "its tokens expired between its calls");
    let refused = visitor.fetch("/mcp").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    running.stop().await;
}
