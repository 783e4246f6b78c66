//! Git over HTTP behind Evergate, with a personal access token as its password: a real client, and Git's own server.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    response::Response,
};
use http::Method;
use tokio::net::TcpListener;

use crate::harness::{World, process::free_port, visitor::Visitor};

/// What is pushed and cloned: more than any buffer on the way holds.
const SIZE: usize = 30 * 1024 * 1024;

/// `git http-backend`, which speaks CGI (RFC 3875).
async fn backend(root: State<Arc<Path>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let header = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let mut command = Command::new("git");
    command.arg("http-backend").env("GIT_PROJECT_ROOT", &*root.0).env("GIT_HTTP_EXPORT_ALL", "1");
    command.env("REQUEST_METHOD", head.method.as_str()).env("PATH_INFO", head.uri.path());
    command.env("QUERY_STRING", head.uri.query().unwrap_or_default()).env("CONTENT_TYPE", header("content-type"));
    command.env("HTTP_CONTENT_ENCODING", header("content-encoding")).env("GIT_PROTOCOL", header("git-protocol"));
    // Pushes are for whom the gateway has let in.
    command.env("REMOTE_USER", header("x-forwarded-user")).env("CONTENT_LENGTH", body.len().to_string());
    let run = move || {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writing = std::thread::spawn(move || drop(stdin.write_all(&body)));
        let output = child.wait_with_output().unwrap().stdout;
        writing.join().unwrap();
        output
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let at = output.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let mut response = Response::builder();
    for line in std::str::from_utf8(&output[..at]).unwrap().lines() {
        let (name, value) = line.split_once(": ").unwrap();
        response = match name {
            "Status" => response.status(value.split(' ').next().unwrap().parse::<u16>().unwrap()),
            _ => response.header(name, value),
        };
    }
    response.body(Body::from(output[at + 4..].to_vec())).unwrap()
}

fn git(directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(directory).args(["-c", "user.name=ann", "-c", "user.email=ann@example.com"]).args(arguments);
    command.env("HOME", directory).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0").stdin(Stdio::null());
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "git {arguments:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn git_pushes_and_clones_thirty_megabytes_with_a_token_that_outlives_five_access_tokens() {
    let root = tempfile::tempdir().unwrap();
    git(root.path(), &["init", "--quiet", "--bare", "things.git"]);
    git(&root.path().join("things.git"), &["config", "http.receivepack", "true"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = listener.local_addr().unwrap();
    let served: Arc<Path> = root.path().into();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(backend).with_state(served)).await });

    let address = format!("127.0.0.1:{}", free_port());
    let access = format!("http://{address}");
    let routes = format!("[[route]]\npath = \"/things.git\"\nupstream = \"http://{app}\"\nbearer_tokens = [\"personal\"]\n");
    let world =
        World::build().set("access_url", &access).set("http_address", &address).routes(move |_| routes.clone()).start().await;
    let ann = Visitor::new(world.address()).on_host(&address);
    ann.log_in(&world.idp, "/").await;
    let page = ann.get("/oauth2/tokens").await.text();
    let seal = page.split("name=\"seal\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let form = format!("name=git&seal={seal}");
    let page =
        ann.send(Method::POST, "/oauth2/tokens", &[("content-type", "application/x-www-form-urlencoded")], &form).await.text();
    let token = page.split("<code>").nth(1).unwrap().split("</code>").next().unwrap().to_owned();

    let home = tempfile::tempdir().unwrap();
    let (clock, home_path) = (world.clock.clone(), home.path().to_owned());
    let there = format!("http://git:{token}@{address}/things.git");
    let work = move || {
        let mine = home_path.join("mine");
        git(&home_path, &["clone", "--quiet", &there, "mine"]);
        // What does not compress. A run of one generator is as good as any.
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut bytes = Vec::with_capacity(SIZE);
        while bytes.len() < SIZE {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        std::fs::write(mine.join("large"), &bytes).unwrap();
        git(&mine, &["add", "large"]);
        git(&mine, &["commit", "--quiet", "--message", "large"]);
        git(&mine, &["push", "--quiet", "origin", "HEAD:main"]);
        for number in 0..5 {
            clock.advance(std::time::Duration::from_secs(301));
            let name = format!("clone{number}");
            git(&home_path, &["clone", "--quiet", "--branch", "main", &there, &name]);
            assert!(std::fs::read(home_path.join(name).join("large")).unwrap() == bytes);
        }
        let wrong = there.replace("evg_", "evg_x");
        let refused = Command::new("git").args(["ls-remote", &wrong]).env("GIT_TERMINAL_PROMPT", "0").output().unwrap();
        assert!(!refused.status.success());
    };
    tokio::task::spawn_blocking(work).await.unwrap();
}
