//! What is not kept, and for how long and how much of it is.

use super::*;
use crate::harness::Database;

fn is_as_ever(reply: &Reply) -> bool {
    (reply.status, reply.header("evergate-response")) == (StatusCode::UNAUTHORIZED, "sign_in_required")
        && reply.text().contains("what you sent was not taken")
}

fn outcome(world: &World, outcome: &str) -> bool {
    world.replicas[0].metrics.render().unwrap().contains(&format!("evergate_kept_posts_total{{outcome=\"{outcome}\"}} 1"))
}

#[tokio::test]
async fn nothing_is_kept_on_a_route_that_does_not_say_so_nor_of_a_browser_that_nobody_was_signed_in_in() {
    let world = build().start().await;
    let visitor = signed_out_by_time(&world).await;
    assert!(is_as_ever(&post(&visitor, "/other", TYPED).await));
    for stranger in [world.visitor(), world.visitor()] {
        let reply = post(&stranger, "/wiki", TYPED).await;
        assert!(is_as_ever(&reply) && reply.set_cookies().is_empty());
        stranger.set_cookie("__Host-evergate_session", &evergate::secret::random_text::<32>());
        assert!(is_as_ever(&post(&stranger, "/wiki", TYPED).await));
        stranger.set_cookie("__Host-evergate_browser", &"A".repeat(108));
        assert!(is_as_ever(&post(&stranger, "/wiki", TYPED).await));
    }
    let text = world.replicas[0].metrics.render().unwrap();
    assert!(text.contains("evergate_kept_posts_total{outcome=\"nobody\"} 6"), "{text}");
    assert!(!World::start().await.signed_in().await.cookies().keys().any(|name| name.ends_with("_browser")), "nothing is kept");
}

#[tokio::test]
async fn what_is_no_form_of_the_same_origin_is_told_to_sign_in_as_ever() {
    let world = build().start().await;
    let visitor = signed_out_by_time(&world).await;
    let form = ("content-type", URL_ENCODED);
    let with = |name: &'static str, value: &'static str| {
        let mut lines: Vec<_> = OWN.iter().copied().filter(|(known, _)| *known != name).collect();
        lines.extend([form, (name, value)]);
        lines
    };
    for lines in [
        with("sec-fetch-site", "cross-site"),
        with("sec-fetch-site", "same-site"),
        with("origin", "https://evil.test"),
        with("sec-fetch-mode", "cors"),
        with("sec-fetch-dest", "iframe"),
        with("content-encoding", "gzip"),
        vec![form, ("accept", "text/html")],
        vec![form, ("accept", "text/html"), ("origin", "null")],
    ] {
        let reply = visitor.send(Method::POST, "/wiki", &lines, TYPED).await;
        assert_eq!((reply.status, reply.set_cookies().len()), (StatusCode::UNAUTHORIZED, 0), "{lines:?}");
    }
    for content_type in [
        "text/plain",
        "application/json",
        "multipart/form-data; boundary=a\"b",
        "multipart/form-data; boundary=a, text/html",
        "application/x-www-form-urlencoded; x=y",
    ] {
        assert!(is_as_ever(&post_as(&visitor, "/wiki", content_type, TYPED).await), "{content_type}");
    }
    for method in [Method::PUT, Method::PATCH, Method::DELETE] {
        let mut lines = OWN.to_vec();
        lines.push(form);
        assert_eq!(visitor.send(method, "/wiki", &lines, TYPED).await.status, StatusCode::UNAUTHORIZED);
    }
    assert!(!outcome(&world, "kept"));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_kept_whether_or_not_it_says_so_before() {
    let world = build().start().await;
    let visitor = signed_out_by_time(&world).await;
    let fits = "a".repeat(256 * 1024);
    assert!(is_as_ever(&post(&visitor, "/wiki", &format!("{fits}b")).await));
    assert!(outcome(&world, "too_large"));
    let kept = post(&visitor, "/wiki", &fits).await;
    let page = offered(&world, &visitor, &kept).await;
    assert!(send_again(&visitor, "/wiki", &value(&page)).await.is_upstreams());
    assert_eq!(arrived(&world), [fits]);
    // In chunks, which say nothing of what comes.
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut line = tokio::net::TcpStream::connect(world.address()).await.unwrap();
    world.clock.advance(2 * HOUR);
    let head: String = OWN.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "POST /wiki HTTP/1.1\r\nhost: app.test\r\n{head}content-type: {URL_ENCODED}\r\ncookie: {}\r\ntransfer-encoding: chunked\r\n\r\n",
        visitor.cookie_header()
    );
    line.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", "a".repeat(0x10000));
    for _ in 0..5 {
        line.write_all(chunk.as_bytes()).await.unwrap();
    }
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains("\r\n\r\n") {
        assert_ne!(line.read_buf(&mut answer).await.unwrap(), 0);
    }
    assert!(answer.starts_with(b"HTTP/1.1 401"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn one_user_s_slow_forms_leave_room_for_others() {
    use tokio::io::AsyncWriteExt;
    let world = build().start().await;
    let slow = signed_out_by_time(&world).await;
    let other = Visitor::of(world.address(), user("bob"));
    other.log_in(&world.idp, "/").await;
    world.clock.advance(2 * HOUR);
    let head: String = OWN.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "POST /wiki HTTP/1.1\r\nhost: app.test\r\n{head}content-type: {URL_ENCODED}\r\ncookie: {}\r\ncontent-length: 5000\r\n\r\na=",
        slow.cookie_header()
    );
    let mut lines = Vec::new();
    for _ in 0..32 {
        let mut line = tokio::net::TcpStream::connect(world.address()).await.unwrap();
        line.write_all(head.as_bytes()).await.unwrap();
        lines.push(line);
    }
    let full = || world.replicas[0].metrics.render().unwrap().contains("evergate_kept_posts_total{outcome=\"full\"} 28");
    eventually("all but four of one user are refused", async || full()).await;
    assert_eq!(post(&other, "/wiki", TYPED).await.status, StatusCode::SEE_OTHER, "the other's is kept");
    assert!(outcome(&world, "kept"));
    drop(lines);
}

#[tokio::test]
async fn a_user_has_five_and_the_oldest_makes_room() {
    let world = build().start().await;
    let visitor = signed_out_by_time(&world).await;
    let mut kept = Vec::new();
    for number in 0..7 {
        world.clock.advance(Duration::from_secs(1));
        kept.push(post(&visitor, "/wiki", &format!("number={number}")).await);
    }
    for (number, kept) in kept.iter().enumerate() {
        let page = offered(&world, &visitor, kept).await;
        assert_eq!(page.status, if number < 2 { StatusCode::GONE } else { StatusCode::OK }, "{number}");
    }
}

#[tokio::test]
async fn it_is_kept_for_a_quarter_of_an_hour_encrypted_and_then_removed() {
    let world = build().start().await;
    let visitor = signed_out_by_time(&world).await;
    let kept = post(&visitor, "/wiki", TYPED).await;
    let pressed = value(&offered(&world, &visitor, &kept).await);
    let Database::Sqlite { directory } = &world.database else { panic!("on SQLite") };
    let files = || std::fs::read_dir(directory.path()).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    let holds = |text: &[u8]| files().any(|file| file.windows(text.len()).any(|window| window == text));
    assert!(holds(b"kept_posts") && !holds(b"typed-for-an-hour") && !holds(b"/wiki"));
    world.clock.advance(Duration::from_secs(15 * 60 - 1));
    assert!(visitor.get(&path_of(&kept.location())).await.status == StatusCode::OK);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(visitor.get(&path_of(&kept.location())).await.status, StatusCode::GONE);
    assert_eq!(send_again(&visitor, "/wiki", &pressed).await.status, StatusCode::SEE_OTHER);
    assert!(arrived(&world).is_empty());
    let rows = async || {
        let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}/evergate.sqlite", directory.path().display())).await.unwrap();
        sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM kept_posts").fetch_one(&pool).await.unwrap()
    };
    eventually("the sweep has removed it", async || rows().await == 0).await;
}

#[tokio::test]
async fn while_the_store_is_away_nothing_is_kept_and_the_answer_says_that_nothing_was_taken() {
    let world = build().on(Kind::Postgres).start().await;
    let visitor = world.signed_in().await;
    let later = visitor.without_cookies();
    later.set_cookie("__Host-evergate_browser", &visitor.cookies()["__Host-evergate_browser"]);
    let kept = post(&later, "/wiki", TYPED).await;
    let page = offered(&world, &later, &kept).await;
    world.store_line.as_ref().unwrap().cut();
    let state = async || world.visitor().get("/oauth2/readyz").await.json()["store"].clone();
    eventually("the store is away", async || state().await == "unavailable").await;
    let without_session = visitor.without_cookies();
    without_session.set_cookie("__Host-evergate_browser", &visitor.cookies()["__Host-evergate_browser"]);
    assert!(is_as_ever(&post(&without_session, "/wiki", TYPED).await));
    assert!(outcome(&world, "unavailable"));
    let pressed = send_again(&later, "/wiki", &value(&page)).await;
    assert_eq!((pressed.status, pressed.header("evergate-response")), (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable"));
    assert!(arrived(&world).is_empty());
    world.store_line.as_ref().unwrap().mend();
    eventually("it is sent when the store is back", async || send_again(&later, "/wiki", &value(&page)).await.is_upstreams())
        .await;
    assert_eq!(arrived(&world), [TYPED]);
}

#[tokio::test]
async fn a_route_where_nobody_need_be_signed_in_cannot_keep_forms() {
    let world = build().start().await;
    std::fs::write(world.settings_file(), "[[route]]\npath = \"/open\"\nrule = \"public\"\nkeep_form_posts = true\n").unwrap();
    let (code, printed) = world.command(&["config"]).await;
    assert!(
        code != 0 && printed.contains("route[1].keep_form_posts") && printed.contains("nobody needs to be signed in"),
        "{printed}"
    );
}
