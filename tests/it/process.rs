//! The binary as a process: exit codes, signals, commands.

use std::{
    io::{BufRead, BufReader, Read},
    os::unix::process::ExitStatusExt,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::harness::{
    World,
    certificates::Authority,
    eventually::{eventually, in_time},
    process::free_port,
    upstream::Upstream,
    visitor::Visitor,
};

fn evergate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evergate"));
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = evergate(arguments).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn send(signal: &str, child: &Child) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

fn terminate(child: &Child) {
    send("-TERM", child);
}

/// A gateway without a reachable provider, which starts all the same.
fn serve(port: u16, upstream: &Upstream, directory: &std::path::Path) -> Command {
    let mut command = evergate(&[
        "serve",
        "--access-url",
        "http://localhost",
        "--oidc-issuer-url",
        "http://127.0.0.1:9",
        "--oidc-client-id",
        "app",
    ]);
    command
        .env("CODER_HTTP_ADDRESS", format!("127.0.0.1:{port}"))
        .env("CODER_UPSTREAM_URL", format!("http://{}", upstream.address))
        .env("CODER_DATA_DIR", directory);
    command
}

/// What keeps half of a list must not take it for the whole; what reads no further has seen what it wanted.
#[tokio::test]
async fn an_output_that_cannot_be_written_is_a_failure_and_one_that_nobody_reads_to_its_end_is_none() {
    let world = World::start().await;
    world.signed_in().await;
    let commands: [&[&str]; 12] = [
        &["--help"],
        &["metrics"],
        &["config", "example"],
        &["config"],
        &["config", "translate", "--options"],
        &["keys", "generate"],
        &["keys", "status"],
        &["sessions", "list"],
        &["sessions", "list", "--json"],
        &["sessions", "show", "ann"],
        &["sessions", "audit", "--json"],
        &["sessions", "revoke", "ann"],
    ];
    for arguments in commands {
        let mut command = world.binary();
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        command.args(arguments).stdin(Stdio::null()).stdout(full).stderr(Stdio::piped());
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(69), "{arguments:?} {told}");
        assert!(arguments == ["--help"] || told.contains("standard output cannot be written to"), "{arguments:?} {told}");
    }
    assert!(world.command(&["sessions", "list"]).await.1.lines().count() == 1, "the end goes on without its output");
    // The command has refused everything that was issued until now, by the system's clock.
    world.clock.advance(Duration::from_secs(600));
    world.signed_in().await;
    for arguments in commands {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = world.binary();
        command.args(arguments).stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped());
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), told.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[tokio::test]
async fn it_starts_without_its_provider_answers_its_health_check_and_drains_on_sigterm() {
    let (port, upstream, directory) = (free_port(), Upstream::start().await, tempfile::tempdir().unwrap());
    let mut child = serve(port, &upstream, directory.path()).spawn().unwrap();
    let visitor = Visitor::new(([127, 0, 0, 1], port).into());
    eventually("it is ready", async || {
        visitor.try_send(http::Method::GET, "/oauth2/readyz", &[], "").await.is_some_and(|reply| reply.status.is_success())
    })
    .await;
    let health = evergate(&["healthcheck", "--http-address", &format!("0.0.0.0:{port}")]).status().unwrap();
    assert_eq!(health.code(), Some(0));
    terminate(&child);
    let mut log = String::new();
    let status = tokio::task::spawn_blocking(move || {
        child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (child.wait().unwrap(), log)
    });
    let (status, log) = in_time("it ends", status).await.unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    for line in log.lines() {
        serde_json::from_str::<serde_json::Value>(line)
            .unwrap_or_else(|_| panic!("not a terminal, so each line is JSON: {line}"));
    }
    assert!(log.contains("\"message\":\"stopping\"") && log.contains("CODER_ACCESS_URL is plain http"), "{log}");
    assert_eq!(evergate(&["healthcheck", "--http-address", &format!("127.0.0.1:{port}")]).status().unwrap().code(), Some(69));
}

#[tokio::test]
async fn it_takes_the_log_and_the_address_as_coder_s_environment_has_them() {
    let (port, upstream, directory) = (free_port(), Upstream::start().await, tempfile::tempdir().unwrap());
    let log = directory.path().join("evergate.log");
    let mut command = serve(port, &upstream, directory.path());
    command
        .env("CODER_HTTP_ADDRESS", format!(":{port}"))
        .env("CODER_LOG_FILTER", ".*")
        .env("CODER_LOGGING_JSON", &log)
        .env("CODER_LOGGING_HUMAN", "/dev/stderr");
    let mut child = command.spawn().unwrap();
    let health = async || evergate(&["healthcheck", "--http-address", &format!(":{port}")]).status().unwrap().success();
    eventually("its health check finds it", health).await;
    terminate(&child);
    let mut stderr = String::new();
    let ended = tokio::task::spawn_blocking(move || {
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (child.wait().unwrap(), stderr)
    });
    let (status, stderr) = in_time("it ends", ended).await.unwrap();
    assert!(status.success(), "{stderr}");
    assert_eq!(stderr, "", "the log goes to the file alone");
    let lines = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["message"] == "stopping"), "{lines:?}");
    assert!(lines.iter().all(|line| line["level"] != "TRACE"), "{lines:?}");
}

#[tokio::test]
async fn a_process_that_serves_leaves_no_core_dump() {
    let (port, upstream, directory) = (free_port(), Upstream::start().await, tempfile::tempdir().unwrap());
    let told = serve(port, &upstream, directory.path());
    // Any other process may leave one.
    let unlimited = |script: &str| {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("ulimit -c unlimited; {script}")]).current_dir(directory.path()).stderr(Stdio::null());
        command
    };
    let dumps = unlimited("kill -ABRT $$").status().unwrap().core_dumped();
    let mut command = unlimited("exec \"$0\" \"$@\"");
    command.arg(told.get_program()).args(told.get_args()).env_clear();
    let mut child = command.envs(told.get_envs().filter_map(|(name, value)| Some((name, value?)))).spawn().unwrap();
    let visitor = Visitor::new(([127, 0, 0, 1], port).into());
    eventually("it serves", async || visitor.try_send(http::Method::GET, "/oauth2/healthz", &[], "").await.is_some()).await;
    send("-ABRT", &child);
    let status = child.wait().unwrap();
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false), "where another process dumps: {dumps}");
}

#[tokio::test]
async fn an_address_that_is_taken_is_told_with_its_setting_and_no_cause_twice() {
    let (upstream, directory) = (Upstream::start().await, tempfile::tempdir().unwrap());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ended = serve(taken.local_addr().unwrap().port(), &upstream, directory.path()).output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(69), "{told}");
    let cause = format!("cannot listen on {} (CODER_HTTP_ADDRESS): Address already in use", taken.local_addr().unwrap());
    assert!(told.contains(&cause) && told.matches("Address already in use").count() == 1, "{told}");
}

#[tokio::test]
async fn sighup_has_certificates_read_again_and_every_signal_that_ends_it_drains_first() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("front", &["app.test"]);
    for (number, signal) in ["-QUIT", "-INT", "-TERM"].into_iter().enumerate() {
        let (port, upstream, directory) = (free_port(), Upstream::start().await, tempfile::tempdir().unwrap());
        let mut command = serve(port, &upstream, directory.path());
        command
            .env("CODER_TLS_ENABLE", "true")
            .env("CODER_TLS_ADDRESS", "127.0.0.1:0")
            .env("CODER_TLS_CERT_FILE", &certificate)
            .env("CODER_TLS_KEY_FILE", &key);
        let mut child = command.spawn().unwrap();
        let (log, stderr) = (Arc::new(Mutex::new(String::new())), child.stderr.take().unwrap());
        let noting = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                noting.lock().unwrap().push_str(&line.unwrap());
            }
        });
        let visitor = Visitor::new(([127, 0, 0, 1], port).into());
        let is_up = async || {
            let reply = visitor.try_send(http::Method::GET, "/oauth2/readyz", &[], "").await;
            reply.is_some_and(|reply| reply.status.is_success())
        };
        eventually("it is ready", is_up).await;
        for _ in 0..=number {
            send("-HUP", &child);
        }
        // They have not changed, so that nothing else has them read.
        eventually("it has read them", async || log.lock().unwrap().contains("certificates reloaded")).await;
        for ignored in ["USR1", "USR2"] {
            send(&format!("-{ignored}"), &child);
            eventually("it is ignored", async || log.lock().unwrap().contains(&format!("\"signal\":\"SIG{ignored}\""))).await;
        }
        assert!(is_up().await, "and serves on");
        send(signal, &child);
        // Another, and one that it takes for nothing by then, do not cut the drain off.
        eventually("it drains", async || log.lock().unwrap().contains("\"message\":\"stopping\"")).await;
        send(signal, &child);
        send("-HUP", &child);
        let ended = tokio::task::spawn_blocking(move || child.wait().unwrap());
        let status = in_time("it ends", ended).await.unwrap();
        assert_eq!(status.code(), Some(0), "{signal} {}", log.lock().unwrap());
    }
}

#[tokio::test]
async fn it_starts_beside_variables_of_others_and_names_them_without_their_values() {
    let (port, upstream, directory) = (free_port(), Upstream::start().await, tempfile::tempdir().unwrap());
    let child = serve(port, &upstream, directory.path())
        .env("CODER_PORT", "tcp://10.96.0.7:80")
        .env("CODER_AGENT_TOKEN", "hunter2")
        .spawn()
        .unwrap();
    let visitor = Visitor::new(([127, 0, 0, 1], port).into());
    eventually("it is ready", async || {
        visitor.try_send(http::Method::GET, "/oauth2/readyz", &[], "").await.is_some_and(|reply| reply.status.is_success())
    })
    .await;
    terminate(&child);
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    let output = in_time("it ends", output).await.unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("CODER_AGENT_TOKEN")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains("\"WARN\"") && lines[0].contains("CODER_PORT") && !log.contains("hunter2"), "{log}");
}

#[test]
fn wrong_settings_end_it_with_64_before_any_port_is_bound() {
    let (code, out, error) = run(&["serve", "--oidc-scopes", "openid"]);
    assert_eq!((code, out.as_str()), (64, ""));
    assert!(
        error.contains("there are 4 problems with the settings") && error.contains("CODER_ACCESS_URL: is required"),
        "{error}"
    );
    assert_eq!(run(&["--no-such-flag"]).0, 64);
    assert_eq!(run(&["--oidc-client-secret", "x"]).0, 64, "a secret has no flag: other users of the machine could read it");
    assert_eq!(run(&["no-such-verb"]).0, 64);
    for (arguments, said) in [
        (&["sessions", "list", "--ended", "foo"][..], "it is no reason for an end; write dead, outcome_unknown, restored"),
        (&["sessions", "list", "--not-renewed-since", "tomorrow"], "it is no time"),
        (&["sessions", "list", "--after", "xx"], "it is no place in a list"),
        (&["sessions", "show", "ann", "--after", "xx"], "it is no place in a history"),
        (&["sessions", "list", "--limit", "0"], "0"),
        (&["sessions", "list", "--group", ""], "a value is required for '--group"),
        (&["sessions", "list", "--site", ""], "a value is required for '--site"),
        (&["sessions", "show", "ann", "--issuer", ""], "a value is required for '--issuer"),
        (&["sessions", "revoke", ""], "a value is required for '[NAME]"),
        (&["login", "https://app.example", "--days", "0"], "0"),
        (&["login", "http://app.example"], "http://app.example is no https address"),
        (&["token", "ftp://app.example"], "ftp://app.example is no https address"),
        (&["token", "app.example"], "app.example is no address like https://app.example.com"),
    ] {
        let (code, _, error) = run(arguments);
        assert!(code == 64 && error.contains(said), "{arguments:?}: {error}");
    }
}

#[test]
fn a_variable_that_is_not_utf_8_is_a_problem_like_all_others() {
    use std::os::unix::ffi::OsStrExt;
    let broken = std::ffi::OsStr::from_bytes(b"hunter2\xff");
    let output = evergate(&["serve"])
        .envs([("CODER_OIDC_CLIENT_SECRET", broken), ("CODER_CONFIG_PATH", broken), ("CODER_AGENT_TOKEN", broken)])
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{error}");
    for said in
        ["CODER_OIDC_CLIENT_SECRET: is not UTF-8 text", "CODER_CONFIG_PATH: is not UTF-8 text", "are ignored: CODER_AGENT_TOKEN"]
    {
        assert!(error.contains(said), "{error}");
    }
    // What else is required may be in the file whose name cannot be read.
    assert!(error.contains("there are 2 problems") && !error.contains("hunter2"), "{error}");
}

#[test]
fn a_postgres_that_is_away_ends_the_start_with_69() {
    let output = evergate(&["migrate"])
        .env("CODER_PG_CONNECTION_URL", "postgres://u:hunter2@127.0.0.1:9/d")
        .env("CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS", evergate::seal::KeyRing::generate())
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69), "{error}");
    assert!(!error.contains("hunter2"));
}

#[test]
fn a_command_without_settings_takes_none_in_silence() {
    for command in
        [["demo", "--config", "/nowhere.toml"], ["demo", "--upstream-url", "http://127.0.0.1:1"], ["metrics", "--config", "x"]]
    {
        let (code, _, error) = run(&command);
        assert!(code == 64 && error.contains("takes none, and would ignore them"), "{command:?}: {error}");
    }
}

#[test]
fn keys_are_generated_and_commands_explain_themselves() {
    let (code, key, _) = run(&["keys", "generate"]);
    assert!(code == 0 && evergate::seal::KeyRing::from_base64([key.trim()]).is_ok());
    assert_ne!(run(&["keys", "generate"]).1, key);
    let (code, help, _) = run(&["--help"]);
    assert!(code == 0 && help.contains("--oidc-client-secret-file") && help.contains("demo"), "{help}");
    assert!(run(&["--version"]).1.starts_with("evergate "));
    let (code, shown, error) = run(&["config", "--http-address", "127.0.0.1:1"]);
    assert!(
        code == 64 && shown.contains("CODER_HTTP_ADDRESS=127.0.0.1:1  # flag") && error.contains("is required"),
        "{shown}{error}"
    );
}

#[tokio::test]
async fn the_demo_logs_in_renews_and_leaves_nothing_behind() {
    let port = free_port();
    let temporary = tempfile::tempdir().unwrap();
    let mut child = evergate(&["demo", "--port", &port.to_string()]).env("TMPDIR", temporary.path()).spawn().unwrap();
    let mut printed = BufReader::new(child.stdout.take().unwrap());
    let (printed, url) = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        while !line.contains("http://localhost:") {
            line.clear();
            assert!(printed.read_line(&mut line).unwrap() > 0, "it ended before it said where it is");
        }
        (printed, line.trim().to_owned())
    })
    .await
    .unwrap();
    assert_eq!(url, format!("http://localhost:{port}"));
    let host = format!("localhost:{port}");
    let (visitor, navigation) = (Visitor::new(([127, 0, 0, 1], port).into()), [("accept", "text/html"), ("host", host.as_str())]);
    let get = async |path: &str| visitor.send(http::Method::GET, path, &navigation, "").await;
    eventually("the provider is found", async || get("/").await.status == http::StatusCode::SEE_OTHER).await;
    let to_provider = get("/").await.location();
    let provider = Visitor::new(to_provider.socket_addrs(|| None).unwrap()[0]);
    let asked = provider.get(&crate::harness::visitor::path_of(&to_provider)).await.text();
    assert!(asked.contains("Maya Lindqvist") && asked.contains("Tomás Rivera"));
    let chosen = provider.get(&format!("{}&person=0", crate::harness::visitor::path_of(&to_provider))).await.location();
    get(&crate::harness::visitor::path_of(&chosen)).await.location();
    assert!(get("/").await.text().contains("Harbour Board"));
    let told = get("/whoami").await.json();
    assert_eq!(told["headers"]["x-forwarded-user"], "maya");
    assert_eq!(get("/oauth2/userinfo").await.json()["renewable"], true);
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 1);
    terminate(&child);
    let ended = tokio::task::spawn_blocking(move || child.wait().unwrap());
    assert_eq!(in_time("it ends", ended).await.unwrap().code(), Some(0));
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "it removes what it wrote");
    drop(printed);
}
